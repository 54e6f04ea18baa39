"""The order of a table's rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def in_order(values: Sequence[Any], descending: bool) -> list[int]:
    """Indices of values in order; those that are None come last either way, equal ones as they were."""
    known = [index for index, value in enumerate(values) if value is not None]
    unknown = [index for index, value in enumerate(values) if value is None]
    return [*sorted(known, key=lambda index: natural(values[index]), reverse=descending), *unknown]


def natural(value: Any) -> Any:
    """What a value is sorted by: texts without regard to case, and numbers in them as numbers."""
    if not isinstance(value, str):
        return value
    parts: list[tuple[int, int, str]] = []
    digits = ""
    for letter in [*value.casefold(), ""]:
        if letter.isascii() and letter.isdigit():
            digits += letter
            continue
        if digits:
            parts.append((0, int(digits), ""))
            digits = ""
        parts.append((1, 0, letter))
    return parts


def matches(name: str, wanted: str) -> bool:
    """Whether a name has a text in it, or each of its words."""
    low = name.casefold()
    return all(word in low for word in wanted.casefold().split())
