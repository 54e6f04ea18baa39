"""How the tensors of a graph share a buffer while it is computed.

Which reuse the memory of which, and the most that is alive at once.
"""

from __future__ import annotations

import bisect
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ggml_viz.model.memory import COMPUTE
from ggml_viz.native import MalformedError, placement_decode

if TYPE_CHECKING:
    from ggml_viz.model.graph import Graph
    from ggml_viz.model.trace import Process

# enum ggml_tensor_flag: an output is kept to the end of the graph.
_FLAG_OUTPUT = 2

# A view of a view of a view: ggml keeps one level, hostile files any number.
_MAX_VIEW_DEPTH = 64


@dataclass(frozen=True, slots=True)
class Arena:
    """The tensors that share one buffer in the runs of one graph. Arrays are [tensors], in order of `first`.

    Attributes:
        graph: GRAPH number.
        placement: PLACEMENT number.
        buffer: The buffer's number.
        place: Its buffer type.
        buffer_bytes: Its size.
        tensor: Index of each tensor in the graph.
        offset_bytes: Where in the buffer it begins.
        size_bytes: What it takes.
        first: The node that writes it, an index in the graph; -1: it is there before the first.
        last: The last node that reads it, or a view of it.
        reuses: The tensor that lay in (some of) its memory before, an index in the graph; -1: none.
        peak_bytes: The most that is alive at once.
        peak_node: The node at which it is.
    """

    graph: int
    placement: int
    buffer: int
    place: str
    buffer_bytes: int
    tensor: npt.NDArray[np.int64]
    offset_bytes: npt.NDArray[np.float64]
    size_bytes: npt.NDArray[np.float64]
    first: npt.NDArray[np.int64]
    last: npt.NDArray[np.int64]
    reuses: npt.NDArray[np.int64]
    peak_bytes: float
    peak_node: int

    def alive_at(self, node: int) -> npt.NDArray[np.intp]:
        """Which items are alive while a node is computed, largest first."""
        alive = np.flatnonzero((self.first <= node) & (node <= self.last))
        return alive[np.argsort(-self.size_bytes[alive], kind="stable")]


def arenas(process: Process, most: int | None = None) -> list[Arena]:
    """The compute buffers of a process, for each graph the last layout in which it was computed.

    Args:
        process: The process.
        most: At most of so many graphs, of those whose tensors are the largest.
    """
    used = dict(zip(process.runs.graph.tolist(), process.runs.placement.tolist(), strict=True))
    if most is not None and len(used) > most:
        sizes = {
            number: float(process.graphs[number].tensors["bytes"].sum(dtype=np.float64))
            for number in used.keys() & process.graphs.keys()
        }
        used = {number: used[number] for number in sorted(sizes, key=lambda number: -sizes[number])[:most]}
    return [arena for number, placement in sorted(used.items()) for arena in arenas_of(process, number, placement)]


def arenas_of(process: Process, number: int, placement: int) -> list[Arena]:
    """The compute buffers that a graph uses in one layout, by the graph's and the PLACEMENT's number."""
    extent, graph = process.file.definitions.placements.get(placement), process.graphs.get(number)
    if extent is None or graph is None:
        return []
    try:
        # Graphs that are laid out alike share a placement: it need not be of this one.
        _, _, places, offsets = placement_decode(process.file.body(extent))
    except MalformedError:
        return []
    if len(places) != len(graph.tensors):
        return []
    buffers = {buffer.number: buffer for buffer in process.buffers if buffer.usage == COMPUTE}
    lives = lives_of(graph)
    found = []
    for buffer in np.unique(places[np.isin(places, list(buffers))]).tolist():
        life = buffers[buffer]
        placed = np.flatnonzero(places == buffer)
        found.append(_arena(graph, lives, placed, offsets, (number, placement, buffer, life.place, life.size_bytes)))
    return found


