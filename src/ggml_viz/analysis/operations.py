"""What the executed nodes took: by op, and by thread."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ggml_viz.model.trace import Process, shifted
from ggml_viz.native import KIND_NODE

if TYPE_CHECKING:
    from ggml_viz.native import Structured

UNKNOWN_OP = "?"


@dataclass(slots=True)
class OpTotal:
    """What the spans of one op add up to.

    Attributes:
        spans: Executed nodes or fused groups of nodes.
        seconds: From the first thread's begin until the closing barrier opens.
        work_s: Thread-seconds of work.
        wait_s: Thread-seconds at barriers, inside the node and at its end.
        walls_s: How long each span took, in pieces of float32 or float64 arrays [n].
    """

    spans: int = 0
    seconds: float = 0.0
    work_s: float = 0.0
    wait_s: float = 0.0
    walls_s: list[npt.NDArray[np.floating[Any]]] = field(default_factory=list)

    def quantile_s(self, share: float) -> float:
        """The time within which so large a share of the spans was done (nearest rank)."""
        walls = np.concatenate(self.walls_s)
        rank = max(int(np.ceil(share * len(walls))) - 1, 0)
        walls.partition(rank)
        return float(walls[rank])


@dataclass(slots=True)
class WorkerTotal:
    """What one worker did in the runs that it could have worked in.

    Attributes:
        work_s: Time at work.
        wait_s: Time at barriers.
    """

    work_s: float = 0.0
    wait_s: float = 0.0


@dataclass(slots=True)
class Operations:
    """What was executed, all processes together.

    Attributes:
        nodes: Executed nodes; a fused pair is two.
        ops: By op; a fused group is named after its nodes: `RMS_NORM+MUL`.
        workers: By worker index.
        cpu_s: Time that the CPU backend spent on the runs of which nodes were recorded: in its splits, or, of a run
            whose splits are not known, in all of it.
    """

    nodes: int = 0
    ops: dict[str, OpTotal] = field(default_factory=dict)
    workers: dict[int, WorkerTotal] = field(default_factory=dict)
    cpu_s: float = 0.0


def total_operations(processes: Sequence[Process]) -> Operations:
    """Adds up the executed nodes of all runs whose record is known."""
    totals = Operations()
    for process in processes:
        _add_process(totals, process)
    return totals


def _add_process(totals: Operations, process: Process) -> None:
    runs, names = process.runs, _OpNames(process)
    seen = np.zeros(len(runs), bool)
    for records, spans in process.nodes():
        starts = np.flatnonzero(np.diff(spans["run"], prepend=~spans["run"][:1]))
        number = spans["run"][starts]
        index = np.searchsorted(runs.number, number)
        index[index == len(runs)] = 0
        known = runs.number[index] == number if len(runs) else np.zeros(len(number), bool)
        lengths = np.diff(starts, append=len(spans))
        if not known.all():
            spans = spans[np.repeat(known, lengths)]
            index, lengths = index[known], lengths[known]
        seen[index] = True
        if len(spans):
            _add_spans(totals, process, names, spans, np.repeat(runs.graph[index], lengths))
        _add_workers(totals, process, records)
    totals.cpu_s += _cpu_seconds(process, seen)


def _cpu_seconds(process: Process, seen: npt.NDArray[np.bool_]) -> float:
    """Time on the CPU backend in the runs of a process that were seen: bool array [runs]."""
    runs, splits = process.runs, process.splits
    splits = splits[(splits["threads"] > 0) & np.isin(splits["run"], runs.number[seen])]
    unsplit = seen & ~np.isin(runs.number, splits["run"])
    seconds = process.clock.seconds
    return float(seconds(shifted(splits, "duration")).sum() + seconds(runs.duration[unsplit]).sum())


def _add_spans(
    totals: Operations, process: Process, names: _OpNames, spans: Structured, graphs: npt.NDArray[np.uint32]
) -> None:
    fused = spans["fused"]
    op = names.of(graphs, spans["node"], fused)
    totals.nodes += len(spans) + int(fused.sum(dtype=np.int64))
    # A name is a small number here: sorting by it is a matter of counting.
    order = np.argsort(op, kind="stable")
    wall = process.clock.seconds(spans["end"] - spans["begin"])
    count = np.bincount(op)
    sums = [
        np.bincount(op, weights=weights)
        for weights in (
            wall,
            process.clock.seconds(spans["work"]),
            process.clock.seconds(spans["inner"] + spans["wait"]),
        )
    ]
    walls = np.split(wall[order].astype(np.float32), np.cumsum(count)[:-1])
    for number in np.flatnonzero(count).tolist():
        total = totals.ops.setdefault(names.name(number), OpTotal())
        total.spans += int(count[number])
        total.seconds += float(sums[0][number])
        total.work_s += float(sums[1][number])
        total.wait_s += float(sums[2][number])
        total.walls_s.append(walls[number])


def _add_workers(totals: Operations, process: Process, records: Structured) -> None:
    is_node = records["kind"] == KIND_NODE
    run = records["run"]
    distinct = np.unique(np.append(run[:-1][run[1:] != run[:-1]], run[-1:]))
    if not np.isin(distinct, process.runs.number).all():
        is_node &= np.isin(run, process.runs.number)
    worker = np.where(is_node, records["detail"], 0)
    work = np.where(is_node, shifted(records, "work"), 0)
    wait = np.where(is_node, shifted(records, "inner") + shifted(records, "wait"), 0)
    count = np.bincount(worker[is_node])
    sums = [np.bincount(worker, weights=weights) for weights in (work, wait)]
    for number in np.flatnonzero(count).tolist():
        total = totals.workers.setdefault(number, WorkerTotal())
        total.work_s += float(process.clock.seconds(sums[0][number]))
        total.wait_s += float(process.clock.seconds(sums[1][number]))


class _OpNames:
    """Numbers the ops of a process's nodes, and the names of fused groups of nodes.

    The ops of all its graphs lie one behind the other in one array, so that (graph, node) is a place in it.
    """

    def __init__(self, process: Process) -> None:
        graphs = process.graphs
        self._names: list[str] = [UNKNOWN_OP]
        self._numbers = {UNKNOWN_OP: 0}
        self._graphs = np.array(sorted(graphs), np.uint32)
        counts = np.array([graphs[int(number)].node_count for number in self._graphs], np.int64)
        self._ends = np.cumsum(counts)
        self._begins = self._ends - counts
        defined = process.file.definitions.names
        ops = [graphs[int(number)].tensors["op"][:n] for number, n in zip(self._graphs, counts, strict=True)]
        distinct, inverse = np.unique(np.concatenate([*ops, np.empty(0, np.uint32)]), return_inverse=True)
        named = np.array([self._number(defined.get(int(op), UNKNOWN_OP)) for op in distinct], np.int64)
        # By count of nodes fused: the number of the op that begins at each place. The last place is nowhere.
        self._tables = {0: np.append(named[inverse], 0)}

    def name(self, number: int) -> str:
        return self._names[number]

    def of(
        self, graphs: npt.NDArray[np.uint32], nodes: npt.NDArray[np.uint32], fused: npt.NDArray[np.uint16]
    ) -> npt.NDArray[np.unsignedinteger[Any]]:
        """The number of each span's op: array [n] of a small type."""
        nowhere = len(self._tables[0]) - 1
        if not nowhere:
            return np.zeros(len(nodes), np.uint8)
        index = np.minimum(np.searchsorted(self._graphs, graphs), len(self._graphs) - 1)
        place = self._begins[index] + nodes
        place = np.where((place < self._ends[index]) & (self._graphs[index] == graphs), place, nowhere)
        op = self._tables[0][place]
        for length in np.flatnonzero(np.bincount(fused)[1:]) + 1:
            mine = fused == length
            op[mine] = self._fused(int(length))[place[mine]]
        small: npt.NDArray[np.unsignedinteger[Any]] = op.astype(np.min_scalar_type(len(self._names)))
        return small

    def _fused(self, length: int) -> npt.NDArray[np.int64]:
        if length not in self._tables:
            table, previous = self._tables[0], self._tables[0]
            # Names of groups that cross from one graph into the next are made too, and never asked for.
            groups = np.stack([np.append(previous[i:], np.zeros(i, np.int64)) for i in range(length + 1)])
            distinct, inverse = np.unique(groups, axis=1, return_inverse=True)
            named = [self._number("+".join(self._names[op] for op in group)) for group in distinct.T]
            table = np.array(named, np.int64)[inverse.reshape(-1)]
            table[-1] = 0
            self._tables[length] = table
        return self._tables[length]

    def _number(self, name: str) -> int:
        number = self._numbers.setdefault(name, len(self._names))
        if number == len(self._names):
            self._names.append(name)
        return number
