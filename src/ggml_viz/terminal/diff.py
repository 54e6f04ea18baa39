"""Draws a comparison: how fast each phase is, what explains its change, and what is new or gone."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TextIO

from ggml_viz.analysis.diff import FASTER, FILE, GONE, GRAPH, NEW, SAME, SLOWER, Diff, NodeChange, PhaseChange, Side
from ggml_viz.settings.model import Ui
from ggml_viz.terminal.palette import op_style
from ggml_viz.terminal.text import BOLD, DIM, WARNING, Page, duration, plural, printable

_SCREEN_LINES = 24
_MIN_ROWS = 3
_MAX_NEW = 4
_MAX_NOTES = 3
_MAX_PHASES = 2
_NAME_WIDTH = 24
_INTERVAL_WIDTH = 80
_DOT = " · "
_STYLES = {SLOWER: "31", FASTER: "32", NEW: "36", GONE: "36", SAME: DIM}
# Of a phase's time; what changes it by less, and perhaps by nothing, is left to --json.
_SHOWN_SHARE = 0.001


@dataclass(frozen=True, slots=True)
class _Row:
    """One of the things whose changes add up to that of a phase."""

    verdict: str
    name: str
    op: str
    a_s: float
    b_s: float
    share: float
    change: NodeChange | None


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
    shown = _phases_to_explain(diff)
    room = _SCREEN_LINES - sum(map(len, (header, phases, changed, notes))) - 5 - 2 * len(shown)
    top = ui.top or max(room // max(len(shown), 1), _MIN_ROWS)
    explained = [line for phase in shown for line in _explained(page, diff, phase, top)]
    if explained:
        head = f"{'':<7}{'time of a token':<{_NAME_WIDTH}} {'A':>8}   {'B':<8}{'change':>8}  median ratio"
        explained = [page.paint(page.cut(head), DIM), *explained]
    blocks = [block for block in (header, phases, explained, changed, notes) if block]
    page.print(line for number, block in enumerate(blocks) for line in ([""] if number else []) + block)


def _side(page: Page, name: str, side: Side) -> str:
    first = os.path.basename(side.files[0])
    files = first if len(side.files) == 1 else f"{plural(len(side.files), 'file')} ({first}, …)"
    versions = f"ggml {', '.join(side.ggml_versions)}" if side.ggml_versions else ""
    threads = ""
    if any(side.threads):
        threads = f"{', '.join(map(str, side.threads))} thread{'' if side.threads == [1] else 's'}"
    facts = printable(_DOT.join(part for part in (files, versions, threads) if part))
    return page.paint(name, BOLD) + "  " + page.cut(facts, page.width - 3)


def _phases(page: Page, diff: Diff) -> list[str]:
    head = f"{'phase':<9}{'':<9}{'A':>9}{'B':>9}{'change':>9}  {'95 %':<18}{'p':>7}"
    lines = [page.paint(head, DIM)]
    for row in diff.phases:
        unit = "graphs/s" if row.per == GRAPH else "t/s"
        a, b = ("" if rate is None else _rate(rate) for rate in (row.a_per_second, row.b_per_second))
        change = _signed(1 / row.ratio - 1) if row.ratio else ""
        interval = ""
        if row.ratio_low and row.ratio_high:
            interval = f"{_signed(1 / row.ratio_high - 1)} … {_signed(1 / row.ratio_low - 1)}"
        p = "" if row.p_corrected is None else _p(row.p_corrected)
        verdict = page.paint(row.verdict, _STYLES[row.verdict])
        lines.append(f"{row.phase:<9}{unit:<9}{a:>9}{b:>9}{change:>9}  {interval:<18}{p:>7}  {verdict}")
    return lines


def _phases_to_explain(diff: Diff) -> list[PhaseChange]:
    """The phases that changed, or that something in changed; that of the first finding first."""
    order = [finding.phase for finding in diff.findings]
    changed = [
        phase
        for phase in diff.phases
        if phase.ratio is not None and (phase.verdict != SAME or phase.phase in order or len(diff.phases) == 1)
    ]
    rank = {name: index for index, name in reversed(list(enumerate(order)))}
    return sorted(changed, key=lambda phase: rank.get(phase.phase, len(order)))[:_MAX_PHASES]


def _explained(page: Page, diff: Diff, phase: PhaseChange, top: int) -> list[str]:
    """Where the change of one phase comes from, what is more than chance first."""
    assert phase.change_s is not None
    assert phase.ratio is not None
    findings = [finding for finding in diff.findings if finding.phase == phase.phase]
    # An op that was found as a whole stands for its roles.
    whole = {finding.op for finding in findings if finding.role is None}
    others = [
        _node(row)
        for row in diff.operations
        if row.phase == phase.phase and row.verdict == SAME and row.op not in whole
    ]
    others += [_Row(SAME, part.part, "", part.a_s, part.b_s, part.share, None) for part in phase.outside]
    others.sort(key=lambda row: -abs(row.share))
    shown = [*map(_node, findings), *(row for row in others if abs(row.share) >= _SHOWN_SHARE)][:top]
    if not shown:
        return []
    whole_change = f"{'+' if phase.change_s >= 0 else '-'}{duration(abs(phase.change_s)).strip()}"
    chance = ", perhaps by chance" if phase.verdict == SAME else ""
    title = f"{phase.phase}: {whole_change} ({_signed(phase.ratio - 1)}) a {phase.per}{chance}"
    lines = [page.paint(title, BOLD)]
    for row in shown:
        mark = page.paint(f"{'' if row.verdict == SAME else row.verdict:<7}", _STYLES[row.verdict])
        name = page.paint(f"{page.cut(row.name, _NAME_WIDTH):<{_NAME_WIDTH}}", op_style(row.op) if row.op else DIM)
        times = f"{_time(row.a_s):>8} → {_time(row.b_s):<8}"
        lines.append(f"{mark}{name} {times}{_signed(row.share):>8}  {_ratio(page, row.change)}")
        lines += _where(page, row.change)
    if hidden := len(findings) + len(others) - len(shown):
        left = phase.ratio - 1 - sum(row.share for row in shown)
        lines.append(page.paint(f"{'':<7}{f'{hidden} more':<{_NAME_WIDTH}}{'':>20}{_signed(left):>8}", DIM))
    return lines


def _node(row: NodeChange) -> _Row:
    return _Row(row.verdict, _name(row), row.op or "", row.a_s, row.b_s, row.share, row)


def _name(row: NodeChange) -> str:
    return printable(" ".join(part for part in (row.op, row.role) if part)) or "?"


def _time(seconds: float) -> str:
    return ("-" if seconds < 0 else "") + duration(abs(seconds)).strip() if seconds else "none"


def _ratio(page: Page, row: NodeChange | None) -> str:
    if row is None or row.ratio is None:
        return ""
    interval = ""
    if row.ratio_low and row.ratio_high and page.width >= _INTERVAL_WIDTH:
        interval = f" ({row.ratio_low:.2f} … {row.ratio_high:.2f})"
    return f"×{row.ratio:.2f}{interval}{' shapes?' if row.shapes_differ else ''}"


def _where(page: Page, row: NodeChange | None) -> list[str]:
    """In which layers an op differs, if only in some."""
    if row is None:
        return []
    layers = {detail.layer for detail in row.details}
    numbers = sorted({detail.layer for detail in row.details if detail.verdict == row.verdict and detail.layer} - {-1})
    if not 0 < 2 * len(numbers) <= len(layers):
        return []
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
    explained = {phase.phase for phase in _phases_to_explain(diff)}
    rows = [row for row in diff.findings if row.verdict in (NEW, GONE) and row.phase not in explained]
    lines = []
    for row in rows[:_MAX_NEW]:
        mark = page.paint(f"{row.verdict:<7}", _STYLES[row.verdict])
        lines.append(f"{mark}{row.phase:<9}{page.cut(_name(row), 40):<40}{_time(row.a_s + row.b_s):>10}")
    if len(rows) > _MAX_NEW:
        lines.append(page.paint(f"…{len(rows) - _MAX_NEW} more new or gone (--json)", DIM))
    return lines


def _notes(page: Page, diff: Diff) -> list[str]:
    lines: list[str] = []
    for note in diff.notes[:_MAX_NOTES]:
        lines += page.wrap("note", page.cut(printable(note), 3 * page.width), WARNING, indent=6)
    if len(diff.notes) > _MAX_NOTES:
        lines += page.wrap("", f"…{len(diff.notes) - _MAX_NOTES} more notes (--json)", DIM, indent=6)
    found = "" if diff.findings else "nothing in them differs by more than chance and 1 % · "
    unit = "files" if diff.unit == FILE else "executions"
    lines += page.wrap("", f"{found}samples are {unit}, p is corrected for all that was compared", DIM, indent=0)
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
