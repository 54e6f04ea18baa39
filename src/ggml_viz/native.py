"""The native libraries: where they lie, and a typed binding of everything in native/core/core.h.

Payloads are bytes, or a view of some, and are not copied. What the C side refuses as malformed is a
`MalformedError`.
"""

from __future__ import annotations

import ctypes
import functools
import os
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ggml_viz import system
from ggml_viz.errors import UserError

_FOLDER = Path(__file__).parent / "_native"

# enum gv_kind
KIND_NODE, KIND_RUN, KIND_SPLIT, KIND_COPY = range(4)
# enum gv_phase
PHASE_COUNT = 4
# enum gv_since
SINCE_START, SINCE_NOW, SINCE_OLDEST = range(3)
# What the control word of a segment holds.
CONTROL_DETAIL_MASK, CONTROL_PAUSED, CONTROL_STOPPED = 0x3, 0x4, 0x8
# enum gv_clock_kind
CLOCK_MONOTONIC, CLOCK_COUNTER = range(2)


def _dtype(itemsize: int, **fields: tuple[Any, int]) -> np.dtype[np.void]:
    dtype = np.dtype(
        {
            "names": list(fields),
            "formats": [form for form, _ in fields.values()],
            "offsets": [offset for _, offset in fields.values()],
            "itemsize": itemsize,
        }
    )
    assert dtype.itemsize == itemsize
    return dtype


_RECORD_HEAD: dict[str, tuple[Any, int]] = {
    "start": ("<u8", 0),
    "kind": ("u1", 8),
    "shift": ("u1", 9),
    "detail": ("<u2", 10),
    "run": ("<u4", 12),
}

RECORD_DTYPE = _dtype(32, **_RECORD_HEAD, node=("<u4", 16), work=("<u4", 20), inner=("<u4", 24), wait=("<u4", 28))
"""`struct gv_record`, its union seen as a NODE's. View as one of the following for the other kinds."""

RUN_DTYPE = _dtype(
    32,
    **_RECORD_HEAD,
    graph=("<u4", 16),
    placement=("<u4", 20),
    duration=("<u4", 24),
    splits=("<u2", 28),
    threads=("<u2", 30),
)
SPLIT_DTYPE = _dtype(
    32,
    **_RECORD_HEAD,
    first=("<u4", 16),
    count=("<u4", 20),
    duration=("<u4", 24),
    backend=("<u2", 28),
    threads=("<u2", 30),
)
COPY_DTYPE = _dtype(
    32, **_RECORD_HEAD, bytes=("<u8", 16), duration=("<u4", 24), **{"from": ("<u2", 28), "to": ("<u2", 30)}
)

SPAN_DTYPE = _dtype(
    64,
    begin=("<u8", 0),
    end=("<u8", 8),
    work_end=("<u8", 16),
    work=("<u8", 24),
    inner=("<u8", 32),
    wait=("<u8", 40),
    run=("<u4", 48),
    node=("<u4", 52),
    threads=("<u2", 56),
    fused=("<u2", 58),
)
"""`struct gv_span`: one executed node of one run, all threads together; times in ticks."""

RUN_NODES_DTYPE = _dtype(24, run=("<u4", 0), graph=("<u4", 4), first=("<u4", 8), nodes=("<u4", 12), phase=("<u4", 16))
"""`struct gv_run_nodes`: a run, and where the nodes of its graph are among those of all graphs."""

NODE_TOTAL_DTYPE = _dtype(
    48,
    count=("<u8", 0),
    wall=("<u8", 8),
    work=("<u8", 16),
    inner=("<u8", 24),
    wait=("<u8", 32),
    fused=("<u4", 40),
    threads=("<u4", 44),
)
"""`struct gv_node_total`: what the spans of one node of a graph add up to, in ticks."""

WORKER_TOTAL_DTYPE = _dtype(32, count=("<u8", 0), work=("<u8", 8), inner=("<u8", 16), wait=("<u8", 24))
"""`struct gv_worker_total`: what one worker did, in ticks."""

NOW_RUN_DTYPE = _dtype(24, run=("<u4", 0), graph=("<u4", 4), placement=("<u4", 8), phase=("<u4", 12), start=("<u8", 16))
"""`struct gv_now_run`: a run in progress."""

NOW_WORKER_DTYPE = _dtype(
    24, run=("<u4", 0), node=("<u4", 4), worker=("<u4", 8), waiting=("<u4", 12), since=("<u8", 16)
)
"""`struct gv_now_worker`: what a worker does in a run in progress."""

