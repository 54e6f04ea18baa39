"""Finds the lines on which a file's keys stand: the parsers of TOML and JSON do not tell.

Both functions are given text that has been parsed without an error, and return for each path of keys the line of its
first appearance, counted from 1.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

Lines = Mapping[tuple[str, ...], int]

_TOML_TOKENS = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}'
    r"|'''.*?'{3,5}"
    r'|"(?:\\.|[^"\\\n])*"'
    r"|'[^'\n]*'"
    r"|\#[^\n]*",
    re.DOTALL,
)
_TOML_HEADER = re.compile(r"\s*\[{1,2}([^\[\]=]+)\]{1,2}\s*")
_TOML_KEY = re.compile(r"\s*([\w-]+(?:\s*\.\s*[\w-]+)*)\s*=")
_JSON_TOKENS = re.compile(r'"(?:\\.|[^"\\])*"|[{}\[\]:\n]')


def toml_lines(text: str) -> Lines:
    """The lines of the keys of a TOML file."""
    lines: dict[tuple[str, ...], int] = {}
    table: tuple[str, ...] = ()
    depth = 0  # of the brackets of an array that goes over several lines
    for number, line in enumerate(_TOML_TOKENS.sub(_bare, text).split("\n"), 1):
        values = line
        if depth == 0 and (header := _TOML_HEADER.fullmatch(line)):
            table = _path(header[1])
            lines.setdefault(table, number)
            continue
        if depth == 0 and (key := _TOML_KEY.match(line)):
            path = (*table, *_path(key[1]))
            for length in range(len(table) + 1, len(path) + 1):
                lines.setdefault(path[:length], number)
            values = line[key.end() :]
        depth += sum(values.count(bracket) for bracket in "[{") - sum(values.count(bracket) for bracket in "]}")
    return lines


def _path(dotted: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in dotted.split("."))


def _bare(token: re.Match[str]) -> str:
    """A comment or string as something without brackets and quotes that takes as many lines."""
    if token[0].startswith("#"):
        return ""
    inside = token[0].strip("\"'")
    return inside if re.fullmatch(r"[\w-]+", inside) else "_" + "\n" * token[0].count("\n")


def json_lines(text: str) -> Lines:
    """The lines of the keys of a JSON file."""
    lines: dict[tuple[str, ...], int] = {}
    number = 1
    word = ""
    key: str | None = None  # what the next value is of
    above: list[str | None] = []
    for token in _JSON_TOKENS.findall(text):
        if token == "\n":
            number += 1
        elif token == ":":
            key = json.loads(word)
            lines.setdefault((*(part for part in above if part is not None), str(key)), number)
        elif token in "{[":
            above.append(key)
            key = None
        elif token in "}]":
            above.pop()
        else:
            word = token
    return lines


def line_of(lines: Lines, *path: str) -> int | None:
    """The line of a key, or else of what it is in."""
    for length in range(len(path), 0, -1):
        if path[:length] in lines:
            return lines[path[:length]]
    return None
