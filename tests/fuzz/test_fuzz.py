"""Some thousand hostile traces; `make fuzz` tries a million."""

from __future__ import annotations

from tests.fuzz.__main__ import MAX_S, try_traces


def test_hostile_traces_are_read_or_refused() -> None:
    tally = try_traces(2, range(4000))
    assert tally.failed == ()
    assert tally.read > 2000
    assert tally.refused > 50
    assert tally.slowest_s < MAX_S
