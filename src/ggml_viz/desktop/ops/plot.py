"""Draws the roofline."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

from imgui_bundle import imgui, implot

from ggml_viz.desktop.ops.parts import Part
from ggml_viz.desktop.ops.roofline import (
    Box,
    Limits,
    Point,
    Roofs,
    limits_of,
    nearest,
    place_names,
    points_of,
    radii,
    roof_lines,
    roofs_of,
)
from ggml_viz.desktop.theme import Theme, packed
from ggml_viz.numbers import duration, percent, plural, significant

PROBE = "ggml-viz probe"
_NAMED = 14
# Names keep away from the slanted line at so many places of it.
_OBSTACLES = 80


class RooflinePlot:
    """A roofline of some parts.

    Attributes:
        points: What it shows.
        roofs: What the machine was measured to do; None: it was not.
        pointed: Key of the part under the pointer; None: none.
        clicked: Key of the part that was clicked in this frame; None: none.
        dots: Middle and radius of each point, in pixels of the screen, as it was drawn last.
    """

    def __init__(self) -> None:
        self.points: list[Point] = []
        self.roofs: Roofs | None = None
        self.pointed: str | None = None
        self.clicked: str | None = None
        self.dots: list[tuple[float, float, float]] = []
        self._limits = limits_of([], None)
        self._radii: list[float] = []
        self._stamp: Hashable = None
        self._placed_for: Hashable = None
        self._placed: list[tuple[int, float, float]] = []
        self._line: list[Box] = []
        self._fit = True

    def draw(
        self,
        stamp: Hashable,
        parts: Sequence[Part],
        peak: dict[str, Any] | None,
        theme: Theme,
        size: tuple[float, float],
        picked: str | None,
        part_colour: tuple[int, int, int],
    ) -> None:
        """Draws it.

        Args:
            stamp: Changes whenever parts or peak do.
            parts: What has a point, if its operations and bytes are known.
            peak: What the machine was measured to do.
            theme: Colours.
            size: In pixels.
            picked: Key of the part that stands out.
            part_colour: Of a mixture of kinds.
        """
        if stamp != self._stamp:
            self._prepare(parts, peak)
            self._stamp = stamp
        self.pointed = self.clicked = None
        flags = implot.Flags_.no_legend | implot.Flags_.no_menus | implot.Flags_.no_mouse_text | implot.Flags_.no_title
        if not implot.begin_plot("##roofline", size, flags):
            return
        implot.setup_axes("operations for each byte moved", "GFLOP/s")
        for axis in (implot.ImAxis_.x1, implot.ImAxis_.y1):
            implot.setup_axis_scale(axis, implot.Scale_.log10)
        when = imgui.Cond_.always if self._fit else imgui.Cond_.once
        implot.setup_axes_limits(*self._limits, when)
        self._fit = False
        implot.setup_finish()
        implot.push_plot_clip_rect()
        lines = implot.get_plot_draw_list()
        at, wide = implot.get_plot_pos(), implot.get_plot_size()
        box = Box(at.x, at.y, at.x + wide.x, at.y + wide.y)
        taken = self._draw_roofs(lines, theme, box)
        self._draw_points(lines, theme, box, picked, part_colour, taken)
        implot.pop_plot_clip_rect()
        if implot.is_plot_hovered():
            mouse = imgui.get_mouse_pos()
            index = nearest(self.dots, mouse.x, mouse.y, imgui.get_font_size() * 0.2)
            if index is not None:
                self.pointed = self.points[index].part.key
                if imgui.is_mouse_clicked(imgui.MouseButton_.left):
                    self.clicked = self.pointed
        implot.end_plot()

    def fit(self) -> None:
        """Shows all points again."""
        self._fit = True

    def _prepare(self, parts: Sequence[Part], peak: dict[str, Any] | None) -> None:
        self.points = sorted(points_of(parts), key=lambda point: -point.part.seconds)
        self.roofs = roofs_of(peak)
        limits = limits_of(self.points, self.roofs)
        self._radii = radii(self.points)
        if limits != self._limits:
            self._limits, self._fit = limits, True

    def _draw_roofs(self, lines: Any, theme: Theme, box: Box) -> list[Box]:
        """Draws the roofs and their names, and returns where these are."""
        roofs = self.roofs
        if roofs is None:
            self._line = []
            return []
        shown = implot.get_plot_limits()
        limits = Limits(shown.x.min, shown.x.max, shown.y.min, shown.y.max)
        xs, ys, flat = roof_lines(roofs, limits)
        ink, high = packed(theme.ink), imgui.get_text_line_height()
        begin, ridge = (implot.plot_to_pixels(x, y) for x, y in zip(xs, ys, strict=True))
        lines.add_line((begin.x, begin.y), (ridge.x, ridge.y), ink, 1.5)
        names = []
        for (name, rate), (left, right, height) in zip(roofs.flat, flat, strict=True):
            first, last = implot.plot_to_pixels(left, height), implot.plot_to_pixels(right, height)
            lines.add_line((first.x, first.y), (last.x, last.y), ink, 1.5)
            text = f"{name} {significant(rate)}"
            wide = imgui.calc_text_size(text).x
            names.append((text, box.right - wide - high * 0.3, first.y - high - 2))
        text = f"memory {significant(roofs.bandwidth)} GB/s"
        # Left of the slanted line, where there is room; else right of it, where that enters the plot.
        wide = imgui.calc_text_size(text).x
        slope = (ridge.y - begin.y) / max(ridge.x - begin.x, 1e-6)
        x, right = max(begin.x, box.left), min(ridge.x, box.right)
        middle = x + (right - x) * 0.6
        top = begin.y + slope * (middle - begin.x) - high - 3
        if middle - wide > box.left and top > box.top:
            names.append((text, middle - wide - 3, top))
        else:
            names.append((text, x + high, begin.y + slope * (x + high - begin.x) + 3))
        steps = [begin.x + (ridge.x - begin.x) * step / _OBSTACLES for step in range(_OBSTACLES + 1)]
        self._line = [
            Box(at - 2, begin.y + slope * (at - begin.x) - 2, at + 2, begin.y + slope * (at - begin.x) + 2)
            for at in steps
        ]
        for name, left, top in names:
            lines.add_text((left, top), ink, name)
        return [Box(left, top, left + imgui.calc_text_size(name).x, top + high) for name, left, top in names]

    def _draw_points(
        self,
        lines: Any,
        theme: Theme,
        box: Box,
        picked: str | None,
        part_colour: tuple[int, int, int],
        taken: Sequence[Box],
    ) -> None:
        largest = imgui.get_font_size()
        places = [implot.plot_to_pixels(point.intensity, point.rate) for point in self.points]
        self.dots = [(at.x, at.y, radius * largest) for at, radius in zip(places, self._radii, strict=True)]
        for point, (x, y, radius) in zip(self.points, self.dots, strict=True):
            colour = part_colour if point.part.kind is None else theme.kinds[point.part.kind]
            is_picked = point.part.key == picked
            lines.add_circle_filled((x, y), radius, packed(colour, 255 if is_picked else 180))
            lines.add_circle(
                (x, y), radius, packed(theme.ink if is_picked else theme.background), 0, 2.0 if is_picked else 1.0
            )
        # Where names go is found anew only when something moved.
        key = (tuple(self.dots), box, self._stamp)
        if key != self._placed_for:
            self._placed_for = key
            named = [(w.x, w.y) for w in (imgui.calc_text_size(point.part.name) for point in self.points[:_NAMED])]
            self._placed = place_names(self.dots, named, box, [*taken, *self._line])
        ink = packed(theme.ink)
        for index, left, top in self._placed:
            lines.add_text((left, top), ink, self.points[index].part.name)


def told(part: Part) -> str:
    """A part of a roofline in one line."""
    if not part.flops or not part.bytes:
        return f"{part.name}: its operations or bytes are not known"
    return "  ·  ".join(
        text
        for text in (
            f"{part.name}: {significant(part.flops / part.bytes)} operations a byte",
            f"{significant(part.gflops or 0)} GFLOP/s",
            f"{significant(part.gbps or 0)} GB/s",
            duration(part.seconds).strip(),
            "" if part.floor_share is None else f"{percent(part.floor_share)} of floor",
        )
        if text
    )


def caption(has_points: bool, roofs: Roofs | None) -> str:
    """What stands beneath a roofline while nothing is pointed at."""
    if not has_points:
        return "Of none of these the operations and bytes are known."
    if roofs is not None:
        return (
            f"Lines: what this machine was measured to do with {plural(roofs.threads, 'thread')}. Near the slanted "
            "line memory is the limit, near a level one computing; far below both, something else. Area: time."
        )
    return "What this machine can do was not measured, so there are no roofs. Area: time. To measure it takes a minute:"
