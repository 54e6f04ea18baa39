"""How graphs, layers and nodes are called."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ggml_viz.desktop.graph.colours import BYTES, mean_s
from ggml_viz.model.kinds import KINDS
from ggml_viz.numbers import count, duration, percent, plural, significant, size

BYTES_FORMULA = "Result and sources, each once, by a formula over their shapes."


def graph_name(row: dict[str, Any]) -> str:
    """A graph, where one is chosen."""
    tokens = f", {plural(row['tokens'], 'token')}" if row["tokens"] else ""
    took = duration(row["seconds"]).strip()
    nodes = plural(row["nodes"], "node")
    return f"{row['phase']}{tokens} · {plural(row['runs'], 'run')}, {took} · {nodes} · graph {row['graph']}"


def layer_line(layer: dict[str, Any], runs: int) -> str:
    """What an opened layer is."""
    parts = [plural(layer["nodes"], "node")]
    if layer["seconds"]:
        parts.append(f"{duration(layer['seconds'] / runs).strip()} a run, {percent(layer['share'])}")
    else:
        parts.append("not timed")
    if layer["bytes"] is not None:
        parts.append(f"{size(layer['bytes'])} a run")
    return " · ".join(parts)


def layer_amount(layer: dict[str, Any], measure: str) -> float:
    """What the heat of a layer is of."""
    return float(layer["bytes"] or 0.0) if measure == BYTES else float(layer["seconds"])


def layer_told(layer: dict[str, Any], measure: str, runs: int, is_timed: bool) -> str:
    """The number that stands beside a layer: of one run."""
    if measure == BYTES:
        return size(layer["bytes"]) if layer["bytes"] is not None else ""
    return duration(layer["seconds"] / runs).strip() if is_timed else ""


def box_lines(node: dict[str, Any]) -> tuple[str, str, str]:
    """What stands in a box: what computes it (of what is not computed nothing), its name, its shape and type."""
    op = "from outside" if node["outside"] else node["op"]
    return "" if node["node"] is None else op, node["name"] or node["type"], f"{node['shape']} {node['type']}"


def node_title(node: dict[str, Any]) -> str:
    """A node in short."""
    if node["outside"]:
        return "From outside" if node["node"] is None else f"{node['op']}, outside this layer"
    return f"{node['op']} {node['role']}".strip()


def node_facts(node: dict[str, Any], layer_seconds: float, reads: Sequence[str], readers: Sequence[str]) -> list[
    tuple[str, str]
]:  # fmt: skip
    """What is known of a node of a layer: names and values."""
    facts = [
        ("tensor", node["name"] or "without a name"),
        ("shape", node["shape"]),
        ("type of the weight" if "MUL_MAT" in node["op"] else "type", node["type"]),
    ]
    if not node["outside"]:
        facts.append(("kind", KINDS[node["kind"]]))
    took = mean_s(node)
    if took is not None:
        in_all = duration(node["seconds"]).strip()
        facts.append(("took, on average", duration(took).strip()))
        facts.append(("executions", f"{count(node['executions'])}, {in_all} in all"))
        if layer_seconds and not node["outside"]:
            facts.append(("of the layer", percent(node["seconds"] / layer_seconds)))
    elif not node["outside"]:
        facts.append(("took", "not timed"))
    if node["bytes"] is not None:
        facts.append(("size" if node["node"] is None else "moves", size(node["bytes"])))
        if took and node["node"] is not None:
            facts.append(("bandwidth", f"{significant(node['bytes'] / took / 1e9)} GB/s"))
    if node["backend"]:
        facts.append(("backend", node["backend"]))
    if reads:
        facts.append(("reads", _listed(reads)))
    if readers:
        facts.append(("is read by", _listed(readers)))
    return facts


def _listed(names: Sequence[str], most: int = 6) -> str:
    more = f", and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
