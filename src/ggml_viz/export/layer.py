"""The nodes and edges of one layer of a graph, as pictures of it show them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ggml_viz.errors import UserError
from ggml_viz.model.measured import shape_texts
from ggml_viz.model.phases import DECODE

if TYPE_CHECKING:
    from ggml_viz.model.graph import Graph
    from ggml_viz.model.trace import Process, Trace

# What only says anew how a tensor's memory is to be read.
_VIEWS = ("VIEW", "RESHAPE", "PERMUTE", "TRANSPOSE", "NONE")
# More than that nobody can read.
MAX_NODES = 400


@dataclass(frozen=True, slots=True)
class LayerNode:
    """A node of a layer, or a tensor that it reads from outside.

    Attributes:
        name: Of its tensor.
        op: What computes it; empty: it comes from outside of the layer.
        shape: Of what it computes.
        role: In the layer.
        seconds: That all its executions took; of those fused with one before, with that one.
        level: How many nodes of the layer lie before it at most.
    """

    name: str
    op: str
    shape: str
    role: str
    seconds: float
    level: int


@dataclass(frozen=True, slots=True)
class Layer:
    """The nodes of a layer.

    Attributes:
        title: Which layer of which graph.
        nodes: In order of execution, those from outside first.
        edges: From which to which, indices in `nodes`.
    """

    title: str
    nodes: list[LayerNode]
    edges: list[tuple[int, int]]


def layer_of(trace: Trace, layer: int, graph: int | None = None) -> Layer:
    """One layer of a graph, views left out.

    Args:
        trace: The trace.
        layer: Number of the layer; -1: what belongs to none.
        graph: Number of the graph; None: the one that was decoded with most often, or the one that ran most often.

    Raises:
        UserError: There is no such graph or layer, or it is too large for a picture.
    """
    process, number = _graph_of(trace, graph)
    known, attribution = process.graphs[number], process.attributions[number]
    mine = [i for i in range(known.node_count) if attribution.layer[i] == layer]
    if not mine:
        layers = sorted(set(attribution.layer[: known.node_count].tolist()) - {-1})
        there = f"there are {layers[0]} to {layers[-1]}" if layers else "none of its tensors says in which it is"
        raise UserError(f"graph {number} has no layer {layer}: {there}")
    shown = [i for i in mine if known.op(i) not in _VIEWS]
    if len(shown) > MAX_NODES:
        raise UserError(f"layer {layer} of graph {number} has {len(shown)} nodes, too many for a picture")
    sources = {i: _real_sources(known, i) for i in shown}
    outside = sorted({source for each in sources.values() for source in each} - set(shown))
    index = {tensor: i for i, tensor in enumerate([*outside, *shown])}
    edges = [(index[source], index[i]) for i in shown for source in sources[i]]
    levels = _levels(len(index), edges)
    shapes, seconds = shape_texts(known), _seconds(process, number)
    nodes = [
        LayerNode(
            name=known.name(i) or f"tensor {i}",
            op=known.op(i) if i in sources else "",
            shape=shapes[i].partition(" < ")[0] if i < known.node_count else _shape(known, i),
            role=attribution.roles[attribution.role[i]],
            seconds=seconds.get(i, 0.0) if i in sources else 0.0,
            level=levels[index[i]],
        )
        for i in (*outside, *shown)
    ]
    load = process.workloads[number]
    return Layer(f"layer {layer} of graph {number} ({load.phase})", nodes, edges)


def _graph_of(trace: Trace, graph: int | None) -> tuple[Process, int]:
    if graph is not None:
        for process in trace.watched:
            if graph in process.graphs:
                return process, graph
        raise UserError(f"the trace has no graph {graph}")
    counts: Counter[tuple[bool, int, int, int]] = Counter()
    for index, process in enumerate(trace.watched):
        for number, count in Counter(process.runs.graph.tolist()).items():
            if number in process.graphs:
                counts[process.workloads[number].phase == DECODE, count, index, number] = count
    if not counts:
        raise UserError("the trace has no graph that ran")
    _, _, index, number = max(counts)
    return trace.watched[index], number


def _real_sources(graph: Graph, tensor: int) -> list[int]:
    """What a node reads, seen through views."""
    found: dict[int, None] = {}
    for place in range(graph.tensors["sources"].shape[1]):
        source = graph.source(tensor, place)
        steps = 0
        while source is not None and source < graph.node_count and graph.op(source) in _VIEWS and steps < 64:
            source, steps = graph.source(source, 0), steps + 1
        if source is not None and source != tensor:
            found[source] = None
    return list(found)


def _levels(count: int, edges: list[tuple[int, int]]) -> list[int]:
    levels = [0] * count
    # Edges stand in order of their targets, so one pass is enough for what is computed in order.
    for source, target in edges:
        if source < target:
            levels[target] = max(levels[target], levels[source] + 1)
    return levels


def _seconds(process: Process, graph: int) -> dict[int, float]:
    times, places = process.node_times, process.places
    mine = np.flatnonzero((places.graph[times.place] == graph) & (times.place > 0))
    found: dict[int, float] = {}
    for node, seconds in zip(places.node[times.place[mine]].tolist(), times.wall_s[mine].tolist(), strict=True):
        found[node] = found.get(node, 0.0) + seconds
    return found


def _shape(graph: Graph, tensor: int) -> str:
    ne = graph.tensors["ne"][tensor].tolist()
    while len(ne) > 1 and ne[-1] == 1:
        ne.pop()
    return "x".join(map(str, ne))
