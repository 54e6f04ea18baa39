"""A table of columns, each a numpy array that is made when it is first asked for."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ggml_viz.errors import need_extra, printable

_SHOWN_ROWS = 10
_SHOWN_WIDTH = 28


class Text:
    """A column of text in which few values occur many times: numbers, and what they stand for.

    Args:
        codes: Index of each row's text in `values`: unsigned array [rows].
        values: The distinct texts.
    """

    __slots__ = ("codes", "values")

    def __init__(self, codes: npt.NDArray[Any], values: Sequence[str]) -> None:
        self.codes = codes
        self.values = list(values)

    @classmethod
    def of(cls, texts: Sequence[str]) -> Text:
        """A column of the given texts, in which each distinct one is kept once."""
        values: dict[str, int] = {}
        codes = np.array([values.setdefault(text, len(values)) for text in texts], np.uint32)
        return cls(codes, list(values))

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, index: Any) -> Any:
        """The text of one row; of several, a column again."""
        if isinstance(index, (int, np.integer)):
            return self.values[int(self.codes[index])]
        return Text(self.codes[index], self.values)

    def __iter__(self) -> Iterator[str]:
        return (self.values[code] for code in self.codes.tolist())

    def __eq__(self, other: object) -> Any:
        """Where the column equals a text: bool array [rows]."""
        if not isinstance(other, str):
            return NotImplemented
        return np.isin(self.codes, [i for i, value in enumerate(self.values) if value == other])

    __hash__ = None  # type: ignore[assignment]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        """The texts as an array of objects [rows]."""
        values = np.array([*self.values, ""], object)[:-1]
        texts: npt.NDArray[Any] = values[self.codes] if len(values) else np.empty(0, object)
        return texts if dtype is None else texts.astype(dtype)

    def __repr__(self) -> str:
        return f"Text({len(self)} rows, {len(self.values)} distinct)"


Column: TypeAlias = "npt.NDArray[Any] | Text"
Loader: TypeAlias = Callable[[Sequence[str]], Mapping[str, Column]]


@dataclass(frozen=True, slots=True)
class Field:
    """What a column holds.

    Attributes:
        name: Of the column; a unit is its last part: `wall_ns`, `size_bytes`.
        meaning: In words.
    """

    name: str
    meaning: str


class Table(Mapping[str, "Column"]):
    """Columns of equal length, by name. Numbers are numpy arrays, where some are missing masked ones; text is a `Text`.

    Args:
        name: Of the table.
        fields: Its columns.
        load: Makes the named columns, and may make others along with them.
    """

    def __init__(self, name: str, fields: Sequence[Field], load: Loader) -> None:
        self.name = name
        self.fields = tuple(fields)
        self._load = load
        self._columns: dict[str, Column] = {}

    @property
    def columns(self) -> list[str]:
        """Names of the columns."""
        return [field.name for field in self.fields]

    def load(self, names: Sequence[str] | None = None) -> dict[str, Column]:
        """Several columns, made in one go; all of them if none are named.

        Raises:
            KeyError: There is no such column.
        """
        names = self.columns if names is None else list(names)
        if unknown := set(names).difference(self.columns):
            raise KeyError(f"{self.name} has no column {', '.join(sorted(unknown))}; it has {', '.join(self.columns)}")
        missing = [name for name in names if name not in self._columns]
        if missing:
            self._columns.update(self._load(missing))
        return {name: self._columns[name] for name in names}

    def __getitem__(self, name: str) -> Any:
        """One column."""
        return self.load([name])[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.columns)

    def __len__(self) -> int:
        """How many rows it has."""
        known = next(iter(self._columns.values()), None)
        return len(self[self.fields[0].name] if known is None else known)

    def to_arrow(self, names: Sequence[str] | None = None) -> Any:
        """As a pyarrow.Table; numbers are not copied.

        Raises:
            UserError: pyarrow is not installed.
        """
        arrow = need_extra("pyarrow", "arrow")
        arrays = {}
        for name, column in self.load(names).items():
            if isinstance(column, Text):
                values = arrow.array(column.values, arrow.string())
                arrays[name] = arrow.DictionaryArray.from_arrays(arrow.array(column.codes), values)
            elif isinstance(column, np.ma.MaskedArray):
                arrays[name] = arrow.array(column.data, mask=np.ma.getmaskarray(column))
            else:
                arrays[name] = arrow.array(column)
        return arrow.table(arrays)

    def to_polars(self, names: Sequence[str] | None = None) -> Any:
        """As a polars.DataFrame, text as categories.

        Raises:
            UserError: polars is not installed.
        """
        polars = need_extra("polars", "polars")
        series = []
        for name, column in self.load(names).items():
            if isinstance(column, Text):
                categories = polars.Series(column.values, dtype=polars.String)
                texts = categories.gather(polars.Series(column.codes.astype(np.uint32)))
                series.append(texts.cast(polars.Categorical).alias(name))
            elif isinstance(column, np.ma.MaskedArray):
                valid = polars.Series(~np.ma.getmaskarray(column))
                values = polars.DataFrame({"value": column.data, "valid": valid})
                series.append(
                    values.select(polars.when(polars.col("valid")).then(polars.col("value")))["value"].alias(name)
                )
            else:
                series.append(polars.Series(name, column))
        return polars.DataFrame(series)

    def to_pandas(self, names: Sequence[str] | None = None) -> Any:
        """As a pandas.DataFrame, text as categories.

        Raises:
            UserError: pandas is not installed.
        """
        pandas = need_extra("pandas", "pandas")
        series: dict[str, Any] = {}
        for name, column in self.load(names).items():
            if isinstance(column, Text):
                distinct = list(dict.fromkeys(column.values))
                first = {value: code for code, value in enumerate(distinct)}
                codes = np.array([*(first[value] for value in column.values), 0], np.int32)[column.codes]
                series[name] = pandas.Categorical.from_codes(codes, distinct)
            elif isinstance(column, np.ma.MaskedArray):
                kind = pandas.arrays.FloatingArray if column.dtype.kind == "f" else pandas.arrays.IntegerArray
                series[name] = kind(column.data.copy(), np.ma.getmaskarray(column).copy())
            else:
                series[name] = column
        return pandas.DataFrame(series)

    def head(self, rows: int = _SHOWN_ROWS) -> list[list[str]]:
        """The first rows as text, a list for each."""
        columns = [column[:rows] for column in self.load().values()]
        return [[_shown(column[row]) for column in columns] for row in range(min(rows, len(self)))]

    def __repr__(self) -> str:
        rows = [self.columns, *self.head()]
        widths = [max(len(row[i]) for row in rows) for i in range(len(self.fields))]
        lines = ["  ".join(f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True)) for row in rows]
        more = len(self) - _SHOWN_ROWS
        return "\n".join([f"{self.name}: {len(self)} rows", *lines, *([f"… {more} more"] if more > 0 else [])])

    def _repr_html_(self) -> str:
        head = "".join(f'<th title="{html.escape(field.meaning)}">{field.name}</th>' for field in self.fields)
        body = "".join(
            "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in self.head()
        )
        return f"<table><caption>{self.name}: {len(self)} rows</caption><tr>{head}</tr>{body}</table>"


def _shown(value: Any) -> str:
    if value is np.ma.masked:
        return ""
    if isinstance(value, (float, np.floating)):
        return f"{value:.6g}"
    text = printable(str(value))
    return text if len(text) <= _SHOWN_WIDTH else text[: _SHOWN_WIDTH - 1] + "…"
