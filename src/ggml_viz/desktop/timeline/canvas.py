"""Draws lanes, the axis above them, and what lies over both."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from imgui_bundle import imgui

from ggml_viz.desktop import bulk
from ggml_viz.desktop.theme import Theme, packed
from ggml_viz.desktop.timeline.axis import Axis, axis_of
from ggml_viz.desktop.timeline.lanes import Row
from ggml_viz.desktop.timeline.plate import Labels, Plate
from ggml_viz.desktop.timeline.scene import Area, Drawn, compose, fitting
from ggml_viz.desktop.timeline.view import View

# In ems.
LABEL_ROOM = 6.5
_NAMED = 2.4
_FLAG = 0.6
_MOST_MARKS = 400
_MOST_WIDTHS = 20_000


class Over(NamedTuple):
    """What lies over the lanes.

    Attributes:
        selection: The selected range.
        bookmarks: In seconds.
        pointer: Where the pointer is, in seconds; None: elsewhere.
    """

    selection: View | None
    bookmarks: Sequence[float]
    pointer: float | None


class Canvas:
    """Draws; keeps what it drew last, so that nothing is made twice."""

    def __init__(self) -> None:
        self._key: Any = None
        self._plates: tuple[Plate | None, ...] = (None, None)
        self._parts: list[tuple[Plate, Drawn, list[tuple[int, int, int, str]]]] = []
        self._widths: dict[str, float] = {}
        self._font = 0.0
        self._axis: tuple[Any, Axis] | None = None

    def lanes(
        self,
        draw: Any,
        plates: Sequence[Plate | None],
        rows: Sequence[Row],
        labels: Labels,
        view: View,
        area: Area,
        theme: Theme,
        texture: Callable[[Plate], Any],
        grid: bool = True,
    ) -> None:
        """Draws what the first plate shows, and where it does not reach, what the second does."""
        ground = packed(theme.mixed(theme.line, 0.25))
        key = tuple(rows), view, area, imgui.get_font_size(), len(labels)
        if key != self._key or any(a is not b for a, b in zip(plates, self._plates, strict=True)):
            self._key, self._plates = key, tuple(plates)
            self._parts = self._compose(plates, rows, labels, view, area)
        for row in rows:
            top = area.top + row.y
            draw.add_rect_filled((area.left, top), (area.right, top + row.height), ground)
        if grid:
            line, (left, top, bottom) = packed(theme.line, 140), (area.left, area.highest, area.lowest)
            scale = (area.right - left) / view.width
            for at, _ in self.axis(view, area.right - left).ticks:
                x = round(left + (at - view.begin) * scale)
                draw.add_rect_filled((x, top), (x + 1, bottom), line)
        for plate, drawn, texts in self._parts:
            bulk.rectangles(draw, drawn.boxes, drawn.colours)
            if drawn.pictures:
                image = texture(plate)
                for box, part in drawn.pictures:
                    draw.add_image(image, box[:2], box[2:], part[:2], part[2:])
            for x, y, ink, text in texts:
                draw.add_text((x, y), ink, text)

    def axis(self, view: View, width: float) -> Axis:
        """The axis of a view."""
        font = imgui.get_font_size()
        if font != self._font or len(self._widths) > _MOST_WIDTHS:
            self._font = font
            self._widths.clear()
        key = view, width, font
        if self._axis is None or self._axis[0] != key:
            self._axis = key, axis_of(view, width / (LABEL_ROOM * imgui.get_font_size()))
        return self._axis[1]

    def draw_axis(self, draw: Any, view: View, box: tuple[float, float, float, float], theme: Theme) -> None:
        """Draws ticks and their labels into a box."""
        left, top, right, bottom = box
        em = imgui.get_font_size()
        axis, faint, line = self.axis(view, right - left), packed(theme.faint), packed(theme.line)
        scale = (right - left) / view.width
        minor = axis.step / axis.divisions
        first, high = math.ceil(view.begin / minor), bottom - em * 0.25
        for index in range(first, min(math.floor(view.end / minor), first + _MOST_MARKS) + 1):
            x = round(left + (index * minor - view.begin) * scale)
            draw.add_rect_filled((x, high), (x + 1, bottom), line)
        y = top + (bottom - top - em) / 2
        free = float(left)
        if axis.base:
            draw.add_text((left + 0.3 * em, y), packed(theme.ink), axis.base)
            free = left + self.width_of(axis.base) + em
        for at, label in axis.ticks:
            tick = round(left + (at - view.begin) * scale)
            draw.add_rect_filled((tick, top + 2), (tick + 1, bottom), line)
            wide = self.width_of(label) + 0.3 * em
            if tick >= free and tick + wide <= right:
                draw.add_text((tick + 0.3 * em, y), faint, label)
                free = tick + wide + 0.5 * em

    def draw_over(
        self, draw: Any, over: Over, view: View, box: tuple[float, float, float, float], theme: Theme, flags: bool
    ) -> None:
        """Draws the selection, bookmarks and the pointer, which cross axis and lanes alike."""
        left, top, right, bottom = box
        width = right - left
        ink = packed(theme.ink)
        if over.selection is not None:
            begin = round(max(left + view.to_x(over.selection.begin, width), left - 2))
            end = round(min(left + view.to_x(over.selection.end, width), right + 2))
            if begin <= right and end >= left:
                draw.add_rect_filled((begin, top), (end, bottom), packed(theme.ink, 34))
                draw.add_rect_filled((begin, top), (begin + 1, bottom), ink)
                draw.add_rect_filled((end - 1, top), (end, bottom), ink)
        for mark in over.bookmarks:
            x = round(left + view.to_x(mark, width))
            if left <= x <= right:
                draw.add_rect_filled((x, top), (x + 1, bottom), ink)
                if flags:
                    em = _FLAG * imgui.get_font_size()
                    draw.add_triangle_filled((x, top), (x + em, top + em / 2), (x, top + em), ink)
        if over.pointer is not None:
            x = round(left + view.to_x(over.pointer, width))
            if left <= x <= right:
                draw.add_rect_filled((x, top), (x + 1, bottom), packed(theme.ink, 110))

    def width_of(self, text: str) -> float:
        """How wide a text is; remembered."""
        width = self._widths.get(text)
        if width is None:
            width = self._widths[text] = imgui.calc_text_size(text).x
        return width

    def _compose(
        self,
        plates: Sequence[Plate | None],
        rows: Sequence[Row],
        labels: Labels,
        view: View,
        area: Area,
    ) -> list[tuple[Plate, Drawn, list[tuple[int, int, int, str]]]]:
        em = imgui.get_font_size()
        fine, coarse = plates
        left, right = area.left, area.right
        wanted: list[tuple[Plate, tuple[float, float]]] = []
        if fine is not None:
            begin, end = (area.left + view.to_x(at, right - left) for at in fine.tile.view)
            left, right = max(min(begin, area.right), area.left), max(min(end, area.right), area.left)
            wanted.append((fine, (left, right)))
            rest = [(area.left, left), (right, area.right)]
        else:
            rest = [(left, right)]
        if coarse is not None:
            wanted += [(coarse, part) for part in rest if part[1] - part[0] >= 1]
        parts = []
        for plate, part in wanted:
            drawn = compose(plate, rows, view, area, part, _NAMED * em, em + 1)
            texts = []
            for name in drawn.names:
                text = labels.texts[name.label] if name.label < len(labels) else "?"
                if text := fitting(text, name.room - 0.5 * em, self.width_of):
                    texts.append((round(name.x + 0.25 * em), round(name.y - em / 2), name.ink, text))
            parts.append((plate, drawn, texts))
        return parts


def outline(draw: Any, row: Row, span: tuple[float, float], view: View, area: Area, theme: Theme, strong: bool) -> None:
    """Draws a frame around a span."""
    line = 2.0 if strong else 1.0
    width = area.right - area.left
    left = max(area.left + view.to_x(span[0], width), area.left - line)
    right = min(area.left + view.to_x(span[1], width), area.right + line)
    if right < area.left or left > area.right:
        return
    top, bottom = area.top + row.y, area.top + row.y + row.height
    right = max(right, left + 2)
    draw.add_rect((left - 1, top - 1), (right + 1, bottom + 1), packed(theme.background), 0.0, line + 2)
    draw.add_rect((left - 1, top - 1), (right + 1, bottom + 1), packed(theme.ink), 0.0, line)
