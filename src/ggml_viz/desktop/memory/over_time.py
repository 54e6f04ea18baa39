"""Draws what the buffers take over time, and tells of one moment."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
import numpy.typing as npt
from imgui_bundle import imgui, implot

from ggml_viz.desktop import draw
from ggml_viz.desktop.grid import Column, Grid
from ggml_viz.desktop.memory.steps import (
    Event,
    Steps,
    buffers_at,
    events_of,
    stacked,
    steps_of,
    usage_name,
    usage_of,
)
from ggml_viz.desktop.theme import packed, vec4
from ggml_viz.desktop.workspace import Workspace
from ggml_viz.model.memory import USAGES
from ggml_viz.numbers import duration, plural, size

# Of the recording, what the timeline shows on either side of a change.
_AROUND = 0.02


class OverTime:
    """Buffers over time: a plot, what there was at a moment, and each change.

    Attributes:
        events: The changes.
        at_s: The moment under the pointer; None: the pointer is elsewhere.
    """

    def __init__(self, space: Workspace) -> None:
        self._space = space
        self._grid = Grid[Event]("changes", by=1, descending=False)
        self._memory: dict[str, Any] = {}
        self._taken: tuple[int, float] | None = None
        self._changes: list[dict[str, Any]] = []
        self._steps: Steps = steps_of([])
        self._moments: npt.NDArray[np.float64] = np.zeros(0)
        self._edges: npt.NDArray[np.float64] = np.zeros((len(USAGES) + 1, 0))
        self._unit = 1e6, "MB"
        self._buffers: list[tuple[str, str, int]] = []
        self._buffers_of: Hashable = None
        self._picked: int | None = None
        self.events: list[Event] = []
        self.at_s: float | None = None

    @property
    def order(self) -> list[int]:
        """Indices of the events as they are sorted."""
        return self._grid.order

    def draw(self, memory: dict[str, Any], report: dict[str, Any] | None) -> None:
        """Draws it.

        Args:
            memory: The source's Memory.
            report: Its report, which knows the KV cache; None: not yet.
        """
        self._take(memory)
        em = imgui.get_font_size()
        room = imgui.get_content_region_avail()
        high = min(max(room.y * 0.55, em * 9), em * 22)
        if imgui.begin_table("memory-halves", 2, imgui.TableFlags_.resizable | imgui.TableFlags_.no_saved_settings):
            imgui.table_setup_column("plot", imgui.TableColumnFlags_.width_stretch, 0.7)
            imgui.table_setup_column("told", imgui.TableColumnFlags_.width_stretch, 0.3)
            imgui.table_next_column()
            self._plot(high)
            imgui.table_next_column()
            self._told(high, report)
            imgui.end_table()
        draw.heading("What came and went")
        self._list()

    def _take(self, memory: dict[str, Any]) -> None:
        key = id(memory), self._space.duration_s
        if key == self._taken:
            return
        is_new = self._taken is None or self._taken[0] != key[0]
        self._taken = key
        if is_new:
            self._memory = memory
            self._changes = memory["changes"]
            self._steps = steps_of(self._changes)
            self.events = events_of(self._changes)
            self._unit = (
                (1e9, "GB")
                if memory["peak_bytes"] >= 1e9
                else (1e6, "MB")
                if memory["peak_bytes"] >= 1e6
                else (1e3, "kB")
            )
        self._moments, edges = stacked(self._steps, key[1])
        self._edges = edges / self._unit[0]

    def _plot(self, high: float) -> None:
        theme, steps = self._space.theme, self._steps
        self.at_s = None
        flags = (
            implot.Flags_.no_menus | implot.Flags_.no_box_select | implot.Flags_.no_mouse_text | implot.Flags_.no_title
        )
        if not implot.begin_plot("##buffers", (-1, high), flags):
            return
        end = max(self._space.duration_s, float(steps.at_s[-1]), 1e-6)
        top = float(self._edges.max(initial=0.0)) * 1.12 or 1.0
        implot.setup_axes("s", self._unit[1])
        implot.setup_legend(implot.Location_.north, implot.LegendFlags_.horizontal | implot.LegendFlags_.outside)
        when = imgui.Cond_.always if self._space.moment() >= 0 else imgui.Cond_.once
        implot.setup_axes_limits(0.0, end, 0.0, top, when)
        for index in reversed(range(len(USAGES))):
            if not steps.sizes[index].any():
                continue
            spec = implot.Spec()
            spec.fill_color = spec.line_color = vec4(theme.usages[USAGES[index]])
            lower, upper = self._edges[index], self._edges[index + 1]
            implot.plot_shaded(usage_name(USAGES[index]), self._moments, lower, upper, spec=spec)
        self._mark_peak()
        if implot.is_plot_hovered():
            self.at_s = min(max(implot.get_plot_mouse_pos().x, 0.0), end)
            line = implot.Spec()
            line.line_color, line.flags = vec4(theme.ink), implot.ItemFlags_.no_legend
            implot.plot_inf_lines("##at", np.array([self.at_s]), spec=line)
        implot.end_plot()

    def _mark_peak(self) -> None:
        peak = self._steps.peak
        if peak is None or not self._steps.totals[peak]:
            return
        ink, em = packed(self._space.theme.ink), imgui.get_font_size()
        at = implot.plot_to_pixels(self._steps.at_s[peak], self._edges[-1, 2 * peak])
        half = em * 0.35
        implot.push_plot_clip_rect()
        lines = implot.get_plot_draw_list()
        lines.add_triangle_filled((at.x - half, at.y - half * 2), (at.x + half, at.y - half * 2), (at.x, at.y - 2), ink)
        lines.add_text((at.x + half * 1.6, at.y - em * 1.15), ink, f"peak {size(self._steps.totals[peak])}")
        implot.pop_plot_clip_rect()

    def _told(self, high: float, report: dict[str, Any] | None) -> None:
        steps, theme = self._steps, self._space.theme
        peak = steps.peak
        at_s = self.at_s if self.at_s is not None else float(steps.at_s[peak]) if peak is not None else 0.0
        key = self._taken, at_s
        if key != self._buffers_of:
            self._buffers_of = key
            self._buffers = buffers_at(self._changes, at_s)
        if not imgui.begin_child("told", (0, high)):
            imgui.end_child()
            return
        step = steps.step_at(at_s)
        total = float(steps.totals[step]) if step is not None else 0.0
        where = "At the peak," if self.at_s is None else "At"
        imgui.text(f"{where} {duration(at_s).strip()}: {size(total)}")
        if not self._buffers:
            imgui.text_disabled("nothing")
        elif imgui.begin_table("told-buffers", 3, imgui.TableFlags_.sizing_stretch_prop):
            for usage, backend, taken in self._buffers:
                imgui.table_next_row()
                draw.cell(usage_name(usage), theme.usages[usage_of(usage)])
                imgui.table_next_column()
                imgui.text_disabled(backend)
                draw.number(size(taken))
            imgui.end_table()
        kv = report["memory"]["kv"] if report is not None else None
        if kv is not None:
            imgui.spacing()
            cache = sum(row["bytes"] for row in report["memory"]["buffers"] if row["usage"] == "kv") if report else 0
            if cache:
                imgui.text(f"KV cache {size(cache)}")
            if kv["bytes_per_token"]:
                imgui.text_wrapped(f"Each token adds {size(kv['bytes_per_token'])} to the KV cache.")
                draw.hint(
                    "By how much what attention reads for one graph grows with each further token, over all layers."
                )
            imgui.text_wrapped(
                f"A token of decode reads {size(kv['read_bytes'])} of it, {plural(kv['positions'], 'position')}."
            )
            draw.hint(
                "Of the deepest decode that there was: K and V over all layers, by the shapes and types of the tensors "
                "that attention reads. llama.cpp reads a multiple of 256 positions."
            )
        imgui.end_child()

    def _list(self) -> None:
        theme = self._space.theme
        dots = [theme.usages[usage_of(event.usage)] for event in self.events]
        touched = self._grid.draw(self._taken, _COLUMNS, self.events, 0.0, dots, self._picked)
        if touched.clicked is not None:
            self._picked = touched.clicked
            self._show(self.events[touched.clicked].at_s)
        if touched.pointed is not None:
            event = self.events[touched.pointed]
            draw.tooltip(
                f"{usage_name(event.usage)} in {event.backend}: {_signed(event.by_bytes)}, {size(event.bytes)} "
                f"from then on; {size(event.total_bytes)} in all.\nA click shows that moment in the timeline."
            )

    def _show(self, at_s: float) -> None:
        """Has the timeline show a moment."""
        space = self._space
        around = max(space.duration_s * _AROUND, 1e-6)
        space.view, space.follow = (max(at_s - around, 0.0), at_s + around), False
        space.to_front.append("Timeline")


def _signed(by_bytes: int) -> str:
    return f"{'−' if by_bytes < 0 else '+'}{size(abs(by_bytes))}"


_COLUMNS: list[Column[Event]] = [
    Column("used for", lambda event: event.usage, usage_name, is_text=True, ems=8),
    Column("at", lambda event: event.at_s, duration, "Since the trace began", up_first=True, ems=6),
    Column("by", lambda event: event.by_bytes, _signed, "What was allocated, or given back", ems=7),
    Column("then", lambda event: event.bytes, size, "What there was of these then", ems=7),
    Column("in all", lambda event: event.total_bytes, size, "What there was of all buffers then", ems=7),
    Column("where", lambda event: event.backend, str, "The type of the buffer", is_text=True, ems=10),
]
