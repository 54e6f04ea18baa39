"""How much memory the buffers of a trace took at most, and what for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from ggml_viz.model.trace import Process


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
class Memory:
    """Memory in buffers, all processes together.

    Attributes:
        peak_bytes: The most that was allocated at any one time.
        buffers: What it consisted of then, largest first.
    """

    peak_bytes: int
    buffers: list[MemoryUse]


def peak_memory(processes: Sequence[Process]) -> Memory:
    """Finds the moment when the most memory was allocated, and what it was."""
    events: list[tuple[float, int, str, str]] = []
    for process in processes:
        rate, origin = process.clock.ns_per_tick, process.clock.origin

        def at(ticks: int, rate: float = rate, ticks0: int = origin.ticks, ns0: int = origin.monotonic_ns) -> float:
            return (ticks - ticks0) * rate + ns0

        for buffer in process.buffers:
            events.append((at(buffer.allocated_ticks), buffer.size_bytes, buffer.place, buffer.usage))
            if buffer.freed_ticks is not None:
                events.append((at(buffer.freed_ticks), -buffer.size_bytes, buffer.place, buffer.usage))
    # At the same moment what is freed goes first.
    events.sort(key=lambda event: event[:2])
    total = peak = 0
    peak_index = -1
    for index, event in enumerate(events):
        total += event[1]
        if total > peak:
            peak, peak_index = total, index
    use: defaultdict[tuple[str, str], int] = defaultdict(int)
    for _, size, place, usage in events[: peak_index + 1]:
        use[place, usage] += size
    rows = [MemoryUse(place, usage, size) for (place, usage), size in use.items() if size > 0]
    return Memory(peak, sorted(rows, key=lambda row: -row.bytes))
