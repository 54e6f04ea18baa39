"""A tensor of a graph: what it is, who reads it, where it lies and from when to when, and what computing it took."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypedDict

import numpy as np

from ggml_viz.analysis.operations import quantiles
from ggml_viz.analysis.roofline import floor_s
from ggml_viz.errors import UserError
from ggml_viz.machine import machine_of
from ggml_viz.model.arena import arenas_of, lives_of
from ggml_viz.model.kinds import kind_index
from ggml_viz.model.measured import NO_LAYER, shape_of
from ggml_viz.native import MalformedError, fold_spans, placement_decode
from ggml_viz.views.layer import ChosenGraph, graph_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy.typing as npt

    from ggml_viz.model.graph import Graph
    from ggml_viz.model.trace import Process, Trace

# Of a weight that all layers read, or of a hostile graph.
_MOST_LISTED = 64
# Of a process that goes on, how long a node took is known by the runs whose records are kept: by so many of them.
_MOST_RUNS = 64


class TensorRow(TypedDict):
    """A tensor that another one reads, or is read by.

    Attributes:
        node: Its index in the graph; of a fused group the first node's.
        name: Its name.
        op: What computes it; of one that no node computes `NONE`.
        shape: Elements of its dimensions, innermost first.
        type: Of its elements.
    """

    node: int
    name: str
    op: str
    shape: str
    type: str


class Place(TypedDict):
    """Where a tensor lies when its graph was last run.

    Attributes:
        buffer: Number of the buffer.
        backend: The buffer type.
        usage: One of USAGES.
        offset: Where in the buffer it begins, in bytes.
        buffer_bytes: Size of the buffer.
    """

    buffer: int
    backend: str
    usage: str
    offset: int
    buffer_bytes: int


class Life(TypedDict):
    """From when to when a tensor's memory is its own.

    Attributes:
        born: The node that writes it; None: it is there before the first.
        born_name: That one's name.
        dies: The last node that reads it, or a view of it; None: none does.
        dies_name: That one's name.
    """

    born: int | None
    born_name: str
    dies: int | None
    dies_name: str


class Times(TypedDict):
    """What all executions of a node took.

    Attributes:
        count: How many there were.
        seconds: All together.
        of_last: What follows is of so many of them, the last ones; None: of all.
        median_s: The middle one.
        p99_s: Of 100 all but one are shorter.
        min_s: The shortest.
        max_s: The longest.
        work_s: Thread-seconds of work, of all.
        wait_s: Thread-seconds at barriers, of all.
        threads: The most that worked on one.
    """

    count: int
    seconds: float
    of_last: int | None
    median_s: float
    p99_s: float
    min_s: float
    max_s: float
    work_s: float
    wait_s: float
    threads: int


class TensorDetails(TypedDict):
    """A tensor of a graph, and the node that computes it.

    Attributes:
        process: Index of its process.
        graph: The process's number of its graph.
        node: Its index in the graph; of a fused group the first node's.
        computed: Whether a node of this graph computes it.
        name: Its name; of a fused group that of what the last one makes.
        op: What computes it; of a fused group the names of all.
        kind: Of work: an index in KINDS.
        role: Its role; empty: names do not tell.
        layer: Number of its layer; None: it belongs to none.
        phase: What its graph does.
        tokens: That one run of the graph takes through the model.
        shape: Elements of its dimensions, innermost first: always 4.
        strides: From one element of a dimension to the next, in bytes: always 4.
        type: Of its elements.
        size: That it takes, in bytes.
        sources: What it reads, directly.
        users: What reads it, directly.
        more_users: How many more there are.
        place: Where it lies; None: not known.
        life: From when to when.
        backend: That computed it when the graph was last run; None: not seen, or not computed.
        times: Of all executions; None: it was not timed, or not computed.
        flops: Operations of one execution; None: not modelled.
        bytes: That one execution moves; None: not modelled.
        gbps: Those of all executions over the time they took, in 1e9 a second.
        gflops: Operations likewise.
        floor_s: The least time that the machine could do one in; None: not known.
        floor_by: What that comes from: `bytes` or `operations`; empty: not known.
        peak_gbps: The machine's peak with so many threads, in 1e9 bytes a second; None: not known.
        peak_gflops: Its peak of operations, in 1e9 a second.
    """

    process: int
    graph: int
    node: int
    computed: bool
    name: str
    op: str
    kind: int
    role: str
    layer: int | None
    phase: str
    tokens: int
    shape: list[int]
    strides: list[int]
    type: str
    size: int
    sources: list[TensorRow]
    users: list[TensorRow]
    more_users: int
    place: Place | None
    life: Life
    backend: str | None
    times: Times | None
    flops: float | None
    bytes: float | None
    gbps: float | None
    gflops: float | None
    floor_s: float | None
    floor_by: str
    peak_gbps: float | None
    peak_gflops: float | None


def tensor_details(trace: Trace, process: int, graph: int, node: int) -> TensorDetails:
    """What is known of a tensor of a graph.

    Args:
        trace: The trace.
        process: Index of the graph's process.
        graph: Its number.
        node: Index of the node in the graph, or behind the nodes that of a tensor that none computes. Of a node that
            was computed together with others, all that is known is of the group.

    Raises:
        UserError: There is no such graph or tensor.
    """
    of = graph_of(trace, process, graph)
    tensors = of.graph.tensors
    if not 0 <= node < len(tensors):
        raise UserError(f"graph {graph} has no tensor {node}", exit_status=2)
    watched = trace.watched[process]
    groups = _Groups(trace, of)
    head = groups.head(node)
    last = groups.last(head)
    computed = head < of.graph.node_count
    attribution = watched.attributions[graph]
    layer = int(attribution.layer[head])
    users = _users(of.graph, head, last)
    backends = backends_of(watched, graph)
    op = "+".join(of.graph.op(i) for i in range(head, last + 1))
    details: TensorDetails = {
        "process": process,
        "graph": graph,
        "node": head,
        "computed": computed,
        "name": of.graph.name(last),
        "op": op,
        "kind": kind_index(op),
        "role": attribution.roles[int(attribution.role[head])],
        "layer": None if layer == NO_LAYER else layer,
        "phase": of.phase,
        "tokens": of.tokens,
        "shape": tensors["ne"][last].tolist(),
        "strides": tensors["nb"][last].tolist(),
        "type": of.graph.names.get(int(tensors["type"][last]), "?"),
        "size": int(tensors["bytes"][last]),
        "sources": groups.rows(_sources(of.graph, head, last)),
        "users": groups.rows(users[:_MOST_LISTED]),
        "more_users": max(len(users) - _MOST_LISTED, 0),
        "place": None,
        "life": _life(of.graph, *lives_at(of.graph, last)),
        "backend": backends[head] if computed else None,
        "times": None,
        "flops": None,
        "bytes": None,
        "gbps": None,
        "gflops": None,
        "floor_s": None,
        "floor_by": "",
        "peak_gbps": None,
        "peak_gflops": None,
    }
    _add_place(details, watched, of, last)
    if computed:
        _add_times(details, trace, of, groups.rows_of.get(head, []), last - head)
    return details


def backends_of(process: Process, number: int) -> list[str | None]:
    """The backend that computed each node of a graph in its last run of which that was recorded: [nodes]."""
    found: list[str | None] = [None] * process.graphs[number].node_count
    splits = process.splits
    mine = splits[np.isin(splits["run"], process.runs.number[process.runs.graph == number])]
    for split in mine[mine["run"] == mine["run"].max(initial=0)]:
        first = min(int(split["first"]), len(found))
        end = min(first + int(split["count"]), len(found))
        found[first:end] = [process.file.definitions.backends.get(int(split["backend"]))] * (end - first)
    return found


def lives_at(graph: Graph, tensor: int) -> tuple[int, int]:
    """The node that writes a tensor, -1: it is there before the first; and the last node that reads it, -1: none."""
    roots, first, last = lives_of(graph)
    root = int(roots[tensor])
    return int(first[root]), int(last[root])


def _life(graph: Graph, born: int, dies: int) -> Life:
    return {
        "born": born if born >= 0 else None,
        "born_name": graph.name(born) if born >= 0 else "",
        "dies": dies if dies >= 0 else None,
        "dies_name": graph.name(dies) if dies >= 0 else "",
    }


class _Groups:
    """Which nodes of a graph were computed together.

    Attributes:
        rows_of: Of each node that was executed, its rows in the measured ones.
    """

    def __init__(self, trace: Trace, of: ChosenGraph) -> None:
        measured = trace.measured
        rows = np.flatnonzero((measured.process == of.process) & (measured.graph == of.number))
        self._graph = of.graph
        self.rows_of: dict[int, list[int]] = {}
        self._heads: dict[int, int] = {}
        self._fused: dict[int, int] = {}
        columns = (rows, measured.node[rows], measured.fused[rows], measured.count[rows])
        most: dict[int, int] = {}
        for row, node, fused, count in zip(*(column.tolist() for column in columns), strict=True):
            self.rows_of.setdefault(node, []).append(row)
            # Where it was also computed by itself, it is what it was most often.
            if count > most.get(node, -1):
                most[node], self._fused[node] = count, fused
        for node, fused in self._fused.items():
            for behind in range(node + 1, min(node + fused + 1, of.graph.node_count)):
                if behind not in self._fused:
                    self._heads.setdefault(behind, node)

    def head(self, node: int) -> int:
        """The first node of its group."""
        return self._heads.get(node, node)

    def last(self, head: int) -> int:
        """The last node of a group, whose tensor the others read."""
        return max(min(head + self._fused.get(head, 0), self._graph.node_count - 1), head)

    def rows(self, tensors: Iterable[int]) -> list[TensorRow]:
        """What is said of tensors, each group once."""
        graph, found = self._graph, {}
        for tensor in tensors:
            head = self.head(tensor)
            last = self.last(head)
            row: TensorRow = {
                "node": head,
                "name": graph.name(last),
                "op": "+".join(graph.op(i) for i in range(head, last + 1)),
                "shape": shape_of(graph, last),
                "type": graph.names.get(int(graph.tensors["type"][last]), "?"),
            }
            found[head] = row
        return list(found.values())


def _sources(graph: Graph, head: int, last: int) -> list[int]:
    read = graph.tensors["sources"][head : last + 1].astype(np.int64).ravel() - 1
    inside = (read >= head) & (read <= last)
    return list(dict.fromkeys(read[(read >= 0) & (read < len(graph.tensors)) & ~inside].tolist()))


def _users(graph: Graph, head: int, last: int) -> list[int]:
    read = graph.tensors["sources"][: graph.node_count].astype(np.int64) - 1
    users = np.flatnonzero(((read >= head) & (read <= last)).any(axis=1)).tolist()
    return [user for user in users if not head <= user <= last]


def _add_place(details: TensorDetails, process: Process, of: ChosenGraph, tensor: int) -> None:
    """Where the last run of its graph had it, and what that says of its life."""
    placed = process.runs.placement[process.runs.graph == of.number]
    number = int(placed[-1]) if len(placed) else 0
    extent = process.file.definitions.placements.get(number)
    if extent is None:
        return
    try:
        _, _, buffers, offsets = placement_decode(process.file.body(extent))
    except MalformedError:
        return
    if len(buffers) != len(of.graph.tensors):
        return
    life = next((each for each in process.buffers if each.number == int(buffers[tensor])), None)
    if life is None:
        return
    details["place"] = {
        "buffer": life.number,
        "backend": life.place,
        "usage": life.usage,
        "offset": int(offsets[tensor]),
        "buffer_bytes": life.size_bytes,
    }
    root = int(lives_of(of.graph)[0][tensor])
    for arena in arenas_of(process, of.number, number):
        if arena.buffer == life.number and len(at := np.flatnonzero(arena.tensor == root)):
            # What is overwritten in place dies earlier than its last reader tells.
            details["life"] = _life(of.graph, int(arena.first[at[0]]), int(arena.last[at[0]]))


def _add_times(details: TensorDetails, trace: Trace, of: ChosenGraph, rows: list[int], fused: int) -> None:
    """What its executions took, and how near that is to what the machine can do."""
    node = details["node"]
    cost = trace.watched[of.process].costs[of.number]
    flops, moved = cost.of_group(node, fused)
    details["flops"], details["bytes"] = _known(flops), _known(moved)
    measured = trace.measured
    chosen = np.array(rows, np.intp)
    chosen = chosen[measured.fused[chosen] == fused]
    keeps_each = trace.watched[of.process].node_times.keeps_each
    walls_s = measured.walls_s(chosen) if keeps_each else _newest(trace.watched[of.process], of.number, node, fused)
    if not len(chosen) or not len(walls_s):
        return
    seconds, executions = float(measured.wall_s[chosen].sum()), int(measured.count[chosen].sum())
    median_s, p99_s = quantiles(walls_s, (0.50, 0.99))
    threads = max(int(measured.threads[chosen].max()), 1)
    details["times"] = {
        "count": executions,
        "seconds": seconds,
        "of_last": None if keeps_each else len(walls_s),
        "median_s": median_s,
        "p99_s": p99_s,
        "min_s": float(walls_s.min()),
        "max_s": float(walls_s.max()),
        "work_s": float(measured.work_s[chosen].sum()),
        "wait_s": float((measured.inner_s + measured.wait_s)[chosen].sum()),
        "threads": threads,
    }
    if seconds > 0:
        per_s = executions / seconds * 1e-9
        details["gbps"] = moved * per_s if math.isfinite(moved) else None
        details["gflops"] = flops * per_s if math.isfinite(flops) else None
    machine, integer = machine_of(trace.file), bool(cost.integer[node])
    details["floor_s"] = floor_s(machine, threads, flops, moved, integer)
    if machine is None or not machine.peaks:
        return
    peaks = machine.at(threads)
    rate = max(peaks.int8_ops_per_s, peaks.flops_per_s) if integer else peaks.flops_per_s
    details["peak_gbps"], details["peak_gflops"] = peaks.bandwidth_bytes_per_s * 1e-9, rate * 1e-9
    by_bytes = floor_s(machine, threads, math.nan, moved, integer)
    if details["floor_s"] is not None:
        details["floor_by"] = "bytes" if by_bytes == details["floor_s"] else "operations"


def _newest(process: Process, graph: int, node: int, fused: int) -> npt.NDArray[np.float64]:
    """What the last executions of a node took, of a process that does not keep each, in seconds."""
    runs = process.runs
    walls_s: list[float] = []
    for run in runs.number[runs.graph == graph][-_MOST_RUNS:].tolist():
        records = process.nodes_of(run)
        for span in fold_spans(records[records["node"] == node]):
            if int(span["fused"]) == fused:
                walls_s.append(float(process.clock.seconds(span["end"] - span["begin"])))
    return np.array(walls_s, np.float64)


def _known(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
