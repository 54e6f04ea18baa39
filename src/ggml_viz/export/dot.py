"""A graph in Graphviz's language: the nodes of one layer, or all layers with a node for each role."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO

from ggml_viz.errors import UserError, printable
from ggml_viz.numbers import duration, plural
from ggml_viz.views.layer import by_role, choose_graph, has_layers, layer_of
from ggml_viz.views.palette import HEAT

if TYPE_CHECKING:
    from ggml_viz.export.selection import Selection
    from ggml_viz.views.layer import ChosenGraph

_MAX_NODES = 2000
_LONGEST = 100
# The hot end of the scale of time, which begins at white.
_HOT = bytes.fromhex(HEAT.light[1:])


def write(selection: Selection, graph: int | None, layer: int | None, out: BinaryIO) -> None:
    """Writes a graph.

    Args:
        selection: All of a trace.
        graph: Its number; None: see `choose_graph`.
        layer: The layer's number; None: all layers, each role collapsed to a node. Where the names of tensors do not
            tell layers, the nodes of the graph.
        out: Where to.

    Raises:
        UserError: The trace has no such graph, or that no such layer; or only a part of the trace is wanted.
    """
    if not selection.is_all:
        raise UserError("--from, --until, --op and --phase are not for dot", exit_status=2)
    of = choose_graph(selection.trace, graph)
    collapsed = layer is None and has_layers(selection.trace, of)
    for line in _roles(selection, of) if collapsed else _nodes(selection, of, layer):
        out.write(f"{line}\n".encode())


def _nodes(selection: Selection, of: ChosenGraph, number: int | None) -> Iterator[str]:
    layer = layer_of(selection.trace, of, number, _MAX_NODES)
    most_s = max((node.mean_s or 0.0 for node in layer.nodes), default=0.0)
    yield from _head(of, "" if number is None else f", layer {number}")
    for index, node in enumerate(layer.nodes):
        took = "" if node.mean_s is None else f"{duration(node.mean_s).strip()} × {node.executions}"
        lines = [node.op, node.name, f"{node.shape} {node.type}", took]
        look = 'style="rounded,dashed"' if node.outside else f'fillcolor="{_colour(node.mean_s, most_s)}"'
        yield f"  n{index} [label={_quoted(*lines)}, {look}];"
    yield from (f"  n{source} -> n{reader};" for source, reader in layer.edges)
    if layer.left_out:
        yield f"  more [label={_quoted(f'{layer.left_out} more nodes')}, shape=plaintext, style=solid];"
    yield "}"


def _roles(selection: Selection, of: ChosenGraph) -> Iterator[str]:
    roles, edges = by_role(selection.trace, of)
    per_run = [role.seconds / of.runs if of.runs else 0.0 for role in roles]
    most_s = max(per_run, default=0.0)
    by_layer: dict[str, list[int]] = {}
    for index, role in enumerate(roles):
        by_layer.setdefault(role.layer, []).append(index)
    yield from _head(of, ", by layer and role; times of one run")
    for cluster, (layer, members) in enumerate(by_layer.items()):
        if layer:
            yield f"  subgraph cluster_{cluster} {{ label={_quoted(f'layer {layer}')}; color=gray;"
        for index in members:
            role = roles[index]
            lines = [role.role, plural(role.nodes, "node"), duration(per_run[index]).strip() if role.seconds else ""]
            yield f'    g{index} [label={_quoted(*lines)}, fillcolor="{_colour(per_run[index], most_s)}"];'
        if layer:
            yield "  }"
    yield from (f"  g{source} -> g{reader};" for source, reader in edges)
    yield "}"


def _head(of: ChosenGraph, what: str) -> Iterator[str]:
    tokens = f", {plural(of.tokens, 'token')}" if of.tokens else ""
    yield "digraph ggml {"
    title = f"graph {of.number} ({of.phase}{tokens}, {plural(of.runs, 'run')}){what}"
    yield f"  label={_quoted(title)}; labelloc=t;"
    yield '  node [shape=box, style="rounded,filled", fillcolor=white, fontname="Helvetica", fontsize=10];'
    yield "  edge [color=gray40];"


def _quoted(*lines: str) -> str:
    """Lines of text, those that are not empty, as a string of Graphviz's."""
    shown = [printable(line[:_LONGEST]).replace("\\", "\\\\").replace('"', '\\"') for line in lines if line]
    return '"' + "\\n".join(shown) + '"'


def _colour(seconds: float | None, most_s: float) -> str:
    share = (seconds or 0.0) / most_s if most_s > 0 else 0.0
    share = share if math.isfinite(share) else 0.0
    return "#" + "".join(f"{round(255 - share * (255 - part)):02x}" for part in _HOT)
