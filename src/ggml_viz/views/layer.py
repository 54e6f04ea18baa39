"""The nodes and edges of a layer of a graph, or of all layers by role.

Nodes that compute nothing, as a view or a reshape, are left out: what reads them is joined to what they look at.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ggml_viz.errors import UserError
from ggml_viz.model.attribution import module_of
from ggml_viz.model.measured import shape_of
from ggml_viz.model.phases import DECODE

if TYPE_CHECKING:
    from ggml_viz.model.graph import Graph
    from ggml_viz.model.trace import Trace

_COMPUTE_NOTHING = frozenset(("NONE", "VIEW", "RESHAPE", "PERMUTE", "TRANSPOSE"))
# A node looks through a few views; a graph that claims more is not followed further.
_MAX_LOOKED_THROUGH = 64


@dataclass(frozen=True, slots=True)
class ChosenGraph:
    """A graph of a trace.

    Attributes:
        process: Index of its process.
        number: The process's number of it.
        graph: The graph.
        phase: What it does.
        tokens: That one run takes through the model.
        runs: How often it was run.
    """

    process: int
    number: int
    graph: Graph
    phase: str
    tokens: int
    runs: int


@dataclass(frozen=True, slots=True)
class LayerNode:
    """A node, or a tensor from outside that it reads.

    Attributes:
        tensor: Index in the graph; of a fused group the last one's, which is what others read.
        node: Index of the node, of a fused group the first one's; None: it is not computed in this graph.
        op: What computes it; of a fused group the names of all: `RMS_NORM+MUL`.
        name: Its name.
        shape: Elements of its dimensions, innermost first: `576x3`.
        type: Of its elements, or of the weight that it multiplies with.
        level: How many nodes stand before it at the most, on any way from outside; 0: it is from outside.
        mean_s: What one execution took; None: it was not timed.
        executions: How often it was executed.
    """

    tensor: int
    node: int | None
    op: str
    name: str
    shape: str
    type: str
    level: int
    mean_s: float | None
    executions: int

    @property
    def outside(self) -> bool:
        """Whether it comes from outside."""
        return self.level == 0


@dataclass(frozen=True, slots=True)
class Layer:
    """A part of a graph.

    Attributes:
        of: The graph.
        number: The layer's number; None: the nodes that belong to no layer.
        nodes: In order of execution, those from outside first.
        edges: Which is read by which, as indices in `nodes`.
        left_out: How many nodes more it has.
    """

    of: ChosenGraph
    number: int | None
    nodes: list[LayerNode]
    edges: list[tuple[int, int]]
    left_out: int


@dataclass(frozen=True, slots=True)
class RoleNode:
    """All nodes of a graph that have the same layer and role.

    Attributes:
        layer: `12` or, where stacks of layers are numbered alike, `encoder.12`; empty: none.
        role: Its role; of nodes without one their op.
        nodes: How many compute something.
        seconds: What all their executions took.
    """

    layer: str
    role: str
    nodes: int
    seconds: float


def choose_graph(trace: Trace, number: int | None = None) -> ChosenGraph:
    """The graph of a number, else the decode graph with the most runs, else the graph with the most runs.

    Raises:
        UserError: There is none.
    """
    found = []
    for index, process in enumerate(trace.watched):
        for known, graph in process.graphs.items():
            load = process.workloads[known]
            runs = int(np.count_nonzero(process.runs.graph == known))
            found.append(ChosenGraph(index, known, graph, load.phase, load.tokens, runs))
    wanted = [each for each in found if number is None or each.number == number]
    if not wanted:
        known_numbers = sorted({each.number for each in found})
        there = f"it has {_ranges(known_numbers)}" if known_numbers else "it has none"
        raise UserError("the trace has no graph" + (f" {number}; {there}" if number is not None else ""), exit_status=2)
    return max(wanted, key=lambda each: (each.phase == DECODE, each.runs, -each.number))


def graph_of(trace: Trace, process: int, number: int) -> ChosenGraph:
    """A graph by its process's index and its number.

    Raises:
        UserError: There is none.
    """
    watched = trace.watched[process] if 0 <= process < len(trace.watched) else None
    graph = watched.graphs.get(number) if watched else None
    if watched is None or graph is None:
        raise UserError(f"the trace has no graph {number} of process {process}", exit_status=2)
    load = watched.workloads[number]
    runs = int(np.count_nonzero(watched.runs.graph == number))
    return ChosenGraph(process, number, graph, load.phase, load.tokens, runs)


def layer_of(trace: Trace, of: ChosenGraph, number: int | None, most: int, leaves: bool = False) -> Layer:
    """The nodes of one layer.

    Args:
        trace: The trace.
        of: The graph.
        number: The layer's; None: the nodes that belong to none.
        most: So many nodes at most.
        leaves: With the tensors that no node computes: weights, inputs, caches.

    Raises:
        UserError: The graph has no such layer.
    """
    process, graph = trace.watched[of.process], of.graph
    layers = process.attributions[of.number].layer[: graph.node_count]
    if number is not None and not (layers == number).any():
        there = sorted(set(layers[layers >= 0].tolist()))
        has = f"it has {_ranges(there)}" if there else "the names of its tensors do not tell layers"
        raise UserError(f"graph {of.number} has no layer {number}: {has}", exit_status=2)
    computing = computing_nodes(graph)
    times = _Times(trace, of)
    inside_layer = layers < 0 if number is None else layers == number
    members = [i for i in np.flatnonzero(inside_layer).tolist() if computing[i]]
    heads = [i for i in members if i not in times.head_of]
    chosen = heads[:most]
    inside = {node: place for place, node in enumerate(chosen)}
    inside |= {node: inside[head] for node, head in times.head_of.items() if head in inside}

    reads: dict[int, set[int]] = {place: set() for place in range(len(chosen))}
    outside: dict[int, set[int]] = {}
    for node, place in inside.items():
        for source in _read(graph, node, computing):
            if source in inside:
                if inside[source] != place:
                    reads[place].add(inside[source])
            elif source < graph.node_count or leaves:
                outside.setdefault(source, set()).add(place)

    levels = [0] * len(chosen)
    # Nodes stand in order of execution; an edge that goes back is from a graph that cannot be.
    for place in range(len(chosen)):
        levels[place] = 1 + max((levels[source] for source in reads[place] if source < place), default=0)
    before = [_node(graph, [i], 0, None, 0) for i in outside]
    nodes = []
    for place, node in enumerate(chosen):
        nodes.append(_node(graph, times.group(node), levels[place], *times.of(node)))
    shift = len(before)
    edges = [(i, shift + place) for i, places in enumerate(outside.values()) for place in sorted(places)]
    edges += [(shift + source, shift + place) for place, sources in reads.items() for source in sorted(sources)]
    return Layer(of, number, [*before, *nodes], edges, len(heads) - len(chosen))


def by_role(trace: Trace, of: ChosenGraph) -> tuple[list[RoleNode], list[tuple[int, int]]]:
    """A graph collapsed: its layers' roles, and which is read by which, as indices."""
    process, graph = trace.watched[of.process], of.graph
    attribution, computing, times = process.attributions[of.number], computing_nodes(graph), _Times(trace, of)
    numbers: dict[tuple[str, str], int] = {}
    group_of: dict[int, int] = {}
    counts: list[int] = []
    seconds: list[float] = []
    for node in range(graph.node_count):
        if not computing[node]:
            continue
        role, layer = attribution.roles[int(attribution.role[node])], int(attribution.layer[node])
        module = module_of(role)
        text = "" if layer < 0 else f"{module}.{layer}" if module else str(layer)
        group = numbers.setdefault((text, role or graph.op(node)), len(numbers))
        if group == len(counts):
            counts.append(0)
            seconds.append(0.0)
        counts[group] += 1
        seconds[group] += times.seconds.get(node, 0.0)
        group_of[node] = group
    edges = {
        (group_of[source], group): None
        for node, group in group_of.items()
        for source in _read(graph, node, computing)
        if group_of.get(source, group) != group
    }
    nodes = [RoleNode(layer, role, counts[i], seconds[i]) for i, (layer, role) in enumerate(numbers)]
    return nodes, list(edges)


