"""Draws a comparison: what became slower or faster, what explains it, and what is new or gone."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TextIO

from ggml_viz.analysis.diff import FASTER, FILE, GONE, GRAPH, NEW, SAME, SLOWER, Diff, NodeChange, PhaseChange, Side
from ggml_viz.settings.model import Ui
from ggml_viz.terminal.palette import op_style
from ggml_viz.terminal.text import BOLD, DIM, WARNING, Page, bar, count, duration, plural, printable

_SCREEN_LINES = 24
_MIN_ROWS = 3
_MAX_NEW = 4
_MAX_NOTES = 3
_DOT = " · "
_STYLES = {SLOWER: "31", FASTER: "32", NEW: "36", GONE: "36", SAME: DIM}
# Of a phase's time; what changes it by less is left to --json.
_SHOWN_SHARE = 0.001


def print_diff(diff: Diff, file: TextIO, ui: Ui | None = None) -> None:
    """Prints a comparison.

    Args:
        diff: Its data.
        file: Where to.
        ui: How it is to look; where it does not say how many rows explain a change: as many as keep it within a screen.
    """
    ui = ui or Ui()
    page = Page(file, ui)
    header = [_side(page, "A", diff.a), _side(page, "B", diff.b)]
    phases, changed, notes = _phases(page, diff), _new_or_gone(page, diff), _notes(page, diff)
    moved = [phase for phase in diff.phases if phase.change_s is not None]
    moved.sort(key=lambda phase: -max((abs(row.share) for row in _differing(diff, phase)), default=0.0))
    interesting = [phase for phase in moved if phase.verdict != SAME or _differing(diff, phase)] or moved[:1]
    room = _SCREEN_LINES - sum(map(len, (header, phases, changed, notes))) - 4 - 2 * len(interesting)
    top = ui.top or max(room // max(len(interesting), 1), _MIN_ROWS)
    explained = [line for phase in interesting for line in _explained(page, diff, phase, top)]
    blocks = [block for block in (header, phases, explained, changed, notes) if block]
    page.print(line for number, block in enumerate(blocks) for line in ([""] if number else []) + block)


def _side(page: Page, name: str, side: Side) -> str:
    first = os.path.basename(side.files[0])
    files = first if len(side.files) == 1 else f"{plural(len(side.files), 'file')} ({first}, …)"
    versions = f"ggml {', '.join(side.ggml_versions)}" if side.ggml_versions else ""
    threads = f"{', '.join(map(str, side.threads))} threads" if any(side.threads) else ""
    facts = printable(_DOT.join(part for part in (files, versions, threads) if part))
    return page.paint(name, BOLD) + "  " + page.cut(facts, page.width - 3)


def _phases(page: Page, diff: Diff) -> list[str]:
    head = f"{'':<10}{'A':>10}{'B':>10}{'change':>10}  {'95 % interval':<18}{'p':>7}"
    lines = [page.paint(head, DIM)]
    for row in diff.phases:
        unit = "graphs/s" if row.per == GRAPH else "t/s"
        a, b = ("" if rate is None else _rate(rate) for rate in (row.a_per_second, row.b_per_second))
        change = interval = p = ""
        if row.ratio:
            change = _signed(1 / row.ratio - 1)
        if row.ratio_low and row.ratio_high:
            interval = f"{_signed(1 / row.ratio_high - 1)} … {_signed(1 / row.ratio_low - 1)}"
        if row.p_corrected is not None:
            p = _p(row.p_corrected)
        verdict = page.paint(row.verdict, _STYLES[row.verdict])
        lines.append(f"{row.phase:<10}{a:>10}{b:>10}{change:>10}  {interval:<18}{p:>7}  {unit:<9}{verdict}")
    return lines


def _differing(diff: Diff, phase: PhaseChange) -> list[NodeChange]:
    return [row for row in diff.operations if row.phase == phase.phase and row.verdict in (SLOWER, FASTER)]


def _explained(page: Page, diff: Diff, phase: PhaseChange, top: int) -> list[str]:
    """Where the change of one phase comes from, what is more than chance first."""
    assert phase.change_s is not None
    assert phase.ratio is not None
    nodes = [row for row in diff.operations if row.phase == phase.phase]
    rows = [(row.verdict, _name(row), row.op or "", row.a_s, row.b_s, row.share, row) for row in nodes]
    outside = sorted(phase.outside, key=lambda part: -abs(part.share))
    rest = [("", part.part, "", part.a_s, part.b_s, part.share, None) for part in outside]
    sure = [row for row in rows if row[0] != SAME]
    unsure = sorted([*(row for row in rows if row[0] == SAME), *rest], key=lambda row: -abs(row[5]))
    ordered = sure + [row for row in unsure if abs(row[5]) >= _SHOWN_SHARE]
    shown = ordered[:top]
    left = phase.ratio - 1 - sum(row[5] for row in shown)
    hidden = len(rows) + len(rest) - len(shown)
    sign = "+" if phase.change_s >= 0 else "-"
    whole = f"{sign}{duration(abs(phase.change_s)).strip()}"
    title = f"{phase.phase}: {whole} ({_signed(phase.ratio - 1)}) a {phase.per}, of which"
    width = min(max([len(row[1]) for row in shown] + [12]), 28)
    lines = [page.paint(f"{title:<{width + 8}}"[: max(width + 8, len(title))], BOLD)]
    for verdict, name, op, a_s, b_s, share, row in shown:
        mark = page.paint(f"{'' if verdict == SAME else verdict:<7}", _STYLES.get(verdict, DIM))
        times = f"{_time(a_s):>8} → {_time(b_s):<8}"
        lines.append(
            f"{mark}{page.paint(f'{page.cut(name, width):<{width}}', op_style(op) if op else DIM)} {times}"
            f"{_signed(share):>8}  {_ratio(row) if row else ''}".rstrip()
        )
        lines += _where(page, row) if row else []
    if hidden > 0:
        lines.append(page.paint(f"{'':<7}{f'{hidden} more':<{width}} {'':>19}{_signed(left):>8}", DIM))
    return lines


def _name(row: NodeChange) -> str:
    return printable(f"{row.op} {row.role}".strip())


def _time(seconds: float) -> str:
    return ("-" if seconds < 0 else "") + duration(abs(seconds)).strip()


def _ratio(row: NodeChange) -> str:
    if row.ratio is None:
        return ""
    interval = f" ({row.ratio_low:.2f} … {row.ratio_high:.2f})" if row.ratio_low and row.ratio_high else ""
    p = "" if row.p_corrected is None or row.verdict == SAME else f" p {_p(row.p_corrected)}"
    shapes = " other shapes" if row.shapes_differ else ""
    return f"×{row.ratio:.2f}{interval}{p}{shapes}"


def _where(page: Page, row: NodeChange) -> list[str]:
    """In which layers an op differs, where that is not in all."""
    differing = {detail.layer for detail in row.details if detail.verdict == row.verdict}
    layers = {detail.layer for detail in row.details}
    if not differing or differing == layers:
        return []
    numbers = sorted(layer for layer in differing if layer is not None and layer >= 0)
    return [page.paint(page.cut(f"{'':<7}in layer{'s' if len(numbers) > 1 else ''} {_spans(numbers)}"), DIM)]


def _spans(numbers: Iterable[int]) -> str:
    """Numbers, those that follow each other as `3-7`."""
    spans: list[list[int]] = []
    for number in numbers:
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ", ".join(str(low) if low == high else f"{low}-{high}" for low, high in spans)


def _new_or_gone(page: Page, diff: Diff) -> list[str]:
    rows = [row for row in diff.operations if row.verdict in (NEW, GONE)]
    lines = []
    for row in rows[:_MAX_NEW]:
        seconds = row.b_s if row.verdict == NEW else row.a_s
        mark = page.paint(f"{row.verdict:<7}", _STYLES[row.verdict])
        times = f"{count(round(max(row.a_executions, row.b_executions)))} a token" if False else _time(seconds)
        lines.append(f"{mark}{row.phase:<10}{page.cut(_name(row), 30):<31}{times:>10}")
    if len(rows) > _MAX_NEW:
        lines.append(page.paint(f"…{len(rows) - _MAX_NEW} more new or gone (--json)", DIM))
    return lines


def _notes(page: Page, diff: Diff) -> list[str]:
    lines: list[str] = []
    for note in diff.notes[:_MAX_NOTES]:
        lines += page.wrap("note", printable(note), WARNING, indent=6)
    if len(diff.notes) > _MAX_NOTES:
        lines += page.wrap("", f"…{len(diff.notes) - _MAX_NOTES} more notes (--json)", DIM, indent=6)
    unit = "a file" if diff.unit == FILE else "an execution"
    lines.append(page.paint(page.cut(f"a sample is {unit}; p is corrected for all that was compared"), DIM))
    return lines


def _rate(per_second: float) -> str:
    return f"{per_second:.1f}" if per_second >= 10 else f"{per_second:.2f}"


def _signed(share: float) -> str:
    percent = share * 100
    if abs(percent) >= 999.5:
        return f"{percent:+.3g} %"
    return f"{percent:+.0f} %" if abs(percent) >= 99.5 else f"{percent:+.1f} %"


def _p(value: float) -> str:
    return "<0.001" if value < 0.001 else f"{value:.3f}" if value < 0.1 else f"{value:.2f}"
