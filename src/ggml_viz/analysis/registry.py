"""The processes of this user that are watched now, and what they do: the data of `ps` and of its JSON."""

from __future__ import annotations

import contextlib
import shlex
import time
from dataclasses import dataclass
from pathlib import Path

from ggml_viz import native
from ggml_viz.analysis.contents import wall_time
from ggml_viz.capture.segments import live_segments
from ggml_viz.model.phases import PHASES
from ggml_viz.trace.definitions import DETAIL_NAMES, Definitions, MalformedDefinitionError

RECORDING, PAUSED, IDLE, UNRECORDED = "recording", "paused", "idle", "nobody records"


@dataclass(frozen=True, slots=True)
class Activity:
    """What a process did in the last whole second.

    Attributes:
        phase: Of the graph that it computes, else of most graphs in that second; None: it computes none.
        graphs_per_second: Graphs computed.
        tokens_per_second: Tokens that went through the model.
    """

    phase: str | None
    graphs_per_second: int
    tokens_per_second: int


@dataclass(frozen=True, slots=True)
class WatchedProcess:
    """A process with an agent in it.

    Attributes:
        pid: Process id.
        command: Its command line, quoted for a shell.
        ggml: Version and path of each copy of ggml that it has used.
        method: How the agent came in: `preload` or `attach`.
        detail: `thread`, `op` or `graph`.
        started: When the agent came, ISO 8601 in UTC.
        watched_s: How long ago that was.
        state: `recording`; `paused`: records are not made for a while; `idle`: until somebody attaches; `nobody
            records`: records are made and soon overwritten.
        recorder: The process that writes the trace; None: none does.
        records: Made so far.
        dropped: Records that found no ring.
        definitions_dropped: Definitions that found their log full.
        skipped: Records left out on request.
        segment_bytes: Shared memory that the agent takes.
        now: What the process does.
    """

    pid: int
    command: str
    ggml: list[tuple[str, str]]
    method: str
    detail: str
    started: str
    watched_s: float
    state: str
    recorder: int | None
    records: int
    dropped: int
    definitions_dropped: int
    skipped: int
    segment_bytes: int
    now: Activity


def watched_processes(folder: Path) -> list[WatchedProcess]:
    """Lists the watched processes whose segments lie in a folder, the longest watched first."""
    found = []
    for path in live_segments(folder).values():
        try:
            found.append(_describe(native.segment_describe(path), native.segment_definitions(path)))
        except OSError:
            continue  # it has just ended
    return sorted(found, key=lambda process: (process.started, process.pid))


def _describe(state: native.SegmentState, log: bytes) -> WatchedProcess:
    definitions = Definitions()
    with contextlib.suppress(MalformedDefinitionError):  # what came before has been taken in
        definitions.read(memoryview(log), 0)
    info = definitions.info
    return WatchedProcess(
        pid=state.pid,
        command=shlex.join(info.command) or info.executable,
        ggml=[(runtime.version, runtime.path) for runtime in definitions.runtimes.values()],
        method=info.method,
        detail=DETAIL_NAMES[min(state.control & native.CONTROL_DETAIL_MASK, len(DETAIL_NAMES) - 1)],
        started=wall_time(state.start_wall_ns),
        watched_s=max(time.time() - state.start_wall_ns * 1e-9, 0.0),
        state=state_of(state),
        recorder=state.recorder or None,
        records=state.records,
        dropped=state.dropped,
        definitions_dropped=state.definitions_dropped,
        skipped=state.skipped,
        segment_bytes=state.touched_bytes,
        now=activity_of(state),
    )


def state_of(state: native.SegmentState) -> str:
    """Whether records are made, and whether anybody keeps them, by its segment."""
    if state.control & native.CONTROL_STOPPED:
        return IDLE
    if state.control & native.CONTROL_PAUSED:
        return PAUSED
    return RECORDING if state.recorder else UNRECORDED


def activity_of(state: native.SegmentState) -> Activity:
    """What a process did in the last whole second, by its segment."""
    phase = state.phase
    if phase is None and any(state.runs):
        phase = max(range(len(state.runs)), key=lambda index: (state.tokens[index], state.runs[index]))
    return Activity(None if phase is None else PHASES[phase], sum(state.runs), sum(state.tokens))
