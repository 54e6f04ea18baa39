"""Draws the terminal dashboard: a running process as lines that fit a screen."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from ggml_viz import native
from ggml_viz.analysis.registry import IDLE, PAUSED, RECORDING, UNRECORDED, state_of
from ggml_viz.analysis.roofline import GroupRow
from ggml_viz.analysis.summary import OpSummary, ProcessSummary, Summary
from ggml_viz.live.watch import WorkerNow
from ggml_viz.terminal.glance import SERIES_S, Glance
from ggml_viz.terminal.palette import op_style
from ggml_viz.terminal.report import DETAILS, cost_of, joined, memory_of, rate, short_command, threads_of
from ggml_viz.terminal.text import (
    BOLD,
    DIM,
    WARNING,
    Page,
    bar,
    count,
    duration,
    percent,
    plural,
    printable,
    significant,
)
from ggml_viz.trace.definitions import DETAIL_NAMES

BY_OP, BY_ROLE, BY_LAYER = GROUPS = ("op", "role", "layer")
BY_TIME, BY_CALLS, BY_WAIT = ORDERS = ("time", "calls", "wait")

KEYS = "p pause  d detail  o order  r roles  ↑↓ scroll  f findings  ? help  q quit"
HELP = """\
p           pause the recording, or resume it
d           change how much is recorded: all threads, ops, graphs
o           order by time, by calls, by waiting
r           show ops, roles of tensors in the model, or layers
↑ ↓ PgUp PgDn Home    scroll
f           all findings, with what to do
?           this
Esc         back
q, Ctrl-C   leave; the program runs on

