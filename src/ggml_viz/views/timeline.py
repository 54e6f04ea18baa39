"""The timeline of a trace, finished or growing: exact spans where they can be told apart, else where columns went.

A worker's lane costs the same whether it holds ten nodes or ten million: shares come from a pyramid of buckets that is
filled as records come, spans from those chunks of the file that lie in the window. A tile is what a face asks for and
draws; its layout is in docs/http-api.md.
"""

from __future__ import annotations

import struct
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ggml_viz.analysis.throughput import IDLE_S
from ggml_viz.model.ahead import one_ahead
from ggml_viz.model.growing import GrowingProcess
from ggml_viz.model.kinds import KINDS, MOVEMENT, OTHER, kind_of
from ggml_viz.model.phases import OTHER as OTHER_PHASE
from ggml_viz.model.phases import PHASES, Workload
from ggml_viz.model.records import joined, shifted, taken
from ggml_viz.native import (
    COPY_DTYPE,
    KIND_COPY,
    KIND_NODE,
    KIND_RUN,
    KIND_SPLIT,
    LANE_COLUMNS,
    RECORD_DTYPE,
    RUN_DTYPE,
    SPLIT_DTYPE,
    Pyramid,
    lane_spans,
    pyramids_add,
)

if TYPE_CHECKING:
    from ggml_viz.model.trace import Process, Trace
    from ggml_viz.native import Structured
    from ggml_viz.trace.reader import RecordChunk

MAGIC = 0x31545647
_HEADER = struct.Struct("<II3dIIIIQ")
_LANE_HEADER = struct.Struct("<4I")
_ALIGN_BYTES = 8
SHARES, SPANS = range(2)
LIVE = 1

MAX_COLUMNS = 8192
# More spans than so many to a column cannot be told apart.
_SPANS_PER_COLUMN = 4
# What is decoded for one tile at the most where shares would do.
_MOST_EXACT = 1 << 19
_CACHED_RECORDS = 1 << 21

# How many are read at once, when a file is opened.
_BATCH_RECORDS = 1 << 18
_NEVER = (1 << 64) - 1

_MAX_WORKERS = 256
_RECORDS_PER_BUCKET = 8
_MAX_BUCKETS = 1 << 21
_MIN_BUCKETS = 1 << 12
_LEVELS = 5
# Of what grows without end, buckets of some 65 µs and four, sixteen, … times that; of each width the newest.
_LIVE_BUCKET_NS = 65_536
_LIVE_BUCKETS = 1 << 16
_LIVE_LEVELS = 10

# Lanes are numbered by process and what they show.
LANES_PER_PROCESS = 4096
_PHASES, _GRAPHS, _COPIES, _SPLITS, FIRST_WORKER = 0, 1, 2, 16, 1024


@dataclass(frozen=True, slots=True)
class Lane:
    """A line of the timeline.

    Attributes:
        id: Its number, which it keeps.
        group: `phases`, `graphs`, `splits`, `copies` or `ops`.
        name: What it shows.
        pid: Of its process.
        worker: Whose work it shows, in `ops`.
    """

    id: int
    group: str
    name: str
    pid: int
    worker: int | None = None


@dataclass(slots=True)
class _Labels:
    """What spans are called, each text once; with the kind of work that it is, an index in KINDS."""

    texts: list[str] = field(default_factory=list)
    kinds: list[int] = field(default_factory=list)
    _numbers: dict[tuple[str, int], int] = field(default_factory=dict)

    def number(self, text: str, kind: int) -> int:
        number = self._numbers.setdefault((text, kind), len(self.texts))
        if number == len(self.texts):
            self.texts.append(text)
            self.kinds.append(kind)
        return number


@dataclass(frozen=True, slots=True)
class _Window:
    """What a tile shows of one process: from tick to tick, in so many columns."""

    begin: float
    end: float
    columns: int

    @property
    def column(self) -> float:
        """How wide a column is, in ticks."""
        return (self.end - self.begin) / self.columns


_INTERVAL_DTYPE = np.dtype(
    [("begin", "f8"), ("end", "f8"), ("kind", "u1"), ("run", "u4"), ("node", "u4"), ("label", "u4")]
)


