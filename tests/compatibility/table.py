"""Puts what was measured into the README's table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tests.compatibility.measure import Outcome

BEGIN, END = "<!-- compatibility: made by `make compatibility` -->", "<!-- compatibility: end -->"
_HEAD = ("program", "language", "ggml", "linked", "captured by", "seen", "against a count")


def markdown(outcomes: Sequence[Outcome]) -> str:
    """The table, its notes below it."""
    notes: list[str] = []
    rows = [_row(outcome, notes) for outcome in outcomes]
    lines = [f"| {' | '.join(cells)} |" for cells in (_HEAD, ("---",) * len(_HEAD), *rows)]
    if notes:
        lines += ["", *(f"{number}. {note}" for number, note in enumerate(notes, 1))]
    return "\n".join(lines)


def replace_in(path: Path, table: str) -> None:
    """Replaces what lies between the two comments in a file."""
    text = path.read_text()
    before, begin, rest = text.partition(BEGIN)
    _old, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{path} has no place for the table: {BEGIN} … {END}")
    path.write_text(f"{before}{BEGIN}\n{table}\n{END}{after}")


def _row(outcome: Outcome, notes: list[str]) -> tuple[str, ...]:
    entry = outcome.entry
    seen = outcome.seen
    ggml = f"{seen.ggml}, {entry.dated}" if seen and seen.ggml else entry.dated
    what = (entry.label, entry.language, ggml, entry.linked)
    if outcome.skipped:
        return (*what, "", f"not tried: {outcome.skipped}", "")
    said = [outcome.why] if outcome.why else list(seen.not_seen if seen else ())
    level = seen.level if seen else "nothing"
    marks = "".join(f" [{_number(note, notes)}]" for note in said)
    return (*what, seen.method if seen else "—", level + marks, _agreement(outcome))


def _number(note: str, notes: list[str]) -> int:
    if note not in notes:
        notes.append(note)
    return notes.index(note) + 1


def _agreement(outcome: Outcome) -> str:
    if outcome.problems:
        return "**" + "; ".join(problem.partition("\n")[0] for problem in outcome.problems) + "**"
    truth, seen = outcome.truth, outcome.seen
    if truth is None:
        return "could not be counted"
    if seen is None:
        return f"0 of {_number_of(truth.runs)} graphs"
    parts = [f"{_number_of(seen.counts.runs)} of {_number_of(truth.runs)} graphs"]
    if truth.nodes:
        got = seen.counts.nodes.total() if seen.counts.nodes else 0
        parts.append(f"{_number_of(got)} of {_number_of(truth.nodes.total())} ops")
    text = ", ".join(parts)
    return f"{text}, as in the shared build" if outcome.entry.reference else text


def _number_of(count: int) -> str:
    return f"{count:,}".replace(",", " ")
