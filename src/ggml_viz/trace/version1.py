"""Files of version 1, the format of an earlier tool, turned into version 2.

What such a file holds is less than version 2 asks for: graphs with their times, and the ops that each lists. Ops are
never given a time here: all of a graph's ops begin before it runs and end after it. What is missing or odd is said in
NOTE definitions, so that everything that reads a trace tells it without knowing of this format.
"""

from __future__ import annotations

import mmap
import struct
import zlib
from array import array
from dataclasses import dataclass, field

import numpy as np

from ggml_viz.native import KIND_RUN, RUN_DTYPE, records_encode
from ggml_viz.trace.chunks import CHUNK_HEADER, FILE_HEADER, HEADER_VERSION_1, MAGIC, VERSION, Integrity, KindCount
from ggml_viz.trace.definitions import (
    ENTRY_HEADER,
    KIND_BUFFER,
    KIND_BUFFER_FREE,
    KIND_GRAPH,
    KIND_NAME,
    KIND_NOTE,
    KIND_PROCESS,
    NOTE_NOT_SEEN,
)
from ggml_viz.trace.varint import encode_varint

EVENT_NAMES = (
    *("graph begin", "graph end", "op begin", "op end", "tensor alloc", "tensor free"),
    *("barrier wait", "thread begin", "thread end"),
)
_GRAPH_BEGIN, _GRAPH_END, _OP_BEGIN, _OP_END, _ALLOC, _FREE, _BARRIER = range(7)

# Type, timestamp in ns, thread, the union as four words, whether a label follows. As a C++ compiler lays it out, the
# union is, word by word: of an op its tensor, its type (and 4 bytes of padding), its size, its backend; of a graph its
# address, its nodes and threads (u32 each), its backend; of memory its address and size.
_EVENT = struct.Struct("<BQI4QB")
_LABEL_LENGTH = struct.Struct("<I")
_U32 = 0xFFFF_FFFF

_PROCESS_NUMBER = 1
_RUN_FIELDS = ("start", "kind", "shift", "detail", "run", "graph", "duration", "threads")
_STATUS_UNFINISHED = 65_535
_SHIFT_MAX = 15

# What a file may make us remember. Names in ggml have 64 bytes; the other numbers are far beyond what programs do.
_LABEL_LIMIT_BYTES = 256
_OPS_LIMIT = 1 << 17
_OPEN_LIMIT = 256
_BUFFER_LIMIT = 1 << 16
_GRAPH_LIMIT = 1 << 15
_OP_NAME_LIMIT = 256

_CHUNK_RECORDS = 1 << 14
_CHUNK_DEFINITIONS_BYTES = 1 << 20


@dataclass(eq=False, slots=True)
class _Run:
    """A graph that has begun.

    Attributes:
        number: Of the run.
        pointer: The graph's address, which its end names.
        thread: The thread that began it.
        begin_ns: When.
        heard_ns: When an event was last seen that belongs to it.
        nodes: How many it says it has.
        threads: How many threads it says it runs on.
        ops: The ops that began in it, as indices in `_Converter.tensors`.
    """

    number: int
    pointer: int
    thread: int
    begin_ns: int
    heard_ns: int
    nodes: int
    threads: int
    ops: array[int] = field(default_factory=lambda: array("I"))


def convert(data: mmap.mmap | bytes) -> tuple[bytes, Integrity]:
    """Turns a file of version 1 into one of version 2.

    Args:
        data: The file, whose header has been checked.

    Returns:
        The bytes of the file of version 2, and how much of the one of version 1 could be read: its last whole event
        ends the readable part. The kinds counted there are EVENT_NAMES.
    """
    converter = _Converter()
    integrity = converter.read(data)
    return converter.finish(), integrity


