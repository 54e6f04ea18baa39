"""Draws the report: what ran, how fast, where the time went, and how far the recording can be trusted."""

from __future__ import annotations

import os
import shlex
from statistics import median
from typing import TextIO

from ggml_viz.analysis.findings import Finding
from ggml_viz.analysis.summary import OpSummary, ProcessSummary, Summary, ThreadSummary
from ggml_viz.settings.model import Ui
from ggml_viz.terminal.palette import op_style
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
    size,
)
from ggml_viz.trace.chunks import VERSION

_SCREEN_LINES = 24
_MIN_OPS = 3
_MAX_NOTES = 2
_MAX_PROCESSES = 4
_MAX_LISTED_THREADS = 8
_MAX_COPIES = 3
_MAX_FINDINGS = 3
_MAX_ROLES = 5
# Of a phase whose tensors are mostly unnamed, the few that are not say little.
_MOSTLY = 0.5
_MAX_UNTIMED_OPS = 8
_DOT = " · "

DETAILS = {"thread": "all threads", "op": "ops on worker 0 only", "graph": "graphs only"}


def print_report(summary: Summary, file: TextIO, ui: Ui | None = None) -> None:
    """Prints the report.

    Args:
        summary: Its data.
        file: Where to.
        ui: How it is to look; where it does not say how many ops to list: as many as keep it within a screen.
    """
    ui = ui or Ui()
    page = Page(file, ui)
    header, phases = _header(page, summary), _phases(page, summary)
    findings, details, trust = _findings(page, summary), _details(page, summary), _trust(page, summary)
    # Each block is set apart from the next; of the ops' lines two are their header and the count of the rest.
    others = [block for block in (header, phases, findings, details, trust) if block]
    room = _SCREEN_LINES - sum(map(len, others)) - len(others) - 2
    ops = _ops(page, summary.ops, ui.top or max(room, _MIN_OPS)) if summary.ops else []
    blocks = [block for block in (header, phases, findings, ops, details, trust) if block]
    page.print(line for number, block in enumerate(blocks) for line in ([""] if number else []) + block)


def _header(page: Page, summary: Summary) -> list[str]:
    backends = ", ".join(printable(row.backend) for row in summary.backends)
    lasted = duration(summary.trace.duration_s).strip() if summary.trace.duration_s else ""
    processes = summary.trace.processes
    if not processes:
        return ["The trace is of no process."]
    if len(processes) == 1:
        threads = plural(processes[0].threads, "thread") if processes[0].threads else ""
        ran_on = ", ".join(part for part in (backends, threads) if part)
        return [_process(page, processes[0], [ran_on, lasted])]
    lines = [page.paint(page.cut(joined(plural(len(processes), "process", "processes"), backends, lasted)), BOLD)]
    for process in processes[:_MAX_PROCESSES]:
        lines.append(_process(page, process, [plural(process.threads, "thread") if process.threads else ""]))
    if len(processes) > _MAX_PROCESSES:
        lines.append(page.paint(f"…{len(processes) - _MAX_PROCESSES} more", DIM))
    return lines


def _process(page: Page, process: ProcessSummary, more: list[str]) -> str:
    version = f"ggml {printable(process.ggml_version)}" if process.ggml_version else ""
    facts = _DOT + joined(f"pid {process.pid}" if process.pid else "", version, *more)
    return page.paint(page.cut(short_command(process.command), max(page.width - len(facts), 12)), BOLD) + facts


def joined(*parts: str) -> str:
    """What there is of some parts, with dots between."""
    return _DOT.join(part for part in parts if part)


def short_command(command: str) -> str:
    """A command line whose program, scripts and models are named without their folders."""
    try:
        words = shlex.split(command)
    except ValueError:
        words = command.split()
    shown = [
        os.path.basename(word) if "/" in word and " " not in word and "://" not in word else word for word in words
    ]
    return printable(" ".join(shown)) or "?"


def _phases(page: Page, summary: Summary) -> list[str]:
    if not summary.trace.processes:
        return []
    if not summary.graphs.runs:
        return ["No graph was computed while it was watched."]
    lines = [page.paint(f"{'phase':<10}{'graphs':>8}{'tokens':>9}{'t/s':>10}  {'time':>7}", DIM)]
    for row in summary.phases:
        speed = "" if row.tokens_per_second is None else rate(row.tokens_per_second)
        tokens = count(row.tokens) if row.tokens else ""
        lines.append(f"{row.phase:<10}{count(row.runs):>8}{tokens:>9}{speed:>10}  {duration(row.seconds):>8}")
    return lines


def rate(tokens_per_second: float) -> str:
    """Tokens per second, as the report has them."""
    return f"{tokens_per_second:.1f}" if tokens_per_second >= 10 else f"{tokens_per_second:.2f}"


