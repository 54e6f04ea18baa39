"""A process whose records are still coming: what its analyses need is kept added up, and brought up to date by each.

Nodes are added up once their run is over; until then they wait, since other threads may be at the same nodes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ggml_viz.model.attribution import Attribution, NamingRules, attribute
from ggml_viz.model.clock import Clock
from ggml_viz.model.cost import Cost, cost
from ggml_viz.model.graph import Graph
from ggml_viz.model.memory import BufferLife, buffer_lives
from ggml_viz.model.nodes import MAX_WORKERS, NodeTimes, Places
from ggml_viz.model.phases import OTHER, PHASES, Workload, workload
from ggml_viz.model.records import joined, taken
from ggml_viz.model.trace import Process, Runs, Trace, runs_of
from ggml_viz.native import (
    COPY_DTYPE,
    KIND_COPY,
    KIND_NODE,
    KIND_RUN,
    KIND_SPLIT,
    NODE_TOTAL_DTYPE,
    NOW_RUN_DTYPE,
    RECORD_DTYPE,
    RUN_DTYPE,
    RUN_NODES_DTYPE,
    SPLIT_DTYPE,
    WORKER_TOTAL_DTYPE,
    MalformedError,
    fold_spans,
    totals_add,
    workers_add,
)
from ggml_viz.trace.reader import Calibration, ProcessTrace, RecordChunk, TraceFile

if TYPE_CHECKING:
    from ggml_viz.native import Structured

# The last node of a worker comes two steps of the recorder after the end of its run.
_STEPS_UNTIL_WHOLE = 3
# Adding up the nodes of several steps together takes hardly longer than those of one.
_STEPS_TOGETHER = 8

# Runs, splits and copies that are kept; of the older ones only totals remain.
_MOST_ROWS = 1 << 19

# Of so many runs, the newest, it is known where their nodes are.
_MOST_LOCATED = 1 << 16

# What waits for the end of its run; a run whose end was lost would have its nodes wait forever.
_MOST_WAITING = 1 << 22

# Durations are counted in steps of a sixteenth of an octave, from 16 ticks to 2^48.
_STEPS_PER_OCTAVE, _FIRST_OCTAVE, _OCTAVES = 16, 4, 44
_BINS = _STEPS_PER_OCTAVE * _OCTAVES
_MIDDLES = 2.0 ** (_FIRST_OCTAVE + (np.arange(_BINS) + 0.5) / _STEPS_PER_OCTAVE)
_SAMPLE = 4096


def _with_runs(table: Structured, more: Structured) -> Structured:
    """Adds runs to a RUN_NODES_DTYPE array that is sorted by run, and nearly always ends before them."""
    # Concatenating would leave out what lies between the fields.
    joined = np.empty(len(table) + len(more), RUN_NODES_DTYPE)
    joined[: len(table)], joined[len(table) :] = table, more
    if len(table) and len(more) and more["run"][0] <= table["run"][-1]:
        _, first = np.unique(joined["run"], return_index=True)
        joined = joined[first]
    return joined[-_MOST_LOCATED:]


class _Rows:
    """Records of one kind, the newest of them."""

    def __init__(self, dtype: np.dtype[np.void]) -> None:
        self._dtype = dtype
        self._rows: Structured = np.empty(0, dtype)
        self._new: list[Structured] = []
        self.let_go = 0

    def add(self, records: Structured) -> None:
        if len(records):
            self._new.append(records.view(self._dtype))

    @property
    def rows(self) -> Structured:
        """Those that are kept, in the order in which they came."""
        if self._new:
            rows = joined([self._rows, *self._new])
            self._new = []
            if len(rows) > _MOST_ROWS:
                self.let_go += len(rows) - _MOST_ROWS // 2
                rows = rows[-(_MOST_ROWS // 2) :].copy()
            self._rows = rows
        return self._rows


class _Times(NodeTimes):
    """Node times so far, of whose executions not each is kept: how long they took is counted by op."""

    keeps_each = False

    def __init__(self, clock: Clock, totals: Structured, workers: Structured, counted: npt.NDArray[np.int64]) -> None:
        none = np.empty(0, np.uint32), np.empty(0, np.float32)
        super().__init__(clock, totals, *none, workers, np.empty(0, bool))
        self._counted = counted
        self._classes: npt.NDArray[np.intp] = np.empty(0, np.intp)

    def with_runs(self, seen: npt.NDArray[np.bool_], op: npt.NDArray[np.uint16]) -> _Times:
        self.seen = seen
        self._classes = 2 * op[self.place].astype(np.intp) + (self.fused > 0)
        return self

    def walls_s(self, chosen: npt.NDArray[np.intp]) -> npt.NDArray[np.float32]:
        """So many times as are spread like those of the ops of the chosen items: each to within 3 %."""
        counts = self._counted[np.unique(self._classes[chosen])].sum(axis=0)
        total = int(counts.sum())
        if not total:
            return np.zeros(len(chosen), np.float32)
        ranks = (np.arange(min(_SAMPLE, total)) + 0.5) / min(_SAMPLE, total) * total
        at = np.searchsorted(np.cumsum(counts), ranks, side="right")
        return (_MIDDLES[np.minimum(at, _BINS - 1)] * (self._clock.ns_per_tick * 1e-9)).astype(np.float32)


class GrowingProcess(Process):
    """A watched process that goes on.

    Args:
        file: What was recorded of it; `take_in` is told what came in addition.
        clock: Its clock.
        rules: How its tensors may be named.

    Attributes:
        most_threads: That computed a run.
    """

    def __init__(self, file: ProcessTrace, clock: Clock, rules: Sequence[NamingRules]) -> None:
        super().__init__(file, clock, rules)
        self.most_threads = 0
        self._graphs: dict[int, Graph] = {}
        self._known_graphs: set[int] = set()
        self._workloads: dict[int, Workload] = {}
        self._attributions: dict[int, Attribution] = {}
        self._costs: dict[int, Cost] = {}
        self._places = Places.of({}, {})
        self._rows = {
            KIND_RUN: _Rows(RUN_DTYPE),
            KIND_SPLIT: _Rows(SPLIT_DTYPE),
            KIND_COPY: _Rows(COPY_DTYPE),
        }
        self._runs: tuple[Structured, Runs] | None = None
        self._active: Structured = np.empty(0, NOW_RUN_DTYPE)
        self._waiting: list[Structured] = []
        self._ended: list[npt.NDArray[np.uint32]] = []
        self._ended_runs: Structured = np.empty(0, RUN_NODES_DTYPE)
        self._run_nodes: Structured | None = None
        self._seen = np.empty(0, np.uint32)
        self._new_seen: list[npt.NDArray[np.uint32]] = []
        self._totals: Structured = np.zeros(2, NODE_TOTAL_DTYPE)
        self._workers: Structured = np.zeros((1, MAX_WORKERS), WORKER_TOTAL_DTYPE)
        self._counted = np.zeros((2, _BINS), np.int64)
        self._node_chunks: list[tuple[RecordChunk, int, int]] = []
        self._buffers: tuple[tuple[int, int, int], list[BufferLife]] = ((-1, 0, 0), [])
        self._times: _Times | None = None

    # What follows stands in for what a process computes once from a file that does not change.

    @property
    def began(self) -> Calibration:
        """When the agent came into it."""
        info = self.file.definitions.info
        return Calibration(info.start_ticks, info.start_monotonic_ns, info.start_wall_ns)

    @property
    def graphs(self) -> dict[int, Graph]:
        """Graphs by number, so far."""
        return self._graphs

    @property
    def workloads(self) -> dict[int, Workload]:
        """What a run of each graph does."""
        return self._workloads

    @property
    def attributions(self) -> dict[int, Attribution]:
        """Layer and role of each tensor of its graphs."""
        for number in self._graphs.keys() - self._attributions.keys():
            self._attributions[number] = attribute(self._graphs[number], self._rules)
        return self._attributions

    @property
    def costs(self) -> dict[int, Cost]:
        """What the nodes of its graphs take."""
        for number in self._graphs.keys() - self._costs.keys():
            self._costs[number] = cost(self._graphs[number])
        return self._costs

    @property
    def buffers(self) -> list[BufferLife]:
        """Its buffers, by number."""
        definitions = self.file.definitions
        state = len(definitions.buffers), len(definitions.buffers_freed), len(definitions.graphs)
        if state != self._buffers[0]:
            self._buffers = state, buffer_lives(self.file, self._graphs)
        return self._buffers[1]

    @property
    def places(self) -> Places:
        """The nodes of all its graphs."""
        return self._places

    @property
    def runs(self) -> Runs:
        """Its runs that are over, as far as they are kept."""
        table = self._rows[KIND_RUN].rows
        if self._runs is None or self._runs[0] is not table:
            self._runs = table, runs_of(table, self._workloads)
        return self._runs[1]

    @property
    def splits(self) -> Structured:
        """SPLIT records, as far as they are kept."""
        return self._rows[KIND_SPLIT].rows

    @property
    def copies(self) -> Structured:
        """COPY records, as far as they are kept."""
        return self._rows[KIND_COPY].rows

    @property
    def node_times(self) -> NodeTimes:
        """What the executions of each node took so far, of the runs that are over."""
        self._add_up(_STEPS_UNTIL_WHOLE)
        if self._times is None:
            used = int(np.max(np.flatnonzero(self._workers["count"].any(axis=0)), initial=-1)) + 1
            times = _Times(self.clock, self._totals.copy(), self._workers[:, :used].copy(), self._counted.copy())
            if self._new_seen:
                self._seen = np.unique(np.concatenate([self._seen, *self._new_seen]))[-_MOST_ROWS:]
                self._new_seen = []
            self._times = times.with_runs(np.isin(self.runs.number, self._seen), self._places.op)
        return self._times

    @property
    def run_nodes(self) -> Structured:
        """Where the nodes of the graphs are of the newest runs, those in progress too: RUN_NODES_DTYPE array [runs]."""
        if self._run_nodes is None:
            self._run_nodes = _with_runs(self._ended_runs, self._located(self._active))
        return self._run_nodes

    @property
    def active(self) -> Structured:
        """Runs in progress when records were last taken in: NOW_RUN_DTYPE array [n]."""
        return self._active

    @property
    def let_go(self) -> int:
        """Runs that are no longer kept."""
        return self._rows[KIND_RUN].let_go

    def take_in(self, chunks: Sequence[RecordChunk], active: Structured) -> Structured:
        """Brings everything up to date.

        Args:
            chunks: What was recorded since the last call.
            active: The runs that were in progress after that: NOW_RUN_DTYPE array [n].

        Returns:
            The records of the chunks: RECORD_DTYPE array [n].
        """
        self._take_in_graphs()
        records = np.empty(sum(chunk.count for chunk in chunks), RECORD_DTYPE)
        filled = 0
        for chunk in chunks:
            filled += self.file.decode(chunk, records[filled:])
        records = records[:filled]
        self._note_chunks(chunks, records)
        kinds = records["kind"]
        for kind, rows in self._rows.items():
            rows.add(taken(records, kinds == kind))
        self._active = active
        runs = taken(records, kinds == KIND_RUN).view(RUN_DTYPE)
        self.most_threads = max(self.most_threads, int(runs["threads"].max(initial=0)))
        self._ended_runs = _with_runs(self._ended_runs, self._located(runs))
        self._run_nodes = self._times = None
        self._ended.append(runs["run"].copy())
        self._waiting.append(taken(records, kinds == KIND_NODE))
        if len(self._ended) >= _STEPS_UNTIL_WHOLE + _STEPS_TOGETHER:
            self._add_up(_STEPS_UNTIL_WHOLE)
        return records

    def nodes_of(self, run: int) -> Structured:
        """The executed nodes of one run: those NODEs that are still kept, RECORD_DTYPE array [n]."""
        chunks = [chunk for chunk, first, last in self._node_chunks if first <= run <= last]
        parts = [self._decoded.records(chunk) for chunk in chunks]
        mine = [taken(part, (part["run"] == run) & (part["kind"] == KIND_NODE)) for part in parts]
        return joined([*mine, np.empty(0, RECORD_DTYPE)])

    def _note_chunks(self, chunks: Sequence[RecordChunk], records: Structured) -> None:
        """Remembers which runs the nodes of each chunk are of."""
        at = 0
        for chunk in chunks:
            own = records[at : at + chunk.count]
            at += chunk.count
            runs = own["run"][own["kind"] == KIND_NODE]
            if len(runs):
                self._node_chunks.append((chunk, int(runs.min()), int(runs.max())))

    def forget_before(self, offset: int) -> None:
        """Forgets the chunks before an offset of the file, which has let go of them."""
        self._node_chunks = [row for row in self._node_chunks if row[0].offset >= offset]

    def finish(self) -> None:
        """Adds up what still waits: nothing more will come."""
        self._add_up(0)

    def _take_in_graphs(self) -> None:
        definitions = self.file.definitions
        new = definitions.graphs.keys() - self._known_graphs
        if not new:
            return
        self._known_graphs |= new
        for number in sorted(new):
            try:
                graph = Graph.decode(self.file.body(definitions.graphs[number]), definitions.names)
            except MalformedError:
                continue
            self._graphs[number], self._workloads[number] = graph, workload(graph)
        self._move_totals(Places.of(self._graphs, definitions.names))

    def _located(self, runs: Structured) -> Structured:
        """Where the nodes of the graphs of some runs are, sorted by run."""
        number, first = np.unique(runs["run"], return_index=True)
        graph = runs["graph"][first]
        other = Workload(OTHER, 0)
        loads = [self._workloads.get(each, other) for each in graph.tolist()]
        return self._places.of_graphs(number, graph, np.array([PHASES.index(load.phase) for load in loads], np.uint8))

    def _move_totals(self, places: Places) -> None:
        """Lays the totals out for other places, and the workers' for other ops."""
        before = self._places
        totals = np.zeros(2 * len(places), NODE_TOTAL_DTYPE)
        totals[:2] = self._totals[:2]
        counts = before.counts
        for number, first in before.first.items():
            count, at = counts[number], places.first[number]
            totals[2 * at : 2 * (at + count)] = self._totals[2 * first : 2 * (first + count)]
        workers = np.zeros((len(places.ops), MAX_WORKERS), WORKER_TOTAL_DTYPE)
        counted = np.zeros((2 * len(places.ops), _BINS), np.int64)
        for row, op in enumerate(before.ops[: len(self._workers)]):
            at = places.ops.index(op)
            workers[at] = self._workers[row]
            counted[2 * at : 2 * at + 2] = self._counted[2 * row : 2 * row + 2]
        self._places, self._totals, self._workers, self._counted = places, totals, workers, counted
        self._ended_runs = self._located(self._rows[KIND_RUN].rows[-_MOST_LOCATED:])

    def _add_up(self, steps_left: int) -> None:
        """Adds up the nodes of all runs that had ended so many steps ago."""
        whole = max(len(self._ended) - steps_left, 0)
        runs = np.concatenate([*self._ended[:whole], np.empty(0, np.uint32)])
        del self._ended[:whole]
        if not len(runs):
            return
        waiting = joined([*self._waiting, np.empty(0, RECORD_DTYPE)])
        if len(waiting) > _MOST_WAITING:
            waiting = waiting[len(waiting) // 2 :]
        mine = np.isin(waiting["run"], runs)
        nodes = taken(waiting, mine)
        self._waiting = [taken(waiting, ~mine)]
        table = self.run_nodes
        table = taken(table, np.isin(table["run"], runs))
        spans = fold_spans(nodes)
        keys, walls = np.empty(len(spans), np.uint32), np.empty(len(spans), np.float32)
        seen = np.zeros(len(table), bool)
        count = totals_add(spans, table, self._totals, keys, walls, seen)
        workers_add(nodes, table, self._places.op, self._workers)
        self._count(keys[:count], walls[:count])
        self._new_seen.append(table["run"][seen])
        self._times = None

    def _count(self, keys: npt.NDArray[np.uint32], walls: npt.NDArray[np.float32]) -> None:
        octaves = np.log2(np.maximum(walls, 1.0)) - _FIRST_OCTAVE
        bins = np.clip(octaves * _STEPS_PER_OCTAVE, 0, _BINS - 1).astype(np.int64)
        classes = 2 * self._places.op[keys >> 1].astype(np.int64) + (keys & 1)
        added: npt.NDArray[Any] = np.bincount(classes * _BINS + bins, minlength=self._counted.size)
        self._counted += added.reshape(self._counted.shape)


class GrowingTrace(Trace):
    """The trace of one process that goes on.

    Args:
        file: What was recorded so far.
        rules: How tensors may be named.
    """

    def __init__(self, file: TraceFile, rules: Sequence[NamingRules]) -> None:
        super().__init__(TraceFile(file.path, file.format, file.integrity, [], file.machine_json))
        self.file = file
        self._rules = rules

    def bring_up_to_date(self) -> None:
        """Has what was computed of the whole trace computed anew, when it is asked for."""
        for name in ("measured", "duration_s", "started_wall_ns", "started_monotonic_ns"):
            self.__dict__.pop(name, None)
        for file in self.file.processes[len(self.watched) :]:
            self.watched.append(GrowingProcess(file, Clock.of(file), self._rules))
        for process in self.watched:
            process.clock = Clock.of(process.file)
