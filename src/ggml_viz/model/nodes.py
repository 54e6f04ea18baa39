"""The nodes of all graphs of a process, and what their executions took."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ggml_viz.native import (
    NODE_TOTAL_DTYPE,
    RUN_NODES_DTYPE,
    WORKER_TOTAL_DTYPE,
    totals_add,
    totals_group,
    workers_add,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ggml_viz.model.clock import Clock
    from ggml_viz.model.graph import Graph
    from ggml_viz.model.trace import Process, Runs
    from ggml_viz.native import Structured

UNKNOWN_OP = "?"

# ggml knows some 150 ops and its schedulers at most 512 threads; what claims to be beyond is counted as unknown.
_MAX_OPS = 4096
MAX_WORKERS = 1024


@dataclass(frozen=True, slots=True)
class Places:
    """The nodes of all graphs of a process, one behind the other. A node's index in these arrays is its place.

    Place 0 is that of nodes that no graph has.

    Attributes:
        graph: GRAPH number of each place, uint32 array [places].
        node: Index of the node in its graph, uint32 array [places].
        op: Index of its op in `ops`, uint16 array [places].
        ops: Names of ops; the first is UNKNOWN_OP.
        first: Place of the first node of each graph, by the graph's number.
    """

    graph: npt.NDArray[np.uint32]
    node: npt.NDArray[np.uint32]
    op: npt.NDArray[np.uint16]
    ops: list[str]
    first: Mapping[int, int]

    def __len__(self) -> int:
        return len(self.graph)

    @property
    def counts(self) -> dict[int, int]:
        """How many nodes each graph has, by the graph's number."""
        firsts = [*self.first.values(), len(self)]
        return {number: firsts[i + 1] - firsts[i] for i, number in enumerate(self.first)}

    @classmethod
    def of(cls, graphs: Mapping[int, Graph], names: Mapping[int, str]) -> Places:
        """Lists the nodes of graphs.

        Args:
            graphs: By number.
            names: What NAME numbers stand for.
        """
        numbers = sorted(graphs)
        counts = np.array([graphs[number].node_count for number in numbers], np.int64)
        first = 1 + np.cumsum(counts) - counts
        op_numbers = [graphs[number].tensors["op"][: graphs[number].node_count] for number in numbers]
        distinct, inverse = np.unique(np.concatenate([*op_numbers, np.empty(0, np.uint32)]), return_inverse=True)
        ops, codes = [UNKNOWN_OP], {UNKNOWN_OP: 0}
        for number in distinct.tolist():
            name = names.get(number, UNKNOWN_OP)
            if name not in codes and len(ops) < _MAX_OPS:
                codes[name] = len(ops)
                ops.append(name)
        of_distinct = np.array([codes.get(names.get(n, UNKNOWN_OP), 0) for n in distinct.tolist()], np.uint16)
        zero = np.zeros(1, np.uint32)
        return cls(
            graph=np.concatenate([zero, np.repeat(np.array(numbers, np.uint32), counts)]),
            node=np.concatenate([zero, *(np.arange(count, dtype=np.uint32) for count in counts)]),
            op=np.concatenate([zero.astype(np.uint16), of_distinct[inverse] if len(distinct) else zero[:0]]),
            ops=ops,
            first=dict(zip(numbers, first.tolist(), strict=True)),
        )

    def of_runs(self, runs: Runs) -> Structured:
        """Where the nodes of each run's graph are: RUN_NODES_DTYPE array [runs]."""
        return self.of_graphs(runs.number, runs.graph, runs.phase)

    def of_graphs(
        self, run: npt.NDArray[np.uint32], graph: npt.NDArray[np.uint32], phase: npt.NDArray[np.uint8]
    ) -> Structured:
        """The same for runs of which only numbers [runs], sorted, graphs and phases are known."""
        table = np.zeros(len(run), RUN_NODES_DTYPE)
        table["run"], table["graph"], table["phase"] = run, graph, phase
        known, inverse = np.unique(graph, return_inverse=True)
        of_graph = self.counts
        table["first"] = np.array([self.first.get(graph, 0) for graph in known.tolist()], np.uint32)[inverse]
        table["nodes"] = np.array([of_graph.get(graph, 0) for graph in known.tolist()], np.uint32)[inverse]
        return table


