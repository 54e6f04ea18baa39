"""A few of the programs that `make compatibility` tries: old and new, shared and static."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from tests.compatibility import __main__ as compatibility
from tests.compatibility import measure, table
from tests.compatibility.measure import Counts, Outcome, Seen
from tests.compatibility.programs import ENTRIES, Entry

FAST = [entry for entry in ENTRIES if entry.fast]


@pytest.fixture(scope="module")
def counted() -> dict[str, Counts | None]:
    return {}


@pytest.mark.parametrize("entry", FAST, ids=lambda entry: entry.label)
def test_runs_as_it_does_alone_and_is_seen_as_it_is_counted(entry: Entry, counted: dict[str, Counts | None]) -> None:
    outcome = compatibility.attempt(entry, counted)
    if not outcome.skipped:  # old packages are made for old versions of Python
        assert outcome.problems == ()
        assert outcome.truth
        assert outcome.seen or outcome.why
        if outcome.seen and "static" in entry.name:
            assert outcome.seen.method == "preload, call sites"


SEEN = Seen("", "preload", Counts(3, None), threads=2, threads_seen=0, not_seen=("ops: too old",), lost=0)


def test_disagreement_is_a_problem() -> None:
    assert measure.disagreements(SEEN, Counts(3, None)) == []
    assert measure.disagreements(SEEN, Counts(4, None)) == ["3 runs of graphs were seen, 4 were counted"]


def test_outcome_as_json() -> None:
    text = json.dumps(Outcome(FAST[0], SEEN, Counts(3, Counter({"ADD": 2}))), default=compatibility.described)
    result = json.loads(text)
    assert result["entry"]["name"] == FAST[0].name
    assert result["truth"] == {"runs": 3, "nodes": {"ADD": 2}}
    assert result["seen"]["counts"]["runs"] == 3


def test_table_replaces_what_is_between_its_comments(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n\n{table.BEGIN}\nold\n{table.END}\n\nafter\n")
    entry = FAST[0]
    outcomes = [Outcome(entry, SEEN, Counts(3, None)), Outcome(entry, None, None, why="it is stripped.")]
    table.replace_in(readme, table.markdown(outcomes))
    text = readme.read_text()
    assert text.startswith(f"before\n\n{table.BEGIN}\n| program |")
    assert text.endswith(f"{table.END}\n\nafter\n")
    assert "| preload | whole graphs [1] | 3 of 3 graphs |" in text
    assert "| — | nothing [2] | could not be counted |" in text
    assert "\n1. ops: too old\n2. it is stripped.\n" in text
    assert "\nold\n" not in text
