"""Reading tiles by their description in docs/http-api.md, without the code that writes them."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

SHARES, SPANS = range(2)


@dataclass(frozen=True)
class Spans:
    """Arrays [spans], times as shares of the window's width."""

    begin: npt.NDArray[np.float32]
    duration: npt.NDArray[np.float32]
    wait: npt.NDArray[np.float32]
    run: npt.NDArray[np.uint32]
    node: npt.NDArray[np.uint32]
    label: npt.NDArray[np.uint32]


@dataclass(frozen=True)
class Tile:
    """A tile: of each lane either shares [columns, kinds, 2] or spans."""

    request: int
    from_s: float
    until_s: float
    latest_s: float
    columns: int
    flags: int
    lanes: dict[int, Spans | npt.NDArray[np.uint8]]


def read_tile(data: bytes) -> Tile:
    magic, request, from_s, until_s, latest_s, columns, count, kinds, flags, _ = struct.unpack_from("<II3dIIIIQ", data)
    assert magic == 0x31545647
    lanes: dict[int, Spans | npt.NDArray[np.uint8]] = {}
    for i in range(count):
        lane, mode, rows, offset = struct.unpack_from("<4I", data, 56 + 16 * i)
        assert offset % 8 == 0
        if mode == SHARES:
            assert rows == columns
            lanes[lane] = np.frombuffer(data, np.uint8, rows * kinds * 2, offset).reshape(rows, kinds, 2)
            continue
        columns_of = [
            np.frombuffer(data, dtype, rows, offset + 4 * rows * place)
            for place, dtype in enumerate((np.float32, np.float32, np.float32, np.uint32, np.uint32, np.uint32))
        ]
        lanes[lane] = Spans(*columns_of)
    return Tile(request, from_s, until_s, latest_s, columns, flags, lanes)
