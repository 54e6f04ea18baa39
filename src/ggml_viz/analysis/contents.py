"""What lies in a trace file, without adding up its records: the data of `info` and of its JSON."""

from __future__ import annotations

import datetime
import shlex
from dataclasses import dataclass

from ggml_viz.trace.definitions import CLOCK_NAMES, DETAIL_NAMES, NOTE_NAMES
from ggml_viz.trace.reader import END_CUT, END_NAMES, Counters, ProcessTrace, TraceFile

# Of the year 9999, past which Python knows no dates.
_LAST_MICROSECOND = 253_402_300_799_000_000


@dataclass(frozen=True, slots=True)
class ChunkContents:
    """The chunks of one kind.

    Attributes:
        kind: As docs/trace-format.md names it.
        count: Chunks.
        bytes: Of their payloads.
    """

    kind: str
    count: int
    bytes: int


@dataclass(frozen=True, slots=True)
class NoteContents:
    """Something that the agent noted.

    Attributes:
        level: `information`, `not seen` or `distorting`.
        text: In words.
    """

    level: str
    text: str


@dataclass(frozen=True, slots=True)
class ProcessContents:
    """What the file holds of one process.

    Attributes:
        pid: Process id; 0 if unknown.
        parent_pid: Of the process that made it.
        command: Its command line.
        executable: Its program.
        started: When the agent saw it first, ISO 8601 in UTC; empty if unknown.
        end: `ended`, `detached`, `abnormal` or `cut`.
        ggml: Version and path of each copy of ggml in it.
        agent_version: Version of the agent.
        method: How the agent came in.
        detail: `thread`, `op` or `graph`.
        clock: `counter` or `monotonic`.
        calibrations: How often the clock was compared with the system's.
        cpus: CPUs online.
        ns_per_record: To record one node on one thread.
        records: In whole chunks.
        let_go: Older records that newer ones took the place of, to keep the file within its limit.
        counters: What the agent and the recorder counted; None if they could not say.
        graphs: Distinct graphs.
        placements: Ways in which graphs' tensors were laid out in buffers.
        buffers: Buffers seen.
        backends: Names.
        places: Names of buffer types.
        notes: What the agent noted.
    """

    pid: int
    parent_pid: int
    command: str
    executable: str
    started: str
    end: str
    ggml: list[tuple[str, str]]
    agent_version: str
    method: str
    detail: str
    clock: str
    calibrations: int
    cpus: int
    ns_per_record: float
    records: int
    let_go: int
    counters: dict[str, int] | None
    graphs: int
    placements: int
    buffers: int
    backends: list[str]
    places: list[str]
    notes: list[NoteContents]


@dataclass(frozen=True, slots=True)
class Contents:
    """What lies in a trace file.

    Attributes:
        path: The file.
        format: Its version.
        file_bytes: Its size.
        readable_bytes: Up to the end of the last whole chunk, or event in a file of version 1.
        checked_bytes: How much of that was compared with its checksum.
        damage: What is wrong behind that; None if nothing is there.
        records: In whole chunks.
        chunks: By kind; in a file of version 1, which has none, its events.
        processes: In the order of their appearance.
    """

    path: str
    format: int
    file_bytes: int
    readable_bytes: int
    checked_bytes: int
    damage: str | None
    records: int
    chunks: list[ChunkContents]
    processes: list[ProcessContents]


def describe(file: TraceFile) -> Contents:
    """Lists what lies in a trace file."""
    integrity = file.integrity
    return Contents(
        path=file.path,
        format=file.format,
        file_bytes=integrity.file_bytes,
        readable_bytes=integrity.readable_bytes,
        checked_bytes=integrity.checked_bytes,
        damage=integrity.damage,
        records=file.record_count,
        chunks=[ChunkContents(kind, seen.chunks, seen.payload_bytes) for kind, seen in integrity.kinds.items()],
        processes=[_process(process) for process in file.processes],
    )


def wall_time(wall_ns: int) -> str:
    """A moment in ns since 1970 as ISO 8601 in UTC, to the millisecond; empty for 0, which stands for unknown."""
    if not wall_ns:
        return ""
    since = datetime.timedelta(microseconds=min(wall_ns // 1000, _LAST_MICROSECOND))
    moment = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc) + since
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def command_line(process: ProcessTrace) -> str:
    """The command line of a process, quoted for a shell."""
    info = process.definitions.info
    return shlex.join(info.command) or info.executable


def end_of(process: ProcessTrace) -> str:
    """How the recording of a process ended: `ended`, `detached`, `abnormal`; `cut` if the trace does not say."""
    return END_CUT if process.done is None else END_NAMES[min(process.done, len(END_NAMES) - 1)]


def _process(process: ProcessTrace) -> ProcessContents:
    definitions = process.definitions
    info = definitions.info
    return ProcessContents(
        pid=info.pid,
        parent_pid=info.parent_pid,
        command=command_line(process),
        executable=info.executable,
        started=wall_time(info.start_wall_ns),
        end=end_of(process),
        ggml=[(runtime.version, runtime.path) for runtime in definitions.runtimes.values()],
        agent_version=info.agent_version,
        method=info.method,
        detail=DETAIL_NAMES[info.detail],
        clock=CLOCK_NAMES[min(info.clock, len(CLOCK_NAMES) - 1)],
        calibrations=len(process.calibrations),
        cpus=info.cpus,
        ns_per_record=info.put_cost_ns,
        records=process.record_count,
        let_go=process.let_go,
        counters=dict(zip(Counters._fields, process.counters, strict=True)) if process.counters else None,
        graphs=len(definitions.graphs),
        placements=len(definitions.placements),
        buffers=len(definitions.buffers),
        backends=list(definitions.backends.values()),
        places=list(definitions.places.values()),
        notes=[NoteContents(NOTE_NAMES[min(note.level, 2)], note.text) for note in definitions.notes],
    )
