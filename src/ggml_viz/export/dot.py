"""A graph for Graphviz: one layer with its nodes and edges, or all of it collapsed by layer and role."""

from __future__ import annotations

import itertools
from collections import defaultdict
from typing import TYPE_CHECKING, BinaryIO

from ggml_viz.export.layer import Layer, layer_of

if TYPE_CHECKING:
    from ggml_viz.model.trace import Trace

# From what took no time to what took most of it: readable with any eyes, and in grey.
_SHADES = ("#ffffff", "#fff3c4", "#fbd58a", "#f2a65a", "#d55e00")


def write(trace: Trace, layer: int | None, graph: int | None, out: BinaryIO) -> None:
    """Writes a layer, or, if none is named, the whole graph collapsed by layer.

    Raises:
        UserError: There is no such layer or graph.
    """
    text = _collapsed(trace, graph) if layer is None else _one(layer_of(trace, layer, graph))
    out.write(text.encode())


def _one(layer: Layer) -> str:
    most = max((node.seconds for node in layer.nodes), default=0.0)
    lines = [f"  label={_quoted(layer.title)};", "  node [shape=box, style=filled, fontname=sans];"]
    for i, node in enumerate(layer.nodes):
        parts = [node.op, node.name, node.shape, f"{node.seconds * 1e3:.3f} ms" if node.op and node.seconds else ""]
        label = "\n".join(part for part in parts if part)
        style = f'fillcolor="{_shade(node.seconds, most)}"' if node.op else 'shape=ellipse, fillcolor="#eeeeee"'
        lines.append(f"  n{i} [label={_quoted(label)}, {style}];")
    lines += [f"  n{source} -> n{target};" for source, target in layer.edges]
    return "\n".join(["digraph layer {", *lines, "}", ""])


def _collapsed(trace: Trace, graph: int | None) -> str:
    nodes = trace.measured
    seconds: defaultdict[str, float] = defaultdict(float)
    for row in range(len(nodes)):
        if graph is None or nodes.graph[row] == graph:
            layer = int(nodes.layer[row])
            seconds[f"layer {layer}" if layer >= 0 else nodes.role[row] or "unnamed"] += float(nodes.wall_s[row])
    layers = sorted((name for name in seconds if name.startswith("layer ")), key=lambda name: int(name.split()[1]))
    apart = sorted((name for name in seconds if not name.startswith("layer ")), key=lambda name: -seconds[name])
    most = max(seconds.values(), default=0.0)
    index = {name: i for i, name in enumerate([*layers, *apart])}
    lines = ["  node [shape=box, style=filled, fontname=sans];"]
    for name, i in index.items():
        label = f"{name}\n{seconds[name] * 1e3:.3f} ms"
        lines.append(f'  n{i} [label={_quoted(label)}, fillcolor="{_shade(seconds[name], most)}"];')
    lines += [f"  n{index[a]} -> n{index[b]};" for a, b in itertools.pairwise(layers)]
    for name in apart:
        if layers and name.endswith("embd"):
            lines.append(f"  n{index[name]} -> n{index[layers[0]]};")
        elif layers and name.startswith("output"):
            lines.append(f"  n{index[layers[-1]]} -> n{index[name]};")
    return "\n".join(["digraph model {", *lines, "}", ""])


def _shade(seconds: float, most: float) -> str:
    return _SHADES[round((seconds / most if most else 0.0) * (len(_SHADES) - 1))]


def _quoted(text: str) -> str:
    """A quoted string of the DOT language, in which line breaks are escaped."""
    safe = "".join(c if c.isprintable() or c == "\n" else "�" for c in text)
    return '"' + safe.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