t/s now is of the last whole second; … while a graph takes longer than that.
All else is of what was recorded since watching began, and shortly before, as
ggml-viz report has it. Bars: solid is work, shaded is waiting at barriers.""".splitlines()

_LEVELS = "▁▂▃▄▅▆▇█"
_MARKS = {RECORDING: "●", PAUSED: "‖", IDLE: "○", UNRECORDED: "○"}
_ENDED = "ended"
_MIN_ROWS = 3
_FINDINGS = 2
_CELLS = 4
_CELL_WIDTH = 34
_MAX_STRIP = 64
_LABEL = 10


@dataclass(frozen=True, slots=True)
class Choice:
    """What somebody wants to see.

    Attributes:
        group: One of GROUPS.
        order: One of ORDERS.
        scroll: How many rows are above the first that is shown.
        instead: `help` or `findings`, in place of the rows; empty: the rows.
    """

    group: str = BY_OP
    order: str = BY_TIME
    scroll: int = 0
    instead: str = ""


@dataclass(frozen=True, slots=True)
class _Row:
    """An op, a role or a layer."""

    name: str
    style: str
    share: float
    seconds: float
    count: int
    p50_us: float | None
    work_s: float
    wait_s: float


def screen(page: Page, glance: Glance, choice: Choice, height: int, last: str | None = KEYS) -> tuple[list[str], int]:
    """The dashboard.

    Args:
        page: What it is drawn for.
        glance: What is to be shown.
        choice: How.
        height: So many lines at the most.
        last: The last line: the keys, or something that is to be said; None: there is none.

    Returns:
        The lines, and how far one can scroll.
    """
    above = [_header(page, glance), *_speeds(page, glance), ""]
    end = [_trust(page, glance), *([] if last is None else [page.cut(last)])]
    middle = _middle(page, glance, 0 if choice.instead == "findings" else _FINDINGS)
    # What fits below the rows, by importance; the rows come first.
    while middle and len(above) + len(middle) + len(end) + 1 + _MIN_ROWS > height:
        middle.pop()
    if middle:
        middle.insert(0, "")
    room = max(height - len(above) - len(middle) - len(end), 1)
    if choice.instead:
        rows = HELP if choice.instead == "help" else _all_findings(page, glance.summary)
        most = max(len(rows) - room, 0)
        shown = [page.cut(line) if choice.instead == "help" else line for line in rows]
        shown = shown[min(choice.scroll, most) :][:room]
    else:
        shown, most = _rows(page, glance.summary, choice, room)
    lines = [*above, *shown][: max(height - len(middle) - len(end), 0)]
    if last is not None:
        lines += [""] * (height - len(lines) - len(middle) - len(end))
    return [*lines, *middle, *end][-height:], most


def choices(page: Page, entries: Sequence[tuple[int, str, str]], chosen: int, height: int) -> list[str]:
    """A list of processes to choose from: number, what it does, command."""
    lines = ["Which process?", ""]
    room = max(height - len(lines) - 2, 1)
    first = max(min(chosen - room // 2, len(entries) - room), 0)
    for index, (pid, now, command) in list(enumerate(entries))[first : first + room]:
        mark = "▶" if index == chosen else " "
        text = page.cut(f"{mark} {pid:>8}  {printable(now):<22}{short_command(command)}")
        lines.append(page.paint(text, BOLD) if index == chosen else text)
    lines += [""] * (height - len(lines) - 1)
    return [*lines, page.cut("↑↓ choose  Enter watch  q quit")]


def sparkline(values: Sequence[float], most: float) -> str:
    """A line of little bars, the highest of which would be `most`; what is nothing is a blank."""
    if most <= 0:
        return " " * len(values)
    return "".join(_LEVELS[min(int(value / most * 8), 7)] if value > 0 else " " for value in values)


def _process(summary: Summary) -> ProcessSummary | None:
    return summary.trace.processes[0] if summary.trace.processes else None


def _header(page: Page, glance: Glance) -> str:
    summary, process = glance.summary, _process(glance.summary)
    state = "not followed" if glance.failed else _ENDED if glance.state is None else state_of(glance.state)
    text = f"{_MARKS.get(state, '■')} {state}"
    if process is None:
        return page.paint(page.cut(f"nothing is known yet · {text}"), BOLD)
    backends = ", ".join(printable(row.backend) for row in summary.backends)
    threads = plural(process.threads, "thread") if process.threads else ""
    version = f"ggml {printable(process.ggml_version)}" if process.ggml_version else ""
    where = ", ".join(part for part in (backends, threads) if part)
    facts = " · " + joined(f"pid {process.pid}", version, where, text)
    style = "" if state == RECORDING else WARNING
    plain, marked = facts[: -len(text)], page.paint(text, style or BOLD)
    if len(facts) + 8 > page.width:
        return page.cut(short_command(process.command) + facts)
    return page.paint(page.cut(short_command(process.command), page.width - len(facts)), BOLD) + plain + marked


def _speeds(page: Page, glance: Glance) -> list[str]:
    """Tokens per second by phase."""
    room = page.width - 38
    columns = next((number for number in (120, 60, 40, 30, 20, 10) if number <= room), 0)
    ago = f"last {SERIES_S // 60} min" if columns else ""
    lines = [page.paint(f"{'t/s':<{_LABEL}}{'now':>7}{'mean':>8}{'tokens':>11}  {ago}", DIM)]
    slow = {run.phase for run in glance.instant.runs if run.since_s > 1}
    for row in glance.summary.phases:
        if not row.tokens:
            lines.append(f"{row.phase:<{_LABEL}}{'':>26}  {plural(row.runs, 'graph')}")
            continue
        speed = glance.speed.get(row.phase, [0.0])
        now = "…" if row.phase in slow else "-" if glance.ended else _speed(speed[-1])
        mean = "" if row.tokens_per_second is None else rate(row.tokens_per_second)
        drawn = ""
        if columns:
            # Columns are of whole seconds that are the same at every glance, so that they move only as they must.
            seconds = SERIES_S // columns
            end = len(speed) - glance.until_s % seconds
            shown = speed[max(end - SERIES_S, 0) : end]
            means = [sum(shown[at : at + seconds]) / seconds for at in range(0, len(shown), seconds)]
            drawn = sparkline(means, max(means, default=0.0))
        lines.append(f"{row.phase:<{_LABEL}}{now:>7}{mean:>8}{count(row.tokens):>11}  {drawn}")
    if not glance.summary.phases:
        lines.append(page.cut(_why_nothing(glance)))
    return lines


def _speed(tokens_per_second: float) -> str:
    return rate(tokens_per_second) if tokens_per_second else "0"


def _why_nothing(glance: Glance) -> str:
    process = _process(glance.summary)
    if glance.state is not None and state_of(glance.state) in (IDLE, PAUSED):
        pid = glance.state.pid if process is None else process.pid
        how = "key p" if state_of(glance.state) == PAUSED else f"ggml-viz attach {pid}"
        return f"No graph was recorded, and none is now. Go on with: {how}"
    return "No graph was computed." if glance.ended else "No graph has been computed yet."


def _rows(page: Page, summary: Summary, choice: Choice, room: int) -> tuple[list[str], int]:
    rows = sorted(_grouped(summary, choice.group), key=lambda row: _key(row, choice.order), reverse=True)
    if not rows:
        text = f"No {choice.group}s are timed." if summary.graphs.runs else ""
        return [page.paint(text, DIM)], 0
    fits = max(room - 1, 1)
    most = max(len(rows) - fits, 0)
    first = min(choice.scroll, most)
    shown = rows[first : first + fits]
    name_width = min(max(len(row.name) for row in rows), 24)
    whole = choice.group == BY_OP
    numbers = f"{'time':>7}{'calls':>9}{'p50 µs' if whole else '':>{8 if whole else 0}}{'work':>7}{'wait':>7}"
    bar_width = max(min(page.width - name_width - len(numbers) - 8, 40), 4)
    order = f"by {choice.order}"
    if most:
        order += f", {first + 1}–{first + len(shown)} of {len(rows)}"
    head = f"{choice.group:<{name_width}} {page.cut(order, bar_width):<{bar_width}}{'share':>6} {numbers}"
    lines = [page.paint(page.cut(head), DIM)]
    longest = max(row.seconds for row in rows)
    for row in shown:
        threads_s = row.work_s + row.wait_s
        wait = row.wait_s / threads_s if threads_s else 0.0
        drawn = bar(row.seconds / longest if longest else 0.0, wait, bar_width)
        p50 = "" if row.p50_us is None else f"{significant(row.p50_us):>8}"
        lines.append(
            f"{page.cut(row.name, name_width):<{name_width}} "
            + page.paint(drawn, row.style)
            + " " * (bar_width - len(drawn))
            + f"{percent(row.share):>6} {duration(row.seconds):>8}{count(row.count):>8}{p50}"
            + f"{percent(1 - wait):>7}{percent(wait):>7}"
        )
    return lines, most


def _grouped(summary: Summary, group: str) -> list[_Row]:
    if group == BY_OP:
        return [_op(row) for row in summary.ops]
    return [_part(row, group) for row in (summary.roles if group == BY_ROLE else summary.layers)]


def _op(row: OpSummary) -> _Row:
    return _Row(
        printable(row.op), op_style(row.op), row.share, row.seconds, row.count, row.p50_us, row.work_s, row.wait_s
    )


def _part(row: GroupRow, group: str) -> _Row:
    name = row.name or ("without a role" if group == BY_ROLE else "outside layers")
    text = f"{row.phase} {printable(name)}"
    return _Row(text, "", row.share, row.seconds, row.count, None, row.work_s, row.wait_s)


def _key(row: _Row, order: str) -> float:
    return {BY_TIME: row.seconds, BY_CALLS: float(row.count), BY_WAIT: row.wait_s}[order]


def _middle(page: Page, glance: Glance, findings: int) -> list[str]:
    """Threads, memory and findings: a line each, but for threads."""
    summary = glance.summary
    lines = _threads(page, glance)
    if summary.memory.peak_bytes:
        lines.append(page.cut(f"{'memory':<{_LABEL}}{memory_of(summary)}"))
    for row in summary.findings[:findings]:
        phase = f"{row.phase}: " if row.phase else ""
        text = f"{row.severity:<{_LABEL}}{phase}{printable(row.sentence)}{cost_of(row)}"
        lines.append(page.paint(page.cut(text), WARNING))
    return lines


def _threads(page: Page, glance: Glance) -> list[str]:
    """How busy each worker was, and what each does now."""
    busy = {row.worker: row.busy for row in glance.summary.threads}
    now = {worker.worker: worker for worker in glance.instant.workers}
    workers = sorted(busy.keys() | now.keys())
    phase = f"{'now':<{_LABEL}}{_phase_now(glance)}"
    if not workers:
        return [page.cut(phase)]
    if len(workers) > _CELLS:
        lines = [page.cut(f"{'threads':<{_LABEL}}{threads_of(glance.summary.threads)}")] if busy else []
        strip = "".join(_mark(now.get(worker)) for worker in workers[:_MAX_STRIP])
        at_work = sum(not worker.waits for worker in now.values())
        said = f"{strip}  {at_work} work, {len(now) - at_work} wait" if now else strip
        return [page.cut(f"{phase}  {said}"), *lines]
    fit = max(min((page.width - _LABEL) // _CELL_WIDTH, len(workers)), 1)
    width = (page.width - _LABEL) // fit
    lines = [page.cut(phase)]
    for first in range(0, len(workers), fit):
        cells = ""
        for worker in workers[first : first + fit]:
            share = percent(busy[worker]) if worker in busy else ""
            text = f"{worker}: {share:>5}  {_doing(now.get(worker), glance)}"
            cells += f"{page.cut(text, width - 2):<{width}}"
        lines.append(page.cut(f"{'threads' if not first else '':<{_LABEL}}{cells}".rstrip()))
    return lines


def _phase_now(glance: Glance) -> str:
    if glance.failed:
        return "it could not be followed any further; this is the last that was seen of it"
    if glance.ended:
        return "the process has ended; this is the last that was seen of it"
    parts = []
    for run in glance.instant.runs:
        # How long is told only of what one can watch.
        lasts = f" for {run.since_s:.0f} s" if run.since_s >= 1 else ""
        parts.append(f"{run.phase or 'a graph'}{lasts}")
    return ", ".join(parts) or "no graph"


def _mark(worker: WorkerNow | None) -> str:
    return "·" if worker is None else "░" if worker.waits else "█"


def _doing(worker: WorkerNow | None, glance: Glance) -> str:
    if worker is None:
        return "" if glance.ended else "idle"
    return f"waits at {printable(worker.op)}" if worker.waits else f"{printable(worker.op)} {printable(worker.node)}"


def _all_findings(page: Page, summary: Summary) -> list[str]:
    lines: list[str] = []
    for row in summary.findings:
        phase = f"{row.phase}: " if row.phase else ""
        lines += page.wrap(f"{row.severity:<7}", f"{phase}{printable(row.sentence)}{cost_of(row)}", WARNING)
        if row.evidence:
            lines += page.wrap("", printable(row.evidence))
        lines += [*page.wrap("", f"→ {printable(row.advice)}", DIM), ""]
    return lines or ["Nothing stands out."]


def _trust(page: Page, glance: Glance) -> str:
    """How it is captured, and what is missing."""
    summary, process = glance.summary, _process(glance.summary)
    if process is None:
        return ""
    level = process.detail
    if glance.state is not None:
        level = DETAIL_NAMES[min(glance.state.control & native.CONTROL_DETAIL_MASK, len(DETAIL_NAMES) - 1)]
    trace = summary.trace
    problems = [
        "watching it changes its timing" if process.distorting else "",
        "not all can be seen (report)" if process.not_seen else "",
        "it died in a graph" if process.end == "abnormal" else "",
    ]
    how = f"captured by {printable(process.method)}, {DETAILS[level]}"
    records = f"{plural(trace.records + trace.let_go, 'record')}, {count(trace.lost)} lost"
    filtered = "filtered" if process.filters else ""
    text = joined(how, filtered, records, f"overhead {percent(summary.overhead.share)}", *problems)
    return page.paint(page.cut(text), WARNING if trace.lost or any(problems) else DIM)


def scrolled(choice: Choice, by: int, most: int) -> Choice:
    """Scrolls by some rows, within what there is."""
    return dataclasses.replace(choice, scroll=max(min(min(choice.scroll, most) + by, most), 0))
