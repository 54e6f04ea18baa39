"""What timelines have in common, whatever their format: tracks, what lies on them, and what a node's events say."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ggml_viz.model.measured import shape_texts
from ggml_viz.native import EventStyle, EventWriter

if TYPE_CHECKING:
    from ggml_viz.export.selection import Selection
    from ggml_viz.model.trace import Process

# An op, the tensor's name, its layer (-1: none), its role, its shape.
NodeText = Callable[[str, str, int, str, str], bytes]

# More text than this of one tensor is not shown.
_LONGEST = 200

# Numbers of a process's tracks: of backends and workers, the first.
GRAPHS, COPIES, BACKENDS, WORKERS = 1, 2, 10, 1000


@dataclass(frozen=True, slots=True)
class Slice:
    """Something that lasted: a run of a graph, a split, a copy.

    Attributes:
        process: Index of the process.
        track: Number of its track.
        begin_ns: Since the trace began.
        duration_ns: How long it took.
        name: What it is called.
        kind: `graph`, `split` or `copy`.
        said: What else there is to say.
    """

    process: int
    track: int
    begin_ns: int
    duration_ns: int
    name: str
    kind: str
    said: dict[str, str | int]


def tracks(selection: Selection, process: int) -> dict[int, str]:
    """The tracks of a process: names by number."""
    backends = _backends(selection, process)
    workers = worker_count(selection.trace.watched[process])
    return {
        GRAPHS: "graphs",
        COPIES: "copies",
        **{BACKENDS + i: f"splits on {name}" for i, name in enumerate(backends)},
        **{WORKERS + worker: f"worker {worker}" for worker in range(workers)},
    }


def slices(selection: Selection) -> Iterator[Slice]:
    """All that is to be seen but nodes: graphs, then splits, then copies."""
    columns: tuple[str, ...]
    columns = ("process", "run", "graph", "phase", "tokens", "begin_ns", "duration_ns", "threads", "status")
    for process, run, graph, phase, tokens, begin, took, threads, status in _rows(selection, "runs", *columns):
        name = f"{phase}, {tokens} tokens" if tokens > 1 else phase
        said = {"run": run, "graph": graph, "tokens": tokens, "threads": threads, "status": status}
        yield Slice(process, GRAPHS, begin, took, name, "graph", said)
    numbers = {
        (process, name): BACKENDS + i
        for process in range(len(selection.trace.watched))
        for i, name in enumerate(_backends(selection, process))
    }
    columns = ("process", "run", "backend", "nodes", "begin_ns", "duration_ns", "threads")
    for process, run, backend, nodes, begin, took, threads in _rows(selection, "splits", *columns):
        said = {"run": run, "backend": backend, "threads": threads}
        yield Slice(process, numbers[process, backend], begin, took, f"{nodes} nodes", "split", said)
    columns = ("process", "run", "kind", "source", "target", "size_bytes", "begin_ns", "duration_ns")
    for process, run, kind, source, target, size, begin, took in _rows(selection, "copies", *columns):
        said = {"run": run, "kind": kind, "bytes": size}
        yield Slice(process, COPIES, begin, took, f"{source} → {target}", "copy", said)


def memory_steps(selection: Selection) -> Iterator[tuple[int, int, dict[str, int]]]:
    """What the buffers of each process take, by usage, from each moment on at which that changed.

    Yields:
        Index of the process, ns since the trace began, bytes by usage.
    """
    columns = ("process", "usage", "size_bytes", "allocated_ns", "freed_ns")
    changes: list[tuple[int, int, str, int]] = []
    for process, usage, size, allocated, freed in _rows(selection, "buffers", *columns):
        changes.append((process, max(allocated, 0), usage, size))
        if freed is not None:
            changes.append((process, max(freed, 0), usage, -size))
    now: dict[int, dict[str, int]] = {}
    for process, at_ns, usage, size in sorted(changes):
        use = now.setdefault(process, {})
        use[usage] = use.get(usage, 0) + size
        yield process, at_ns, dict(use)


def _rows(selection: Selection, table: str, *columns: str) -> Iterator[tuple[Any, ...]]:
    loaded = selection.rows(table, columns)
    return zip(*(column.tolist() if hasattr(column, "tolist") else column for column in loaded.values()), strict=True)


def _backends(selection: Selection, process: int) -> list[str]:
    splits = selection.trace.splits
    return sorted(set(splits["backend"][splits["process"] == process]))


def process_name(process: Process) -> str:
    """What a process is called: its command's words without their folders, and its number."""
    info = process.file.definitions.info
    words = info.command or (info.executable,)
    return f"{' '.join(word.rpartition('/')[2] for word in words)[:_LONGEST]} (pid {info.pid})"


def worker_count(process: Process) -> int:
    """How many workers have a track."""
    return int(process.node_times.workers.shape[1])


def node_events(
    selection: Selection,
    process: Process,
    text: NodeText,
    *,
    format: int,
    number: int,
    first_track: int,
    sequence: int = 0,
    epoch_ns: int = 0,
) -> Iterator[memoryview]:
    """The wanted nodes of a process as events of a format, each on its worker's track.

    Args:
        selection: What is wanted.
        process: The process.
        text: What the events of a node say.
        format: One of the native EVENTS_….
        number: The process's number in the format.
        first_track: Of worker 0.
        sequence: Of Perfetto's packets.
        epoch_ns: Added to Perfetto's times.
    """
    clock, trace = process.clock, selection.trace
    style = EventStyle(
        format=format,
        process=number,
        first_track=first_track,
        workers=worker_count(process),
        sequence=sequence,
        epoch_ns=epoch_ns,
        texts=_texts(process, text),
        chosen=selection.places(process),
        from_ns=selection.from_s * 1e9,
        until_ns=selection.until_s * 1e9,
        scale=(
            clock.origin.ticks % (1 << 64),
            float(clock.origin.monotonic_ns) - trace.started_monotonic_ns,
            clock.ns_per_tick,
        ),
    )
    writer = EventWriter(style, selection.run_nodes(process))
    for records in selection.windows(process):
        yield from writer.write(records)


def _texts(process: Process, text: NodeText) -> list[bytes]:
    """What the events of each place say, alone and fused with those behind."""
    unknown = text("?", "", -1, "", "")
    texts = [unknown, unknown]
    fused_of = {}
    times = process.node_times
    for place, fused in zip(times.place.tolist(), times.fused.tolist(), strict=True):
        if fused:
            fused_of[place] = fused
    place = 1
    for number, graph in sorted(process.graphs.items()):
        attribution = process.attributions[number]
        layers, roles = attribution.layer.tolist(), attribution.role.tolist()
        ops = [graph.op(i) for i in range(graph.node_count)]
        shapes = shape_texts(graph)
        for i, op in enumerate(ops):
            rest = (graph.name(i)[:_LONGEST], layers[i], attribution.roles[roles[i]], shapes[i])
            alone = text(op, *rest)
            fused = fused_of.get(place, 0)
            together = text("+".join(ops[i : i + fused + 1]), *rest) if fused else alone
            texts += [alone, together]
            place += 1
    return texts
