"""What the fields of records mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from ggml_viz.native import Structured

STATUS_UNFINISHED = 65_535
"""The status of a run that never ended."""

_SHIFT_MASK = 0x0F


def taken(records: Structured, rows: npt.NDArray[Any]) -> Structured:
    """Some records, by a mask or by indices; numpy itself would copy them field by field, which takes far longer."""
    some: Structured = _opaque(records)[rows].view(records.dtype)
    return some


def joined(parts: Sequence[Structured]) -> Structured:
    """Records one behind the other; at least one array of them, all of one type."""
    return np.concatenate([_opaque(part) for part in parts]).view(parts[0].dtype)


def _opaque(records: Structured) -> npt.NDArray[np.void]:
    return np.ascontiguousarray(records).view(f"V{records.dtype.itemsize}")


def shifted(records: Structured, field: str) -> npt.NDArray[np.uint64]:
    """A duration field of records [n], in ticks."""
    ticks: npt.NDArray[np.uint64] = records[field].astype(np.uint64)
    shift = records["shift"] & np.uint8(_SHIFT_MASK)
    if shift.any():
        ticks <<= shift
    return ticks
