"""Some thousand hostile traces; `make fuzz` tries a million."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from tests.fuzz.__main__ import Tally, try_traces
from tests.fuzz.hostile import hostile_trace
from tests.fuzz.large import LARGE


def test_hostile_traces_are_read_or_refused(tmp_path: Path) -> None:
    tally = Tally()
    try_traces(2, range(2500), tally, tmp_path)
    assert tally.failed == 0
    assert tally.read > 2000
    assert tally.refused > 40


@pytest.mark.parametrize("what", LARGE)
def test_very_many_of_anything_take_no_longer_than_others(what: str, tmp_path: Path) -> None:
    tally = Tally()
    try_traces(2, range(1), tally, tmp_path, lambda seed, number: LARGE[what](random.Random(seed), 1000))
    assert (tally.read, tally.failed) == (1, 0)


def test_a_trace_can_be_made_again() -> None:
    assert [hostile_trace(3, number) for number in range(60)] == [hostile_trace(3, number) for number in range(60)]
