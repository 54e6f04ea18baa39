"""The definitions of one process, decoded from DEFS chunks: what the numbers in its records stand for.

Graphs and placements, the bulky ones, stay where they lie in the file until somebody asks for them.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import NamedTuple

ENTRY_HEADER = struct.Struct("<IHH")

NOTE_INFORMATION, NOTE_NOT_SEEN, NOTE_DISTORTING = range(3)
NOTE_NAMES = ("information", "not seen", "distorting")
# How an information begins that says what was left out.
NOTE_FILTER = "on request, "
DETAIL_NAMES = ("graph", "op", "thread")
CLOCK_NAMES = ("monotonic", "counter")

(
    KIND_PROCESS,
    KIND_NOTE,
    KIND_RUNTIME,
    KIND_NAME,
    KIND_BACKEND,
    KIND_PLACE,
    KIND_BUFFER,
    KIND_BUFFER_FREE,
    KIND_GRAPH,
    KIND_PLACEMENT,
) = range(1, 11)


class MalformedDefinitionError(ValueError):
    """An entry that is not what the trace format says it is."""


@dataclass(frozen=True, slots=True)
class ProcessInfo:
    """Who was watched and how.

    Attributes:
        pid: Process id.
        parent_pid: Of the process that made it.
        start_ticks: The agent's start on the record clock.
        start_monotonic_ns: The same moment on the machine's monotonic clock.
        start_wall_ns: The same moment in ns since 1970.
        clock: 0: ticks are monotonic ns; 1: of the CPU's counter.
        detail: Index in DETAIL_NAMES, at the start.
        put_cost_ns: To record one node on one thread, measured in this process.
        cpus: CPUs online.
        agent_version: Version of the agent.
        method: How the agent came into the process: `preload`.
        executable: Path of the program.
        command: Its command line.
    """

    pid: int = 0
    parent_pid: int = 0
    start_ticks: int = 0
    start_monotonic_ns: int = 0
    start_wall_ns: int = 0
    clock: int = 0
    detail: int = 2
    put_cost_ns: float = 0.0
    cpus: int = 0
    agent_version: str = ""
    method: str = ""
    executable: str = ""
    command: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Note:
    """Something the agent wants a reader to know, in words."""

    level: int
    text: str


@dataclass(frozen=True, slots=True)
class Runtime:
    """One copy of ggml in the process."""

    version: str
    path: str


@dataclass(frozen=True, slots=True)
class Buffer:
    """Memory that a backend allocated.

    Attributes:
        ticks: When it was allocated or first seen.
        place: PLACE number.
        usage: 0 any, 1 weights, 2 compute, higher as ggml has them.
        origin: 0: its allocation was seen; 1: first seen through a tensor.
        size_bytes: Its size.
        base: Its address.
        name: What ggml calls it.
    """

    ticks: int
    place: int
    usage: int
    origin: int
    size_bytes: int
    base: int
    name: str


class Extent(NamedTuple):
    """Where the body of a definition lies in the file, in bytes."""

    offset: int
    length: int


@dataclass(slots=True)
class Definitions:
    """All definitions of one process, by kind and number."""

    info: ProcessInfo = field(default_factory=ProcessInfo)
    notes: list[Note] = field(default_factory=list)
    runtimes: dict[int, Runtime] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)
    backends: dict[int, str] = field(default_factory=dict)
    places: dict[int, str] = field(default_factory=dict)
    buffers: dict[int, Buffer] = field(default_factory=dict)
    buffers_freed: dict[int, int] = field(default_factory=dict)
    """When each freed buffer was freed, in ticks."""
    graphs: dict[int, Extent] = field(default_factory=dict)
    placements: dict[int, Extent] = field(default_factory=dict)

    def read(self, payload: memoryview, offset: int) -> None:
        """Takes in the payload of a DEFS chunk.

        Args:
            payload: Whole entries.
            offset: Of the payload in the file.

        Raises:
            MalformedDefinitionError: An entry is broken; those before it have been taken in.
        """
        at, end = 0, len(payload)
        while at < end:
            if end - at < ENTRY_HEADER.size:
                raise MalformedDefinitionError("a definition is cut")
            length, kind, padding = ENTRY_HEADER.unpack_from(payload, at)
            body_length = length - ENTRY_HEADER.size - padding
            if length % 8 or length > end - at or padding > 7 or body_length < 0:
                raise MalformedDefinitionError("a definition has a wrong length")
            body = at + ENTRY_HEADER.size
            if kind in (KIND_GRAPH, KIND_PLACEMENT):
                number = _Body(payload[body : body + min(body_length, 10)]).varint()
                (self.graphs if kind == KIND_GRAPH else self.placements)[number] = Extent(offset + body, body_length)
            else:
                self._read_entry(kind, _Body(payload[body : body + body_length]))
            at += length

    def _read_entry(self, kind: int, body: _Body) -> None:
        if kind == KIND_NAME:
            number = body.varint()
            self.names[number] = body.string()
        elif kind == KIND_BUFFER:
            number = body.varint()
            ticks, place, usage, origin, size, base = (body.varint() for _ in range(6))
            self.buffers[number] = Buffer(ticks, place, usage, origin, size, base, body.string())
        elif kind == KIND_BUFFER_FREE:
            number = body.varint()
            self.buffers_freed[number] = body.varint()
        elif kind == KIND_PROCESS:
            # Defined again when a later recording of the process began: what was said of the one before is past, what
            # cannot be seen of the process stays so.
            self.info = _process(body)
            self.notes = [note for note in self.notes if note.level == NOTE_NOT_SEEN]
        elif kind == KIND_NOTE:
            level = body.varint()
            self.notes.append(Note(level, body.string()))
        elif kind == KIND_RUNTIME:
            number = body.varint()
            self.runtimes[number] = Runtime(body.string(), body.string())
        elif kind == KIND_BACKEND:
            number = body.varint()
            self.backends[number] = body.string()
        elif kind == KIND_PLACE:
            number = body.varint()
            self.places[number] = body.string()
        # Other kinds are a later version's, and none of ours.


def _process(body: _Body) -> ProcessInfo:
    pid, parent, ticks, monotonic, wall, clock, detail, cost_ps, cpus = (body.varint() for _ in range(9))
    version, method, executable, command = (body.string() for _ in range(4))
    return ProcessInfo(
        pid=pid,
        parent_pid=parent,
        start_ticks=ticks,
        start_monotonic_ns=monotonic,
        start_wall_ns=wall,
        clock=clock,
        detail=min(detail, len(DETAIL_NAMES) - 1),
        put_cost_ns=cost_ps / 1000,
        cpus=cpus,
        agent_version=version,
        method=method,
        executable=executable,
        command=tuple(command.split("\0")) if command else (),
    )


class _Body:
    """Reads the fields of one entry in order."""

    __slots__ = ("_at", "_data")

    def __init__(self, data: memoryview) -> None:
        self._data = bytes(data)
        self._at = 0

    def varint(self) -> int:
        value = shift = 0
        for byte in self._data[self._at : self._at + 10]:
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                if value >> 64:
                    break
                self._at += shift // 7
                return value
        raise MalformedDefinitionError("a number is cut or too large")

    def string(self) -> str:
        length = self.varint()
        text = self._data[self._at : self._at + length]
        if len(text) != length:
            raise MalformedDefinitionError("a string is cut")
        self._at += length
        return text.decode("utf-8", "replace")