def has_layers(trace: Trace, of: ChosenGraph) -> bool:
    """Whether the names of a graph's tensors tell layers."""
    attribution = trace.watched[of.process].attributions[of.number]
    return bool((attribution.layer[: of.graph.node_count] >= 0).any())


class _Times:
    """What the nodes of a graph took.

    Attributes:
        seconds: Of all executions, by node.
        head_of: The first node of its group, for each node that was always computed as part of one.
    """

    def __init__(self, trace: Trace, of: ChosenGraph) -> None:
        measured = trace.measured
        rows = np.flatnonzero((measured.process == of.process) & (measured.graph == of.number))
        self.seconds: dict[int, float] = {}
        self.head_of: dict[int, int] = {}
        self._counts: dict[int, int] = {}
        columns = (measured.node, measured.fused, measured.count, measured.wall_s)
        alone = set()
        for node, fused, count, wall_s in zip(*(column[rows].tolist() for column in columns), strict=True):
            self.seconds[node] = self.seconds.get(node, 0.0) + wall_s
            self._counts[node] = self._counts.get(node, 0) + count
            alone.add(node)
            for behind in range(node + 1, min(node + fused + 1, of.graph.node_count)):
                self.head_of.setdefault(behind, node)
        for node in alone:
            self.head_of.pop(node, None)

    def of(self, node: int) -> tuple[float | None, int]:
        """What one execution of a node took on average, and how many there were."""
        count = self._counts.get(node, 0)
        return (self.seconds[node] / count if count else None), count

    def group(self, node: int) -> list[int]:
        """A node, and those that were computed with it."""
        behind = node + 1
        while self.head_of.get(behind) == node:
            behind += 1
        return list(range(node, behind))