SPAN_COLUMNS: dict[str, type[np.generic]] = {
    "run": np.uint32,
    "graph": np.uint32,
    "node": np.uint32,
    "op": np.uint16,
    "threads": np.uint16,
    "phase": np.uint8,
    "fused": np.uint8,
    "begin_ns": np.int64,
    "wall_ns": np.int64,
    "work_ns": np.int64,
    "inner_ns": np.int64,
    "wait_ns": np.int64,
}
"""The fields of `struct gv_span_columns`, in its order."""

LANE_COLUMNS: dict[str, type[np.generic]] = {
    "begin": np.float32,
    "duration": np.float32,
    "wait": np.float32,
    "run": np.uint32,
    "node": np.uint32,
    "label": np.uint32,
}
"""The fields of `struct gv_lane_columns`, in its order: times as shares of a window's width."""

TENSOR_ROW_DTYPE = _dtype(
    240,
    ne=(("<i8", (4,)), 0),
    nb=(("<u8", (4,)), 32),
    bytes=("<u8", 64),
    view_offset_bytes=("<u8", 72),
    name_offset=("<u4", 80),
    name_length=("<u4", 84),
    op=("<u4", 88),
    type=("<u4", 92),
    flags=("<u4", 96),
    view=("<u4", 100),
    source_count=("<u4", 104),
    sources=(("<u4", (16,)), 108),
)
"""`struct gv_tensor_row`: one tensor of a GRAPH definition; `name_offset` counts from the start of the decoded body."""

# Of a tensor in a GRAPH definition: a byte each for its name's length, op, type, flags, 4 dimensions, 4 strides, size,
# count of sources, and view.
_TENSOR_MIN_BYTES = 15

# More than a process's definitions take, graphs and placements left out.
_DEFINITIONS_BYTES = 4 << 20

Structured: TypeAlias = npt.NDArray[np.void]
Payload: TypeAlias = bytes | bytearray | memoryview | npt.NDArray[np.uint8]


class MalformedError(ValueError):
    """Bytes that are not what the trace format says they are."""


class _GraphHead(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint32) for name in ("number", "runtime", "nodes", "tensors")]


class _RecorderStatus(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_uint64) for name in ("processes", "alive", "records", "lost", "bytes")),
        ("error", ctypes.c_int32),
        ("refused", ctypes.c_uint32),
    ]


class _SegmentState(ctypes.Structure):
    _fields_ = [
        *(
            (name, ctypes.c_uint64)
            for name in ("start_wall_ns", "records", "dropped", "skipped", "definitions_dropped", "touched_bytes")
        ),
        *((name, ctypes.c_uint32) for name in ("pid", "alive", "control", "recorder", "phase")),
        ("runs", ctypes.c_uint32 * PHASE_COUNT),
        ("tokens", ctypes.c_uint32 * PHASE_COUNT),
        ("reserved", ctypes.c_uint32),
    ]


class _TimeScale(ctypes.Structure):
    _fields_ = [("origin_ticks", ctypes.c_uint64), ("origin_ns", ctypes.c_double), ("ns_per_tick", ctypes.c_double)]


class _Events(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_uint32) for name in ("format", "process")),
        *((name, ctypes.c_uint64) for name in ("first_track", "sequence", "epoch_ns")),
        *((name, ctypes.c_void_p) for name in ("text", "text_ends", "chosen")),
        *((name, ctypes.c_uint64) for name in ("places", "workers")),
        *((name, ctypes.c_double) for name in ("from_ns", "until_ns")),
        ("scale", _TimeScale),
    ]


class _SpanColumns(ctypes.Structure):
    _fields_ = [(name, ctypes.c_void_p) for name in SPAN_COLUMNS]


# Room for as many as `struct gv_now` has.
_NOW_RUNS, _NOW_WORKERS = 16, 128


class _Now(ctypes.Structure):
    _fields_ = [
        ("ticks", ctypes.c_uint64),
        *((name, ctypes.c_uint32) for name in ("control", "recorder", "run_count", "worker_count")),
        ("runs", ctypes.c_uint8 * (_NOW_RUNS * NOW_RUN_DTYPE.itemsize)),
        ("workers", ctypes.c_uint8 * (_NOW_WORKERS * NOW_WORKER_DTYPE.itemsize)),
    ]


class _LaneColumns(ctypes.Structure):
    _fields_ = [(name, ctypes.c_void_p) for name in LANE_COLUMNS]


class _RecorderOptions(ctypes.Structure):
    _fields_ = [
        *(("max_bytes", ctypes.c_uint64), ("since", ctypes.c_uint32), ("reserved", ctypes.c_uint32)),
        ("machine", ctypes.c_char_p),
    ]


@dataclass(frozen=True)
class GraphHead:
    """The head of a GRAPH definition."""

    number: int
    runtime: int
    nodes: int
    tensors: int


