"""The tables of a trace in SQL, by DuckDB.

A query costs what it asks for: only the tables and columns that its text names are made and handed over, as numpy
arrays that DuckDB reads where they lie. Nothing else can be reached from a query: neither files nor the network.
"""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ggml_viz.errors import UserError, need_extra
from ggml_viz.model.table import Text
from ggml_viz.model.tables import FIELDS

if TYPE_CHECKING:
    from pathlib import Path

    from ggml_viz.model.trace import Trace

# Longer text columns go as numbers and a table of what they stand for; shorter ones as they are.
_LONG_ROWS = 50_000
_ROWS_AT_ONCE = 10_000
_WORD = re.compile(r"\w+")
_TEXT = re.compile(r"'(?:[^']|'')*'")
# What reads columns without naming them: SELECT *, t.*, COLUMNS(…), FROM without SELECT, NATURAL JOIN, SUMMARIZE.
_ALL = re.compile(
    r"(\bselect|\bdistinct|\ball|,|\.)\s*\*|\b(columns|natural|summarize|describe|pivot|unpivot)\b", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Result:
    """What a query returned.

    Attributes:
        columns: Names.
        types: DuckDB's names of their types.
        batches: The rows, some at a time.
    """

    columns: list[str]
    types: list[str]
    batches: Iterator[list[tuple[Any, ...]]]


@dataclass(frozen=True, slots=True)
class Guard:
    """What a stranger's query may take. It may read, and nothing else.

    Attributes:
        seconds: Then it is interrupted.
        memory_bytes: DuckDB keeps to it, but for what a single function makes.
        rows: More are not fetched.
    """

    seconds: float
    memory_bytes: int
    rows: int


@dataclass(frozen=True, slots=True)
class FirstRows:
    """The beginning of what a query returned.

    Attributes:
        columns: Names.
        types: DuckDB's names of their types.
        rows: As many as the guard lets through.
        truncated: Whether there were more.
    """

    columns: list[str]
    types: list[str]
    rows: list[tuple[Any, ...]]
    truncated: bool


class Database:
    """A connection in which the tables of a trace can be queried.

    Args:
        trace: The trace.
        guard: Set where the queries are a stranger's.

    Raises:
        UserError: DuckDB is not installed.
    """

    def __init__(self, trace: Trace, guard: Guard | None = None) -> None:
        duckdb = self._duckdb = need_extra("duckdb", "sql")
        self._trace = trace
        self._guard = guard
        config: dict[str, Any] = {"python_enable_replacements": False}
        if guard:
            # What finds no room in memory would be written to files.
            config |= {"memory_limit": f"{guard.memory_bytes // 1000}KB", "temp_directory": "", "threads": 2}
        self._connection = duckdb.connect(config=config)
        self._connection.execute("SET enable_external_access = false")
        self._connection.execute("SET lock_configuration = true")
        self._given: dict[str, set[str]] = {}

    def query(self, sql: str) -> Result:
        """Runs a query.

        Raises:
            UserError: It is wrong, with what DuckDB says of it.
            KeyboardInterrupt: It was interrupted.
        """
        self.prepare(sql)
        try:
            cursor = self._execute(sql)
        except self._duckdb.BinderException as error:
            # It may name columns in a way that its text does not show.
            missing = [table for table in _named(sql) if self._given[table] != set(self._trace.table(table))]
            if not missing:
                raise _told(error) from None
            for table in missing:
                self._give(table, self._trace.table(table).columns)
            try:
                cursor = self._execute(sql)
            except self._duckdb.Error as second:
                raise _told(second) from None
        except self._duckdb.InterruptException:
            raise KeyboardInterrupt from None
        except self._duckdb.Error as error:
            raise _told(error) from None
        described = cursor.description or []
        return Result([row[0] for row in described], [str(row[1]) for row in described], self._batches(cursor))

    def prepare(self, sql: str) -> None:
        """Makes the tables that a query names, which is what takes long of its first one."""
        for table, columns in _named(sql).items():
            self._give(table, columns)

    def first_rows(self, sql: str) -> FirstRows:
        """Runs a stranger's query.

        Raises:
            UserError: It is wrong, is not one that reads, or takes more than the guard lets it.
        """
        guard = self._guard
        assert guard is not None
        timer = threading.Timer(guard.seconds, self._connection.interrupt)
        timer.start()
        try:
            result = self.query(sql)
            rows: list[tuple[Any, ...]] = []
            for batch in result.batches:
                rows += batch
                if len(rows) > guard.rows:
                    break
            return FirstRows(result.columns, result.types, rows[: guard.rows], len(rows) > guard.rows)
        except KeyboardInterrupt:
            raise UserError(
                f"the query took longer than {guard.seconds:.0f} s and was ended", "Ask for less."
            ) from None
        finally:
            timer.cancel()
            with contextlib.suppress(self._duckdb.Error):  # there is none, where the query was refused
                self._connection.rollback()

    def write_parquet(self, sql: str, path: Path) -> int:
        """Writes what a query returns to a Parquet file, and returns how many rows that is.

        Raises:
            UserError: The query is wrong, or the file cannot be written.
        """
        result = self.query(sql)
        rows = [row for batch in result.batches for row in batch]
        with self._duckdb.connect() as own:
            try:
                columns = ", ".join(
                    f"{_quoted(name)} {kind}" for name, kind in zip(result.columns, result.types, strict=True)
                )
                own.execute(f"CREATE TABLE result ({columns})")
                if rows:
                    own.executemany(f"INSERT INTO result VALUES ({', '.join('?' * len(result.columns))})", rows)
                own.execute(f"COPY result TO '{str(path).replace(chr(39), chr(39) * 2)}' (FORMAT parquet)")
            except self._duckdb.Error as error:
                raise _told(error) from None
        return len(rows)

    def _execute(self, sql: str) -> Any:
        if self._guard is None:
            return self._connection.execute(sql)
        statements = self._duckdb.extract_statements(sql)
        if len(statements) != 1 or statements[0].type != self._duckdb.StatementType.SELECT:
            raise UserError("only one SELECT can be asked at a time", "For example: FROM runs LIMIT 10")
        # Even a SELECT can write, in its WITH.
        self._connection.execute("BEGIN TRANSACTION READ ONLY")
        try:
            return self._connection.execute(sql)
        except BaseException:
            self._connection.rollback()
            raise

    def _batches(self, cursor: Any) -> Iterator[list[tuple[Any, ...]]]:
        try:
            while rows := cursor.fetchmany(_ROWS_AT_ONCE):
                yield rows
        except self._duckdb.InterruptException:
            raise KeyboardInterrupt from None
        except self._duckdb.Error as error:
            raise _told(error) from None

    def _give(self, name: str, columns: Sequence[str]) -> None:
        """Makes a table visible, with these columns and those that it has already."""
        known = self._given.get(name, set())
        table = self._trace.table(name)
        wanted = [column for column in table.columns if column in known or column in columns] or table.columns[:1]
        if known.issuperset(wanted):
            return
        arrays: dict[str, Any] = {}
        selected, joins = [], []
        for column, values in table.load(wanted).items():
            quoted = _quoted(column)
            if not isinstance(values, Text):
                arrays[column] = values
                selected.append(f"data.{quoted}")
            elif len(values) <= _LONG_ROWS:
                arrays[column] = np.asarray(values)
                selected.append(f"data.{quoted}")
            else:
                names = f"{name} {column}"
                texts = np.array([*values.values, ""], object)[:-1]
                self._connection.register(names, {"code": np.arange(len(texts), dtype=np.uint32), "text": texts})
                arrays[column] = values.codes
                joins.append(f"LEFT JOIN {_quoted(names)} ON data.{quoted} = {_quoted(names)}.code")
                selected.append(f"{_quoted(names)}.text AS {quoted}")
        self._connection.register(f"{name} data", arrays)
        source = f"{_quoted(name + ' data')} AS data {' '.join(joins)}"
        self._connection.execute(
            f"CREATE OR REPLACE VIEW {name} AS SELECT {', '.join(selected)} FROM {source}"
        ).fetchall()
        self._given[name] = set(wanted)


def _named(sql: str) -> dict[str, list[str]]:
    """The tables that the text of a query names, and the columns of each; more than it needs, if in doubt."""
    plain = _TEXT.sub("''", sql)
    words = {word.lower() for word in _WORD.findall(plain)}
    takes_all = "select" not in words or _ALL.search(plain) is not None
    return {
        name: [field.name for field in fields if takes_all or field.name in words]
        for name, fields in FIELDS.items()
        if name in words
    }


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _told(error: Exception) -> UserError:
    """DuckDB's message without what a program would want to know of it."""
    lines = [line.rstrip() for line in str(error).split("\n\n")[0].splitlines() if line.strip()]
    at = [line for line in str(error).splitlines() if line.startswith("LINE")]
    return UserError(" ".join(lines) or "the query failed", at[0] if at else None)
