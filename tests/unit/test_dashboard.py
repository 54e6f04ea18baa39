"""The terminal dashboard on a small trace: what is drawn, on which screens, and what keys do."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import io
import os
import re
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from tests.support.made_segment import Segment
from tests.support.tracefile import trace_from_text
from textual.pilot import Pilot

from ggml_viz import native
from ggml_viz.analysis.summary import Summary, summarize
from ggml_viz.live.watch import Instant, RunNow, WorkerNow
from ggml_viz.model.trace import Trace
from ggml_viz.settings import Ui
from ggml_viz.terminal.dashboard import Chooser, Dashboard
from ggml_viz.terminal.glance import Glance, Observer
from ggml_viz.terminal.report import rate
from ggml_viz.terminal.screen import BY_LAYER, BY_ROLE, Choice, choices, screen, sparkline
from ggml_viz.terminal.text import Page

GOLDEN = Path(__file__).parents[1] / "golden"
OPS = 30


def busy_text(threads: int = 2) -> str:
    """A second of prefill and three of decoding, of many ops."""
    ops = "\n".join(f"  node blk.{i % 3}.n{i} OP_{i} f32 [64,1]" for i in range(OPS))
    text = "process pid=7 ggml=0.26.0 command='llama-cli -m /models/m.gguf'\nbuffer 1 CPU weights 98000000 at=0\n"
    for graph, tokens in ((1, 64), (2, 1)):
        text += f"graph {graph}\n  leaf token_embd.weight q4_1 [64,1000]\n  leaf inp_tokens i32 [{tokens}]\n"
        text += f"  node embd GET_ROWS f32 [64,{tokens}] token_embd.weight inp_tokens\n{ops}\n"
        text += "  node result_output MUL_MAT f32 [1000,1] token_embd.weight embd\n"
    for number in range(8):
        at, took = number * 500_000, 400_000
        text += f"run {number} graph={1 if number < 2 else 2} at={at} for={took} threads={threads}\n"
        text += f"split CPU run={number} count={OPS + 2} at={at} for={took} threads={threads}\n"
        for worker in range(threads):
            for node in range(OPS + 2):
                text += f"exec {node} run={number} worker={worker} at={at + node * 10_000} work=7000 wait=3000\n"
    return text + "done ended\n"


class Still:
    """A process that was watched, at its last moment or before."""

    def __init__(self, trace: Trace, segment: Path | None = None, ended: bool = False) -> None:
        self.trace = trace
        self.lock = threading.RLock()
        self.ended = ended
        self.error = 0
        self.duration_s = trace.duration_s
        self.now = Instant(
            self.duration_s,
            [WorkerNow(0, False, "MUL_MAT", "result_output", 0.001), WorkerNow(1, True, "OP_3", "x", 0.001)],
            [RunNow(9, "decode", 2, 0.002)],
        )
        self.segment = segment
        self.report = functools.lru_cache(1)(lambda: summarize(trace))

    def summary(self) -> Summary:
        return dataclasses.replace(self.report())

    def instant(self) -> Instant:
        return Instant(self.duration_s, [], []) if self.ended else self.now

    def state(self) -> native.SegmentState | None:
        return None if self.segment is None else native.segment_describe(self.segment)


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")


@pytest.fixture
def segment(tmp_path: Path) -> Path:
    path = tmp_path / "token.1.a"
    Segment(recorder=os.getpid()).write(path)
    return path


@pytest.fixture
def still(tmp_path: Path, segment: Path) -> Still:
    return Still(traced(tmp_path, busy_text()), segment)


def traced(folder: Path, text: str) -> Trace:
    path = folder / "trace.ggmlviz"
    path.write_bytes(trace_from_text(text))
    return Trace.open(path)


def drawn(still: Still, width: int = 80, height: int = 24, **choice: object) -> list[str]:
    page = Page(io.StringIO(), Ui(color="never"))
    page.width = width
    return screen(page, Observer(still).look(), Choice(**choice), height)[0]  # type: ignore[arg-type]


def without_styles(lines: list[str]) -> list[str]:
    return [re.sub("\x1b\\[[0-9;]*m", "", line).rstrip() for line in lines]


@pytest.mark.parametrize("threads", [1, 2, 4, 12])
def test_it_fills_the_screen_and_no_more(threads: int, tmp_path: Path, segment: Path) -> None:
    still = Still(traced(tmp_path, busy_text(threads)), segment)
    for width, height in ((40, 8), (60, 12), (80, 24), (133, 50), (220, 70)):
        for choice in ({}, {"group": BY_LAYER, "scroll": 3}, {"instead": "help"}, {"instead": "findings"}):
            lines = drawn(still, width, height, **choice)
            assert len(lines) == height
            assert max(map(len, lines)) <= width or width < 80
            assert "q quit" in lines[-1] or width < 80
            assert lines[0].startswith("llama-c")


def test_every_figure_is_the_report_s(still: Still) -> None:
    lines = drawn(still, height=60)
    summary = still.summary()
    text = "\n".join(lines)
    decode = next(row for row in summary.phases if row.phase == "decode")
    assert decode.tokens_per_second is not None
    line = next(line for line in lines if line.startswith("decode"))
    assert line.split()[2:4] == [rate(decode.tokens_per_second), str(decode.tokens)]
    listed = [line.split() for line in lines if re.match(r"(OP_|MUL_MAT|GET_ROWS)", line)]
    assert [words[0] for words in listed] == [row.op for row in sorted(summary.ops, key=lambda row: -row.seconds)]
    assert {words[0]: words[words.index("%") + 3] for words in listed} == {
        row.op: str(row.count) for row in summary.ops
    }
    assert "70 %   30 %" in text
    assert "captured by preload, all threads · " in text
    assert f"{summary.trace.records} records, 0 lost" in text
    assert "peak 98.0 MB" in text
    assert "0:  " in text
    assert "MUL_MAT result_output" in text
    assert "waits at OP_3" in text
    assert "● recording" in lines[0]


def test_speed_is_of_the_last_whole_second_and_shown_over_time(still: Still) -> None:
    glance = Observer(still).look()
    # Decoding makes a token each half second, from the end of the first second on.
    assert glance.until_s == 3
    assert glance.speed["decode"][-2:] == [2.0, 2.0]
    assert glance.speed["prefill"][-3:] == pytest.approx([glance.speed["prefill"][-3], 0, 0])
    assert glance.speed["prefill"][-3] > 64
    lines = drawn(still, width=160)
    assert lines[3].split()[:2] == ["decode", "2.00"]
    assert lines[3].endswith("██")
    assert lines[2].endswith("█  ")
    assert len(lines[2]) == len(lines[3])


def test_a_long_graph_leaves_the_present_speed_open(still: Still) -> None:
    still.now = Instant(still.duration_s, [], [RunNow(9, "prefill", 1, 7.3)])
    lines = drawn(still)
    assert lines[2].split()[:2] == ["prefill", "…"]
    assert any(line.startswith("now       prefill for 7 s") for line in lines)


def test_the_end_is_told_and_the_picture_kept(tmp_path: Path) -> None:
    lines = drawn(Still(traced(tmp_path, busy_text()), ended=True))
    assert "■ ended" in lines[0]
    assert any("the process has ended" in line for line in lines)
    assert any(line.startswith(("MUL_MAT", "OP_")) for line in lines)


def test_what_cannot_be_followed_has_not_ended(tmp_path: Path) -> None:
    still = Still(traced(tmp_path, busy_text()), ended=True)
    still.error = -1
    lines = drawn(still)
    assert "not followed" in lines[0]
    assert not any("has ended" in line for line in lines)


@pytest.mark.parametrize("case", sorted(GOLDEN.glob("*.txt")), ids=lambda case: case.stem)
def test_any_trace_can_be_drawn(case: Path, tmp_path: Path) -> None:
    text = case.read_text().partition("$ ggml-viz")[0]
    for choice in ({}, {"group": BY_ROLE}, {"group": BY_LAYER}, {"instead": "findings"}):
        assert len(drawn(Still(traced(tmp_path, text), ended=True), **choice)) == 24


def test_colours_take_no_room(still: Still) -> None:
    glance = Observer(still).look()
    lines = {}
    for color in ("always", "never"):
        page = Page(io.StringIO(), Ui(color=color))  # type: ignore[arg-type]
        page.width = 80
        lines[color] = screen(page, glance, Choice(), 24)[0]
    assert any("\x1b" in line for line in lines["always"])
    assert without_styles(lines["always"]) == [line.rstrip() for line in lines["never"]]


def test_bars_of_speed() -> None:
    assert sparkline([0, 1, 4, 8], 8) == " ▂▅█"
    assert sparkline([0.01, 0], 8) == "▁ "
    assert sparkline([0, 0], 0) == "  "


def piloted(app: Dashboard | Chooser, steps: Callable[[Pilot[int]], Awaitable[None]], size: tuple[int, int]) -> None:
    async def go() -> None:
        async with app.run_test(size=size) as pilot:
            for _ in range(100):
                await pilot.pause(0.02)
                if shown(app):
                    break
            await steps(pilot)

    asyncio.run(go())


def shown(app: Dashboard | Chooser) -> list[str]:
    """What is on the screen, as strips would print it."""
    height = app.size.height
    lines = ["".join(part.text for part in app.lines.render_line(y)).rstrip() for y in range(height)]
    return lines if any(lines) else []


def dashboard(still: Still, color: str = "never") -> Dashboard:
    assert still.segment is not None
    return Dashboard(Page(io.StringIO(), Ui(color=color)), still, still.segment)  # type: ignore[arg-type]


def control_of(still: Still) -> int:
    assert still.segment is not None
    return native.segment_describe(still.segment).control


def test_keys(still: Still) -> None:
    app = dashboard(still)

    async def steps(pilot: Pilot[int]) -> None:
        at_first = shown(app)
        assert at_first == [line.rstrip() for line in drawn(still)]
        await pilot.press("down", "down")
        assert "3–" in shown(app)[5]
        assert shown(app)[6] == at_first[8]
        await pilot.press("pagedown", "pagedown", "pagedown", "pagedown", "pagedown")
        assert f"of {OPS + 2}" in shown(app)[5]
        last = shown(app)
        await pilot.press("down")
        assert shown(app) == last
        await pilot.press("home")
        assert shown(app) == at_first
        await pilot.press("o")
        assert "by calls" in shown(app)[5]
        await pilot.press("o", "o", "r")
        assert shown(app)[5].startswith("role ")
        await pilot.press("r")
        assert shown(app)[5].startswith("layer ")
        await pilot.press("r")
        assert shown(app) == at_first
        await pilot.press("question_mark")
        assert any("leave; the program runs on" in line for line in shown(app))
        await pilot.press("f")
        assert not any("leave; the program runs on" in line for line in shown(app))
        await pilot.press("escape")
        assert shown(app) == at_first
        await pilot.press("q")

    piloted(app, steps, (80, 24))
    assert app.return_value == 0


def test_keys_that_steer_the_recording(still: Still) -> None:
    app = dashboard(still)

    async def steps(pilot: Pilot[int]) -> None:
        await pilot.press("p")
        assert shown(app)[-1] == "The process is paused."
        assert control_of(still) & native.CONTROL_PAUSED
        await pilot.press("p")
        assert shown(app)[-1] == "The process is recorded again."
        assert not control_of(still) & native.CONTROL_PAUSED
        levels = []
        for _ in range(3):
            await pilot.press("d")
            levels.append(control_of(still) & native.CONTROL_DETAIL_MASK)
        assert levels == [1, 0, 2]
        assert still.segment is not None
        still.segment.unlink()
        await pilot.press("p")
        assert shown(app)[-1] == "The process has ended."
        await pilot.press("ctrl+c")

    piloted(app, steps, (80, 24))
    assert app.return_value == 130


def test_it_follows_the_size_of_the_terminal(still: Still) -> None:
    app = dashboard(still)

    async def steps(pilot: Pilot[int]) -> None:
        for width, height in ((120, 40), (60, 14), (80, 24)):
            await pilot.resize_terminal(width, height)
            await pilot.pause(0.05)
            assert shown(app) == [line.rstrip() for line in drawn(still, width, height)]

    piloted(app, steps, (80, 24))


def test_what_did_not_change_is_not_drawn_again(still: Still) -> None:
    app = dashboard(still, "always")

    async def steps(pilot: Pilot[int]) -> None:
        asked: list[int] = []
        refresh = app.lines.refresh

        def counting(*regions: object, **kwargs: object) -> object:
            asked.extend(region.y for region in regions)  # type: ignore[attr-defined]
            return refresh(*regions, **kwargs)  # type: ignore[arg-type]

        app.lines.refresh = counting  # type: ignore[method-assign, assignment]
        await pilot.pause(0.7)
        assert asked == []
        still.now = Instant(still.duration_s, still.now.workers[:1], still.now.runs)
        await pilot.pause(0.7)
        assert len(asked) == 1

    piloted(app, steps, (80, 24))


def test_choosing_among_processes() -> None:
    entries = [(pid, "decode", f"/bin/llama-server -p {pid}") for pid in range(100, 150)]
    app = Chooser(Page(io.StringIO(), Ui(color="never")), entries)

    async def steps(pilot: Pilot[int]) -> None:
        assert shown(app)[2].split() == ["▶", "100", "decode", "llama-server", "-p", "100"]
        await pilot.press("up", *["down"] * 30)
        assert any(line.startswith("▶      130") for line in shown(app))
        assert len(shown(app)) == 20
        await pilot.press("enter")

    piloted(app, steps, (80, 20))
    assert app.chosen == 130
    page = Page(io.StringIO(), Ui(color="never"))
    assert all(len(choices(page, entries, at, 10)) == 10 for at in range(50))


def test_a_glance_adds_all_up_no_more_often_than_it_is_worth(still: Still, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr("ggml_viz.terminal.glance.time.monotonic", lambda: clock[0])
    monkeypatch.setattr("ggml_viz.terminal.glance.time.thread_time", iter([0.0, 0.1, 0.0, 0.001, 0.0, 0.1]).__next__)
    observer = Observer(still)
    first: Glance = observer.look()
    clock[0] += 4.9
    assert observer.look().summary is first.summary
    clock[0] += 0.2
    second = observer.look()
    assert second.summary is not first.summary
    still.ended = True
    assert observer.look().summary is not second.summary