def _findings(page: Page, summary: Summary) -> list[str]:
    lines: list[str] = []
    for row in summary.findings[:_MAX_FINDINGS]:
        phase = f"{row.phase}: " if row.phase else ""
        lines += page.wrap(f"{row.severity:<7}", f"{phase}{printable(row.sentence)}{cost_of(row)}", WARNING)
        lines += page.wrap("", f"→ {printable(row.advice)}", DIM)
    if len(summary.findings) > _MAX_FINDINGS:
        lines += page.wrap("", f"…{len(summary.findings) - _MAX_FINDINGS} more (--json)", DIM)
    return lines


def cost_of(row: Finding) -> str:
    """What a finding cost, to be said after its sentence; empty: nothing that was measured."""
    if not row.cost_s:
        return ""
    bound = "at most " if row.at_most else ""
    faster = row.cost_tokens_per_second
    tokens = f", {rate(faster)} t/s" if faster is not None and faster >= 0.01 else ""
    return f"; that cost {bound}{duration(row.cost_s).strip()}, {percent(row.cost_share)} of the time{tokens}"


def _ops(page: Page, ops: list[OpSummary], top: int) -> list[str]:
    # A line that says "1 more" takes as much room as the one.
    shown = ops if len(ops) <= top + 1 else ops[:top]
    name_width = min(max(len(printable(row.op)) for row in shown), 24)
    # Work and wait make up the whole, so one tells the other.
    has_floor = any(row.floor_share is not None for row in shown)
    numbers = f"{'time':>7}{'calls':>9}{'p50 µs':>8}{'p99 µs':>8}{'floor' if has_floor else 'work':>7}{'wait':>7}"
    room = page.width - name_width - len(numbers) - 9
    bar_width = max(min(room, 40), 4)
    longest = max(row.share for row in shown)
    head = f"{'op':<{name_width}} {'':<{bar_width}}{'share':>6} {numbers}"
    lines = [page.paint(head, DIM)]
    for row in shown:
        threads_s = row.work_s + row.wait_s
        wait = row.wait_s / threads_s if threads_s else 0.0
        drawn = bar(row.share / longest if longest else 0.0, wait, bar_width)
        lines.append(
            f"{page.cut(printable(row.op), name_width):<{name_width}} "
            + page.paint(drawn, op_style(row.op))
            + " " * (bar_width - len(drawn))
            + f"{percent(row.share):>6} {duration(row.seconds):>8}{count(row.count):>8}"
            + f"{significant(row.p50_us):>8}{significant(row.p99_us):>8}"
            + f"{_floor(row) if has_floor else percent(1 - wait):>7}{percent(wait):>7}"
        )
    if len(shown) < len(ops):
        rest = sum(row.share for row in ops[top:])
        more = f"…{len(ops) - top} more, {percent(rest)} (--top {len(ops)})"
        lines.append(page.paint(more, DIM))
    return lines


def _floor(row: OpSummary) -> str:
    return "" if row.floor_share is None else percent(row.floor_share)


def _limits(page: Page, summary: Summary) -> list[str]:
    """How near to what the machine can do."""
    roofline, ceiling = summary.roofline, summary.roofline.decode
    if roofline.machine is not None and not roofline.machine.peaks and summary.ops:
        return page.wrap("limits", "not known: ggml-viz probe measures what this machine can do", DIM)
    if ceiling is None:
        return []
    read = size(ceiling.weight_bytes + ceiling.kv_bytes)
    return page.wrap(
        "limits",
        f"decode reached {percent(ceiling.reached)} of {rate(ceiling.tokens_per_second)} t/s, at which reading "
        f"{read} a graph takes all of {significant(ceiling.bandwidth_gbps)} GB/s",
    )


def _model(page: Page, summary: Summary) -> list[str]:
    """Which parts of the model take the time, in the phase that takes the most of it."""
    by_phase: dict[str, float] = {}
    for row in summary.roles:
        by_phase[row.phase] = by_phase.get(row.phase, 0.0) + row.seconds
    if not by_phase:
        return []
    phase = max(by_phase, key=lambda name: by_phase[name])
    named = [row for row in summary.roles if row.phase == phase and row.name]
    layers = [row for row in summary.layers if row.phase == phase and row.name]
    lines = []
    if sum(row.share for row in named) >= _MOSTLY:
        parts = [f"{printable(row.name)} {percent(row.share)}" for row in named[:_MAX_ROLES]]
        lines += page.wrap("roles", joined(phase, *parts))
    if len(layers) > 1:
        longest = max(layers, key=lambda row: row.share)
        typical = median(row.share for row in layers)
        apart = 1 - sum(row.share for row in layers)
        lines += page.wrap(
            "layers",
            f"{phase}{_DOT}{plural(len(layers), 'layer')} of {percent(typical)} each, at most {percent(longest.share)} "
            f"({printable(longest.name)}){_DOT}outside layers {percent(max(apart, 0.0))}",
        )
    return lines


