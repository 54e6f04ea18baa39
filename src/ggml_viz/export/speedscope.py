"""speedscope's file format: where the time went, as flame graphs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import numpy.typing as npt

from ggml_viz import __version__
from ggml_viz.export.timeline import process_name
from ggml_viz.model.measured import group_by

if TYPE_CHECKING:
    from ggml_viz.export.selection import Selection


def write(selection: Selection, out: BinaryIO) -> None:
    """Writes two profiles: the time that passed in nodes, and that of all threads, waits told apart.

    Both are sums: phase, layer, role, op, from the outside in.
    """
    nodes, weights = selection.trace.measured, _weights(selection)
    frames: dict[str, int] = {}
    passing: list[tuple[list[int], float]] = []
    of_threads: list[tuple[list[int], float]] = []
    for group in group_by([nodes.phase, nodes.layer, nodes.role, nodes.op]):
        phase, layer, role, op = group.key
        wall_s, work_s, wait_s = (float(column[group.rows].sum()) for column in weights)
        if not wall_s and not work_s and not wait_s:
            continue
        names = [phase, f"layer {layer}" if layer >= 0 else "outside layers", role or "unnamed", op]
        stack = [frames.setdefault(name, len(frames)) for name in names]
        passing.append((stack, wall_s))
        for name, seconds in (("at work", work_s), ("waiting", wait_s)):
            if seconds:
                of_threads.append(([*stack, frames.setdefault(name, len(frames))], seconds))
    data = {
        "$schema": "https://www.speedscope.app/file-format-schema.json",
        "exporter": f"ggml-viz {__version__}",
        "name": "; ".join(map(process_name, selection.trace.watched)),
        "activeProfileIndex": 0,
        "shared": {"frames": [{"name": name} for name in frames]},
        "profiles": [_profile("time in nodes", passing), _profile("time of all threads", of_threads)],
    }
    out.write(json.dumps(data, separators=(",", ":")).encode())


def _profile(name: str, samples: list[tuple[list[int], float]]) -> dict[str, Any]:
    return {
        "type": "sampled",
        "name": name,
        "unit": "seconds",
        "startValue": 0,
        "endValue": sum(seconds for _, seconds in samples),
        "samples": [stack for stack, _ in samples],
        "weights": [seconds for _, seconds in samples],
    }


def _weights(selection: Selection) -> tuple[npt.NDArray[np.float64], ...]:
    """Wall time, work and waits of each measured node, in seconds, of what is selected."""
    nodes = selection.trace.measured
    if selection.is_all:
        return nodes.wall_s, nodes.work_s, nodes.inner_s + nodes.wait_s
    columns = ("process", "graph", "node", "fused", "wall_ns", "work_ns", "inner_ns", "wait_ns")
    spans = {name: np.asarray(column) for name, column in selection.rows("spans", columns).items()}

    def keys(*of: npt.NDArray[Any]) -> npt.NDArray[np.void]:
        table = np.stack([np.asarray(column, np.uint32) for column in of], axis=1)
        return np.ascontiguousarray(table).view([("", np.uint32)] * 4).reshape(-1)

    known = keys(nodes.process, nodes.graph, nodes.node, nodes.fused > 0)
    order = np.argsort(known)
    wanted = keys(spans["process"], spans["graph"], spans["node"], spans["fused"] > 0)
    row = np.zeros(len(wanted), np.intp)
    if len(wanted):
        # Spans of nodes that no graph has are counted under node 0 of none there: the nearest row is as good as any.
        row = order[np.minimum(np.searchsorted(known[order], wanted), len(order) - 1)]

    def summed(name: str) -> npt.NDArray[np.float64]:
        return np.bincount(row, spans[name] * 1e-9, len(nodes)).astype(np.float64)

    return summed("wall_ns"), summed("work_ns"), summed("inner_ns") + summed("wait_ns")