def _intervals(**columns: npt.NDArray[Any] | int) -> npt.NDArray[np.void]:
    """An _INTERVAL_DTYPE array from its columns [n], times in ticks."""
    rows = np.zeros(len(np.atleast_1d(columns["begin"])), _INTERVAL_DTYPE)
    for name, values in columns.items():
        rows[name] = values
    return rows


class _Block:
    """Some intervals of a lane, sorted by begin: _INTERVAL_DTYPE array [n > 0]."""

    def __init__(self, rows: npt.NDArray[np.void]) -> None:
        begin = rows["begin"]
        in_order = bool((begin[1:] >= begin[:-1]).all())
        self._rows = rows if in_order else taken(rows, np.argsort(begin, kind="stable"))
        # What reaches into a window may have begun long before it.
        self._reached = np.maximum.accumulate(self._rows["end"])
        self.begin, self.end = float(self._rows["begin"][0]), float(self._reached[-1])
        self._integrals: dict[int, tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]] | None = None

    def rows_in(self, window: _Window) -> npt.NDArray[np.void]:
        """Those that reach into a window."""
        first = int(np.searchsorted(self._reached, window.begin, side="right"))
        last = int(np.searchsorted(self._rows["begin"], window.end, side="left"))
        return self._rows[first : max(first, last)]

    def so_far(self, moments: npt.NDArray[np.float64]) -> Iterator[tuple[int, npt.NDArray[np.float64]]]:
        """For each kind that there is, how many ticks of it lie before some moments [n]: [n]."""
        if self._integrals is None:
            kinds = np.unique(self._rows["kind"]).tolist()
            self._integrals = {kind: _integral(self._rows[self._rows["kind"] == kind]) for kind in kinds}
        for kind, (at, ticks) in self._integrals.items():
            yield kind, np.interp(moments, at, ticks)


class _OldBlocks:
    """What is kept of intervals that are long ago: how much time they took, not each."""

    _MOMENTS = 1024

    def __init__(self, parts: Sequence[_Block | _OldBlocks]) -> None:
        self.begin: float = min(part.begin for part in parts)
        self.end: float = max(part.end for part in parts)
        self._at = np.linspace(self.begin, self.end, self._MOMENTS)
        self._ticks: dict[int, npt.NDArray[np.float64]] = {}
        for part in parts:
            for kind, ticks in part.so_far(self._at):
                self._ticks[kind] = self._ticks.get(kind, 0) + ticks

    def so_far(self, moments: npt.NDArray[np.float64]) -> Iterator[tuple[int, npt.NDArray[np.float64]]]:
        """For each kind that there was, how many ticks of it lie before some moments [n]: [n]."""
        for kind, ticks in self._ticks.items():
            yield kind, np.interp(moments, self._at, ticks)