def _node(graph: Graph, group: Sequence[int], level: int, mean_s: float | None, executions: int) -> LayerNode:
    index = group[-1]
    op = "+".join(map(graph.op, group))
    weight = graph.source(index, 0) if "MUL_MAT" in op else None
    type_name = graph.names.get(int(graph.tensors["type"][index if weight is None else weight]), "?")
    node = group[0] if group[0] < graph.node_count else None
    return LayerNode(
        *(index, node, op, graph.name(index), shape_of(graph, index), type_name, level, mean_s, executions)
    )


def computing_nodes(graph: Graph) -> list[bool]:
    """Whether each node computes something, as a view or a reshape does not: [nodes]."""
    numbers, inverse = np.unique(graph.tensors["op"][: graph.node_count], return_inverse=True)
    does = np.array([graph.names.get(int(number), "?") not in _COMPUTE_NOTHING for number in numbers], bool)
    flags: list[bool] = does[inverse].tolist()
    return flags


def _read(graph: Graph, node: int, computing: list[bool]) -> Iterable[int]:
    """The tensors that a node reads, seen through those that compute nothing."""
    waiting = [node]
    seen = {node}
    while waiting and len(seen) < _MAX_LOOKED_THROUGH:
        index = waiting.pop()
        for source in (graph.tensors["sources"][index].astype(np.int64) - 1).tolist():
            if not 0 <= source < len(graph.tensors) or source in seen:
                continue
            seen.add(source)
            if source < graph.node_count and not computing[source]:
                waiting.append(source)
            else:
                yield source


def _ranges(numbers: list[int]) -> str:
    """Sorted numbers in short: `0 … 29`, or each of a few."""
    if len(numbers) > 3 and numbers[-1] - numbers[0] == len(numbers) - 1:
        return f"{numbers[0]} … {numbers[-1]}"
    return ", ".join(map(str, numbers[:12])) + (", …" if len(numbers) > 12 else "")