def _details(page: Page, summary: Summary) -> list[str]:
    lines: list[str] = [*_limits(page, summary), *_model(page, summary)]
    if summary.graphs.runs and not summary.ops:
        took, median_, slowest = (
            duration(s).strip()
            for s in (summary.graph_time.seconds, summary.graph_time.p50_us * 1e-6, summary.graph_time.p99_us * 1e-6)
        )
        lines += page.wrap("graphs", f"{took} in all{_DOT}p50 {median_}, p99 {slowest}")
    if summary.untimed_ops:
        parts = [f"{printable(row.op)} × {count(row.count)}" for row in summary.untimed_ops[:_MAX_UNTIMED_OPS]]
        more = len(summary.untimed_ops) - _MAX_UNTIMED_OPS
        lines += page.wrap("ops", joined("not timed", ", ".join(parts), f"…{more} more" if more > 0 else ""))
    if summary.threads:
        lines += page.wrap("threads", threads_of(summary.threads))
    if summary.memory.peak_bytes:
        lines += page.wrap("memory", memory_of(summary))
    if summary.backends:
        parts = [
            f"{printable(row.backend)}: {plural(row.splits, 'split')} of {plural(row.runs, 'graph')}, "
            f"{duration(row.seconds).strip()}" + (" in calls" if row.timed == "call" else "")
            for row in summary.backends
        ]
        lines += page.wrap("backends", joined(*parts))
        submitting = [printable(row.backend) for row in summary.backends if row.timed == "call"]
        if submitting:
            lines += page.wrap("", f"what {', '.join(submitting)} computed after its calls returned is not timed", DIM)
    if summary.copies:
        parts = [
            f"{printable(row.source)} → {printable(row.target)} {count(row.count)} × "
            f"{size(row.bytes / row.count)}, {duration(row.seconds).strip()}"
            for row in summary.copies[:_MAX_COPIES]
        ]
        more = len(summary.copies) - _MAX_COPIES
        lines += page.wrap("copies", joined(*parts, f"…{more} more" if more > 0 else ""))
    notes = [note for process in summary.trace.processes for note in process.not_seen]
    distinct = list(dict.fromkeys(printable(note) for note in notes))
    for note in distinct[:_MAX_NOTES]:
        lines += page.wrap("not seen", note, WARNING)
    if len(distinct) > _MAX_NOTES:
        lines += page.wrap("", f"…{len(distinct) - _MAX_NOTES} more (--json)", DIM)
    return lines


def memory_of(summary: Summary) -> str:
    """What the buffers took."""
    parts = [
        f"{'KV' if row.usage == 'kv' else row.usage} {size(row.bytes)} {printable(row.backend)}"
        for row in summary.memory.buffers
    ]
    kv = summary.memory.kv
    grows = f"each token adds {size(kv.bytes_per_token)} of KV" if kv and kv.bytes_per_token else ""
    return joined(f"peak {size(summary.memory.peak_bytes)}", *parts, grows)


def threads_of(threads: list[ThreadSummary]) -> str:
    """How busy each thread was, or, where there are many, all of them."""
    if len(threads) <= _MAX_LISTED_THREADS:
        return "busy  " + "   ".join(f"{row.worker}: {percent(row.busy)}" for row in threads)
    busy = [row.busy for row in threads]
    laziest = min(threads, key=lambda row: row.busy)
    return (
        f"{len(threads)}, busy {percent(min(busy))} (thread {laziest.worker}) to {percent(max(busy))}, "
        f"median {percent(median(busy))}"
    )


def _trust(page: Page, summary: Summary) -> list[str]:
    """How it was captured, and what is missing from it."""
    trace = summary.trace
    methods = ", ".join(sorted({printable(process.method) for process in trace.processes if process.method}))
    details = ", ".join(sorted({DETAILS[process.detail] for process in trace.processes}))
    how = ", ".join(part for part in (f"captured by {methods}" if methods else "captured", details) if part)
    records = f"{plural(trace.records, 'record')}, {count(trace.lost)} lost"
    if trace.skipped:
        records += f", {count(trace.skipped)} left out on request"
    if trace.let_go:
        records += f", {count(trace.let_go)} older ones let go to keep the file within its limit"
    problems = [
        f"process {process.pid} died while a graph was computed"
        for process in trace.processes
        if process.end == "abnormal"
    ]
    if trace.damage:
        problems.append(f"the file is {trace.damage}")
    elif trace.format == VERSION and any(process.end == "cut" for process in trace.processes):
        problems.append("the recording was cut short")
    if any(process.distorting for process in trace.processes):
        problems.append("watching it changed its timing")
    if trace.format < VERSION:
        what = "version 1 trace, only graphs are timed; losses, overhead and its end are not known"
        return page.wrap("", joined(what, *problems), WARNING if problems else DIM, indent=0)
    filters = "; ".join(dict.fromkeys(printable(text) for process in trace.processes for text in process.filters))
    filtered = f"filtered: {filters}" if filters else ""
    overhead = f"overhead {percent(summary.overhead.share)}"
    style = WARNING if problems or trace.lost else DIM
    return page.wrap("", joined(how, filtered, records, overhead, *problems), style, indent=0)
