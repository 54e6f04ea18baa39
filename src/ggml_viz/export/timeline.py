"""What the timelines of Chrome's and Perfetto's formats have in common: tracks, and what a node's events say."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ggml_viz.model.measured import shape_texts
from ggml_viz.native import EventStyle, EventWriter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ggml_viz.export.selection import Selection
    from ggml_viz.model.trace import Process

# An op, the tensor's name, its layer (-1: none), its role, its shape.
NodeText = Callable[[str, str, int, str, str], bytes]

# More text than this of one tensor is not shown.
_LONGEST = 200


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
