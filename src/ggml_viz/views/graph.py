"""The graphs of a trace: which there are, the layers of one, and one layer laid out."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

import numpy as np

from ggml_viz.model.kinds import kind_index
from ggml_viz.model.measured import NO_LAYER, group_by
from ggml_viz.views.layer import computing_nodes, graph_of, layer_of
from ggml_viz.views.layout import lay_out
from ggml_viz.views.tensor import backends_of

if TYPE_CHECKING:
    import numpy.typing as npt

    from ggml_viz.model.trace import Trace
    from ggml_viz.views.layer import ChosenGraph

# More boxes than these nobody tells apart.
_MOST_NODES = 240


class GraphRow(TypedDict):
    """A graph.

    Attributes:
        process: Index of its process.
        graph: The process's number of it.
        phase: What it does: one of PHASES.
        tokens: That one run takes through the model.
        nodes: As ggml counts them, with those that compute nothing.
        runs: How often it was run.
        seconds: What all its runs took.
    """

    process: int
    graph: int
    phase: str
    tokens: int
    nodes: int
    runs: int
    seconds: float


class GraphList(TypedDict):
    """The graphs of a trace, what took most time first."""

    graphs: list[GraphRow]


class RoleRow(TypedDict):
    """What the nodes of one role took in a layer, in all runs; nodes without a role stand under their op."""

    role: str
    seconds: float


class LayerRow(TypedDict):
    """A layer of a graph.

    Attributes:
        layer: Its number; None: the nodes that belong to none.
        name: In words.
        nodes: How many compute something.
        seconds: What they took, in all runs.
        share: Of the time of all nodes of the graph.
        bytes: That they move in one run; None: not known of any.
        roles: What took most time first.
    """

    layer: int | None
    name: str
    nodes: int
    seconds: float
    share: float
    bytes: float | None
    roles: list[RoleRow]


class Layers(TypedDict):
    """A graph, layer by layer; those nodes last that belong to none."""

    process: int
    graph: int
    phase: str
    tokens: int
    runs: int
    layers: list[LayerRow]


class NodeBox(TypedDict):
    """A node, and where it goes.

    Attributes:
        id: That the edges refer to; a tensor that several nodes read has a box, and an id, for each.
        node: Index of the node in the graph, of a fused group the first one's; None: it is not computed in this graph.
        tensor: Index of its tensor there, of a fused group the last one's.
        name: Of its tensor.
        op: What computes it; of a fused group the names of all.
        kind: Of work: an index in KINDS.
        role: Its role; empty: names do not tell.
        shape: Elements of its dimensions, innermost first.
        type: Of its elements, or of the weight that it multiplies with.
        outside: Whether it comes from outside the layer.
        seconds: What all its executions took; None: it was not timed here.
        executions: How many there were.
        bytes: That one execution moves, or of what is not computed, that it takes; None: not known.
        backend: That computed it when the graph was last run; None: it was not seen.
        x: Left side of its box, in pixels.
        y: Top of its box.
        width: Of its box.
        height: Of its box.
    """

    id: str
    node: int | None
    tensor: int
    name: str
    op: str
    kind: int
    role: str
    shape: str
    type: str
    outside: bool
    seconds: float | None
    executions: int
    bytes: float | None
    backend: str | None
    x: float
    y: float
    width: float
    height: float


Edge = TypedDict("Edge", {"from": str, "to": str, "points": "list[tuple[float, float]]"})


class LayerLayout(TypedDict):
    """One layer, laid out.

    Attributes:
        width: In pixels.
        height: In pixels.
        nodes: Its nodes, and from outside what they read.
        edges: Which is read by which, and the corners of the line.
        left_out: How many nodes more it has.
    """

    width: float
    height: float
    nodes: list[NodeBox]
    edges: list[Edge]
    left_out: int


def graph_list(trace: Trace) -> GraphList:
    """The graphs of a trace that were run."""
    rows: list[GraphRow] = []
    for index, process in enumerate(trace.watched):
        numbers, inverse, runs = np.unique(process.runs.graph, return_inverse=True, return_counts=True)
        seconds = np.bincount(inverse, process.clock.seconds(process.runs.duration), len(numbers))
        for number, count, took in zip(numbers.tolist(), runs.tolist(), seconds.tolist(), strict=True):
            if (graph := process.graphs.get(number)) is None:
                continue
            load = process.workloads[number]
            rows.append(
                {
                    "process": index,
                    "graph": number,
                    "phase": load.phase,
                    "tokens": load.tokens,
                    "nodes": graph.node_count,
                    "runs": count,
                    "seconds": took,
                }
            )
    return {"graphs": sorted(rows, key=lambda row: -row["seconds"])}


def layers_of(trace: Trace, process: int, graph: int) -> Layers:
    """The layers of a graph.

    Args:
        trace: The trace.
        process: Index of the graph's process.
        graph: Its number.

    Raises:
        UserError: There is no such graph.
    """
    of = graph_of(trace, process, graph)
    measured = trace.measured
    layers = trace.watched[process].attributions[graph].layer[: of.graph.node_count]
    computing = np.array(computing_nodes(of.graph), bool)
    of_layer = _rows_of(trace, of)
    whole_s = float(sum(measured.wall_s[rows].sum() for rows in of_layer.values()))
    found: list[LayerRow] = []
    numbers = np.unique(layers[computing]).tolist()
    for number in sorted(numbers, key=lambda number: (number == NO_LAYER, number)):
        rows = of_layer.get(number, np.empty(0, np.intp))
        seconds = float(measured.wall_s[rows].sum())
        moved = measured.bytes[rows] * measured.count[rows]
        known = np.isfinite(moved)
        found.append(
            {
                "layer": None if number == NO_LAYER else number,
                "name": "outside layers" if number == NO_LAYER else f"layer {number}",
                "nodes": int(np.count_nonzero(computing & (layers == number))),
                "seconds": seconds,
                "share": seconds / whole_s if whole_s else 0.0,
                "bytes": float(moved[known].sum()) / of.runs if known.any() and of.runs else None,
                "roles": _roles(trace, rows),
            }
        )
    return {
        "process": process,
        "graph": graph,
        "phase": of.phase,
        "tokens": of.tokens,
        "runs": of.runs,
        "layers": found,
    }


def _rows_of(trace: Trace, of: ChosenGraph) -> dict[int, npt.NDArray[np.intp]]:
    """The measured rows of a graph, by layer."""
    measured = trace.measured
    rows = np.flatnonzero((measured.process == of.process) & (measured.graph == of.number))
    return {group.key[0]: rows[group.rows] for group in group_by([measured.layer[rows]])}


def _roles(trace: Trace, rows: npt.NDArray[np.intp]) -> list[RoleRow]:
    measured = trace.measured
    seconds: dict[str, float] = {}
    for role, op, took in zip(measured.role[rows], measured.op[rows], measured.wall_s[rows].tolist(), strict=True):
        seconds[role or op] = seconds.get(role or op, 0.0) + took
    return [{"role": role, "seconds": took} for role, took in sorted(seconds.items(), key=lambda item: -item[1])]


def layer_layout(trace: Trace, process: int, graph: int, layer: int | None) -> LayerLayout:
    """One layer of a graph, laid out from left to right.

    Args:
        trace: The trace.
        process: Index of the graph's process.
        graph: Its number.
        layer: The layer's number; None: the nodes that belong to none.

    Raises:
        UserError: There is no such graph or layer.
    """
    of = graph_of(trace, process, graph)
    watched = trace.watched[process]
    attribution, cost = watched.attributions[graph], watched.costs[graph]
    shown = layer_of(trace, of, layer, _MOST_NODES, leaves=True)
    placed = lay_out(shown)
    backends = backends_of(watched, graph)
    nodes: list[NodeBox] = []
    for box in placed.boxes:
        node = shown.nodes[box.item]
        if node.node is None:
            moved = float(of.graph.tensors["bytes"][node.tensor])
        else:
            moved = cost.of_group(node.node, node.tensor - node.node)[1]
        nodes.append(
            {
                "id": str(node.tensor) if box.reader is None else f"{node.tensor}-{shown.nodes[box.reader].tensor}",
                "node": node.node,
                "tensor": node.tensor,
                "name": node.name,
                "op": node.op,
                "kind": kind_index(node.op),
                "role": attribution.roles[int(attribution.role[node.tensor])],
                "shape": node.shape,
                "type": node.type,
                "outside": node.outside,
                "seconds": None if node.mean_s is None else node.mean_s * node.executions,
                "executions": node.executions,
                "bytes": moved if np.isfinite(moved) else None,
                "backend": backends[node.node] if node.node is not None else None,
                "x": box.x,
                "y": box.y,
                "width": box.width,
                "height": box.height,
            }
        )
    edges: list[Edge] = [
        {"from": nodes[line.begin]["id"], "to": nodes[line.end]["id"], "points": line.points} for line in placed.lines
    ]
    return {
        "width": placed.width,
        "height": placed.height,
        "nodes": nodes,
        "edges": edges,
        "left_out": shown.left_out,
    }
