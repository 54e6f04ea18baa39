"""Cutting time into columns: how much of each column some intervals take."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


class Columns:
    """How much of each column some intervals take, by part.

    The time an interval takes up to an edge is linear between its begin and its end; so each end adds to two columns,
    and sums over columns give the rest.

    Args:
        parts: Number of parts.
        count: Number of columns.
    """

    def __init__(self, parts: int, count: int) -> None:
        self._parts = parts
        self._count = count
        self._slopes = np.zeros(parts * (count + 2))

    def add(
        self,
        begin: npt.NDArray[np.float64],
        end: npt.NDArray[np.float64],
        part: npt.NDArray[Any],
        weight: npt.NDArray[np.float64] | None = None,
    ) -> None:
        """Adds intervals: [n] arrays of begins and ends in columns, of parts, and of the share of each that counts."""
        begin, end = np.clip(begin, 0, self._count), np.clip(end, 0, self._count)
        keep = end > begin
        weights = np.ones(np.count_nonzero(keep)) if weight is None else weight[keep]
        first = part[keep].astype(np.int64) * (self._count + 2)
        for edge, sign in ((begin[keep], weights), (end[keep], -weights)):
            whole = edge.astype(np.int64)
            rest = edge - whole
            size = len(self._slopes)
            self._slopes += np.bincount(first + whole, sign * (1 - rest), size)
            self._slopes += np.bincount(first + whole + 1, sign * rest, size)

    def shares(self) -> npt.NDArray[np.float64]:
        """How much of each column each part takes: [parts, columns]; all together no more than the column."""
        shares = np.cumsum(self._slopes.reshape(self._parts, -1), axis=1)[:, : self._count]
        # Sums of many small numbers do not end in an exact zero.
        shares[shares < 1e-9] = 0
        scaled: npt.NDArray[np.float64] = shares / np.maximum(shares.sum(axis=0), 1)
        return scaled