class NodeTimes:
    """What the executions of each node took, over all runs of a process.

    Arrays are [measured]: one item for a place where the node was computed alone, one for the same where it was fused
    with those behind it.

    Attributes:
        place: Index in `Places`.
        fused: How many further nodes were computed with it.
        threads: The most threads that worked on it.
        count: Executions.
        wall_s: From the first thread's begin until the closing barrier opened, added up.
        work_s: Thread-seconds of work.
        inner_s: Thread-seconds at barriers inside the node.
        wait_s: Thread-seconds at its closing barrier.
        workers: What each worker did, in ticks: WORKER_TOTAL_DTYPE array [ops, workers], ops as in `Places.ops`.
        executed: Nodes executed, of a fused group each.
        seen: Which runs had any, bool array [runs].
        keeps_each: Whether `walls_s` are those of the chosen items, and not only spread like those of their ops.
    """

    keeps_each = True

    def __init__(
        self,
        clock: Clock,
        totals: Structured,
        keys: npt.NDArray[np.uint32],
        walls: npt.NDArray[np.float32],
        workers: Structured,
        seen: npt.NDArray[np.bool_],
    ) -> None:
        counts = totals["count"].astype(np.uint64)
        begins = np.cumsum(counts) - counts
        measured = np.flatnonzero(counts)
        rows = totals[measured]
        self.place: npt.NDArray[np.int64] = measured >> 1
        self.fused: npt.NDArray[np.uint32] = np.where(measured & 1, rows["fused"], 0).astype(np.uint32)
        self.threads: npt.NDArray[np.uint32] = rows["threads"].astype(np.uint32)
        self.count: npt.NDArray[np.int64] = rows["count"].astype(np.int64)
        self.wall_s = clock.seconds(rows["wall"])
        self.work_s = clock.seconds(rows["work"])
        self.inner_s = clock.seconds(rows["inner"])
        self.wait_s = clock.seconds(rows["wait"])
        self.workers = workers
        self.seen = seen
        self.executed = int(self.count.sum()) + int((self.count * self.fused).sum())
        self._begins, self._keys, self._walls = begins, keys, walls
        self._slices = begins[measured].astype(np.int64)
        self._clock = clock

    @cached_property
    def _sorted_walls_s(self) -> npt.NDArray[np.float32]:
        walls = totals_group(self._keys, self._walls, self._begins)
        del self._keys, self._walls
        walls *= np.float32(self._clock.ns_per_tick * 1e-9)
        return walls

    def walls_s(self, chosen: npt.NDArray[np.intp]) -> npt.NDArray[np.float32]:
        """How long each execution took, of the chosen items (indices), in no order: float32 array [n]."""
        walls, begins, counts = self._sorted_walls_s, self._slices[chosen], self.count[chosen]
        parts = [walls[begin : begin + count] for begin, count in zip(begins.tolist(), counts.tolist(), strict=True)]
        return np.concatenate([*parts, walls[:0]])


def measure_nodes(process: Process) -> NodeTimes:
    """Adds up all node records of a process whose run is known."""
    places, runs = process.places, process.runs
    run_nodes = places.of_runs(runs)
    totals = np.zeros(2 * len(places), NODE_TOTAL_DTYPE)
    workers = np.zeros((len(places.ops), MAX_WORKERS), WORKER_TOTAL_DTYPE)
    # Of memory that is never touched nothing is taken.
    capacity = process.file.record_count
    keys, walls = np.empty(capacity, np.uint32), np.empty(capacity, np.float32)
    seen = np.zeros(len(runs), bool)
    filled = 0
    for records, spans in process.nodes():
        filled += totals_add(spans, run_nodes, totals, keys[filled:], walls[filled:], seen)
        workers_add(records, run_nodes, places.op, workers)
    used = int(np.max(np.flatnonzero(workers["count"].any(axis=0)), initial=-1)) + 1
    # Copied, because a part would keep all of the table.
    return NodeTimes(process.clock, totals, keys[:filled], walls[:filled], workers[:, :used].copy(), seen)
