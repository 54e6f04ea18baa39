"""Draws the list of watched processes."""

from __future__ import annotations

from typing import TextIO

from ggml_viz.analysis.registry import RECORDING, Activity, WatchedProcess
from ggml_viz.settings.model import Ui
from ggml_viz.terminal.text import BOLD, DIM, WARNING, Page, ago, count, printable

_NOBODY = """\
No process is watched.
Start one with: ggml-viz run -- COMMAND   or watch one that runs: ggml-viz attach PID"""


def print_watched(processes: list[WatchedProcess], file: TextIO, ui: Ui) -> None:
    """Prints the list, or that it is empty and what to do."""
    page = Page(file, ui)
    if not processes:
        page.print(_NOBODY.splitlines())
        return
    lines = [page.paint(f"{'pid':>8}  {'since':>6}{'records':>9}{'lost':>7}  {'now':<20}state", DIM)]
    for process in processes:
        lines += _process(page, process)
    page.print(lines)


def _process(page: Page, process: WatchedProcess) -> list[str]:
    lost = process.dropped + process.definitions_dropped
    state = f"recording by {process.recorder}" if process.state == RECORDING else process.state
    row = f"{process.pid:>8}  {ago(process.watched_s):>6}{count(process.records):>9}{count(lost):>7}  "
    row += f"{_now(process.now):<20}{state}"
    versions = ", ".join(sorted({printable(version) for version, _ in process.ggml if version}))
    facts = [f"ggml {versions}" if versions else "", f"by {printable(process.method)}", f"detail {process.detail}"]
    more = " " * 10 + " · ".join(fact for fact in facts if fact)
    command = " " * 10 + (printable(process.command) or "?")
    return [page.paint(row, WARNING if lost else ""), page.paint(page.cut(command), BOLD), page.paint(more, DIM)]


def _now(now: Activity) -> str:
    if now.phase is None:
        return "-"
    if now.tokens_per_second:
        return f"{now.phase}, {count(now.tokens_per_second)} t/s"
    return f"{now.phase}, {count(now.graphs_per_second)} graphs/s" if now.graphs_per_second else now.phase
