"""Opening a trace file: what is in it, process by process, without its records until they are asked for.

The file is mapped, not read; what cannot be read ends the readable part and is remembered, never raised. Only a file
that is no trace at all is an error.
"""

from __future__ import annotations

import errno
import mmap
import os
import struct
from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from ggml_viz import system
from ggml_viz.errors import UserError
from ggml_viz.trace.chunks import (
    FILE_HEADER,
    MAGIC_VERSION_1,
    VERSION,
    VERSION_1,
    Chunk,
    Integrity,
    check_file_header,
    walk_chunks,
    walk_further,
)
from ggml_viz.trace.definitions import Definitions, Extent, MalformedDefinitionError

if TYPE_CHECKING:
    from ggml_viz.native import Structured

_CALIBRATION = struct.Struct("<3Q")
_COUNTERS = struct.Struct("<6Q")
_REASON = struct.Struct("<I")

# A record of the shortest kind: tag, start, work, inner, wait.
_RECORD_MIN_BYTES = 5

# A machine of a thousand CPUs takes a fifth of this.
_MACHINE_LIMIT_BYTES = 1 << 20

# How the recording of a process ended, by the reason in its DONE chunk, and without one.
END_NAMES = ("ended", "detached", "abnormal")
END_CUT = "cut"


class Calibration(NamedTuple):
    """One moment on three clocks."""

    ticks: int
    monotonic_ns: int
    wall_ns: int


class Counters(NamedTuple):
    """What the agent and the recorder counted in one process.

    Attributes:
        written: Records written by the process.
        lost: Overwritten before they were read.
        dropped: No ring was free for them.
        skipped: Left out on request: event limit.
        definitions_dropped: Definitions that found their log full.
        touched_bytes: Peak of the segment's touched memory.
    """

    written: int = 0
    lost: int = 0
    dropped: int = 0
    skipped: int = 0
    definitions_dropped: int = 0
    touched_bytes: int = 0


@dataclass(frozen=True, slots=True)
class RecordChunk:
    """A RECS chunk.

    Attributes:
        offset: Of its payload in the file.
        length: Of its payload, in bytes.
        ring: Which ring the records come from.
        count: How many records it holds.
    """

    offset: int
    length: int
    ring: int
    count: int


@dataclass(slots=True)
class ProcessTrace:
    """Everything that a trace file holds of one process.

    Attributes:
        number: The file's number for it, from 1.
        definitions: What its records refer to.
        calibrations: Its clock at several moments, in order.
        counters: The last that were written; None: none were.
        done: Index in END_NAMES; None: its trace was cut short.
        record_count: Records in whole chunks.
        given_back: Records whose room in a growing file was given back.
        recorded: Records that were written to the file, in a circular file also those no longer there.
        whole_from: In ticks; nothing is missing of a run that began later, of others something may be. 0: all is there.
    """

    number: int
    data: mmap.mmap | bytes
    integrity: Integrity
    definitions: Definitions = field(default_factory=Definitions)
    calibrations: list[Calibration] = field(default_factory=list)
    counters: Counters | None = None
    done: int | None = None
    record_count: int = 0
    recorded: int = 0
    given_back: int = 0
    whole_from: int = 0
    _chunks: array[int] = field(default_factory=lambda: array("Q"))
    """For each RECS chunk: offset and length of its payload, ring, count of records."""

    @property
    def record_chunks(self) -> list[RecordChunk]:
        """Its chunks of records, in the order of the file."""
        return self.chunks_from(0)

    def chunks_from(self, first: int) -> list[RecordChunk]:
        """The same from one of them on."""
        fields = self._chunks
        return [RecordChunk(*fields[i : i + 4]) for i in range(4 * first, len(fields), 4)]

    @property
    def chunk_count(self) -> int:
        """How many chunks of records there are."""
        return len(self._chunks) // 4

    @property
    def let_go(self) -> int:
        """Records that newer ones took the place of, to keep the file within its limit."""
        return max(self.recorded - self.record_count, 0)

    def decode(self, chunk: RecordChunk, out: Structured) -> int:
        """Decodes the records of a chunk.

        Args:
            chunk: One of `record_chunks`.
            out: RECORD_DTYPE array of at least as many records, decoded into from its beginning.

        Returns:
            How many there are: all, or none where the chunk holds no valid records.
        """
        from ggml_viz.native import MalformedError, records_decode

        payload = memoryview(self.data)[chunk.offset : chunk.offset + chunk.length]
        try:
            return len(records_decode(payload, out))
        except MalformedError:
            return 0

    def body(self, extent: Extent) -> memoryview:
        """The bytes of a graph's or placement's body, for `ggml_viz.native` to decode."""
        return memoryview(self.data)[extent.offset : extent.offset + extent.length]

    def _add_records(self, payload: memoryview, offset: int) -> str | None:
        """Notes a RECS chunk. Returns what is wrong with it, if anything."""
        head = bytes(payload[:20])
        ring, at = _varint(head, 0)
        count, at = _varint(head, at)
        if at < 0 or count > (len(payload) - at) // _RECORD_MIN_BYTES:
            return "damaged: a chunk claims more records than it has room for"
        if count:
            self._chunks.extend((offset, len(payload), ring, count))
            self.record_count += count
        return None


