"""Every op, role or layer in numbers, and what limits it."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from imgui_bundle import imgui

from ggml_viz.desktop import draw
from ggml_viz.desktop.grid import Bar, Column, Grid, Touched
from ggml_viz.desktop.ops.explained import MEANINGS, explained
from ggml_viz.desktop.ops.parts import GROUPINGS, Part, parts_of, peak_of, phases_of
from ggml_viz.desktop.ops.plot import PROBE, RooflinePlot, caption, told
from ggml_viz.desktop.panel import Panel, Rows
from ggml_viz.desktop.sorting import matches
from ggml_viz.desktop.workspace import Workspace
from ggml_viz.numbers import count, duration, percent, significant, size

_FIELDS = (
    "name", "share", "seconds", "count", "p50_us", "p99_us", "wait", "imbalance", "bytes", "gbps", "gflops",
    "floor_share",
)  # fmt: skip
# From so wide on, in em, the roofline stands beside the table.
_WIDE = 88


class Ops(Panel):
    """A table of ops, roles or layers, and their roofline."""

    title = "Ops"
    picture = "ops"

    def __init__(self, space: Workspace) -> None:
        super().__init__(space)
        self._report = space.question()
        self._grids = {grouping: Grid[Part](f"{grouping}s", by=2) for grouping in GROUPINGS}
        self.roofline = RooflinePlot()
        self.by = "op"
        self.filter = ""
        self._phase: str | None = None
        self._picked: str | None = None
        self._parts: list[Part] = []
        # Held, so that no other has its id.
        self._held: dict[str, Any] = {}
        self._parts_of: Hashable = None
        self._columns: list[Column[Part]] = []
        self._generation = 0

    def draw(self) -> None:
        """Draws it."""
        space, source = self.space, self.space.source
        assert source is not None
        begin, end = space.selected or (None, None)
        report = self._report.ask((space.selected, space.moment()), lambda: source.report(begin, end))
        if draw.refusal(space, self._report):
            return
        if report is None:
            draw.waiting()
            return
        phase = self._choices(report)
        draw.selected_range(space)
        self._shown_where()
        self._take(report, phase)
        if not report["ops"]:
            self._nothing(report)
            return
        peak = peak_of(report)
        whole = "all graphs" if self.by == "op" else phase
        room, em = imgui.get_content_region_avail(), imgui.get_font_size()
        if room.x > em * _WIDE:
            if imgui.begin_table("both", 2, imgui.TableFlags_.resizable | imgui.TableFlags_.no_saved_settings):
                imgui.table_setup_column("table", imgui.TableColumnFlags_.width_stretch, 0.62)
                imgui.table_setup_column("roofline", imgui.TableColumnFlags_.width_stretch, 0.38)
                imgui.table_next_column()
                self._table(whole, peak, room.y - em * 0.5)
                imgui.table_next_column()
                self._roofline(peak, room.y - em * 3.6)
                imgui.end_table()
        else:
            rows = len(self._parts) + 1
            table = min(
                (imgui.get_text_line_height() + 2 * imgui.get_style().cell_padding.y) * rows + em * 1.2, room.y * 0.5
            )
            self._table(whole, peak, table)
            self._roofline(peak, max(room.y - table - em * 3.4, em * 12))

    def rows(self) -> Rows | None:
        """The rows of the table, as they are sorted."""
        if self._report.answer is None:
            return None
        fields = ("key", *_FIELDS[1:], "work_s", "wait_s", "flops")
        order = self._grids[self.by].order
        shown = [self._parts[index] for index in order] if len(order) == len(self._parts) else self._parts
        return Rows([self.by, *fields[1:]], [[getattr(part, field) for field in fields] for part in shown])

    def _choices(self, report: dict[str, Any]) -> str:
        """By what, of which phase and with what in its name; returns the phase."""
        self.by = draw.choice("by", GROUPINGS, self.by)
        phases, longest = phases_of(report)
        phase = self._phase if self._phase in phases else longest
        if self.by != "op" and len(phases) > 1:
            imgui.same_line(0, imgui.get_font_size() * 1.5)
            chosen = draw.choice("phase", phases, phase)
            if chosen != phase:
                self._phase = phase = chosen
        imgui.same_line(0, imgui.get_font_size() * 1.5)
        imgui.set_next_item_width(imgui.get_font_size() * 12)
        self.filter = imgui.input_text_with_hint("##filter", f"only {self.by}s with…", self.filter)[1]
        if self.filter:
            imgui.same_line()
            if imgui.button("×##filter"):
                self.filter = ""
        return phase

    def _shown_where(self) -> None:
        """Says what stands out in the timeline, with a button that ends that."""
        if not self.space.filter_text:
            return
        imgui.align_text_to_frame_padding()
        imgui.text(f"In the timeline stands out: {self.space.filter_text}")
        imgui.same_line()
        if imgui.button("Show all##timeline"):
            self.space.filter_text = ""

    def _take(self, report: dict[str, Any], phase: str) -> None:
        """Makes rows anew when there is another report or something else is asked of it."""
        key = id(report), self.by, phase, self.filter, self.space.theme
        if key == self._parts_of:
            return
        self._parts_of, self._held = key, report
        self._generation += 1
        parts = parts_of(report, self.by, phase)
        self._parts = [part for part in parts if matches(part.name, self.filter)]
        longest = max((part.share for part in parts), default=1e-12) or 1e-12
        self._columns = self._make_columns(longest)

    def _make_columns(self, longest: float) -> list[Column[Part]]:
        theme, by = self.space.theme, self.by
        plain, waiting = theme.faint, theme.mixed(theme.faint, 0.35)

        def bar(part: Part) -> Bar:
            work, wait = (plain, waiting) if part.kind is None else (theme.kinds[part.kind], theme.waits[part.kind])
            return Bar(part.share / longest, part.wait, work, wait)

        def column(name: str, field: str, text: Any, **more: Any) -> Column[Part]:
            return Column(name, lambda part: getattr(part, field), text, MEANINGS[field], **more)

        def microseconds(value: float) -> str:
            return duration(value * 1e-6)

        return [
            column(by, "name", str, is_text=True),
            column("share", "share", percent, bar=bar, ems=10),
            column("time", "seconds", duration),
            column("calls", "count", count),
            column("p50", "p50_us", microseconds),
            column("p99", "p99_us", microseconds),
            column("wait", "wait", percent),
            column("imbalance", "imbalance", significant),
            column("bytes", "bytes", size),
            column("GB/s", "gbps", significant),
            column("GFLOP/s", "gflops", significant),
            column("of floor", "floor_share", percent),
        ]

    def _table(self, whole: str, peak: dict[str, Any] | None, height: float) -> None:
        theme = self.space.theme
        dots = [None if part.kind is None else theme.kinds[part.kind] for part in self._parts]
        picked = next((index for index, part in enumerate(self._parts) if part.key == self._picked), None)
        touched: Touched = self._grids[self.by].draw(
            (self._generation, self.by), self._columns, self._parts, height, dots if self.by == "op" else None, picked
        )
        if touched.clicked is not None:
            self._click(self._parts[touched.clicked])
        if touched.pointed is not None:
            part = self._parts[touched.pointed]
            self._picked = part.key
            if touched.column is not None:
                draw.tooltip(explained(part, _FIELDS[touched.column], whole, peak))

    def _roofline(self, peak: dict[str, Any] | None, height: float) -> None:
        plot = self.roofline
        plot.draw(
            (self._generation, self.by), self._parts, peak, self.space.theme, (-1, height), self._picked,
            self.space.theme.faint,
        )  # fmt: skip
        if plot.pointed is not None:
            self._picked = plot.pointed
        picked = next((part for part in self._parts if part.key == self._picked), None)
        if plot.pointed is not None and picked is not None:
            draw.tooltip(told(picked).replace("  ·  ", "\n").replace(": ", "\n", 1))
        if plot.clicked is not None and picked is not None:
            self._click(picked)
        if picked is not None:
            draw.faint(self.space, told(picked))
        else:
            draw.faint(self.space, caption(bool(plot.points), plot.roofs))
        if plot.roofs is None:
            draw.command(PROBE)

    def _click(self, part: Part) -> None:
        """Has the timeline show where it is, which a second click ends; or the graph show a layer."""
        if self.by == "layer":
            # One of several stacks, `encoder.12`, has no number of its own.
            if part.key.isdigit() or not part.key:
                self.space.layer = int(part.key) if part.key else None
                self.space.to_front.append("Graph")
        elif part.key:
            self.space.filter_text = "" if self.space.filter_text == part.key else part.key

    def _nothing(self, report: dict[str, Any]) -> None:
        if not report["untimed_ops"]:
            imgui.text_disabled(
                "Nothing was computed yet." if self.space.selected is None else "No graph began in the selected range."
            )
            return
        imgui.text_wrapped(
            "Only whole graphs were timed, with detail “graphs only” or because this ggml does not tell more. "
            "They consist of:"
        )
        if imgui.begin_table("untimed", 2, imgui.TableFlags_.row_bg | imgui.TableFlags_.sizing_fixed_fit):
            draw.header("op", "nodes of all graphs")
            for row in report["untimed_ops"]:
                imgui.table_next_row()
                draw.cell(row["op"])
                draw.number(count(row["count"]))
            imgui.end_table()
