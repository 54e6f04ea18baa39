"""Writes the rows of a query: as a table for people, as CSV and JSON for programs."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Sequence
from typing import Any, TextIO

from ggml_viz.settings.model import Ui
from ggml_viz.terminal.text import BOLD, DIM, Page, plural, printable

_NARROWEST = 6
_WIDEST = 60


def print_table(
    columns: Sequence[str], batches: Iterable[list[tuple[Any, ...]]], most: int, file: TextIO, ui: Ui
) -> None:
    """Prints rows as a table that fits the width, numbers to the right.

    Args:
        columns: Names.
        batches: The rows, some at a time.
        most: How many rows to print; of others only the count.
        file: Where to.
        ui: How it is to look.
    """
    page = Page(file, ui)
    rows: list[tuple[Any, ...]] = []
    count = 0
    for batch in batches:
        rows += batch[: max(most - count, 0)]
        count += len(batch)
    cells = [[_cell(value) for value in row] for row in rows]
    is_number = [all(isinstance(row[i], (int, float)) or row[i] is None for row in rows) for i in range(len(columns))]
    wanted = [
        min(max([len(name), *(len(row[i]) for row in cells)]), _WIDEST)
        for i, name in enumerate(map(printable, columns))
    ]
    widths = _fitted(wanted, page.width)

    def line(texts: Sequence[str]) -> str:
        fields = (
            f"{page.cut(text, width):>{width}}" if number else f"{page.cut(text, width):<{width}}"
            for text, width, number in zip(texts, widths, is_number, strict=True)
        )
        return "  ".join(fields)

    page.print([page.paint(line([printable(name) for name in columns]).rstrip(), BOLD), *map(line, cells)])
    shown = plural(count, "row")
    page.print([page.paint(shown if count == len(rows) else f"{shown}, the first {len(rows)} shown (--max-rows)", DIM)])


def write_csv(columns: Sequence[str], batches: Iterable[list[tuple[Any, ...]]], file: TextIO) -> None:
    """Writes rows as CSV with a header, by RFC 4180 but for its line ends."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(columns)
    for batch in batches:
        writer.writerows(batch)


def write_json(columns: Sequence[str], batches: Iterable[list[tuple[Any, ...]]], file: TextIO) -> None:
    """Writes rows as a JSON array of objects; what is no number (NaN, infinite) is null."""
    separator = "[\n"
    for batch in batches:
        for row in batch:
            item = {name: _finite(value) for name, value in zip(columns, row, strict=True)}
            file.write(separator + json.dumps(item, default=str, ensure_ascii=False))
            separator = ",\n"
    file.write("[]\n" if separator == "[\n" else "\n]\n")


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    return printable(str(value))


def _fitted(wanted: list[int], room: int) -> list[int]:
    """Widths that fit a line; the widest give way first."""
    widths = list(wanted)
    while widths and sum(widths) + 2 * (len(widths) - 1) > room and max(widths) > _NARROWEST:
        widths[widths.index(max(widths))] -= 1
    return widths