@dataclass(slots=True)
class TraceFile:
    """An open trace file.

    Attributes:
        path: Where it lies.
        format: Its version: 2, or 1, whose content is shown as if it were version 2.
        integrity: How much of it can be read.
        processes: In the order of their appearance.
        machine_json: What it says of the machine that it was recorded on; None: nothing.
    """

    path: str
    format: int
    integrity: Integrity
    processes: list[ProcessTrace]
    machine_json: str | None = None

    @property
    def record_count(self) -> int:
        """Records in whole chunks, of all processes."""
        return sum(process.record_count for process in self.processes)


def open_trace(path: str | os.PathLike[str], check_records: bool = True) -> TraceFile:
    """Opens a trace file and reads everything but its records.

    Args:
        path: The file.
        check_records: Compare the checksums of records too. Without, opening takes hardly longer the more there are.

    Raises:
        UserError: There is no such file, it cannot be read, or it is not a trace.
    """
    data: mmap.mmap | bytes = _map(path)
    integrity = Integrity(file_bytes=len(data))
    trace = TraceFile(os.fspath(path), VERSION, integrity, [])
    if data[: len(MAGIC_VERSION_1)] == MAGIC_VERSION_1:
        # Imports numpy, which opening a file of version 2 does without.
        from ggml_viz.trace.version1 import convert

        data, trace.integrity = convert(data)
        trace.format = VERSION_1
    _take_in_all(trace, data, integrity, walk_chunks(data, integrity, check_records))
    return trace


def _take_in_all(trace: TraceFile, data: mmap.mmap | bytes, integrity: Integrity, chunks: Iterable[Chunk]) -> None:
    """Takes in chunks of a trace; `data` is the whole file, and `integrity` what they are walked with."""
    by_number = {process.number: process for process in trace.processes}
    for chunk in chunks:
        if chunk.process == 0:
            if chunk.kind == b"MACH" and chunk.length <= _MACHINE_LIMIT_BYTES:
                start = chunk.payload_offset
                trace.machine_json = bytes(data[start : start + chunk.length]).decode("utf-8", "replace")
            continue
        process = by_number.get(chunk.process)
        if process is None:
            process = by_number[chunk.process] = ProcessTrace(chunk.process, data, integrity)
            trace.processes.append(process)
        integrity.damage = _take_in(process, chunk)