def _roots(graph: Graph) -> npt.NDArray[np.int64]:
    """The tensor that each is, directly or through others, a view of; itself, if it is none: [tensors]."""
    own = np.arange(len(graph.tensors))
    view = graph.tensors["view"].astype(np.int64) - 1
    roots = np.where((view >= 0) & (view < len(own)), view, own)
    for _ in range(_MAX_VIEW_DEPTH.bit_length()):
        roots = roots[roots]
    return roots


def lives_of(graph: Graph) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """For each tensor its root, and of roots the first and the last node that has to do with it: [tensors] each.

    The first is the node that writes it, -1: it is there before the first; the last is the last that reads it.
    """
    tensors, count = graph.tensors, graph.node_count
    roots = _roots(graph)
    first = np.where(np.arange(len(tensors)) < count, np.arange(len(tensors)), -1)
    last = first.copy()
    node, place = np.nonzero(tensors["sources"][:count])
    source = tensors["sources"][:count][node, place].astype(np.int64) - 1
    known = source < len(tensors)
    np.maximum.at(last, roots[source[known]], node[known])
    last[(tensors["flags"] & _FLAG_OUTPUT) != 0] = max(count - 1, 0)
    return roots, first, last


def _arena(
    graph: Graph,
    lives: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]],
    placed: npt.NDArray[np.intp],
    offsets: npt.NDArray[np.uint64],
    identity: tuple[int, int, int, str, int],
) -> Arena:
    roots, first, last = lives
    tensor = placed[roots[placed] == placed].astype(np.int64)
    tensor = tensor[np.argsort(first[tensor], kind="stable")]
    begin = offsets[tensor].astype(np.float64)
    size = graph.tensors["bytes"][tensor].astype(np.float64)
    born, dead = first[tensor], last[tensor].copy()
    reuses = np.full(len(tensor), -1, np.int64)
    owners = _Owners()
    for i, (start, length) in enumerate(zip(begin.tolist(), size.tolist(), strict=True)):
        before = owners.take(start, start + length, i) if length else -1
        if before >= 0:
            reuses[i] = tensor[before]
            # What a node overwrites in place is gone when its result is there.
            if dead[before] == born[i] and before != i:
                dead[before] = max(born[i] - 1, born[before])
    steps = max(graph.node_count, 1)
    change = np.zeros(steps + 1)
    np.add.at(change, np.clip(born, 0, steps), size)
    np.add.at(change, np.clip(dead + 1, 0, steps), -size)
    alive = np.cumsum(change[:steps])
    peak_node = int(np.argmax(alive))
    return Arena(
        *identity,
        tensor=tensor,
        offset_bytes=begin,
        size_bytes=size,
        first=born,
        last=dead,
        reuses=reuses,
        peak_bytes=float(alive[peak_node]),
        peak_node=peak_node,
    )


class _Owners:
    """Who wrote each stretch of a buffer last."""

    def __init__(self) -> None:
        self._starts: list[float] = []
        self._stretches: list[tuple[float, int]] = []  # end, owner

    def take(self, start: float, end: float, owner: int) -> int:
        """Gives a stretch to an owner. Returns the youngest of those that had some of it, -1 if none had."""
        low = bisect.bisect_right(self._starts, start) - 1
        low = max(low, 0)
        high = bisect.bisect_left(self._starts, end)
        youngest = -1
        starts: list[float] = []
        stretches: list[tuple[float, int]] = []
        for begin, (stop, had) in zip(self._starts[low:high], self._stretches[low:high], strict=True):
            if begin < end and stop > start:
                youngest = max(youngest, had)
            if begin < start:
                starts.append(begin)
                stretches.append((min(stop, start), had))
            if stop > end:
                starts.append(end)
                stretches.append((stop, had))
        at = bisect.bisect_left(starts, start)
        starts.insert(at, start)
        stretches.insert(at, (end, owner))
        self._starts[low:high] = starts
        self._stretches[low:high] = stretches
        return youngest
