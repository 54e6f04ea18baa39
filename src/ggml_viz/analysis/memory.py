"""How much memory the buffers of a trace took over time, at most, and what for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ggml_viz.model.arena import Arena, arenas
from ggml_viz.model.cost import kv_bytes
from ggml_viz.model.phases import DECODE
from ggml_viz.model.trace import Process, Trace

_SHOWN_TENSORS = 5
# Servers compute hundreds of graphs that differ in a shape; a peak is that of a large one.
_LARGEST_GRAPHS = 16


@dataclass(frozen=True, slots=True)
class MemoryUse:
    """Buffers of one place and usage.

    Attributes:
        backend: The buffer type, as ggml names it: `CPU`, `CPU_Mapped`.
        usage: `weights`, `kv`, `compute` or `other`.
        bytes: Their size.
    """

    backend: str
    usage: str
    bytes: int


@dataclass(frozen=True, slots=True)
class MemoryChange:
    """The buffers of one place and usage from one moment on.

    Attributes:
        at_s: Since the trace began.
        backend: The buffer type.
        usage: `weights`, `kv`, `compute` or `other`.
        bytes: Their size then.
        total_bytes: The size of all buffers then.
    """

    at_s: float
    backend: str
    usage: str
    bytes: int
    total_bytes: int


@dataclass(frozen=True, slots=True)
class AliveTensor:
    """A tensor that was alive at a peak.

    Attributes:
        name: Its name.
        op: What computed it.
        bytes: Its size.
    """

    name: str
    op: str
    bytes: int


@dataclass(frozen=True, slots=True)
class ArenaPeak:
    """The most that was alive at once in a compute buffer, while one graph was computed.

    Attributes:
        backend: The buffer type.
        buffer_bytes: Size of the buffer.
        phase: Of the graph.
        tokens: That one run of it takes through the model.
        node: Name of the node that was computed then.
        op: Its op.
        alive_bytes: Of all tensors that were alive then.
        reused_tensors: How many of the graph's tensors lie where another lay before.
        tensors: The largest that were alive then.
    """

    backend: str
    buffer_bytes: int
    phase: str
    tokens: int
    node: str
    op: str
    alive_bytes: int
    reused_tensors: int
    tensors: list[AliveTensor]


@dataclass(frozen=True, slots=True)
class Peak:
    """The moment at which the most memory was allocated.

    Attributes:
        bytes: In all buffers.
        at_s: Since the trace began.
        arenas: What was alive in each compute buffer when most was, of the graph that needed most.
    """

    bytes: int
    at_s: float
    arenas: list[ArenaPeak]


@dataclass(frozen=True, slots=True)
class KvUse:
    """What attention reads of the KV cache for one graph, in the deepest decode that there was.

    Attributes:
        positions: The most positions that a layer reads; llama.cpp reads a multiple of 256.
        read_bytes: Bytes of K and V, over all layers.
        bytes_per_token: By how much that grows with each further token.
    """

    positions: int
    read_bytes: float
    bytes_per_token: float


@dataclass(frozen=True, slots=True)
class Memory:
    """Memory in buffers, all processes together.

    Attributes:
        peak_bytes: The most that was allocated at any one time.
        buffers: What it consisted of then, largest first.
        peak: More of that moment.
        changes: What was allocated, over time.
        kv: What decoding reads of the KV cache; None: nothing was seen of one.
    """

    peak_bytes: int
    buffers: list[MemoryUse]
    peak: Peak
    changes: list[MemoryChange]
    kv: KvUse | None


def memory_use(trace: Trace) -> Memory:
    """Follows the buffers of a trace over time."""
    changes = list(_changes(trace))
    peak = max(changes, key=lambda change: change.total_bytes, default=None)
    use: dict[tuple[str, str], int] = {}
    for change in changes:
        use[change.backend, change.usage] = change.bytes
        if change is peak:
            break
    rows = [MemoryUse(place, usage, size) for (place, usage), size in use.items() if size > 0]
    peak_bytes = peak.total_bytes if peak else 0
    return Memory(
        peak_bytes=peak_bytes,
        buffers=sorted(rows, key=lambda row: -row.bytes),
        peak=Peak(peak_bytes, peak.at_s if peak else 0.0, _arena_peaks(trace.watched)),
        changes=changes,
        kv=_kv_use(trace.watched),
    )


def _kv_use(processes: Sequence[Process]) -> KvUse | None:
    deepest: KvUse | None = None
    for process in processes:
        for number in np.unique(process.runs.graph).tolist():
            if number in process.graphs and process.workloads[number].phase == DECODE:
                use = kv_bytes(process.graphs[number])
                if use.read_bytes and (deepest is None or use.read_bytes > deepest.read_bytes):
                    deepest = KvUse(use.positions, use.read_bytes, use.added_bytes)
    return deepest


def _changes(trace: Trace) -> Iterator[MemoryChange]:
    events: list[tuple[float, int, str, str]] = []
    for process in trace.watched:
        for buffer in process.buffers:
            moments = (
                [buffer.allocated_ticks] if buffer.freed_ticks is None else [buffer.allocated_ticks, buffer.freed_ticks]
            )
            at_ns = process.clock.monotonic_ns(np.array(moments, np.uint64)) - trace.started_monotonic_ns
            for when, size in zip(at_ns.tolist(), (buffer.size_bytes, -buffer.size_bytes), strict=False):
                events.append((when * 1e-9, size, buffer.place, buffer.usage))
    # At the same moment what is freed goes first.
    events.sort(key=lambda event: event[:2])
    use: defaultdict[tuple[str, str], int] = defaultdict(int)
    total = 0
    for at_s, size, place, usage in events:
        total += size
        use[place, usage] += size
        yield MemoryChange(at_s, place, usage, use[place, usage], total)


def _arena_peaks(processes: Sequence[Process]) -> list[ArenaPeak]:
    """Of each compute buffer the graph that needs most of it."""
    peaks = []
    for process in processes:
        most: dict[int, Arena] = {}
        for arena in arenas(process, _LARGEST_GRAPHS):
            if arena.buffer not in most or arena.peak_bytes > most[arena.buffer].peak_bytes:
                most[arena.buffer] = arena
        peaks += [_arena_peak(process, arena) for arena in most.values()]
    return sorted(peaks, key=lambda peak: -peak.alive_bytes)


def _arena_peak(process: Process, arena: Arena) -> ArenaPeak:
    graph, load = process.graphs[arena.graph], process.workloads[arena.graph]
    alive = arena.alive_at(arena.peak_node)[:_SHOWN_TENSORS]
    return ArenaPeak(
        backend=arena.place,
        buffer_bytes=arena.buffer_bytes,
        phase=load.phase,
        tokens=load.tokens,
        node=graph.name(arena.peak_node) if arena.peak_node < len(graph.tensors) else "",
        op=graph.op(arena.peak_node) if arena.peak_node < len(graph.tensors) else "",
        alive_bytes=int(arena.peak_bytes),
        reused_tensors=int(np.count_nonzero(arena.reuses >= 0)),
        tensors=[
            AliveTensor(graph.name(index), graph.op(index), int(arena.size_bytes[i]))
            for i, index in zip(alive.tolist(), arena.tensor[alive].tolist(), strict=True)
        ],
    )
