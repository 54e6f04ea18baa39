"""A trace as ggml's user thinks of it: processes that run graphs, and the time that each node of a run took."""

from __future__ import annotations

import html
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ggml_viz.model.ahead import one_ahead, side_by_side
from ggml_viz.model.attribution import Attribution, NamingRules, attribute, load_rules
from ggml_viz.model.clock import Clock
from ggml_viz.model.cost import Cost, cost
from ggml_viz.model.graph import Graph
from ggml_viz.model.measured import MeasuredNodes
from ggml_viz.model.memory import BufferLife, buffer_lives
from ggml_viz.model.nodes import NodeTimes, Places, measure_nodes
from ggml_viz.model.phases import OTHER, PHASES, Workload, workload
from ggml_viz.model.records import shifted
from ggml_viz.model.table import Table
from ggml_viz.model.tables import FIELDS, make_table
from ggml_viz.native import (
    COPY_DTYPE,
    KIND_COPY,
    KIND_NODE,
    KIND_RUN,
    KIND_SPLIT,
    RECORD_DTYPE,
    RUN_DTYPE,
    SPLIT_DTYPE,
    MalformedError,
    fold_spans,
)
from ggml_viz.trace.reader import Calibration, ProcessTrace, RecordChunk, TraceFile, open_trace

if TYPE_CHECKING:
    from ggml_viz.native import Structured

_NO_RUN = 1 << 32

# Records are decoded a window at a time, and never kept: touching new memory costs more than decoding anew.
_WINDOW_RECORDS = 1 << 18
# Of chunks that were decoded to look at single runs so many are kept: 16 MB.
_KEPT_RECORDS = 1 << 19


@dataclass(frozen=True, slots=True)
class Runs:
    """The runs of one process, in order of their number; each field is an array [runs].

    Attributes:
        number: The process's number of the run.
        begin: In ticks.
        duration: In ticks; of an unfinished run until it was last heard of.
        graph: GRAPH number, 0 if unknown.
        placement: PLACEMENT number, 0 if unknown.
        status: What ggml returned, or STATUS_UNFINISHED.
        splits: Calls into backends.
        threads: The most CPU threads that a split of it used; 0: none seen.
        phase: Index in PHASES.
        tokens: Tokens that went through the model.
    """

    number: npt.NDArray[np.uint32]
    begin: npt.NDArray[np.uint64]
    duration: npt.NDArray[np.uint64]
    graph: npt.NDArray[np.uint32]
    placement: npt.NDArray[np.uint32]
    status: npt.NDArray[np.uint16]
    splits: npt.NDArray[np.uint16]
    threads: npt.NDArray[np.uint16]
    phase: npt.NDArray[np.uint8]
    tokens: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.number)


def runs_of(table: Structured, workloads: Mapping[int, Workload]) -> Runs:
    """What runs are, by their records and the workloads of their graphs.

    Args:
        table: RUN_DTYPE array, in any order; of several with the same number the first counts.
        workloads: By the graph's number.
    """
    number, first = np.unique(table["run"], return_index=True)
    table = table[first]
    known, inverse = np.unique(table["graph"], return_inverse=True)
    loads = [workloads.get(int(graph), Workload(OTHER, 0)) for graph in known]
    return Runs(
        number=number,
        begin=table["start"],
        duration=shifted(table, "duration"),
        graph=table["graph"],
        placement=table["placement"],
        status=table["detail"],
        splits=table["splits"],
        threads=table["threads"],
        phase=np.array([PHASES.index(load.phase) for load in loads], np.uint8)[inverse],
        tokens=np.array([load.tokens for load in loads], np.int64)[inverse],
    )


