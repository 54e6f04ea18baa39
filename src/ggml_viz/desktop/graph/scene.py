"""A layer as arrays: its boxes and lines, who reads whom, and what of it lies in a frame."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

_DIRECTIONS = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}
# In pixels of the sheet: what is nearer is beside, not ahead.
_AHEAD = 20.0


class Scene:
    """A layer that was laid out.

    Args:
        layout: As Source.layer answers it.

    Attributes:
        width: Of the sheet, in its pixels.
        height: Likewise.
        left_out: How many nodes more the layer has.
        nodes: Its boxes, as they were answered.
        boxes: Left, top, right, bottom of each: [boxes, 4].
        outside: Which come from outside the layer: [boxes].
        lines: The parts of all edges, where they begin and end: [lines, 4].
        edge_of: Which edge each is a part of: [lines].
        ends: The boxes that each edge joins: [edges, 2].
    """

    def __init__(self, layout: Mapping[str, Any]) -> None:
        self.width, self.height = float(layout["width"]), float(layout["height"])
        self.left_out = int(layout["left_out"])
        self.nodes: list[dict[str, Any]] = layout["nodes"]
        self.boxes: npt.NDArray[np.float32] = np.array(
            [(n["x"], n["y"], n["x"] + n["width"], n["y"] + n["height"]) for n in self.nodes], np.float32
        ).reshape(-1, 4)
        self.outside = np.array([node["outside"] for node in self.nodes], bool)
        place = {node["id"]: i for i, node in enumerate(self.nodes)}
        lines: list[tuple[float, float, float, float]] = []
        edge_of: list[int] = []
        ends: list[tuple[int, int]] = []
        for number, edge in enumerate(layout["edges"]):
            ends.append((place[edge["from"]], place[edge["to"]]))
            points = edge["points"]
            for begin, end in pairwise(points):
                lines.append((*begin, *end))
                edge_of.append(number)
        self.lines = np.array(lines, np.float32).reshape(-1, 4)
        begins, ends_at = self.lines[:, :2], self.lines[:, 2:]
        self._around = np.concatenate([np.minimum(begins, ends_at), np.maximum(begins, ends_at)], axis=1)
        self.edge_of = np.array(edge_of, np.intp)
        self.ends = np.array(ends, np.intp).reshape(-1, 2)

    def visible_boxes(self, left: float, top: float, right: float, bottom: float) -> npt.NDArray[np.intp]:
        """Which boxes lie in a part of the sheet, at least in part: indices."""
        at = self.boxes
        return np.flatnonzero((at[:, 0] <= right) & (at[:, 2] >= left) & (at[:, 1] <= bottom) & (at[:, 3] >= top))

    def visible_lines(self, left: float, top: float, right: float, bottom: float) -> npt.NDArray[np.intp]:
        """Which lines may be seen in a part of the sheet: indices."""
        at = self._around
        return np.flatnonzero((at[:, 0] <= right) & (at[:, 2] >= left) & (at[:, 1] <= bottom) & (at[:, 3] >= top))

    def at(self, x: float, y: float) -> int | None:
        """The box at a place of the sheet."""
        box = self.boxes
        found = np.flatnonzero((box[:, 0] <= x) & (x <= box[:, 2]) & (box[:, 1] <= y) & (y <= box[:, 3]))
        return int(found[-1]) if len(found) else None

    def first_inside(self) -> int | None:
        """Where to begin."""
        inside = np.flatnonzero(~self.outside)
        return int(inside[0]) if len(inside) else 0 if self.nodes else None

    def of_node(self, node: int) -> list[int]:
        """The boxes of a node, or of a tensor that none computes, by its index in the graph.

        What is computed in the layer comes before what is only read in it.
        """
        # Of a fused group the first node, or the tensor of the last one.
        found = [i for i, box in enumerate(self.nodes) if node in (box["tensor"], box["node"])]
        return sorted(found, key=lambda i: bool(self.outside[i]))

    def edges_of(self, boxes: list[int]) -> npt.NDArray[np.bool_]:
        """Which edges begin or end at some boxes: [edges]."""
        return np.isin(self.ends[:, 0], boxes) | np.isin(self.ends[:, 1], boxes)

    def joined(self, boxes: list[int]) -> tuple[list[int], list[int]]:
        """The boxes that some boxes read, and those that read them."""
        reads = self.ends[np.isin(self.ends[:, 1], boxes), 0]
        readers = self.ends[np.isin(self.ends[:, 0], boxes), 1]
        return list(dict.fromkeys(reads.tolist())), list(dict.fromkeys(readers.tolist()))

    def next(self, start: int, direction: str) -> int | None:
        """The next box in a direction (left, right, up, down): near, and not far aside."""
        across, down = _DIRECTIONS[direction]
        middles = (self.boxes[:, :2] + self.boxes[:, 2:]) / 2
        x, y = (middles - middles[start]).T
        ahead = x * across + y * down
        costs = np.where(ahead < _AHEAD, np.inf, ahead + 3 * np.abs(x * down + y * across))
        best = int(np.argmin(costs))
        return best if np.isfinite(costs[best]) else None
