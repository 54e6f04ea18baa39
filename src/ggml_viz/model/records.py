"""What the fields of records mean."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from ggml_viz.native import Structured

STATUS_UNFINISHED = 65_535
"""The status of a run that never ended."""

_SHIFT_MASK = 0x0F


def shifted(records: Structured, field: str) -> npt.NDArray[np.uint64]:
    """A duration field of records [n], in ticks."""
    ticks: npt.NDArray[np.uint64] = records[field].astype(np.uint64)
    shift = records["shift"] & np.uint8(_SHIFT_MASK)
    if shift.any():
        ticks <<= shift
    return ticks
