"""Who worked and who waited for whom."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

from imgui_bundle import imgui

from ggml_viz.desktop import draw
from ggml_viz.desktop.grid import Bar, Column, Grid
from ggml_viz.desktop.panel import Panel, Rows
from ggml_viz.desktop.theme import packed
from ggml_viz.desktop.workspace import Workspace
from ggml_viz.model.kinds import kind_index
from ggml_viz.model.phases import PHASES
from ggml_viz.numbers import duration, percent, plural, significant

_NOW_S = 0.2


@dataclass(frozen=True)
class Wait:
    """What the threads did in an op; figures are the report's.

    Attributes:
        op: Which.
        work_s: Thread-seconds of work.
        wait_s: At the barriers that end its nodes.
        inner_s: At barriers inside them.
        imbalance: Work of the busiest thread over the mean; None: it had none.
    """

    op: str
    work_s: float
    wait_s: float
    inner_s: float
    imbalance: float | None

    @property
    def waited(self) -> float:
        """All waiting."""
        return self.wait_s + self.inner_s

    @property
    def share(self) -> float:
        """Of the threads' time in this op, that waiting."""
        whole = self.work_s + self.waited
        return self.waited / whole if whole > 0 else 0.0


def waits_of(report: dict[str, Any]) -> list[Wait]:
    """The waits by op, as the report has them."""
    return [
        Wait(row["op"], row["work_s"], row["wait_s"], row["inner_s"], row["imbalance"])
        for row in report["thread_use"]["ops"]
    ]


def sentence(row: dict[str, Any]) -> str:
    """What the threads did in one phase."""
    whole = max(row["work_s"] + row["wait_s"], 1e-12)
    enough = ""
    if row["enough"] is not None and row["enough"] < row["threads"]:
        enough = f"; {plural(row['enough'], 'thread')} could have done as much"
    return (
        f"{plural(row['threads'], 'thread')} on {plural(row['cpus'], 'CPU')} worked {duration(row['work_s']).strip()} "
        f"and waited {duration(row['wait_s']).strip()} for each other, {percent(row['wait_s'] / whole)} of their "
        f"time{enough}."
    )


def waited_for(threads: list[dict[str, Any]]) -> int | None:
    """The thread that waited least, if the others waited more than twice as long as it; None: it cannot be told."""
    if len(threads) < 2:
        return None
    first, second = sorted(threads, key=lambda row: row["wait_s"])[:2]
    return int(first["worker"]) if second["wait_s"] > 2 * first["wait_s"] else None