class Process:
    """One watched process.

    Args:
        file: What the trace file holds of it.
        clock: Its clock.
        rules: How its tensors may be named.
    """

    def __init__(self, file: ProcessTrace, clock: Clock, rules: Sequence[NamingRules]) -> None:
        self.file = file
        self.clock = clock
        self._rules = rules

    @property
    def began(self) -> Calibration:
        """When its recording began: its first calibration, long after the process's start where one attached."""
        first = next(iter(self.file.calibrations), self.clock.origin)
        if not self.file.let_go:
            return first
        ticks = self.file.whole_from
        since = int(self.clock.monotonic_ns(np.array([ticks], np.uint64))[0]) - first.monotonic_ns
        return Calibration(ticks, first.monotonic_ns + since, first.wall_ns + since)

    @cached_property
    def graphs(self) -> dict[int, Graph]:
        """Graphs by number. One that is malformed is left out."""
        graphs = {}
        for number, extent in self.file.definitions.graphs.items():
            try:
                graphs[number] = Graph.decode(self.file.body(extent), self.file.definitions.names)
            except MalformedError:
                continue
        return graphs

    @cached_property
    def workloads(self) -> dict[int, Workload]:
        """What a run of each graph does, by the graph's number."""
        return {number: workload(graph) for number, graph in self.graphs.items()}

    @cached_property
    def attributions(self) -> dict[int, Attribution]:
        """Layer and role of each tensor of its graphs, by the graph's number."""
        return {number: attribute(graph, self._rules) for number, graph in self.graphs.items()}

    @cached_property
    def costs(self) -> dict[int, Cost]:
        """What the nodes of its graphs take, by the graph's number."""
        return {number: cost(graph) for number, graph in self.graphs.items()}

    @cached_property
    def buffers(self) -> list[BufferLife]:
        """Its buffers, by number."""
        return buffer_lives(self.file, self.graphs)

    @cached_property
    def runs(self) -> Runs:
        """Its runs, except those whose record was lost or cut off."""
        return runs_of(self._of_kind(KIND_RUN, RUN_DTYPE), self.workloads)

    @cached_property
    def places(self) -> Places:
        """The nodes of all its graphs."""
        return Places.of(self.graphs, self.file.definitions.names)

    @cached_property
    def node_times(self) -> NodeTimes:
        """What the executions of each node took."""
        return measure_nodes(self)

    @cached_property
    def splits(self) -> Structured:
        """SPLIT records, in the order of the file: SPLIT_DTYPE array [n]."""
        return self._of_kind(KIND_SPLIT, SPLIT_DTYPE)

    @cached_property
    def copies(self) -> Structured:
        """COPY records, in the order of the file: COPY_DTYPE array [n]."""
        return self._of_kind(KIND_COPY, COPY_DTYPE)

    def nodes(self) -> Iterator[tuple[Structured, Structured]]:
        """The executed nodes of its runs, a window at a time.

        Yields:
            The next records, in no order, of which the NODEs are nodes on one thread: RECORD_DTYPE array [n],
            overwritten once the next window was asked for; and all nodes, all threads together, of the runs that no
            record is left of: SPAN_DTYPE array [m], sorted by run, then node.
        """
        for window, waiting, limit in one_ahead(self._windows(), self.is_large):
            spans = fold_spans(window)
            yield window[waiting:], spans if limit is None else spans[: np.searchsorted(spans["run"], limit)]

    def _windows(self) -> Iterator[tuple[Structured, int, np.int64 | None]]:
        """Decodes the records, a window at a time.

        Yields:
            Records, how many of them were in the window before too, and the first run of which there may be more to
            come; None: of no run is there more.
        """
        index = self._index
        # Two, so that one can be looked at while the other is filled.
        window, other = np.empty(_WINDOW_RECORDS, RECORD_DTYPE), np.empty(_WINDOW_RECORDS, RECORD_DTYPE)
        filled = waiting = 0
        for position, chunk in enumerate(index.chunks):
            if filled + chunk.count > len(window):
                window = np.concatenate([window[:filled], np.empty(filled + chunk.count, RECORD_DTYPE)])
            decoded = self.file.decode(chunk, window[filled:])
            filled += _keep_whole(window[filled : filled + decoded], self.file, index.last_partial_run)
            if position + 1 == len(index.chunks):
                yield window[:filled], waiting, None
                return
            # A window grows with what had to wait for it, so that no record waits again and again.
            if filled - waiting < max(_WINDOW_RECORDS // 2, waiting):
                continue
            limit = index.first_runs[position + 1]
            later = window[np.flatnonzero(window["run"][:filled] >= limit)]
            yield window[:filled], waiting, limit
            # Only now is it certain that nobody looks at the other one any more.
            window, other = other if len(other) >= len(window) else np.empty(len(window), RECORD_DTYPE), window
            filled = waiting = len(later)
            window[:filled] = later

    def nodes_of(self, run: int) -> Structured:
        """The executed nodes of one run, by decoding no more than the chunks that may hold some.

        Returns:
            NODE records in no order: RECORD_DTYPE array [n].
        """
        if run <= self._index.last_partial_run:
            return np.empty(0, RECORD_DTYPE)
        parts = [self._decoded.records(chunk) for chunk in self._index.of_run(run)]
        chosen = [part[(part["run"] == run) & (part["kind"] == KIND_NODE)] for part in parts]
        return np.concatenate([*chosen, np.empty(0, RECORD_DTYPE)])

    @property
    def is_large(self) -> bool:
        """Whether it has so many records that a second thread is worth its while."""
        return self.file.record_count > _WINDOW_RECORDS

    @property
    def undecodable_records(self) -> int:
        """Records in chunks that are whole, and yet not what the format says; they are left out."""
        return self._index.undecodable

    def _of_kind(self, kind: int, dtype: np.dtype[np.void]) -> Structured:
        others = self._index.others
        chosen: Structured = others[others["kind"] == kind].view(dtype)
        return chosen

    @cached_property
    def _index(self) -> _Index:
        return _Index.of(self.file)

    @cached_property
    def _decoded(self) -> _DecodedChunks:
        return _DecodedChunks(self.file)


@dataclass(frozen=True, slots=True)
class _Index:
    """What one pass over the records of a process finds.

    Attributes:
        others: All records but NODEs: RECORD_DTYPE array [n].
        chunks: The chunks that hold NODEs, sorted by `first_runs`.
        first_runs: The smallest run number among the NODEs of each of them.
        last_runs: The largest run number in each of them.
        undecodable: Records in chunks that cannot be decoded.
        last_partial_run: Of runs up to this one records may have been let go; 0: of none.
    """

    others: Structured
    chunks: list[RecordChunk]
    first_runs: npt.NDArray[np.int64]
    last_runs: npt.NDArray[np.int64]
    undecodable: int
    last_partial_run: int

    @classmethod
    def of(cls, file: ProcessTrace) -> _Index:
        chunks = file.record_chunks
        half = len(chunks) // 2 if file.record_count > _WINDOW_RECORDS else 0
        passes = side_by_side(lambda part: _Pass(file, part), [part for part in (chunks[:half], chunks[half:]) if part])
        firsts = np.concatenate([*(first for each in passes for first in each.first_runs), np.empty(0, np.int64)])
        lasts = np.concatenate([*(last for each in passes for last in each.last_runs), np.empty(0, np.int64)])
        order = np.argsort(firsts, kind="stable")
        with_nodes = [chunk for each in passes for chunk in each.chunks]
        rest = np.concatenate([*(found for each in passes for found in each.others), np.empty(0, RECORD_DTYPE)])
        last_partial_run = max((each.last_partial_run for each in passes), default=0)
        rest = rest[: _keep_whole(rest, file, last_partial_run)]
        undecodable = sum(each.undecodable for each in passes)
        chunks = [with_nodes[i] for i in order]
        return cls(rest, chunks, firsts[order], lasts[order], undecodable, last_partial_run)

    def of_run(self, run: int) -> list[RecordChunk]:
        """The chunks that may hold NODEs of a run."""
        until = int(np.searchsorted(self.first_runs, np.int64(run), "right"))
        return [self.chunks[i] for i in np.flatnonzero(self.last_runs[:until] >= run).tolist()]


class _Pass:
    """One pass over some chunks of records: what an _Index says, in the order of the chunks."""

    def __init__(self, file: ProcessTrace, chunks: Sequence[RecordChunk]) -> None:
        self.others: list[Structured] = []
        self.chunks: list[RecordChunk] = []
        self.first_runs: list[npt.NDArray[np.int64]] = []
        self.last_runs: list[npt.NDArray[np.int64]] = []
        self.undecodable = self.last_partial_run = 0
        window = np.empty(_WINDOW_RECORDS // 8, RECORD_DTYPE)
        batch: list[RecordChunk] = []
        starts: list[int] = []
        filled = 0
        for chunk in chunks:
            if batch and filled + chunk.count > len(window):
                self._look(file, window[:filled], batch, starts)
                batch, starts, filled = [], [], 0
            if chunk.count > len(window):
                window = np.empty(chunk.count, RECORD_DTYPE)
            if decoded := file.decode(chunk, window[filled:]):
                batch.append(chunk)
                starts.append(filled)
                filled += decoded
            else:
                self.undecodable += chunk.count
        if batch:
            self._look(file, window[:filled], batch, starts)

    def _look(self, file: ProcessTrace, records: Structured, batch: list[RecordChunk], starts: list[int]) -> None:
        if file.let_go:
            partial = records["run"][records["start"] <= file.whole_from]
            self.last_partial_run = max(self.last_partial_run, int(partial.max(initial=0)))
        run = records["run"].astype(np.int64)
        last = np.maximum.reduceat(run, starts)
        is_other = records["kind"] != KIND_NODE
        if is_other.any():
            self.others.append(records[is_other])
            run[is_other] = _NO_RUN
        first = np.minimum.reduceat(run, starts)
        has_nodes = first != _NO_RUN
        self.chunks.extend(chunk for chunk, has in zip(batch, has_nodes, strict=True) if has)
        self.first_runs.append(first[has_nodes])
        self.last_runs.append(last[has_nodes])


class _DecodedChunks:
    """The chunks that were decoded last, because who looks at a run looks at its neighbours next.

    Args:
        file: Whose chunks.
    """

    def __init__(self, file: ProcessTrace) -> None:
        self._file = file
        self._kept: dict[int, Structured] = {}
        self._lock = threading.Lock()

    def records(self, chunk: RecordChunk) -> Structured:
        """The records of a chunk, not to be written to: RECORD_DTYPE array [n]."""
        with self._lock:
            records = self._kept.pop(chunk.offset, None)
            if records is None:
                records = np.empty(chunk.count, RECORD_DTYPE)
                records = records[: self._file.decode(chunk, records)]
            self._kept[chunk.offset] = records
            # The newest stays, however large it is.
            while len(self._kept) > 1 and sum(map(len, self._kept.values())) > _KEPT_RECORDS:
                del self._kept[next(iter(self._kept))]
        return records


def _keep_whole(records: Structured, file: ProcessTrace, last_partial_run: int) -> int:
    """Moves to the front what belongs to runs of which nothing was let go. Returns how many records those are."""
    if not file.let_go:
        return len(records)
    kept = records[(records["run"] > last_partial_run) | ((records["run"] == 0) & (records["start"] > file.whole_from))]
    records[: len(kept)] = kept
    return len(kept)


class _TableOf:
    """The table of a trace that is called what the attribute is."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, trace: Trace, owner: type) -> Table:
        return trace.table(self._name)


class Trace:
    """A recording of one or more processes: its tables (docs/python-api.md), and what they are made from.

    Args:
        file: The open trace file.
        naming: Files of naming rules beyond those that come with ggml-viz (docs/naming-rules.md).

    Attributes:
        watched: The processes that were watched, in the order of their appearance.
    """

    processes = _TableOf()
    threads = _TableOf()
    backends = _TableOf()
    tensors = _TableOf()
    edges = _TableOf()
    graphs = _TableOf()
    nodes = _TableOf()
    runs = _TableOf()
    spans = _TableOf()
    worker_spans = _TableOf()
    splits = _TableOf()
    copies = _TableOf()
    buffers = _TableOf()
    placements = _TableOf()
    lifetimes = _TableOf()

    def __init__(self, file: TraceFile, naming: Sequence[Path] = ()) -> None:
        self.file = file
        rules = load_rules(naming)
        self._tables: dict[str, Table] = {}
        clocks = [Clock.of(process) for process in file.processes]
        # The processes of a machine share its counter, so one whose trace was cut early borrows another's.
        rates = [clock.ns_per_tick for clock in clocks if clock.known and clock.ns_per_tick != 1]
        self.watched = [
            Process(process, clock if clock.known or not rates else clock.with_rate(rates[0]), rules)
            for process, clock in zip(file.processes, clocks, strict=True)
        ]

    @cached_property
    def measured(self) -> MeasuredNodes:
        """Every node that was executed, and what its executions took."""
        return MeasuredNodes(self.watched)

    @classmethod
    def open(cls, path: str | os.PathLike[str], naming: Path | None = None) -> Trace:
        """Opens the trace file at a path.

        Args:
            path: The file.
            naming: A file of naming rules beyond those that come with ggml-viz (docs/naming-rules.md).

        Raises:
            UserError: It is no trace, or the file of rules is none.
        """
        return cls(open_trace(path), (naming,) if naming else ())

    def table(self, name: str) -> Table:
        """One of its tables, by name.

        Raises:
            KeyError: There is none of that name.
        """
        if name not in self._tables:
            self._tables[name] = make_table(self, name)
        return self._tables[name]

    def __repr__(self) -> str:
        commands = "; ".join(" ".join(p.file.definitions.info.command) for p in self.watched)
        runs = sum(len(process.runs) for process in self.watched)
        return (
            f"Trace of {commands or 'nothing'}: {runs} graph runs, {self.file.record_count} records, "
            f"{self.duration_s:.3g} s; tables: {', '.join(FIELDS)}"
        )

    def _repr_html_(self) -> str:
        return f"<p>{html.escape(repr(self))}</p>{self.processes._repr_html_()}"

    @cached_property
    def started_wall_ns(self) -> int:
        """When the recording of its first process began, in ns since 1970; 0 if that is not known."""
        return min((process.began.wall_ns for process in self.watched), default=0)

    @cached_property
    def started_monotonic_ns(self) -> int:
        """The same moment on the clock that the processes share."""
        return min((process.began.monotonic_ns for process in self.watched), default=0)

    @cached_property
    def duration_s(self) -> float:
        """From then to the last time that any process was heard of."""
        ends = [float(process.clock.last.monotonic_ns) for process in self.watched]
        for process in self.watched:
            if len(process.runs):
                ends.append(float(process.clock.monotonic_ns(process.runs.begin + process.runs.duration).max()))
        return max((end - self.started_monotonic_ns for end in ends), default=0.0) * 1e-9
