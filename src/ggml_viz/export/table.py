"""One of a trace's tables as CSV, JSON or Parquet."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Any, BinaryIO

from ggml_viz.model.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ggml_viz.export.selection import Selection

_ROWS_AT_ONCE = 1 << 16
_ROW_GROUP = 1 << 20


def write_csv(selection: Selection, name: str, out: BinaryIO) -> None:
    """Writes a table with a header; what is missing is empty."""
    text = io.TextIOWrapper(out, "utf-8", newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(selection.trace.table(name).columns)
    for rows in _batches(selection, name):
        writer.writerows(rows)
    text.flush()
    text.detach()


def write_json(selection: Selection, name: str, out: BinaryIO) -> None:
    """Writes a table as an array of objects, one a line; what is missing is null."""
    columns = selection.trace.table(name).columns
    separator = "[\n"
    for rows in _batches(selection, name):
        lines = (json.dumps(dict(zip(columns, row, strict=True)), ensure_ascii=False) for row in rows)
        out.write((separator + ",\n".join(lines)).encode())
        separator = ",\n"
    out.write(b"[]\n" if separator == "[\n" else b"\n]\n")


def write_parquet(selection: Selection, name: str, out: BinaryIO) -> None:
    """Writes a table, text as dictionaries.

    Raises:
        UserError: pyarrow is not installed.
    """
    rows = selection.rows(name)
    table = Table(name, selection.trace.table(name).fields, lambda columns: rows).to_arrow()
    import pyarrow.parquet

    of_text = [field.name for field in table.schema if str(field.type).startswith("dictionary")]
    pyarrow.parquet.write_table(
        table, out, row_group_size=_ROW_GROUP, use_dictionary=of_text, compression="snappy", write_statistics=False
    )


def _batches(selection: Selection, name: str) -> Iterator[list[tuple[Any, ...]]]:
    columns = list(selection.rows(name).values())
    for start in range(0, len(columns[0]), _ROWS_AT_ONCE):
        parts = [column[start : start + _ROWS_AT_ONCE] for column in columns]
        rows = zip(*(part.tolist() if hasattr(part, "tolist") else list(part) for part in parts), strict=True)
        yield list(rows)