class Threads(Panel):
    """Each thread, and the waits by op."""

    title = "Threads"

    def __init__(self, space: Workspace) -> None:
        super().__init__(space)
        self._report = space.question()
        self._now = space.question()
        self._grid = Grid[Wait]("waits", by=1)
        self._waits: list[Wait] = []
        # Held, so that no other has its id.
        self._held: dict[str, Any] = {}
        self._waits_of: Hashable = None
        self._columns: list[Column[Wait]] = []
        self._generation = 0

    def draw(self) -> None:
        """Draws it."""
        space, source = self.space, self.space.source
        assert source is not None
        begin, end = space.selected or (None, None)
        report = self._report.ask((space.selected, space.moment()), lambda: source.report(begin, end))
        draw.selected_range(space)
        if draw.refusal(space, self._report):
            return
        if report is None:
            draw.waiting()
            return
        if not report["threads"]:
            imgui.text_wrapped(
                "No thread was seen computing: only whole graphs were timed, or another backend computed."
                if report["graphs"]["runs"]
                else "Nothing was computed yet."
            )
            return
        for row in report["thread_use"]["phases"]:
            self._phase(row)
        draw.heading("Each thread")
        self._threads(report["threads"])
        if report["thread_use"]["ops"]:
            draw.heading("Where they waited")
            self._waits_by_op(report)

    def rows(self) -> Rows | None:
        """The waits by op, as they are sorted."""
        if self._report.answer is None:
            return None
        waits = self._waits or waits_of(self._report.answer)
        order = self._grid.order if len(self._grid.order) == len(waits) else range(len(waits))
        columns = ["op", "work_s", "wait_s", "inner_s", "imbalance"]
        return Rows(columns, [[getattr(waits[index], name) for name in columns] for index in order])

    def _phase(self, row: dict[str, Any]) -> None:
        at, height = imgui.get_cursor_screen_pos(), imgui.get_text_line_height()
        colour = packed(self.space.theme.phases[PHASES.index(row["phase"])])
        imgui.get_window_draw_list().add_circle_filled((at.x + height * 0.3, at.y + height / 2), height * 0.3, colour)
        imgui.dummy((height * 0.6, height))
        imgui.same_line()
        imgui.text_wrapped(f"{row['phase']}: {sentence(row)}")

    def _threads(self, threads: list[dict[str, Any]]) -> None:
        theme = self.space.theme
        now = self._does()
        longest = max((row["work_s"] + row["wait_s"] for row in threads), default=0.0) or 1e-12
        flags = imgui.TableFlags_.row_bg | imgui.TableFlags_.sizing_fixed_fit | imgui.TableFlags_.scroll_y
        shown = min(len(threads), 12)
        line = imgui.get_text_line_height() + 2 * imgui.get_style().cell_padding.y
        if not imgui.begin_table("threads", 6 if now is not None else 5, flags, (0, line * (shown + 1) + 2)):
            return
        imgui.table_setup_column("thread")
        imgui.table_setup_column("work, then waiting", imgui.TableColumnFlags_.width_stretch)
        for name in ("busy", "work", "wait"):
            imgui.table_setup_column(name, imgui.TableColumnFlags_.width_fixed, imgui.get_font_size() * 4.5)
        if now is not None:
            imgui.table_setup_column("this instant", imgui.TableColumnFlags_.width_fixed, imgui.get_font_size() * 18)
        imgui.table_setup_scroll_freeze(0, 1)
        imgui.table_headers_row()
        ahead = waited_for(threads)
        work, waiting = packed(theme.faint), packed(theme.mixed(theme.faint, 0.35))
        clipper = imgui.ListClipper()
        clipper.begin(len(threads))
        while clipper.step():
            for row in threads[clipper.display_start : clipper.display_end]:
                imgui.table_next_row()
                draw.cell(str(row["worker"]))
                whole = row["work_s"] + row["wait_s"]
                imgui.table_next_column()
                draw.bar(whole / longest, row["wait_s"] / whole if whole else 0.0, work, waiting, "")
                draw.number(percent(row["busy"]))
                draw.hint(
                    "Of the time inside graphs, the thread worked so much: "
                    f"{duration(row['work_s']).strip()} of work over that time.\n"
                    "Source: the clock at the begin and end of each node, on each thread."
                )
                draw.number(duration(row["work_s"]))
                draw.number(duration(row["wait_s"]))
                draw.hint("At barriers, where it waited until the other threads were done.")
                if now is not None:
                    self._instant(now.get(row["worker"]))
        clipper.end()
        imgui.end_table()
        if ahead is not None:
            draw.faint(
                self.space,
                f"Thread {ahead} waited least: the others waited for it more than it for them.",
            )

    def _does(self) -> dict[int, dict[str, Any]] | None:
        """What each thread does this instant; None: nothing runs."""
        space, source = self.space, self.space.source
        assert source is not None
        if not space.is_live or space.described.get("state") not in ("running", "idle"):
            return None
        now = self._now.ask(space.moment(_NOW_S), source.now)
        return {row["worker"]: row for row in now["threads"]} if now is not None else {}

    def _instant(self, does: dict[str, Any] | None) -> None:
        if does is None or does["state"] == "idle":
            imgui.table_next_column()
            imgui.text_disabled("idle")
        elif does["state"] == "work":
            draw.cell(does["op"], self.space.theme.kinds[kind_index(does["op"])])
            imgui.same_line()
            imgui.text_disabled(does["node"])
        else:
            imgui.table_next_column()
            imgui.text_disabled(f"waits in {does['op']}")

    def _waits_by_op(self, report: dict[str, Any]) -> None:
        theme = self.space.theme
        key = id(report), theme
        if key != self._waits_of:
            self._waits_of, self._held = key, report
            self._generation += 1
            self._waits = waits_of(report)
            self._columns = self._make_columns()
        room, em = imgui.get_content_region_avail().y, imgui.get_font_size()
        dots = [theme.kinds[kind_index(row.op)] for row in self._waits]
        touched = self._grid.draw(
            self._generation, self._columns, self._waits, max(room - em * 3.6, em * 8), dots,
            next((index for index, row in enumerate(self._waits) if row.op == self.space.filter_text), None),
        )  # fmt: skip
        if touched.clicked is not None:
            op = self._waits[touched.clicked].op
            self.space.filter_text = "" if self.space.filter_text == op else op
        if touched.pointed is not None:
            draw.tooltip(explained(self._waits[touched.pointed]))
        draw.faint(
            self.space,
            "After each node all threads meet at a barrier; who is done early waits there. An imbalance well above 1 "
            "says that the work is dealt unevenly; waits without one, that threads are held up by something else, "
            "another program say.",
        )

    def _make_columns(self) -> list[Column[Wait]]:
        theme = self.space.theme
        most = max((row.waited for row in self._waits), default=0.0) or 1e-12

        def bar(row: Wait) -> Bar:
            kind = kind_index(row.op)
            return Bar(row.waited / most, 1.0, theme.kinds[kind], theme.waits[kind])

        return [
            Column("op", lambda row: row.op, str, is_text=True),
            Column("waited", lambda row: row.waited, duration, "All threads together", bar=bar, ems=16),
            Column("of its time", lambda row: row.share, percent, "Of the threads’ time in this op"),
            Column("at its end", lambda row: row.wait_s, duration, "At the barrier that ends a node"),
            Column("inside", lambda row: row.inner_s, duration, "At barriers inside a node"),
            Column(
                "imbalance", lambda row: row.imbalance, significant,
                "Work of the busiest thread over the mean of all; 1 is even",
            ),
            Column("work", lambda row: row.work_s, duration, "All threads together"),
        ]  # fmt: skip


def explained(row: Wait) -> str:
    """How the waits of an op are known."""
    lines = [
        f"{row.op}: the threads worked {duration(row.work_s).strip()} and waited {duration(row.waited).strip()}, "
        f"{percent(row.share)} of their time in it.",
        f"{duration(row.wait_s).strip()} at the barriers that end its nodes, {duration(row.inner_s).strip()} at "
        "barriers inside them.",
    ]
    if row.imbalance is not None:
        lines.append(f"The busiest thread worked {significant(row.imbalance)} times as long as the mean of all.")
    lines.append("Source: the clock at the begin and end of each node, on each thread.")
    return "\n".join(lines)
