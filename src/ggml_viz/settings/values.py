"""Reads the values of settings as people write them, and writes them back: sizes, lists, ranges of tokens.

A parser takes what a flag, a variable or a file holds and returns the value, or raises ValueError. Words are what flags
and variables have; files have numbers and arrays too.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

# What the agent keeps of a list, with its terminator: GV_SETTINGS_LIST_BYTES.
_LIST_BYTES = 1024
_LARGEST = 2**63 - 1  # what the agent and the recorder count in, and TOML's largest number

_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_UNITS |= {"KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}
_WRITTEN_UNITS = {"GB": 10**9, "GiB": 2**30, "MB": 10**6, "MiB": 2**20}


class TokenRange(NamedTuple):
    """Generated tokens, counted from 1.

    Attributes:
        first: The first.
        last: The last; None: to the end.
    """

    first: int
    last: int | None

    def __str__(self) -> str:
        return f"{self.first}-{'' if self.last is None else self.last}"


def whole_number(least: int) -> Callable[[Any], int]:
    """Makes a parser of whole numbers."""

    def parse(value: Any) -> int:
        if isinstance(value, str) and re.fullmatch(r"[0-9]{1,19}", value):
            value = int(value)
        if type(value) is not int or not least <= value <= _LARGEST:
            raise ValueError
        return value

    return parse


def names(value: Any) -> tuple[str, ...]:
    """Parses a list: words between commas, or an array of words."""
    if isinstance(value, str):
        value = value.split(",")
    if not isinstance(value, list | tuple) or not all(isinstance(word, str) for word in value):
        raise ValueError
    words = tuple(word.strip() for word in value)
    if not all(word and word.isprintable() and "," not in word for word in words):
        raise ValueError
    if len(",".join(words).encode()) >= _LIST_BYTES:
        raise ValueError
    return words


def tokens(value: Any) -> TokenRange:
    """Parses a range of tokens: `10-20`, `10-`, `-20`, `10`."""
    if type(value) is int:
        value = str(value)
    if not isinstance(value, str):
        raise ValueError
    found = re.fullmatch(r"([0-9]{1,18})|([0-9]{0,18})-([0-9]{0,18})", value)
    if not found or found[0] == "-":
        raise ValueError
    if found[1]:
        return tokens(f"{value}-{value}")
    first, last = int(found[2] or 1), int(found[3]) if found[3] else None
    if first < 1 or (last is not None and last < first):
        raise ValueError
    return TokenRange(first, last)


def size(least: int) -> Callable[[Any], int]:
    """Makes a parser of sizes in bytes: `200MB` is 200 · 10⁶, `200MiB` is 200 · 2²⁰."""

    def parse(value: Any) -> int:
        if isinstance(value, str):
            found = re.fullmatch(r"([0-9]{1,15}(?:\.[0-9]{1,9})?) ?([A-Za-z]*)", value)
            if not found or found[2].upper() not in _UNITS:
                raise ValueError
            value = int(float(found[1]) * _UNITS[found[2].upper()])
        if type(value) is not int or not least <= value <= _LARGEST:
            raise ValueError
        return value

    return parse


def size_text(value: int) -> str:
    """A size in bytes, exactly, in the largest unit that does: `200MB`, `1GiB`."""
    for unit, scale in _WRITTEN_UNITS.items():
        if value >= scale and value % scale == 0:
            return f"{value // scale}{unit}"
    return str(value)


def truth(value: Any) -> bool:
    """Parses yes or no."""
    words = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
    if isinstance(value, str) and value.lower() in words:
        return words[value.lower()]
    if type(value) is not bool:
        raise ValueError
    return value


def path(value: Any) -> Path:
    """Parses a path; `~` is the user's home."""
    if isinstance(value, Path):
        return value
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError
    try:
        return Path(value).expanduser()
    except RuntimeError:  # there is no such user
        raise ValueError from None


def one_of(*words: str) -> Callable[[Any], str]:
    """Makes a parser of one word out of some."""

    def parse(value: Any) -> str:
        if value not in words:
            raise ValueError
        return str(value)

    return parse
