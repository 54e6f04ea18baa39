"""How numbers are written for people, the same in every face: three digits and the unit that fits."""

from __future__ import annotations

import functools
from collections.abc import Sequence

# A window writes the same numbers in each frame.
_remembered = functools.lru_cache(4096)


@_remembered
def significant(value: float) -> str:
    """Three significant digits, without an exponent."""
    if not value:
        return "0"
    for limit, decimals in ((0.995, 3), (9.995, 2), (99.95, 1)):
        if value < limit:
            return f"{value:.{decimals}f}"
    return f"{value:.0f}"


def _scaled(value: float, units: Sequence[tuple[float, str]]) -> tuple[str, str]:
    scale, unit = next((fit for fit in units if value < fit[0] * 999.5), units[-1])
    return significant(value / scale), unit


@_remembered
def duration(seconds: float) -> str:
    """A time with the unit that fits, 8 columns wide at most, its unit in the last two: `5.41 ms`, `2.05 s `."""
    number, unit = _scaled(seconds, ((1e-9, "ns"), (1e-6, "µs"), (1e-3, "ms"), (1.0, "s")))
    return f"{number} {unit:<2}"


@_remembered
def size(count: float) -> str:
    """Bytes in powers of ten: `98.1 MB`."""
    if count < 999.5:
        return f"{count:.0f} B"
    return " ".join(_scaled(count, ((1e3, "kB"), (1e6, "MB"), (1e9, "GB"), (1e12, "TB"))))


def count(number: int) -> str:
    """A count: all its digits up to 99999, then three: `412 k`."""
    if number < 100_000:
        return str(number)
    return " ".join(_scaled(number, ((1e3, "k"), (1e6, "M"), (1e9, "G"))))


@_remembered
def percent(share: float) -> str:
    """A share of one: `81 %`, `0.4 %`, `<0.1 %`."""
    if share and share < 0.00995:
        return f"{share * 100:.1f} %" if share >= 0.0005 else "<0.1 %"
    return f"{share * 100:.0f} %"


def plural(number: int, noun: str, nouns: str = "") -> str:
    """A count of things: `1 graph`, `2 graphs`."""
    return f"{count(number)} {noun if number == 1 else nouns or noun + 's'}"