def _integral(rows: npt.NDArray[np.void]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Moments, and how much time all intervals together took up to each; it is linear between them."""
    at = np.concatenate([rows["begin"], rows["end"]])
    order = np.argsort(at, kind="stable")
    at = at[order]
    open_after = np.cumsum(np.where(order < len(rows), 1.0, -1.0))
    return at, np.concatenate([[0.0], np.cumsum(open_after[:-1] * np.diff(at))])


class _IntervalLane:
    """A lane of few intervals: the newest quarter of a million are kept one by one."""

    _BLOCK_ROWS = 8192
    _MOST_BLOCKS = 32

    def __init__(self, lane: Lane) -> None:
        self.lane = lane
        self._blocks: list[_Block] = []
        self._old: list[_OldBlocks] = []
        self._recent: list[npt.NDArray[np.void]] = []
        self._recent_block: _Block | None = None

    def add(self, rows: npt.NDArray[np.void]) -> None:
        if len(rows):
            self._recent.append(rows)
            self._recent_block = None

    def payload(
        self, window: _Window, spans_only: bool, extra: Sequence[npt.NDArray[np.void]] = ()
    ) -> tuple[int, int, bytes]:
        blocks = [block for block in self._all(extra) if block.end > window.begin and block.begin < window.end]
        parts = [block.rows_in(window) for block in blocks]
        old = [block for block in self._old if block.end > window.begin and block.begin < window.end]
        count = sum(map(len, parts))
        if spans_only or (not old and count <= _SPANS_PER_COLUMN * window.columns):
            rows = joined([*parts, np.empty(0, _INTERVAL_DTYPE)])
            scale = 1 / (window.end - window.begin)
            columns: dict[str, npt.NDArray[Any]] = {
                "begin": (rows["begin"] - window.begin) * scale,
                "duration": (rows["end"] - rows["begin"]) * scale,
                "wait": np.zeros(len(rows)),
                **{name: rows[name] for name in ("run", "node", "label")},
            }
            return SPANS, count, b"".join(columns[name].astype(kind).tobytes() for name, kind in LANE_COLUMNS.items())
        ticks = np.zeros((window.columns, len(KINDS), 2))
        edges = np.linspace(window.begin, window.end, window.columns + 1)
        summed: list[_Block | _OldBlocks] = [*old, *blocks]
        for block in summed:
            for kind, so_far in block.so_far(edges):
                ticks[:, kind, 0] += np.diff(so_far)
        shares = np.minimum(np.rint(ticks * (255 / window.column)), 255).astype(np.uint8)
        return SHARES, window.columns, shares.tobytes()

    def _all(self, extra: Sequence[npt.NDArray[np.void]]) -> list[_Block]:
        if self._recent and self._recent_block is None:
            self._recent = [joined(self._recent)]
            self._recent_block = _Block(self._recent[0])
            if len(self._recent[0]) >= self._BLOCK_ROWS:
                self._blocks.append(self._recent_block)
                self._recent, self._recent_block = [], None
                self._let_go()
        recent = [self._recent_block] if self._recent_block else []
        return [*self._blocks, *recent, *(_Block(rows) for rows in extra if len(rows))]

    def _let_go(self) -> None:
        """Keeps of the oldest block only how much time it took; of those that are older still, of several together."""
        while len(self._blocks) > self._MOST_BLOCKS:
            self._old.append(_OldBlocks([self._blocks.pop(0)]))
        if len(self._old) > self._MOST_BLOCKS:
            self._old = [_OldBlocks(self._old[at : at + 2]) for at in range(0, len(self._old), 2)]


class _Streaks:
    """Unbroken sequences of runs of one phase, by the rule of `analysis.throughput`."""

    def __init__(self, ns_per_tick: float) -> None:
        self._idle_ticks = IDLE_S * 1e9 / ns_per_tick
        self._done: list[tuple[float, float, int]] = []
        self._open: dict[bool, tuple[float, float, int, float]] = {}

    def add(self, begin: npt.NDArray[np.float64], ticks: npt.NDArray[np.float64], phase: npt.NDArray[Any]) -> None:
        """Takes in runs, later ones than before: [n] arrays."""
        order = np.argsort(begin, kind="stable")
        for start, took, number in zip(
            begin[order].tolist(), ticks[order].tolist(), phase[order].tolist(), strict=True
        ):
            # Runs of phase other break only streaks of their own.
            stream = number == PHASES.index(OTHER_PHASE)
            since, until, before, last = self._open.get(stream, (start, start, number, 0.0))
            if before == number and start - until <= max(self._idle_ticks, last):
                self._open[stream] = since, max(until, start + took), number, took
            else:
                self._done.append((since, until, before))
                self._open[stream] = start, start + took, number, took

    def ended(self, labels: Sequence[int]) -> npt.NDArray[np.void]:
        """Those that have ended since this was asked last, as _INTERVAL_DTYPE array [n]."""
        done, self._done = self._done, []
        return self._rows(done, labels)

    def going_on(self, labels: Sequence[int]) -> npt.NDArray[np.void]:
        """Those that have not, as _INTERVAL_DTYPE array [n]."""
        return self._rows([streak[:3] for streak in self._open.values()], labels)

    @staticmethod
    def _rows(rows: Sequence[tuple[float, float, int]], labels: Sequence[int]) -> npt.NDArray[np.void]:
        begin, end, phase = (np.array([row[i] for row in rows]) for i in range(3))
        phase = phase.astype(np.int64)
        return _intervals(begin=begin, end=end, kind=phase, label=np.array(labels)[phase])


class _Workers:
    """The lanes of the workers of one process."""

    def __init__(self, process: Process, labels: _Labels) -> None:
        self._process = process
        self._labels = labels
        self._pyramids: list[Pyramid] = []
        self._named: object = None
        self._chunks: list[RecordChunk] = []
        self._times: list[tuple[int, int]] = []
        self._table: npt.NDArray[np.uint64] = np.empty((0, 2), np.uint64)
        self._decoded: OrderedDict[int, Structured] = OrderedDict()
        self._cached_records = 0
        growing = isinstance(process, GrowingProcess)
        origin, ticks = process.began.ticks, max(process.clock.last.ticks - process.began.ticks, 1)
        threads = 1 if growing else max(int(process.runs.threads.max(initial=1)), 1)
        if growing:
            shift = max(int(np.log2(_LIVE_BUCKET_NS / process.clock.ns_per_tick)), 0)
            self._sizes = origin, shift, _LIVE_BUCKETS, _LIVE_LEVELS
            self._limit = _NEVER
        else:
            wanted = process.file.record_count // (_RECORDS_PER_BUCKET * threads)
            buckets = 1 << min(max(wanted, _MIN_BUCKETS), _MAX_BUCKETS).bit_length() - 1
            shift = max(int(np.ceil(np.log2((ticks + 1) / buckets))), 0)
            self._sizes = origin, min(shift, 40), buckets, _LEVELS
            self._limit = buckets << min(shift, 40)
        self.finest_ticks = float(1 << self._sizes[1])

    def __len__(self) -> int:
        return len(self._pyramids)

    def add(self, chunks: Sequence[RecordChunk], records: Structured) -> None:
        """Takes in records, and which chunks they are the content of."""
        self._name()
        nodes = records["kind"] == KIND_NODE
        workers = int(records["detail"][nodes].max(initial=0)) + 1 if nodes.any() else 0
        while len(self._pyramids) < min(workers, _MAX_WORKERS):
            self._pyramids.append(Pyramid(*self._sizes, len(KINDS), self._limit))
        pyramids_add(self._pyramids, records, self._run_nodes(), self._kinds)
        if not nodes.any():
            return
        starts = np.cumsum([0, *(chunk.count for chunk in chunks[:-1])])
        took = (records["work"].astype(np.uint64) + records["inner"] + records["wait"]) << (records["shift"] & 0x0F)
        first = np.minimum.reduceat(np.where(nodes, records["start"], np.uint64(_NEVER)), starts)
        last = np.maximum.reduceat(np.where(nodes, records["start"] + took, np.uint64(0)), starts)
        for chunk, begin, end in zip(chunks, first.tolist(), last.tolist(), strict=True):
            if begin != _NEVER:
                self._chunks.append(chunk)
                self._times.append((begin, end))

    def let_go(self, before: int) -> None:
        """Forgets the chunks of the file before an offset."""
        count = sum(chunk.offset < before for chunk in self._chunks)
        del self._chunks[:count], self._times[:count]
        self._table = self._table[:0]

    def oldest_ticks(self) -> int | None:
        """Since when nodes are there one by one; None: there are none."""
        return min((begin for begin, _ in self._times[:64]), default=None)

    def payloads(self, window: _Window, workers: Collection[int], spans_only: bool) -> Iterator[tuple[int, int, bytes]]:
        """For each of some workers the mode, count and payload of its lane."""
        self._name()
        begin, end, column = window.begin, window.end, window.column
        chosen = self._chunks_in(begin, end)
        records = sum(chunk.count for chunk in chosen)
        some = len(self._pyramids) * window.columns * _SPANS_PER_COLUMN
        if not spans_only and (records > _MOST_EXACT or (column >= self.finest_ticks and records > 2 * some)):
            for worker in workers:
                yield SHARES, window.columns, self._pyramids[worker].read(begin, end, window.columns).tobytes()
            return
        tables = self._decode(chosen)
        runs = self._run_nodes()
        narrow: list[Pyramid] | None = None
        for worker in workers:
            columns = {name: np.empty(records, dtype) for name, dtype in LANE_COLUMNS.items()}
            count = 0
            for table in tables:
                count += lane_spans(table, worker, runs, self._label_of, (begin, end), columns, count)
            if spans_only or count <= _SPANS_PER_COLUMN * window.columns:
                yield SPANS, count, b"".join([columns[name][:count].data for name in LANE_COLUMNS])
                continue
            if narrow is None:
                narrow = self._narrow(tables, runs, window)
            yield SHARES, window.columns, narrow[worker].read(begin, end, window.columns).tobytes()

    def busy(self, window: _Window) -> list[npt.NDArray[np.float64]]:
        """What share of each column each worker was at work."""
        read = (pyramid.read(window.begin, window.end, window.columns) for pyramid in self._pyramids)
        return [np.minimum(parts[:, :, 0].sum(axis=1) / 255, 1) for parts in read]

    def _narrow(self, tables: Sequence[Structured], runs: Structured, window: _Window) -> list[Pyramid]:
        """Pyramids of one window, whose buckets are narrower than its columns."""
        shift = max(int(np.log2(max(window.column / 4, 1))), 0)
        buckets = 1 << int((window.end - window.begin) / (1 << shift) + 2).bit_length()
        sizes = int(max(window.begin, 0)), shift, buckets, 1, len(KINDS), buckets << shift
        pyramids = [Pyramid(*sizes) for _ in self._pyramids]
        for table in tables:
            pyramids_add(pyramids, table, runs, self._kinds)
        return pyramids

    def _chunks_in(self, begin: float, end: float) -> list[RecordChunk]:
        if len(self._table) != len(self._times):
            self._table = np.array(self._times, np.uint64).reshape(-1, 2)
        rows = (self._table[:, 0].astype(np.float64) < end) & (self._table[:, 1].astype(np.float64) > begin)
        return [self._chunks[row] for row in np.flatnonzero(rows).tolist()]

    def _decode(self, chunks: Sequence[RecordChunk]) -> list[Structured]:
        """The records of chunks, of which some were decoded for the tile before."""
        tables = []
        for chunk in chunks:
            table = self._decoded.get(chunk.offset)
            if table is None:
                table = np.empty(chunk.count, RECORD_DTYPE)
                table = self._decoded[chunk.offset] = table[: self._process.file.decode(chunk, table)]
                self._cached_records += len(table)
            self._decoded.move_to_end(chunk.offset)
            tables.append(table)
        while self._cached_records > _CACHED_RECORDS and len(self._decoded) > len(chunks):
            self._cached_records -= len(self._decoded.popitem(last=False)[1])
        return tables

    def _run_nodes(self) -> Structured:
        if isinstance(self._process, GrowingProcess):
            return self._process.run_nodes
        if not hasattr(self, "_all_runs"):
            self._all_runs = self._process.places.of_runs(self._process.runs)
        return self._all_runs

    def _name(self) -> None:
        """Says of each place, alone and fused, which kind of work it is and what to call it."""
        places = self._process.places
        if self._named is places:
            return
        roles = np.zeros(len(places), np.int64)
        texts: list[str] = [""]
        for number, attribution in self._process.attributions.items():
            first, count = places.first[number], places.counts[number]
            roles[first : first + count] = attribution.role[:count]
            texts = attribution.roles
        behind = np.append(places.op[1:], 0).astype(np.int64)
        behind[np.append(places.graph[1:] != places.graph[:-1], True)] = 0
        op = places.op.astype(np.int64)
        both = np.stack([np.stack([op, np.full(len(op), -1), roles], 1), np.stack([op, behind, roles], 1)], 1)
        distinct, inverse = np.unique(both.reshape(-1, 3), axis=0, return_inverse=True)
        numbers, kinds = [], []
        for own, other, role in distinct.tolist():
            name = places.ops[own] + (f"+{places.ops[other]}" if other >= 0 else "")
            kinds.append(KINDS.index(kind_of(name)))
            numbers.append(self._labels.number(f"{name} {texts[role]}".rstrip(), kinds[-1]))
        self._kinds = np.array(kinds, np.uint8)[inverse.reshape(-1)]
        self._label_of = np.array(numbers, np.uint32)[inverse.reshape(-1)]
        self._named = places


class _Lines:
    """All lanes of one process.

    Args:
        process: The process.
        first: The first number of its lanes.
        labels: Where spans get their names from.
    """

    def __init__(self, process: Process, first: int, labels: _Labels) -> None:
        self._process = process
        self._labels = labels
        self.first = first
        self.workers = _Workers(process, labels)
        self._pid = process.file.definitions.info.pid
        self._phases = _IntervalLane(Lane(first + _PHASES, "phases", "phase", self._pid))
        self._graphs = _IntervalLane(Lane(first + _GRAPHS, "graphs", "graphs", self._pid))
        self._copies = _IntervalLane(Lane(first + _COPIES, "copies", "copies", self._pid))
        self._splits: dict[int, _IntervalLane] = {}
        self._streaks = _Streaks(process.clock.ns_per_tick)
        self._has_copies = False
        other = KINDS.index(OTHER)
        self._phase_labels = [labels.number(name, other) for name in PHASES]

    def add(self, chunks: Sequence[RecordChunk], records: Structured) -> None:
        """Takes in records, and which chunks they are the content of."""
        self.workers.add(chunks, records)
        kinds = records["kind"]
        if (kinds != KIND_NODE).any():
            self._add_runs(taken(records, kinds == KIND_RUN).view(RUN_DTYPE))
            self._add_splits(taken(records, kinds == KIND_SPLIT).view(SPLIT_DTYPE))
            self._add_copies(taken(records, kinds == KIND_COPY).view(COPY_DTYPE))

    def lanes(self) -> list[Lane]:
        """From top to bottom."""
        intervals = [self._phases, self._graphs, *(self._splits[number] for number in sorted(self._splits))]
        lanes = [lane.lane for lane in (*intervals, *([self._copies] if self._has_copies else []))]
        first = self.first + FIRST_WORKER
        return lanes + [Lane(first + i, "ops", f"thread {i}", self._pid, i) for i in range(len(self.workers))]

    def intervals(
        self, latest_s: float, ticks: Callable[[float], float]
    ) -> Iterator[tuple[_IntervalLane, list[npt.NDArray[np.void]]]]:
        """The lanes that are not the workers', and what each shows beyond what was recorded."""
        yield self._phases, [self._streaks.going_on(self._phase_labels)]
        yield self._graphs, [self._in_progress(ticks(latest_s))]
        for number in sorted(self._splits):
            yield self._splits[number], []
        if self._has_copies:
            yield self._copies, []

    def _in_progress(self, now: float) -> npt.NDArray[np.void]:
        process = self._process
        if not isinstance(process, GrowingProcess) or not len(process.active):
            return np.empty(0, _INTERVAL_DTYPE)
        active = process.active
        begin = active["start"].astype(np.float64)
        phase = np.minimum(active["phase"], len(PHASES) - 1).astype(np.int64)
        return _intervals(
            begin=begin,
            end=np.maximum(begin, now),
            kind=phase,
            run=active["run"],
            node=active["graph"],
            label=np.array(self._phase_labels)[phase],
        )

    def _add_runs(self, runs: Structured) -> None:
        if not len(runs):
            return
        begin, took = runs["start"].astype(np.float64), shifted(runs, "duration").astype(np.float64)
        graphs, inverse = np.unique(runs["graph"], return_inverse=True)
        none = Workload(OTHER_PHASE, 0)
        loads = [self._process.workloads.get(graph, none) for graph in graphs.tolist()]
        phase = np.array([PHASES.index(load.phase) for load in loads])[inverse]
        texts = [f"{load.phase}, {load.tokens} tokens" if load.tokens > 1 else load.phase for load in loads]
        labels = np.array([self._labels.number(text, KINDS.index(OTHER)) for text in texts])[inverse]
        self._streaks.add(begin, took, phase)
        self._phases.add(self._streaks.ended(self._phase_labels))
        self._graphs.add(
            _intervals(begin=begin, end=begin + took, kind=phase, run=runs["run"], node=runs["graph"], label=labels)
        )

    def _add_splits(self, splits: Structured) -> None:
        begin, took = splits["start"].astype(np.float64), shifted(splits, "duration").astype(np.float64)
        for backend in np.unique(splits["backend"]).tolist():
            name = self._process.file.definitions.backends.get(backend, "?")
            number = self.first + _SPLITS + min(backend, FIRST_WORKER - _SPLITS - 1)
            lane = self._splits.get(number)
            if lane is None:
                made = Lane(number, "splits", f"splits on {name}", self._pid)
                lane = self._splits[number] = _IntervalLane(made)
            mine = splits["backend"] == backend
            other = KINDS.index(OTHER)
            lane.add(
                _intervals(
                    begin=begin[mine],
                    end=(begin + took)[mine],
                    kind=other,
                    run=splits["run"][mine],
                    node=splits["first"][mine],
                    label=self._labels.number(f"split on {name}", other),
                )
            )

    def _add_copies(self, copies: Structured) -> None:
        if not len(copies):
            return
        self._has_copies = True
        places, moving = self._process.file.definitions.places, KINDS.index(MOVEMENT)
        begin, took = copies["start"].astype(np.float64), shifted(copies, "duration").astype(np.float64)
        ends, inverse = np.unique(np.stack([copies["from"], copies["to"]], 1), axis=0, return_inverse=True)
        texts = [f"{places.get(a, 'application')} → {places.get(b, 'application')}" for a, b in ends.tolist()]
        labels = np.array([self._labels.number(text, moving) for text in texts])[inverse.reshape(-1)]
        moved = np.minimum(copies["bytes"], 0xFFFFFFFF)
        self._copies.add(
            _intervals(begin=begin, end=begin + took, kind=moving, run=copies["run"], node=moved, label=labels)
        )


class Timeline:
    """The lanes of a trace.

    Args:
        trace: Finished, or one that grows; `add` is then told what came in addition.

    Its methods may be called from several threads.
    """

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._lock = threading.RLock()
        self._labels = _Labels()
        self._labels.number("?", KINDS.index(OTHER))
        self._lines: list[_Lines] = []
        self.latest_s = 0.0

    def build(self, progress: Callable[[float], None] = lambda share: None) -> None:
        """Reads all records of a finished trace."""
        total, done = max(self._trace.file.record_count, 1), 0
        for process in self._trace.watched:
            with self._lock:
                lines = self._add_process(process)
            for batch, records in one_ahead(_batches(process), process.is_large):
                with self._lock:
                    lines.add(batch, records)
                done += len(records)
                progress(done / total)
        self.latest_s = self._trace.duration_s

    def add(self, process: int, chunks: Sequence[RecordChunk], records: Structured, latest_s: float) -> None:
        """Takes in what came in addition: the process's index, its new chunks and the records in them."""
        with self._lock:
            while len(self._lines) <= process:
                self._add_process(self._trace.watched[len(self._lines)])
            self._lines[process].add(chunks, records)
            self.latest_s = latest_s

    def let_go(self, process: int, before: int) -> None:
        """Forgets what lies before an offset of the file."""
        with self._lock:
            if process < len(self._lines):
                self._lines[process].workers.let_go(before)

    def describe(self) -> dict[str, Any]:
        """The lanes and labels, as docs/http-api.md has them."""
        with self._lock:
            started_ns = self._trace.started_monotonic_ns
            oldest = [
                (process.clock.monotonic_ns(np.array([ticks], np.uint64))[0] - started_ns) * 1e-9
                for process, lines in zip(self._trace.watched, self._lines, strict=False)
                if (ticks := lines.workers.oldest_ticks()) is not None
            ]
            return {
                "duration_s": self.latest_s,
                "whole_from_s": max(float(min(oldest, default=0.0)), 0.0),
                "kinds": list(KINDS),
                "phases": list(PHASES),
                "lanes": [
                    {"id": lane.id, "group": lane.group, "name": lane.name, "pid": lane.pid, "worker": lane.worker}
                    for lines in self._lines
                    for lane in lines.lanes()
                ],
                "labels": [
                    {"text": text, "kind": kind}
                    for text, kind in zip(self._labels.texts, self._labels.kinds, strict=True)
                ],
            }

    def tile(
        self,
        from_s: float,
        until_s: float,
        columns: int,
        lanes: Collection[int] | None = None,
        spans_only: bool = False,
        request: int = 0,
    ) -> bytes:
        """What some lanes show of a window, as docs/http-api.md has it.

        Args:
            from_s: Where it begins, since the trace began.
            until_s: Where it ends.
            columns: How many pixels wide it is.
            lanes: Ids of lanes; None: all.
            spans_only: Never shares.
            request: A number to say in the tile.

        Raises:
            ValueError: There is no such window.
        """
        if not (-1e9 < from_s < until_s < 1e9 and until_s - from_s >= 1e-9 and 1 <= columns <= MAX_COLUMNS):
            raise ValueError("a tile has a window of at least a nanosecond, and 1 to 8192 columns")
        with self._lock:
            parts = list(self._payloads(from_s, until_s, columns, lanes, spans_only))
            latest_s = self.latest_s
        flags = LIVE if any(isinstance(process, GrowingProcess) for process in self._trace.watched) else 0
        head = _HEADER.pack(
            *(MAGIC, request & 0xFFFFFFFF, from_s, until_s, latest_s, columns, len(parts), len(KINDS), flags, 0)
        )
        offset = _aligned(_HEADER.size + _LANE_HEADER.size * len(parts))
        pieces, table = [], []
        for lane, (mode, count, payload) in parts:
            table.append(_LANE_HEADER.pack(lane, mode, count, offset))
            padded = _aligned(len(payload))
            pieces += [payload, bytes(padded - len(payload))]
            offset += padded
        start = head + b"".join(table)
        return b"".join([start, bytes(_aligned(len(start)) - len(start)), *pieces])

    def busy(self, from_s: float, until_s: float, columns: int) -> list[float] | None:
        """The mean share of each column that workers were at work, waits left out; None: there are no workers."""
        with self._lock:
            shares = []
            for process, lines in zip(self._trace.watched, self._lines, strict=False):
                ticks = self._ticks(process)
                shares += lines.workers.busy(_Window(ticks(from_s), ticks(until_s), columns))
        return [round(float(share), 3) for share in np.mean(shares, axis=0)] if shares else None

    def _payloads(
        self, from_s: float, until_s: float, columns: int, lanes: Collection[int] | None, spans_only: bool
    ) -> Iterator[tuple[int, tuple[int, int, bytes]]]:
        for process, lines in zip(self._trace.watched, self._lines, strict=False):
            ticks = self._ticks(process)
            window = _Window(ticks(from_s), ticks(until_s), columns)
            for lane, extra in lines.intervals(self.latest_s, ticks):
                if lanes is None or lane.lane.id in lanes:
                    yield lane.lane.id, lane.payload(window, spans_only, extra)
            first, count = lines.first + FIRST_WORKER, len(lines.workers)
            workers = [worker for worker in range(count) if lanes is None or first + worker in lanes]
            if workers:
                found = lines.workers.payloads(window, workers, spans_only)
                for worker, payload in zip(workers, found, strict=True):
                    yield first + worker, payload

    def _add_process(self, process: Process) -> _Lines:
        self._lines.append(_Lines(process, len(self._lines) * LANES_PER_PROCESS, self._labels))
        return self._lines[-1]

    def _ticks(self, process: Process) -> Callable[[float], float]:
        """From seconds since the trace began to ticks of a process."""
        clock, started_ns = process.clock, self._trace.started_monotonic_ns
        origin = clock.origin
        return lambda s: (s * 1e9 + (started_ns - origin.monotonic_ns)) / clock.ns_per_tick + origin.ticks


def _batches(process: Process) -> Iterator[tuple[list[RecordChunk], Structured]]:
    """Decodes the records of a finished process, some chunks at a time; two batches exist at once."""
    buffer, other = np.empty(_BATCH_RECORDS, RECORD_DTYPE), np.empty(_BATCH_RECORDS, RECORD_DTYPE)
    batch: list[RecordChunk] = []
    filled = 0
    for chunk in process.file.record_chunks:
        if batch and filled + chunk.count > len(buffer):
            yield batch, buffer[:filled]
            buffer, other = other, buffer
            batch, filled = [], 0
        if chunk.count > len(buffer):
            buffer = np.empty(chunk.count, RECORD_DTYPE)
        if decoded := process.file.decode(chunk, buffer[filled:]):
            batch.append(chunk)
            filled += decoded
    if batch:
        yield batch, buffer[:filled]


def _aligned(length: int) -> int:
    return -(-length // _ALIGN_BYTES) * _ALIGN_BYTES
