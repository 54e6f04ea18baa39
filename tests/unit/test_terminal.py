"""How the report looks: numbers, bars, width, colours, and how little room it takes."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import pytest
from tests.support.tracefile import trace_from_text

from ggml_viz.analysis.summary import Summary, summarize
from ggml_viz.model.trace import Trace
from ggml_viz.settings import Ui
from ggml_viz.terminal.report import print_report
from ggml_viz.terminal.text import bar, count, duration, percent, significant, size


class Terminal(io.StringIO):
    """A file that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def many_ops(tmp_path: Path, ops: int = 40) -> Summary:
    nodes = "\n".join(f"node n{i} OP_{i} f32 [64,1]" for i in range(ops))
    executed = "\n".join(f"exec {i} run=1 at={i * 100} work=90 wait=10" for i in range(ops))
    notes = "\n".join(f"note not-seen 'thing number {i} which takes some words to tell'" for i in range(9))
    processes = "\n".join(f"process pid={i} command=child\ndone ended" for i in range(9))
    text = f"{processes}\nprocess command='llama-cli -m \x1b[31mred'\n{notes}\ngraph 1\n{nodes}\n"
    text += f"run 1 graph=1 at=0 for={ops * 100}\n{executed}\ndone ended"
    path = tmp_path / "trace.ggmlviz"
    path.write_bytes(trace_from_text(text))
    return summarize(Trace.open(path))


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")


def printed(summary: Summary, file: io.StringIO, **ui: Any) -> list[str]:
    print_report(summary, file, Ui(**ui))
    return file.getvalue().splitlines()


@pytest.mark.parametrize("width", [40, 80, 120, 200])
def test_fits_the_terminal(width: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    lines = printed(many_ops(tmp_path), io.StringIO())
    if width >= 80:
        assert max(map(len, lines)) <= width
        assert len(lines) <= 24
    widest = max(line.count("█") for line in lines)
    assert widest > (20 if width >= 120 else 2)


def test_top_lists_as_many_as_asked_for(tmp_path: Path) -> None:
    summary = many_ops(tmp_path)
    listed = [line for line in printed(summary, io.StringIO(), top=30) if line.startswith("OP_")]
    assert len(listed) == 30
    listed = [line for line in printed(summary, io.StringIO(), top=1000) if line.startswith("OP_")]
    assert len(listed) == 40


def test_colours_are_for_terminals_that_want_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    summary = many_ops(tmp_path)
    assert any("\x1b" in line for line in printed(summary, Terminal()))
    assert not any("\x1b" in line for line in printed(summary, io.StringIO()))
    monkeypatch.setenv("NO_COLOR", "1")
    assert not any("\x1b" in line for line in printed(summary, Terminal()))


def test_colours_come_and_stay_away_as_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    summary = many_ops(tmp_path)
    assert not any("\x1b" in line for line in printed(summary, Terminal(), color="never"))
    monkeypatch.setenv("NO_COLOR", "1")
    assert any("\x1b" in line for line in printed(summary, io.StringIO(), color="always"))


def test_the_width_that_is_asked_for_comes_before_the_terminal_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    summary = many_ops(tmp_path)
    wide = printed(summary, io.StringIO(), width=120)
    assert wide != printed(summary, io.StringIO())
    monkeypatch.setenv("COLUMNS", "200")
    assert printed(summary, io.StringIO(), width=120) == wide


def test_colours_take_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    summary = many_ops(tmp_path)
    coloured = [re.sub("\x1b\\[[0-9;]*m", "", line).rstrip() for line in printed(summary, Terminal())]
    assert coloured == printed(summary, io.StringIO())


def test_a_poor_character_set_is_no_error(tmp_path: Path) -> None:
    file = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    print_report(many_ops(tmp_path), file)
    file.flush()
    assert b"OP_0" in file.buffer.getvalue()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.1234, "0.123"), (0.9996, "1.00"), (9.996, "10.0"), (99.96, "100"), (999.4, "999"), (12345, "12345")],
)
def test_three_significant_digits(value: float, text: str) -> None:
    assert significant(value) == text


def test_units_fit() -> None:
    assert [duration(s).strip() for s in (0, 4.12e-7, 0.000412, 0.9994, 0.9996, 2.05, 83, 1234)] == [
        "0 ns",
        "412 ns",
        "412 µs",
        "999 ms",
        "1.00 s",
        "2.05 s",
        "83.0 s",
        "1234 s",
    ]
    assert [size(n) for n in (0, 999, 1000, 98_100_000, 1.31e9)] == ["0 B", "999 B", "1.00 kB", "98.1 MB", "1.31 GB"]
    assert [count(n) for n in (0, 99_999, 100_000, 2_043_315)] == ["0", "99999", "100 k", "2.04 M"]
    assert [percent(x) for x in (0, 0.0001, 0.004, 0.0099, 0.01, 0.999, 1)] == [
        "0 %",
        "<0.1 %",
        "0.4 %",
        "1.0 %",
        "1 %",
        "100 %",
        "100 %",
    ]


@pytest.mark.parametrize(
    ("share", "hatched", "drawn"),
    [(0, 0, ""), (1, 0, "████"), (2, 0, "████"), (0.5, 0, "██"), (0.53, 0, "██▏"), (1, 0.5, "██░░"), (0.5, 1, "░░")],
)
def test_bars(share: float, hatched: float, drawn: str) -> None:
    assert bar(share, hatched, 4) == drawn
