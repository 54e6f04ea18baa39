"""At one glance: what runs, how fast, what limits it, where the time goes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from imgui_bundle import imgui, implot

from ggml_viz.desktop import draw
from ggml_viz.desktop.memory.steps import usage_name, usage_of
from ggml_viz.desktop.ops.plot import PROBE
from ggml_viz.desktop.panel import Panel, Rows
from ggml_viz.desktop.theme import packed, vec4
from ggml_viz.desktop.workspace import Workspace
from ggml_viz.model.kinds import kind_index
from ggml_viz.model.phases import PHASES
from ggml_viz.numbers import count, duration, percent, plural, significant, size

_COLUMNS = 400
_MOST_OPS = 12


class _Lines:
    """A series, as it is plotted."""

    def __init__(self, series: dict[str, Any]) -> None:
        self.of = series
        self.from_s, self.until_s = series["from_s"], series["until_s"]
        edges = np.linspace(self.from_s, self.until_s, series["columns"] + 1)
        self.middle = (edges[1:] + edges[:-1]) / 2
        self.phases = [(each["phase"], np.array(each["tokens_per_second"])) for each in series["phases"]]
        self.highest = max((float(values.max(initial=0.0)) for _, values in self.phases), default=0.0)


class Overview(Panel):
    """Tokens per second over time, phases, findings, ops."""

    title = "Overview"
    picture = "ops"

    def __init__(self, space: Workspace) -> None:
        super().__init__(space)
        self._report = space.question()
        self._series = space.question()
        self._lines: _Lines | None = None

    def draw(self) -> None:
        """Draws it."""
        space, source = self.space, self.space.source
        assert source is not None
        begin, end = space.selected or (None, None)
        report = self._report.ask((space.selected, space.moment()), lambda: source.report(begin, end))
        series = self._series.ask(space.moment(0.5), lambda: source.series(_COLUMNS, None, None))
        if draw.refusal(space, self._report):
            return
        if report is None:
            draw.waiting()
            return
        self._headline(report)
        if series is not None:
            self._rates(series)
        if imgui.begin_table("halves", 2, imgui.TableFlags_.resizable):
            imgui.table_setup_column("left", imgui.TableColumnFlags_.width_stretch, 0.42)
            imgui.table_setup_column("right", imgui.TableColumnFlags_.width_stretch, 0.58)
            imgui.table_next_column()
            self._phases(report)
            self._findings(report)
            self._memory(report)
            imgui.table_next_column()
            self._ops(report["ops"])
            imgui.end_table()
        self._trust(report)

    def rows(self) -> Rows | None:
        """Its phases."""
        report = self._report.answer
        if report is None:
            return None
        columns = ["phase", "runs", "tokens", "seconds", "tokens_per_second"]
        return Rows(columns, [[phase[name] for name in columns] for phase in report["phases"]])

    def _headline(self, report: dict[str, Any]) -> None:
        described = self.space.described
        parts = [
            described.get("name", ""),
            f"ggml {described['ggml_version']}" if described.get("ggml_version") else "",
            ", ".join(described.get("backends", [])),
            plural(described.get("threads", 0), "thread"),
            duration(self.space.duration_s).strip(),
        ]
        imgui.text("  ·  ".join(part for part in parts if part))
        draw.hint(described.get("command", ""))
        if self.space.selected is not None:
            begin, end = self.space.selected
            imgui.same_line()
            imgui.text_disabled(f"only {duration(end - begin).strip()} from {duration(begin).strip()}")
            imgui.same_line()
            if imgui.small_button("show all"):
                self.space.selected = None

    def _rates(self, series: dict[str, Any]) -> None:
        if self._lines is None or self._lines.of is not series:
            self._lines = _Lines(series)
        lines = self._lines
        flags = implot.Flags_.no_menus | implot.Flags_.no_box_select
        if not implot.begin_plot("tokens per second##rates", (-1, imgui.get_font_size() * 9), flags):
            return
        implot.setup_axes("s", "t/s", implot.AxisFlags_.none, implot.AxisFlags_.lock)
        implot.setup_axis_limits(implot.ImAxis_.y1, 0.0, max(1.1 * lines.highest, 1.0), imgui.Cond_.always)
        implot.setup_axis_limits(implot.ImAxis_.x1, lines.from_s, lines.until_s, self._when())
        for phase, values in lines.phases:
            spec = implot.Spec()
            spec.line_color = vec4(self.space.theme.phases[PHASES.index(phase)])
            spec.fill_color, spec.fill_alpha = spec.line_color, 0.25
            implot.plot_shaded(phase, lines.middle, values, 0.0, spec=spec)
            implot.plot_line(phase, lines.middle, values, spec=spec)
        implot.end_plot()

    def _when(self) -> int:
        """A live plot moves on; that of a trace stays as somebody zoomed it."""
        return int(imgui.Cond_.always if self.space.moment() >= 0 else imgui.Cond_.once)

    def _phases(self, report: dict[str, Any]) -> None:
        if not imgui.begin_table("phases", 5, imgui.TableFlags_.row_bg | imgui.TableFlags_.sizing_fixed_fit):
            return
        draw.header("phase", "runs", "tokens", "t/s", "time")
        for phase in report["phases"]:
            imgui.table_next_row()
            draw.cell(phase["phase"], self.space.theme.phases[PHASES.index(phase["phase"])])
            draw.number(count(phase["runs"]))
            draw.number(count(phase["tokens"]))
            rate = phase["tokens_per_second"]
            draw.number(significant(rate) if rate is not None else "")
            draw.number(duration(phase["seconds"]))
        imgui.end_table()
        self._ceiling(report["roofline"])

    def _ceiling(self, roofline: dict[str, Any]) -> None:
        """How near decoding came to what the machine's memory allows."""
        limit, machine = roofline["decode"], roofline["machine"]
        if limit is not None:
            imgui.text(
                f"decode: {percent(limit['reached'])} of the ceiling, {significant(limit['tokens_per_second'])} t/s"
            )
            draw.hint(
                f"Each token of decode has to read {size(limit['weight_bytes'] + limit['kv_bytes'])} (weights and KV "
                f"cache). At the {significant(limit['bandwidth_gbps'])} GB/s that were measured on this machine with "
                f"{plural(limit['threads'], 'thread')}, that allows {significant(limit['tokens_per_second'])} t/s."
            )
        elif machine is not None and not machine["peaks"]:
            imgui.text_wrapped("The ceiling is not known: what this machine can do was not measured yet. A minute:")
            draw.command(PROBE)

    def _findings(self, report: dict[str, Any]) -> None:
        draw.heading("Findings")
        if not report["findings"]:
            imgui.text_disabled("none")
        for finding in report["findings"]:
            imgui.push_style_color(imgui.Col_.text, vec4(self.space.theme.finding))
            imgui.text("!")
            imgui.pop_style_color()
            imgui.same_line()
            imgui.text_wrapped(finding["sentence"])
            draw.hint(finding["evidence"])
            if finding["advice"]:
                imgui.push_style_color(imgui.Col_.text, vec4(self.space.theme.faint))
                imgui.text_wrapped(finding["advice"])
                imgui.pop_style_color()

    def _memory(self, report: dict[str, Any]) -> None:
        draw.heading("Memory")
        memory = report["memory"]
        if not memory["buffers"]:
            imgui.text_disabled("No buffer was seen.")
            return
        imgui.text(f"peak {size(memory['peak_bytes'])}")
        draw.hint("The most that was allocated in buffers at any one time; beneath, what it consisted of then.")
        if imgui.begin_table("memory", 3, imgui.TableFlags_.row_bg | imgui.TableFlags_.sizing_fixed_fit):
            for row in memory["buffers"]:
                imgui.table_next_row()
                draw.cell(usage_name(row["usage"]), self.space.theme.usages[usage_of(row["usage"])])
                imgui.table_next_column()
                imgui.text_disabled(row["backend"])
                draw.number(size(row["bytes"]))
            imgui.end_table()
        if memory["kv"] and memory["kv"]["bytes_per_token"]:
            draw.faint(self.space, f"Each token adds {size(memory['kv']['bytes_per_token'])} to the KV cache.")

    def _ops(self, ops: Sequence[dict[str, Any]]) -> None:
        draw.heading("Where the time goes")
        if not imgui.begin_table("ops", 4, imgui.TableFlags_.row_bg | imgui.TableFlags_.sizing_fixed_fit):
            return
        imgui.table_setup_column("op")
        imgui.table_setup_column("share", imgui.TableColumnFlags_.width_stretch)
        imgui.table_setup_column("time")
        imgui.table_setup_column("wait")
        imgui.table_headers_row()
        for op in ops[:_MOST_OPS]:
            imgui.table_next_row()
            kind = kind_index(op["op"])
            draw.cell(op["op"])
            imgui.table_next_column()
            busy = op["work_s"] + op["wait_s"]
            waits = op["wait_s"] / busy if busy else 0.0
            draw.bar(
                op["share"], waits, packed(self.space.theme.kinds[kind]), packed(self.space.theme.waits[kind]),
                percent(op["share"]),
            )  # fmt: skip
            draw.number(duration(op["seconds"]))
            draw.number(percent(waits))
        imgui.end_table()
        if len(ops) > _MOST_OPS and imgui.small_button(f"{len(ops) - _MOST_OPS} more"):
            self.space.to_front.append("Ops")

    def _trust(self, report: dict[str, Any]) -> None:
        trace, overhead = report["trace"], report["overhead"]
        imgui.text_disabled(
            f"{count(trace['records'])} records, {count(trace['lost'])} lost; "
            f"recording cost {percent(overhead['share'])} of the threads' time (measured)"
        )
