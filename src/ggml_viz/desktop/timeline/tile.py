"""Reads a tile: what a window of time shows of each lane, as a Source packs it (docs/http-api.md)."""

from __future__ import annotations

import struct
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from ggml_viz.desktop.timeline.view import View

_MAGIC = 0x31545647
_HEADER = struct.Struct("<II3dIIIIQ")
_LANE = struct.Struct("<4I")
_LIVE = 1


class TileError(ValueError):
    """The bytes are no tile."""


@dataclass(frozen=True)
class Shares:
    """How much of each column's time each kind of work took.

    Attributes:
        shares: uint8 array [columns, kinds, 2]: work, wait; 255 is all of the column's time.
    """

    shares: npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Spans:
    """Each span by itself. Times are in widths of the tile, from its beginning; they may reach outside.

    Attributes:
        begin: Sorted.
        duration: How long.
        wait: How much of its end was waiting.
        run: Number of its run.
        node: Of lanes of graphs the graph's number, of splits the first node, of copies their bytes.
        label: Index in the timeline's labels.
        reach: The largest end up to each: it tells from where on spans reach into a window.
    """

    begin: npt.NDArray[np.float32]
    duration: npt.NDArray[np.float32]
    wait: npt.NDArray[np.float32]
    run: npt.NDArray[np.uint32]
    node: npt.NDArray[np.uint32]
    label: npt.NDArray[np.uint32]
    reach: npt.NDArray[np.float32]

    def reaching(self, begin: float, end: float) -> tuple[int, int]:
        """From which index to which (excluded) all spans lie that reach into a part; others may be among them."""
        # Not by numpy: that lets go of the interpreter, and a frame would wait until it gets it back.
        first, last = bisect_right(self._reaches, begin), bisect_left(self._begins, end)
        return first, max(first, last)

    @cached_property
    def _reaches(self) -> memoryview:
        return self.reach.data

    @cached_property
    def _begins(self) -> memoryview:
        return self.begin.data


@dataclass(frozen=True)
class Tile:
    """A window of time.

    Attributes:
        view: From when until when.
        latest: How far is recorded.
        columns: How many pixels it was made for.
        is_live: Whether more may come.
        lanes: What each shows, by id.
    """

    view: View
    latest: float
    columns: int
    is_live: bool
    lanes: dict[int, Shares | Spans]


def read_tile(data: bytes) -> Tile:
    """Reads one.

    Raises:
        TileError: The bytes are no tile.
    """
    if len(data) < _HEADER.size:
        raise TileError("the tile is too short")
    magic, _, begin, end, latest, columns, count, kinds, flags, _ = _HEADER.unpack_from(data)
    if magic != _MAGIC:
        raise TileError("this is no tile")
    if _HEADER.size + count * _LANE.size > len(data):
        raise TileError("the tile's lanes are cut off")
    lanes: dict[int, Shares | Spans] = {}
    for i in range(count):
        lane, mode, length, offset = _LANE.unpack_from(data, _HEADER.size + i * _LANE.size)
        size = length * kinds * 2 if mode == 0 else length * 24
        if offset % 4 or offset + size > len(data):
            raise TileError("a lane of the tile is cut off")
        if mode == 0:
            lanes[lane] = Shares(np.frombuffer(data, np.uint8, size, offset).reshape(length, kinds, 2))
        else:
            lanes[lane] = _spans(data, length, offset)
    return Tile(View(begin, end), latest, columns, bool(flags & _LIVE), lanes)


def _spans(data: bytes, count: int, offset: int) -> Spans:
    begin, duration, wait = np.frombuffer(data, np.float32, 3 * count, offset).reshape(3, count)
    run, node, label = np.frombuffer(data, np.uint32, 3 * count, offset + 12 * count).reshape(3, count)
    if count and (begin[1:] < begin[:-1]).any():
        order = np.argsort(begin, kind="stable")
        begin, duration, wait = begin[order], duration[order], wait[order]
        run, node, label = run[order], node[order], label[order]
    return Spans(begin, duration, wait, run, node, label, np.maximum.accumulate(begin + duration))