class GrowingTrace:
    """A trace file that is still being written, taken in as it grows.

    Args:
        path: The file. It may be unlinked once this was made.

    Attributes:
        file: What it holds so far.
        descriptor: Of the open file.

    Raises:
        UserError: It is no trace.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.file = TraceFile(os.fspath(path), VERSION, Integrity(file_bytes=0), [])
        # Written to only in order to let go of what is old.
        self.descriptor = os.open(path, os.O_RDWR | system.BINARY)

    def grow(self) -> None:
        """Takes in the chunks that have been written since the last call."""
        size = os.fstat(self.descriptor).st_size
        if size <= self.file.integrity.readable_bytes:
            return
        data = mmap.mmap(self.descriptor, size, access=mmap.ACCESS_READ)
        if not self.file.integrity.file_bytes:
            check_file_header(self.file.path, data[: FILE_HEADER.size])
        for process in self.file.processes:
            process.data = data
        _take_in_all(self.file, data, self.file.integrity, walk_further(data, self.file.integrity))

    def let_go(self, process: ProcessTrace, keep_bytes: int) -> int:
        """Gives back the room of the oldest records of a process.

        Args:
            process: Of this file.
            keep_bytes: How much is to remain.

        Returns:
            How many chunks of records were let go.
        """
        import numpy as np

        from ggml_viz.native import RECORD_DTYPE, file_let_go

        chunks = process.record_chunks
        excess = sum(chunk.length for chunk in chunks) - keep_bytes
        count = 0
        while excess > 0 and count < len(chunks):
            excess -= chunks[count].length
            count += 1
        if count:
            last = np.empty(chunks[count - 1].count, RECORD_DTYPE)
            last = last[: process.decode(chunks[count - 1], last)]
            process.whole_from = max(process.whole_from, int(last["start"].max(initial=0)))
            file_let_go(self.descriptor, [(chunk.offset, chunk.length) for chunk in chunks[:count]])
            given_back = sum(chunk.count for chunk in chunks[:count])
            process.given_back += given_back
            process.record_count -= given_back
            del process._chunks[: 4 * count]
        return count

    @property
    def path(self) -> str:
        """A name under which any process of this user can open it while this one has it open."""
        return system.name_of_open(self.descriptor, self.file.path)

    def snapshot(self) -> TraceFile:
        """What is kept at this moment, as a trace of its own that does not change."""
        taken = open_trace(self.path, check_records=False)
        for own, process in zip(self.file.processes, taken.processes, strict=False):
            process.whole_from = own.whole_from
            process.recorded = max(process.record_count + own.let_go, process.recorded)
        return taken

    def close(self) -> None:
        """Closes the file; what was taken in stays readable."""
        os.close(self.descriptor)


def _take_in(process: ProcessTrace, chunk: Chunk) -> str | None:
    """Takes in one chunk. Returns what is wrong with it, if anything."""
    start = chunk.payload_offset
    payload = memoryview(process.data)[start : start + chunk.length]
    try:
        if chunk.kind == b"RECS":
            if not process.record_count:
                process.whole_from = chunk.latest_before
            before = process.record_count
            damage = process._add_records(payload, start)
            added = process.record_count - before
            process.recorded = max(
                *(process.recorded, chunk.records_before + added, process.record_count + process.given_back)
            )
            return damage
        process.recorded = max(process.recorded, chunk.records_before)
        if chunk.kind == b"DEFS":
            process.definitions.read(payload, start)
        elif chunk.kind == b"CLOK":
            process.calibrations.append(Calibration._make(_CALIBRATION.unpack_from(payload)))
        elif chunk.kind == b"STAT":
            process.counters = Counters._make(_COUNTERS.unpack_from(payload))
        elif chunk.kind == b"DONE":
            process.done = _REASON.unpack_from(payload)[0]
    except MalformedDefinitionError as error:
        return f"damaged: {error}"
    except struct.error:
        return f"damaged: a {chunk.kind.decode()} chunk is too short"
    return None


def _map(path: str | os.PathLike[str]) -> mmap.mmap:
    name = os.fspath(path)
    try:
        with open(path, "rb") as file:
            # Before mapping: neither an empty file nor a pipe can be mapped.
            check_file_header(name, file.read(FILE_HEADER.size))
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        if os.path.isdir(path):  # of which not every system says that it is one
            reason = os.strerror(errno.EISDIR)
        raise UserError(f"cannot read {name}: {reason}") from None


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A varint of at most 64 bits and the offset behind it, which is -1 if there is none."""
    value = shift = 0
    while 0 <= at < len(data) and shift < 70:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return (value, at) if value < 1 << 64 else (0, -1)
        shift += 7
    return 0, -1