class _Converter:
    """Takes in events, and writes definitions and records in chunks."""

    def __init__(self) -> None:
        self._out: list[bytes] = []
        self._definitions = bytearray()
        self._records: list[tuple[int, ...]] = []
        """Fields of runs, as _RUN_FIELDS names them."""

        self._first_ns: int | None = None
        self._run_count = 0
        self._open: dict[int, _Run] = {}
        self._open_on_thread: dict[int, list[_Run]] = {}

        self._op_indices: dict[tuple[bytes, int, int], int] = {}
        self._tensors: list[bytes] = []
        """Each distinct op as a tensor of a GRAPH definition."""
        self._op_names: dict[int, int] = {}
        self._graphs: dict[bytes, int] = {}

        self._buffer_count = 0
        self._buffers: dict[int, int] = {}

        self._counts = [0] * len(EVENT_NAMES)
        self._unmatched_ends = self._unmatched_frees = self._stray_ops = self._backwards = 0
        self._incomplete = self._ops_beyond = self._graphs_beyond = self._buffers_beyond = 0

    def read(self, data: mmap.mmap | bytes) -> Integrity:
        """Takes in all whole events, and says where they end and why."""
        size = len(data)
        at = min(HEADER_VERSION_1.size, size)
        damage = None
        if size < HEADER_VERSION_1.size:
            damage = f"cut: {size} bytes of the file's header remain"
        counts, event_bytes = self._counts, [0] * len(EVENT_NAMES)
        # Nearly all events of a large file are of ops: nothing is called for these that can be done here.
        unpack, event_size = _EVENT.unpack_from, _EVENT.size
        op_indices, open_on_thread = self._op_indices, self._open_on_thread
        while at < size and damage is None:
            end = at + event_size
            if end > size:
                damage = f"cut: {size - at} bytes of an event remain"
                break
            kind, time_ns, thread, first, second, third, _, has_label = unpack(data, at)
            if kind >= len(EVENT_NAMES):
                damage = f"damaged: an event is of unknown type {kind}"
                break
            label = b""
            if has_label:
                if has_label != 1:
                    damage = f"damaged: an event says {has_label} where it can say 0 or 1"
                    break
                if size - end < _LABEL_LENGTH.size:
                    damage = f"cut: {size - at} bytes of an event remain"
                    break
                length = _LABEL_LENGTH.unpack_from(data, end)[0]
                end += _LABEL_LENGTH.size
                if length > size - end:
                    damage = f"cut: {size - end} of the {length} bytes of a label remain"
                    break
                label = data[end : end + min(length, _LABEL_LIMIT_BYTES)]
                end += length
            counts[kind] += 1
            event_bytes[kind] += end - at
            at = end
            if kind in (_OP_BEGIN, _OP_END):
                on_thread = open_on_thread.get(thread)
                run = on_thread[-1] if on_thread else self._only_open()
                if run is not None:
                    run.heard_ns = time_ns
                if kind == _OP_END:
                    continue
                if run is None:
                    self._stray_ops += 1
                elif len(run.ops) == _OPS_LIMIT:
                    self._ops_beyond += 1
                else:
                    key = (label, second & _U32, third)
                    index = op_indices.get(key)
                    run.ops.append(self._add_op(key) if index is None else index)
            else:
                self._take_in(kind, time_ns, thread, first, second, label)
        kinds = {
            name: KindCount(count, length)
            for name, count, length in zip(EVENT_NAMES, counts, event_bytes, strict=True)
            if count
        }
        return Integrity(file_bytes=size, readable_bytes=at, checked_bytes=0, damage=damage, kinds=kinds)

    def _take_in(self, kind: int, time_ns: int, thread: int, first: int, second: int, label: bytes) -> None:
        """Takes in an event that is not an op's."""
        self._first_ns = time_ns if self._first_ns is None else min(self._first_ns, time_ns)
        if kind == _GRAPH_BEGIN:
            # Begun anew, it will not end any more.
            self._close(self._open.get(first))
            if len(self._open) == _OPEN_LIMIT:
                self._close(next(iter(self._open.values())))
            self._run_count += 1
            run = _Run(self._run_count, first, thread, time_ns, time_ns, second & _U32, second >> 32)
            self._open[first] = run
            self._open_on_thread.setdefault(thread, []).append(run)
        elif kind == _GRAPH_END:
            if (ended := self._open.get(first)) is not None:
                self._close(ended, time_ns)
            else:
                self._unmatched_ends += 1
        elif kind == _ALLOC:
            # What is allocated again has been freed, whether that was seen or not.
            self._free(first, time_ns)
            if self._buffer_count == _BUFFER_LIMIT:
                self._buffers_beyond += 1
                return
            self._buffer_count += 1
            self._buffers[first] = self._buffer_count
            # An unknown place, any usage, an allocation that was seen.
            self._define(KIND_BUFFER, self._buffer_count, time_ns, 0, 0, 0, second, first, label)
        elif kind == _FREE and not self._free(first, time_ns):
            self._unmatched_frees += 1

    def finish(self) -> bytes:
        """Ends what has not ended. Returns the file of version 2."""
        for run in list(self._open.values()):
            self._close(run)
        self._flush()
        began_ns = self._first_ns or 0
        # No pid, no wall clock, detail graph, clock monotonic; neither cost, CPUs nor names.
        self._define(KIND_PROCESS, 0, 0, began_ns, began_ns, 0, 0, 0, 0, 0, b"", b"", b"", b"")
        for note in self._notes():
            self._define(KIND_NOTE, NOTE_NOT_SEEN, note.encode())
        written, self._out = self._out, []
        self._flush()
        return b"".join([FILE_HEADER.pack(MAGIC, VERSION, 0), *self._out, *written])

    def _only_open(self) -> _Run | None:
        """The graph that an op of a thread without one belongs to, if there is no doubt."""
        return next(iter(self._open.values())) if len(self._open) == 1 else None

    def _add_op(self, key: tuple[bytes, int, int]) -> int:
        """Remembers an op that was not seen before: its label, type and size. Returns its index."""
        label, op_type, size_bytes = key
        name = self._op_names.get(op_type, 0)
        if not name and len(self._op_names) < _OP_NAME_LIMIT:
            name = self._op_names[op_type] = len(self._op_names) + 1
            # What the number stands for differs between ggml's versions, and the file does not say which it was.
            self._define(KIND_NAME, name, f"op {op_type}".encode())
        # Neither type, flags, shape and strides, nor sources and view are known.
        self._tensors.append(_string(label) + encode_varint(name) + bytes(10) + encode_varint(size_bytes) + bytes(2))
        self._op_indices[key] = len(self._tensors) - 1
        return len(self._tensors) - 1

    def _free(self, pointer: int, time_ns: int) -> bool:
        number = self._buffers.pop(pointer, None)
        if number is not None:
            self._define(KIND_BUFFER_FREE, number, time_ns)
        return number is not None

    def _close(self, run: _Run | None, end_ns: int | None = None) -> None:
        """Writes the record of a run that ended, or will not end."""
        if run is None:
            return
        del self._open[run.pointer]
        on_thread = self._open_on_thread[run.thread]
        on_thread.remove(run)
        if not on_thread:
            del self._open_on_thread[run.thread]
        self._incomplete += len(run.ops) != run.nodes
        duration_ns = (run.heard_ns if end_ns is None else end_ns) - run.begin_ns
        if duration_ns < 0:
            self._backwards += 1
            duration_ns = 0
        shift = min(max(duration_ns.bit_length() - 32, 0), _SHIFT_MAX)
        self._records.append(
            (
                run.begin_ns,
                KIND_RUN,
                shift,
                _STATUS_UNFINISHED if end_ns is None else 0,
                run.number & _U32,
                self._graph(run.ops),
                min(duration_ns >> shift, _U32),
                min(run.threads, 0xFFFF),
            )
        )
        if len(self._records) >= _CHUNK_RECORDS:
            self._flush()

    def _graph(self, ops: array[int]) -> int:
        """The GRAPH number of a sequence of ops; 0 if it lists none, or there are too many graphs."""
        if not ops:
            return 0
        key = ops.tobytes()
        if (number := self._graphs.get(key)) is None:
            if len(self._graphs) == _GRAPH_LIMIT:
                self._graphs_beyond += 1
                return 0
            number = self._graphs[key] = len(self._graphs) + 1
            # Of no known RUNTIME; all of its tensors are nodes.
            count = encode_varint(len(ops))
            tensors = b"".join(map(self._tensors.__getitem__, ops))
            self._add_definition(KIND_GRAPH, b"".join((encode_varint(number), encode_varint(0), count, count, tensors)))
        return number

    def _notes(self) -> list[str]:
        counted = [
            (self._counts[_BARRIER], "waits of threads at barriers", "that they waited is noted, not how long"),
            (self._unmatched_ends, "ends of graphs that did not begin in the file", "left out"),
            (self._backwards, "graphs that end before they begin", "shown without duration"),
            (self._incomplete, "graphs with more or fewer ops than they claim to have nodes", "shown as listed"),
            (self._stray_ops, "ops that no graph can be found for", "left out"),
            (self._ops_beyond, f"ops beyond the first {_OPS_LIMIT} of a graph", "left out"),
            (self._graphs_beyond, f"graphs other than the first {_GRAPH_LIMIT} distinct ones", "shown without ops"),
            (self._unmatched_frees, "frees of tensors that were not allocated in the file", "left out"),
            (self._buffers_beyond, f"tensors allocated after the first {_BUFFER_LIMIT}", "left out"),
        ]
        untimed = (
            "how long each op took: ops are listed, not timed, because in version 1 files all ops of a graph begin "
            "before it runs and end after it"
        )
        return [
            untimed if self._counts[_OP_BEGIN] else "ops: the file lists none",
            *(f"{what} ({count}): {how}" for count, what, how in counted if count),
            "what ops' numbers stand for, shapes and types of tensors, backends, which graphs failed: not in the file",
            "which program it was, when it ran and how it ended, what recording cost and lost: not in the file",
        ]

    def _define(self, kind: int, *fields: int | bytes) -> None:
        self._add_definition(kind, b"".join(encode_varint(f) if isinstance(f, int) else _string(f) for f in fields))

    def _add_definition(self, kind: int, body: bytes) -> None:
        padding = -len(body) % 8
        self._definitions += ENTRY_HEADER.pack(ENTRY_HEADER.size + len(body) + padding, kind, padding) + body
        self._definitions += bytes(padding)
        if len(self._definitions) >= _CHUNK_DEFINITIONS_BYTES:
            self._flush_definitions()

    def _flush_definitions(self) -> None:
        if self._definitions:
            self._add_chunk(b"DEFS", bytes(self._definitions))
            self._definitions.clear()

    def _flush(self) -> None:
        """Writes what is waiting: definitions first, which the records may refer to."""
        self._flush_definitions()
        if self._records:
            records = np.zeros(len(self._records), RUN_DTYPE)
            for name, values in zip(_RUN_FIELDS, zip(*self._records, strict=True), strict=True):
                records[name] = np.array(values, RUN_DTYPE[name])
            self._add_chunk(b"RECS", records_encode(0, records))
            self._records.clear()

    def _add_chunk(self, kind: bytes, payload: bytes) -> None:
        head = CHUNK_HEADER.pack(kind, _PROCESS_NUMBER, len(payload), 0)
        crc = zlib.crc32(payload, zlib.crc32(head[:12]))
        self._out += [CHUNK_HEADER.pack(kind, _PROCESS_NUMBER, len(payload), crc), payload]


def _string(data: bytes) -> bytes:
    return encode_varint(len(data)) + data