@dataclass(frozen=True)
class RecorderStatus:
    """What a recorder has seen so far.

    Attributes:
        processes: Processes that made a segment.
        alive: How many of these still live.
        records: Records written to the trace.
        lost: Records overwritten before they were read.
        bytes: Size of the trace.
        error: errno of the first write that failed; 0: none. The trace then ends at its last whole chunk.
        refused: A process that records one of the segments already, which therefore is not recorded here; 0: none.
    """

    processes: int
    alive: int
    records: int
    lost: int
    bytes: int
    error: int
    refused: int = 0


@dataclass(frozen=True)
class Now:
    """What a process does this instant.

    Attributes:
        ticks: The instant.
        control: The detail, and CONTROL_… bits.
        recorder: The living process that records it; 0: none does.
        runs: In progress: NOW_RUN_DTYPE array [n].
        workers: At work in them: NOW_WORKER_DTYPE array [n].
    """

    ticks: int
    control: int
    recorder: int
    runs: Structured
    workers: Structured


@dataclass(frozen=True)
class SegmentState:
    """What a segment says of its process, at one glance.

    Attributes:
        pid: The process.
        alive: Whether it lives.
        control: The detail, and CONTROL_… bits.
        recorder: The living process that records it; 0: none does.
        start_wall_ns: When the agent came, in ns since 1970.
        records: That it has ever made.
        dropped: Records that found no ring.
        skipped: Records left out on request.
        definitions_dropped: Definitions that found their log full.
        touched_bytes: Memory that the segment takes.
        phase: The enum gv_phase of the run in progress; None: there is none.
        runs: That ended in the last whole second, by phase.
        tokens: That went through the model in these, by phase.
    """

    pid: int
    alive: bool
    control: int
    recorder: int
    start_wall_ns: int
    records: int
    dropped: int
    skipped: int
    definitions_dropped: int
    touched_bytes: int
    phase: int | None
    runs: tuple[int, ...]
    tokens: tuple[int, ...]


def agent_path() -> Path:
    """The library to preload into the program that is watched."""
    return _library("agent")


def core_path() -> Path:
    """The library that this module calls."""
    return _library("core")


def _library(name: str) -> Path:
    path = _FOLDER / system.LIBRARY.format(name)
    if not path.is_file():
        raise UserError(f"the native library is missing: {path}", "Install ggml-viz again; in a checkout: make native")
    return path


