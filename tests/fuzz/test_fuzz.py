"""Some thousand hostile traces; `make fuzz` tries a million."""

from __future__ import annotations

from tests.fuzz.__main__ import Tally, try_traces


def test_hostile_traces_are_read_or_refused() -> None:
    tally = Tally()
    try_traces(2, range(3000), tally)
    assert tally.failed == 0
    assert tally.read > 2000
    assert tally.refused > 50
