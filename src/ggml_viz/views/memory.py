"""Memory over time, and how the tensors of a graph share a buffer."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

from ggml_viz.analysis.memory import memory_use
from ggml_viz.errors import UserError
from ggml_viz.model.arena import arenas, arenas_of
from ggml_viz.model.kinds import kind_index
from ggml_viz.views.layer import graph_of

if TYPE_CHECKING:
    from ggml_viz.model.trace import Trace

# Servers compute hundreds of graphs that differ in a shape.
_MOST_GRAPHS = 64


class ChangeRow(TypedDict):
    """The buffers of one place and usage from one moment on.

    Attributes:
        at_s: Since the trace began.
        backend: The buffer type.
        usage: One of USAGES.
        bytes: Their size then.
        total_bytes: The size of all buffers then.
    """

    at_s: float
    backend: str
    usage: str
    bytes: int
    total_bytes: int


class ArenaRow(TypedDict):
    """A compute buffer, as one graph uses it.

    Attributes:
        process: Index of the process.
        graph: The process's number of the graph.
        placement: Of the layout.
        buffer: Of the buffer.
        backend: The buffer type.
        phase: What the graph does.
        tokens: That one run of it takes through the model.
        bytes: The most that is alive in it at once.
    """

    process: int
    graph: int
    placement: int
    buffer: int
    backend: str
    phase: str
    tokens: int
    bytes: int


class MemoryOverTime(TypedDict):
    """The buffers of a trace.

    Attributes:
        peak_bytes: The most that was allocated at any one time.
        changes: In order of time.
        arenas: What can be asked of `arena_map`, what needs most first.
    """

    peak_bytes: int
    changes: list[ChangeRow]
    arenas: list[ArenaRow]


class ArenaTensor(TypedDict):
    """A tensor in a compute buffer.

    Attributes:
        name: Its name.
        op: What computes it.
        kind: Of work: an index in KINDS.
        offset: Where in the buffer it begins, in bytes.
        bytes: That it takes.
        born: The node that writes it, an index in the graph; -1: it is there before the first.
        dies: The last node that reads it.
        node: Index of the node that it is; None: it is not computed in this graph.
        reuses: Which of the tensors lay in its memory, or some of it, before: an index in the list; None: none.
    """

    name: str
    op: str
    kind: int
    offset: int
    bytes: int
    born: int
    dies: int
    node: int | None
    reuses: int | None


class ArenaMap(TypedDict):
    """How the tensors of a graph share a buffer.

    Attributes:
        bytes: Size of the buffer.
        nodes: How many the graph has.
        tensors: In the order in which they are written.
    """

    bytes: int
    nodes: int
    tensors: list[ArenaTensor]


def memory_over_time(trace: Trace) -> MemoryOverTime:
    """Follows the buffers of a trace."""
    use = memory_use(trace)
    rows: list[ArenaRow] = []
    for index, process in enumerate(trace.watched):
        for arena in arenas(process, _MOST_GRAPHS):
            load = process.workloads[arena.graph]
            rows.append(
                {
                    "process": index,
                    "graph": arena.graph,
                    "placement": arena.placement,
                    "buffer": arena.buffer,
                    "backend": arena.place,
                    "phase": load.phase,
                    "tokens": load.tokens,
                    "bytes": int(arena.peak_bytes),
                }
            )
    return {
        "peak_bytes": use.peak_bytes,
        "changes": [
            {
                "at_s": change.at_s,
                "backend": change.backend,
                "usage": change.usage,
                "bytes": change.bytes,
                "total_bytes": change.total_bytes,
            }
            for change in use.changes
        ],
        "arenas": sorted(rows, key=lambda row: -row["bytes"]),
    }


def arena_map(trace: Trace, process: int, graph: int, placement: int, buffer: int) -> ArenaMap:
    """How the tensors of a graph share one buffer.

    Args:
        trace: The trace.
        process: Index of the graph's process.
        graph: Its number.
        placement: Number of the layout in which it was computed.
        buffer: Number of the buffer.

    Raises:
        UserError: There is no such graph, or it does not use that buffer in that layout.
    """
    of = graph_of(trace, process, graph).graph
    laid_out = arenas_of(trace.watched[process], graph, placement)
    arena = next((each for each in laid_out if each.buffer == buffer), None)
    if arena is None:
        raise UserError(f"graph {graph} does not compute in buffer {buffer} in layout {placement}", exit_status=2)
    place = {tensor: i for i, tensor in enumerate(arena.tensor.tolist())}
    columns = (arena.tensor, arena.offset_bytes, arena.size_bytes, arena.first, arena.last, arena.reuses)
    tensors: list[ArenaTensor] = []
    for tensor, offset, size, born, dies, reuses in zip(*(column.tolist() for column in columns), strict=True):
        op = of.op(tensor)
        tensors.append(
            {
                "name": of.name(tensor),
                "op": op,
                "kind": kind_index(op),
                "offset": int(offset),
                "bytes": int(size),
                "born": born,
                "dies": dies,
                "node": tensor if tensor < of.node_count else None,
                "reuses": place.get(reuses),
            }
        )
    return {"bytes": arena.buffer_bytes, "nodes": of.node_count, "tensors": tensors}