@functools.cache
def _core() -> ctypes.CDLL:
    path = core_path()
    try:
        core = ctypes.CDLL(str(path), use_errno=True)
    except OSError as error:
        raise UserError(f"the native library does not load: {error}", system.NEEDS) from None
    pointer, size, i64, i32 = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int64, ctypes.c_int
    status = ctypes.POINTER(_RecorderStatus)
    signatures: dict[str, tuple[Any, list[Any]]] = {
        "gv_records_count": (i64, [pointer, size]),
        "gv_records_decode": (i64, [pointer, size, pointer, size]),
        "gv_records_encode": (i64, [ctypes.c_uint32, pointer, size, pointer, size]),
        "gv_graph_head": (i32, [pointer, size, ctypes.POINTER(_GraphHead)]),
        "gv_graph_decode": (i64, [pointer, size, pointer, size]),
        "gv_placement_decode": (i64, [pointer, size, pointer, pointer, pointer, size]),
        "gv_fold_spans": (i64, [pointer, size, pointer, size]),
        "gv_totals_add": (i64, [pointer, size, pointer, size, pointer, size, pointer, pointer, pointer]),
        "gv_totals_group": (i64, [pointer, pointer, size, pointer, size, pointer]),
        "gv_workers_add": (i64, [pointer, size, pointer, size, pointer, size, pointer, size, size]),
        "gv_spans_columns": (
            i64,
            [
                *(pointer, size, pointer, size, ctypes.POINTER(_TimeScale), pointer, size),
                *(ctypes.POINTER(_SpanColumns), size),
            ],
        ),
        "gv_events_write": (
            i64,
            [pointer, size, pointer, size, ctypes.POINTER(_Events), pointer, size, ctypes.POINTER(size)],
        ),
        "gv_pyramid_open": (
            pointer,
            [*[ctypes.c_uint64] * 2, ctypes.c_uint32, ctypes.c_uint64, *[ctypes.c_uint32] * 2],
        ),
        "gv_pyramid_close": (None, [pointer]),
        "gv_pyramids_add": (i64, [pointer, size] * 4),
        "gv_pyramid_read": (i64, [pointer, ctypes.c_double, ctypes.c_double, size, pointer]),
        "gv_lane_spans": (
            i64,
            [
                *(pointer, size, ctypes.c_uint32, pointer, size, pointer, size),
                *(ctypes.c_double, ctypes.c_double, ctypes.POINTER(_LaneColumns), size),
            ],
        ),
        "gv_recorder_now": (i32, [pointer, ctypes.POINTER(_Now)]),
        "gv_recorder_open": (
            pointer,
            [*[ctypes.c_char_p] * 3, ctypes.POINTER(_RecorderOptions), ctypes.POINTER(i32)],
        ),
        "gv_recorder_message": (i64, [pointer, pointer, ctypes.c_char_p, size]),
        "gv_recorder_drain": (None, [pointer, ctypes.c_ssize_t, i32, status]),
        "gv_recorder_close": (None, [pointer, status]),
        "gv_file_let_go": (i32, [i32, pointer, size]),
        "gv_segment_describe": (i32, [ctypes.c_char_p, ctypes.POINTER(_SegmentState)]),
        "gv_segment_definitions": (i64, [ctypes.c_char_p, pointer, size]),
        "gv_segment_control": (i32, [ctypes.c_char_p, ctypes.c_uint32, ctypes.c_uint32, pointer]),
        "gv_segments_sweep": (i32, [ctypes.c_char_p]),
        "gv_segments_folder": (i32, [ctypes.c_char_p, size]),
        "gv_measure_peaks": (i32, [ctypes.c_uint32, ctypes.c_uint64, ctypes.c_uint32, ctypes.c_uint64, pointer]),
        "gv_clock_now": (i32, [pointer]),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(core, name)
        function.restype, function.argtypes = result, arguments
    return core


def _bytes_view(payload: Payload) -> npt.NDArray[np.uint8]:
    return np.frombuffer(payload, np.uint8)


def _checked(result: int, what: str) -> int:
    if result < 0:
        raise MalformedError(f"malformed {what}")
    return result


def records_count(payload: Payload) -> int:
    """How many records the payload of a RECS chunk holds; reads only its head."""
    view = _bytes_view(payload)
    return _checked(_core().gv_records_count(view.ctypes.data, view.size), "records")


def records_decode(payload: Payload, out: Structured | None = None) -> Structured:
    """Decodes the payload of a RECS chunk.

    Args:
        payload: The payload.
        out: Contiguous RECORD_DTYPE array to decode into, at least as long as `records_count`; made if None.

    Returns:
        The records, a RECORD_DTYPE array [n] (the beginning of `out`, if given).
    """
    view = _bytes_view(payload)
    if out is None:
        out = np.empty(records_count(view), RECORD_DTYPE)
    assert out.dtype.itemsize == RECORD_DTYPE.itemsize
    assert out.flags.c_contiguous
    n = _checked(_core().gv_records_decode(view.ctypes.data, view.size, out.ctypes.data, out.size), "records")
    return out[:n]


def records_encode(ring: int, records: Structured) -> bytes:
    """Encodes a RECORD_DTYPE array [n] as the payload of a RECS chunk."""
    records = np.ascontiguousarray(records)
    assert records.dtype.itemsize == RECORD_DTYPE.itemsize
    out = np.empty(20 + 64 * records.size, np.uint8)
    n = _checked(
        _core().gv_records_encode(ring, records.ctypes.data, records.size, out.ctypes.data, out.size), "records"
    )
    return out[:n].tobytes()


def graph_head(body: Payload) -> GraphHead:
    """Reads the head of a GRAPH definition's body."""
    view, head = _bytes_view(body), _GraphHead()
    _checked(_core().gv_graph_head(view.ctypes.data, view.size, ctypes.byref(head)), "graph")
    return GraphHead(head.number, head.runtime, head.nodes, head.tensors)


def graph_decode(body: Payload) -> Structured:
    """Decodes the tensors of a GRAPH definition's body into a TENSOR_ROW_DTYPE array [tensors], nodes first."""
    view = _bytes_view(body)
    count = graph_head(view).tensors
    # A hostile count must not make us allocate memory for it.
    if count > view.size // _TENSOR_MIN_BYTES:
        raise MalformedError("malformed graph")
    rows = np.zeros(count, TENSOR_ROW_DTYPE)
    n = _checked(_core().gv_graph_decode(view.ctypes.data, view.size, rows.ctypes.data, count), "graph")
    return rows[:n]


def placement_decode(body: Payload) -> tuple[int, int, npt.NDArray[np.uint32], npt.NDArray[np.uint64]]:
    """Decodes a PLACEMENT definition's body.

    Returns:
        Its number, the number of its graph, and for each tensor of that graph its buffer's number (0: none) and its
        offset in that buffer in bytes, arrays [tensors].
    """
    view = _bytes_view(body)
    head = np.zeros(2, np.uint32)
    buffers = np.zeros(view.size, np.uint32)  # a tensor takes at least one byte
    offsets = np.zeros(view.size, np.uint64)
    n = _checked(
        _core().gv_placement_decode(
            view.ctypes.data, view.size, head.ctypes.data, buffers.ctypes.data, offsets.ctypes.data, view.size
        ),
        "placement",
    )
    return int(head[0]), int(head[1]), buffers[:n].copy(), offsets[:n].copy()


def fold_spans(records: Structured) -> Structured:
    """Folds the NODE records of one process, a RECORD_DTYPE array [n] in any order, into spans.

    Returns:
        SPAN_DTYPE array [m], sorted by run, then node: one for each executed node of each run, all threads together.
    """
    records = np.ascontiguousarray(records)
    assert records.dtype.itemsize == RECORD_DTYPE.itemsize
    spans = np.empty(int(np.count_nonzero(records.view(RECORD_DTYPE)["kind"] == KIND_NODE)), SPAN_DTYPE)
    n = _checked(_core().gv_fold_spans(records.ctypes.data, records.size, spans.ctypes.data, spans.size), "records")
    return spans[:n]


def totals_add(
    spans: Structured,
    runs: Structured,
    totals: Structured,
    keys: npt.NDArray[np.uint32],
    walls: npt.NDArray[np.float32],
    seen: npt.NDArray[np.bool_],
) -> int:
    """Adds spans to the totals of their nodes.

    Args:
        spans: SPAN_DTYPE array [n], sorted by run.
        runs: RUN_NODES_DTYPE array, sorted by run; spans of other runs are left out.
        totals: NODE_TOTAL_DTYPE array [2 * places]; each place has one for the node alone, one for it fused.
        keys: [n], gets the index in `totals` of each span that was added.
        walls: [n], gets its wall time in ticks.
        seen: [runs], set where a run had any of the spans.

    Returns:
        How many spans were added.
    """
    assert spans.flags.c_contiguous
    assert min(keys.size, walls.size) >= spans.size
    assert seen.size == runs.size
    return int(
        _core().gv_totals_add(
            *(spans.ctypes.data, spans.size, runs.ctypes.data, runs.size, totals.ctypes.data, totals.size),
            *(keys.ctypes.data, walls.ctypes.data, seen.ctypes.data),
        )
    )


def totals_group(
    keys: npt.NDArray[np.uint32], walls: npt.NDArray[np.float32], begins: npt.NDArray[np.uint64]
) -> npt.NDArray[np.float32]:
    """Sorts wall times [n] by key; those of a key begin at `begins[key]` and end where the next key's begin."""
    ends, out = begins.copy(), np.empty(len(keys), np.float32)
    _checked(
        _core().gv_totals_group(
            keys.ctypes.data, walls.ctypes.data, keys.size, ends.ctypes.data, ends.size, out.ctypes.data
        ),
        "totals",
    )
    return out


def workers_add(records: Structured, runs: Structured, classes: npt.NDArray[np.uint16], totals: Structured) -> int:
    """Adds the NODEs among records to what their workers did.

    Args:
        records: RECORD_DTYPE array [n].
        runs: RUN_NODES_DTYPE array, sorted by run; records of other runs are left out.
        classes: [places], the row of `totals` that each place belongs to.
        totals: WORKER_TOTAL_DTYPE array [rows, workers].

    Returns:
        How many NODEs found no row or no worker.
    """
    assert records.flags.c_contiguous
    assert totals.flags.c_contiguous
    rows, workers = totals.shape
    return int(
        _core().gv_workers_add(
            *(records.ctypes.data, records.size, runs.ctypes.data, runs.size),
            *(classes.ctypes.data, classes.size, totals.ctypes.data, workers, rows),
        )
    )


def spans_columns(
    spans: Structured,
    runs: Structured,
    scale: tuple[int, float, float],
    classes: npt.NDArray[np.uint16],
    columns: dict[str, npt.NDArray[Any]],
    offset: int,
) -> int:
    """Lays spans out in columns.

    Args:
        spans: SPAN_DTYPE array [n], sorted by run.
        runs: RUN_NODES_DTYPE array, sorted by run; spans of other runs are left out.
        scale: Ticks and ns of one moment, and ns per tick.
        classes: [places], the code of each place's op.
        columns: Some of SPAN_COLUMNS, each with room for n rows behind `offset`.
        offset: The first row to fill.

    Returns:
        How many rows were filled.
    """
    assert spans.flags.c_contiguous
    assert all(len(column) >= offset + len(spans) for column in columns.values())
    out = _SpanColumns(**{name: column.ctypes.data for name, column in columns.items()})
    return int(
        _core().gv_spans_columns(
            *(spans.ctypes.data, spans.size, runs.ctypes.data, runs.size, ctypes.byref(_TimeScale(*scale))),
            *(classes.ctypes.data, classes.size, ctypes.byref(out), offset),
        )
    )


class Pyramid:
    """How much of each stretch of time each kind of work took on one lane, at several widths.

    Args:
        origin: The first tick.
        shift: Of the narrowest buckets: they are 2^shift ticks wide, those of each further level four times that.
        buckets: How many of each width are kept, the newest: a power of two.
        levels: How many widths.
        kinds: How many kinds of work.
        limit: Nothing is kept of what comes so many ticks after the first.
    """

    def __init__(
        self, origin: int, shift: int, buckets: int, levels: int, kinds: int, limit: int = (1 << 64) - 1
    ) -> None:
        self._kinds = kinds
        self._origin = origin
        self._handle: int | None = _core().gv_pyramid_open(origin, limit, shift, buckets, levels, kinds)
        if not self._handle:
            raise MemoryError
        weakref.finalize(self, _core().gv_pyramid_close, self._handle)

    @property
    def handle(self) -> int:
        """What `pyramids_add` takes."""
        assert self._handle is not None
        return self._handle

    def read(self, from_ticks: float, until_ticks: float, columns: int) -> npt.NDArray[np.uint8]:
        """What share of each column each kind took, 255 for all of it: uint8 array [columns, kinds, (work, wait)]."""
        out = np.empty((columns, self._kinds, 2), np.uint8)
        origin = self._origin
        _core().gv_pyramid_read(self.handle, from_ticks - origin, until_ticks - origin, columns, out.ctypes.data)
        return out


def pyramids_add(
    pyramids: Sequence[Pyramid], records: Structured, runs: Structured, kinds: npt.NDArray[np.uint8]
) -> int:
    """Adds the NODEs among records to the pyramids of their workers.

    Args:
        pyramids: By worker.
        records: RECORD_DTYPE array [n].
        runs: RUN_NODES_DTYPE array, sorted by run; what is of other runs is of the kind at `kinds[0]`.
        kinds: The kind of each node's work, alone and fused: [2 * places].

    Returns:
        How many found no pyramid or no kind.
    """
    assert records.flags.c_contiguous
    handles = (ctypes.c_void_p * max(len(pyramids), 1))(*(pyramid.handle for pyramid in pyramids))
    return int(
        _core().gv_pyramids_add(
            *(handles, len(pyramids), records.ctypes.data, records.size, runs.ctypes.data, runs.size),
            *(kinds.ctypes.data, kinds.size),
        )
    )


def lane_spans(
    records: Structured,
    worker: int,
    runs: Structured,
    labels: npt.NDArray[np.uint32],
    window: tuple[float, float],
    columns: dict[str, npt.NDArray[Any]],
    offset: int,
) -> int:
    """Picks the NODEs that a worker was at in a window.

    Args:
        records: RECORD_DTYPE array [n].
        worker: Whose.
        runs: RUN_NODES_DTYPE array, sorted by run.
        labels: What to call each node, alone and fused: [2 * places].
        window: Its begin and end, in ticks.
        columns: Those of LANE_COLUMNS, with room for n rows behind `offset`.
        offset: The first row to fill.

    Returns:
        How many rows were filled.
    """
    assert records.flags.c_contiguous
    assert all(len(columns[name]) >= offset + len(records) for name in LANE_COLUMNS)
    out = _LaneColumns(*(columns[name][offset:].ctypes.data for name in LANE_COLUMNS))
    return int(
        _core().gv_lane_spans(
            *(records.ctypes.data, records.size, worker, runs.ctypes.data, runs.size, labels.ctypes.data, labels.size),
            *(*window, ctypes.byref(out), len(records)),
        )
    )


# enum gv_events_format
EVENTS_CHROME, EVENTS_PERFETTO = range(2)
# Interned names of the annotations that the native side writes, in the order of their numbers from 1.
EVENT_ANNOTATIONS = ("run", "inner_ns", "wait_ns")


@dataclass(frozen=True)
class EventStyle:
    """How nodes become the events of another tool's format.

    Attributes:
        format: EVENTS_CHROME or EVENTS_PERFETTO.
        process: The process's number there.
        first_track: Number of worker 0's track; those of the other workers follow.
        workers: How many have a track.
        sequence: Of Perfetto's packets.
        epoch_ns: Added to Perfetto's times.
        texts: What the events of each place say, alone and fused with those behind: 2 for each place.
        chosen: Which places are wanted: bool array [places].
        from_ns: The first moment that is wanted, since the trace began.
        until_ns: And the first one that is not.
        scale: Ticks and ns of one moment, and ns per tick.
    """

    format: int
    process: int
    first_track: int
    workers: int
    sequence: int
    epoch_ns: int
    texts: list[bytes]
    chosen: npt.NDArray[np.bool_]
    from_ns: float
    until_ns: float
    scale: tuple[int, float, float]


class EventWriter:
    """Writes nodes as events of a format.

    Args:
        style: How.
        runs: RUN_NODES_DTYPE array of those runs that are wanted, sorted by run.
    """

    _ROOM_BYTES = 16 << 20

    def __init__(self, style: EventStyle, runs: Structured) -> None:
        lengths = np.array([0, *map(len, style.texts)], np.uint64)
        self._text = np.frombuffer(b"".join(style.texts) + b"\0", np.uint8)
        self._ends = np.cumsum(lengths).astype(np.uint64)
        self._chosen = style.chosen.astype(np.uint8)
        assert len(style.texts) == 2 * len(self._chosen)
        self._runs = runs
        self._out = np.empty(self._ROOM_BYTES + int(lengths.max()), np.uint8)
        self._style = _Events(
            *(style.format, style.process, style.first_track, style.sequence, style.epoch_ns),
            *(self._text.ctypes.data, self._ends.ctypes.data, self._chosen.ctypes.data),
            *(len(self._chosen), style.workers, style.from_ns, style.until_ns, _TimeScale(*style.scale)),
        )

    def write(self, records: Structured) -> Iterator[memoryview]:
        """Yields the events of the NODEs among records, in pieces that are overwritten by the next."""
        records = np.ascontiguousarray(records)
        after = ctypes.c_size_t(0)
        while after.value < records.size:
            length = _core().gv_events_write(
                *(records.ctypes.data, records.size, self._runs.ctypes.data, self._runs.size),
                *(ctypes.byref(self._style), self._out.ctypes.data, self._out.size, ctypes.byref(after)),
            )
            yield self._out[:length].data


class Recorder:
    """Drains the segments of one recording into a trace file.

    Args:
        folder: The folder of segments.
        token: What the names of this recording's segments start with, up to their first dot; or one segment's name.
        path: The trace, created or truncated.
        max_bytes: The largest that the trace may get; it then keeps the newest records. None: no limit.
        since: SINCE_NOW where what is found has been there for a while: records from now on, and wakes agents that
            idle. SINCE_OLDEST: only looks, beside whoever records, from what the rings still hold on.
        machine: What the trace is to say of the machine, as JSON.

    Raises:
        OSError: The trace cannot be created.
    """

    def __init__(
        self,
        folder: Path,
        token: str,
        path: Path,
        max_bytes: int | None = None,
        since: int = SINCE_START,
        machine: str | None = None,
    ) -> None:
        error = ctypes.c_int(0)
        options = _RecorderOptions(max_bytes or 0, since, 0, machine.encode() if machine else None)
        self._handle: int | None = _core().gv_recorder_open(
            os.fsencode(folder), token.encode(), os.fsencode(path), ctypes.byref(options), ctypes.byref(error)
        )
        if not self._handle:
            raise OSError(error.value, os.strerror(error.value), str(path))

    def drain(self, end: int, timeout_ms: int) -> RecorderStatus:
        """Drains until `end` (the end of a process, as `system` has it; -1: none) has come or the time is over."""
        status = _RecorderStatus()
        _core().gv_recorder_drain(self._open_handle(), end, timeout_ms, ctypes.byref(status))
        return _status(status)

    def now(self) -> Now | None:
        """What the first of its processes that still lives does this instant; None: there is none."""
        now = _Now()
        if _core().gv_recorder_now(self._open_handle(), ctypes.byref(now)) < 0:
            return None
        return Now(
            ticks=now.ticks,
            control=now.control,
            recorder=now.recorder,
            runs=np.frombuffer(now.runs, NOW_RUN_DTYPE)[: now.run_count].copy(),
            workers=np.frombuffer(now.workers, NOW_WORKER_DTYPE)[: now.worker_count].copy(),
        )

    def close(self) -> RecorderStatus:
        """Drains what is left and ends the trace; agents that live on idle."""
        status = _RecorderStatus()
        _core().gv_recorder_close(self._open_handle(), ctypes.byref(status))
        self._handle = None
        return _status(status)

    def messages(self) -> list[tuple[int, int, str]]:
        """What agents noted since the last call: process, level (NOTE_… of `trace.definitions`), text."""
        who = np.zeros(2, np.uint32)
        text = ctypes.create_string_buffer(512)
        messages = []
        while (length := _core().gv_recorder_message(self._open_handle(), who.ctypes.data, text, len(text))) >= 0:
            messages.append((int(who[0]), int(who[1]), text.raw[:length].decode("utf-8", "replace")))
        return messages

    def _open_handle(self) -> int:
        if self._handle is None:
            raise ValueError("the recorder is closed")
        return self._handle


def _status(status: _RecorderStatus) -> RecorderStatus:
    return RecorderStatus(
        status.processes, status.alive, status.records, status.lost, status.bytes, status.error, status.refused
    )


def segments_folder() -> Path:
    """The folder of this user's segments, made if missing.

    Raises:
        OSError: It cannot be made, or is not safe to use.
    """
    out = ctypes.create_string_buffer(4096)
    length = _core().gv_segments_folder(out, len(out))
    if length < 0:
        raise OSError(-length, os.strerror(-length))
    return Path(os.fsdecode(out.raw[:length]))


def file_let_go(descriptor: int, parts: Sequence[tuple[int, int]]) -> bool:
    """Gives back the room of parts of a file, each an offset and a length; they read as zeros from then on.

    Returns:
        Whether the file system can do that.
    """
    table = np.array(parts, np.uint64).reshape(-1, 2)
    return int(_core().gv_file_let_go(system.native_file(descriptor), table.ctypes.data, len(table))) == 0


def _no_error(result: int, path: Path) -> int:
    if result < 0:
        raise OSError(-result, os.strerror(-result), str(path))
    return result


def segment_describe(path: Path) -> SegmentState:
    """Describes the segment at a path.

    Raises:
        OSError: It is gone, not ready yet, or no segment.
    """
    state = _SegmentState()
    _no_error(_core().gv_segment_describe(os.fsencode(path), ctypes.byref(state)), path)
    return SegmentState(
        pid=state.pid,
        alive=bool(state.alive),
        control=state.control,
        recorder=state.recorder,
        start_wall_ns=state.start_wall_ns,
        records=state.records,
        dropped=state.dropped,
        skipped=state.skipped,
        definitions_dropped=state.definitions_dropped,
        touched_bytes=state.touched_bytes,
        phase=state.phase if state.phase < PHASE_COUNT else None,
        runs=tuple(state.runs),
        tokens=tuple(state.tokens),
    )


def segment_definitions(path: Path) -> bytes:
    """The definitions of a segment's log but for graphs and placements, as a DEFS chunk has them.

    Raises:
        OSError: It is gone, not ready yet, or no segment.
    """
    out = np.empty(_DEFINITIONS_BYTES, np.uint8)
    return out[
        : _no_error(_core().gv_segment_definitions(os.fsencode(path), out.ctypes.data, out.size), path)
    ].tobytes()


def segment_control(path: Path, clear: int, set_: int) -> tuple[int, int]:
    """Clears and sets bits of a segment's control word in one step; returns what it was and what it is now.

    Raises:
        OSError: It is gone, not ready yet, or no segment.
    """
    words = np.zeros(2, np.uint32)
    _no_error(_core().gv_segment_control(os.fsencode(path), clear, set_, words.ctypes.data), path)
    return int(words[0]), int(words[1])


def segments_sweep(folder: Path) -> int:
    """Removes segments that neither a process nor a recorder holds; returns how many."""
    return int(_core().gv_segments_sweep(os.fsencode(folder)))


def measure_peaks(
    threads: int, memory_bytes: int, rounds: int = 3, round_s: float = 0.05
) -> tuple[float, float, float, float]:
    """Measures what this machine does at most with so many threads.

    Args:
        threads: How many do the same at once.
        memory_bytes: What the arrays take together that bandwidth is measured on.
        rounds: Of how many the best counts.
        round_s: How long each takes.

    Returns:
        Bytes a second of a triad and of reading; operations a second on floats and on 8-bit integers.

    Raises:
        OSError: There is no memory for it, or no such number of threads.
    """
    out = np.zeros(4, np.float64)
    error = int(_core().gv_measure_peaks(threads, memory_bytes, rounds, int(round_s * 1e9), out.ctypes.data))
    if error < 0:
        raise OSError(-error, os.strerror(-error))
    triad, read, floats, integers = out.tolist()
    return triad, read, floats, integers


def clock_now() -> tuple[int, int, int, int]:
    """This machine's clock: its kind (CLOCK_…), ticks, monotonic ns, wall-clock ns since 1970."""
    out = np.zeros(3, np.uint64)
    kind = int(_core().gv_clock_now(out.ctypes.data))
    return kind, int(out[0]), int(out[1]), int(out[2])
