"""Pictures of lanes that hold more than rectangles could show: of each column a stack of what took its time."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

# Shares are rounded up or down each by itself: a full column is full.
_FULL = 250 / 255


def stacked(shares: npt.NDArray[np.float32], colours: npt.NDArray[np.uint32], height: int) -> npt.NDArray[np.uint32]:
    """Stacks shares up from the bottom, the first lowest, and leaves the rest of each column free.

    Args:
        shares: Of each column's time, 0 to 1: [columns, classes].
        colours: Of the classes, and at the end that of nothing, packed as ABGR: [classes + 1].
        height: In pixels.

    Returns:
        The picture, the top row first: uint32 array [height, columns].
    """
    total = np.cumsum(shares, axis=1)
    ends = np.where(total >= _FULL, height, np.rint(total * height)).astype(np.int16)
    rows = np.arange(height - 1, -1, -1, dtype=np.int16)[:, None]
    classes = np.zeros((height, len(shares)), np.uint8)
    for i in range(shares.shape[1]):
        classes += ends[:, i] <= rows
    return colours[classes]


def shares_of(
    begin: npt.NDArray[np.float32],
    end: npt.NDArray[np.float32],
    classes: npt.NDArray[np.uint8],
    class_count: int,
    columns: int,
) -> npt.NDArray[np.float32]:
    """How much of each column's time intervals of each class took.

    Args:
        begin: As shares of the whole width, sorted within a class: [n].
        end: The same.
        classes: Which each belongs to.
        class_count: How many classes there are.
        columns: Into how many the width is cut.

    Returns:
        float32 array [columns, class_count], 1 is all of a column's time.
    """
    edges = np.linspace(0.0, 1.0, columns + 1)
    shares = np.zeros((columns, class_count), np.float32)
    for number in np.unique(classes).tolist():
        mine = np.flatnonzero(classes == number)
        first, last = begin[mine].astype(np.float64), end[mine].astype(np.float64)
        at = np.empty(2 * len(mine))
        at[::2], at[1::2] = first, last
        so_far = np.zeros(2 * len(mine))
        so_far[1::2] = np.cumsum(last - first)
        so_far[2::2] = so_far[1:-1:2]
        # What overlaps is told as if it came one behind the other.
        at = np.maximum.accumulate(at)
        shares[:, number] = np.diff(np.interp(edges, at, so_far)) * columns
    return np.minimum(shares, 1.0)
