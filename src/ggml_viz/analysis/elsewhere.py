"""Which nodes the CPU computed although the weights of their layer lie in another backend's memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ggml_viz.model.memory import WEIGHTS
from ggml_viz.native import MalformedError, placement_decode

if TYPE_CHECKING:
    from ggml_viz.model.trace import Process, Trace
    from ggml_viz.native import Structured


def is_host(place: str) -> bool:
    """Whether a buffer type is memory that the CPU computes in: `CPU`, `CPU_Mapped`, `CPU_REPACK`, `CUDA_Host`."""
    return place.startswith(("CPU", "BLAS", "AMX")) or place.endswith("_Host")


def weights_elsewhere(trace: Trace) -> npt.NDArray[np.bool_]:
    """Which measured nodes were computed on CPU threads, while most of their layer's weights lie elsewhere: [rows]."""
    nodes = trace.measured
    found = np.zeros(len(nodes), bool)
    for index, process in enumerate(trace.watched):
        if all(is_host(buffer.place) for buffer in process.buffers if buffer.usage == WEIGHTS):
            continue
        rows = np.flatnonzero((nodes.process == index) & (nodes.layer >= 0))
        rows = rows[np.argsort(nodes.graph[rows], kind="stable")]
        of_graph, last_splits = nodes.graph[rows], _last_splits(process)
        for graph, elsewhere in _layers_elsewhere(process).items():
            first, end = np.searchsorted(of_graph, (graph, graph + 1))
            mine = rows[first:end]
            if len(mine):
                mine = mine[_on_threads(last_splits[graph], nodes.node[mine])]
                found[mine] = np.isin(nodes.layer[mine], [layer for layer, is_so in elsewhere.items() if is_so])
    return found


def _layers_elsewhere(process: Process) -> dict[int, Mapping[int, bool]]:
    """For each graph that ran, by layer: whether more bytes of its weights lie outside the CPU's memory than in it."""
    host = {buffer.number: is_host(buffer.place) for buffer in process.buffers if buffer.usage == WEIGHTS}
    of_weights = np.array(list(host), np.uint64)
    found: dict[int, Mapping[int, bool]] = {}
    for graph, placement in set(zip(process.runs.graph.tolist(), process.runs.placement.tolist(), strict=True)):
        extent, known = process.file.definitions.placements.get(placement), process.graphs.get(graph)
        if extent is None or known is None:
            continue
        try:
            buffers = placement_decode(process.file.body(extent))[2]
        except MalformedError:
            continue
        if len(buffers) != len(known.tensors):
            continue
        layers = process.attributions[graph].layer
        weights = np.flatnonzero(layers >= 0)
        weights = weights[np.isin(buffers[weights], of_weights)]
        sizes = known.tensors["bytes"][weights].astype(np.float64)
        here = np.array([host[number] for number in buffers[weights].tolist()], bool)
        balance: dict[int, float] = {}
        for layer, size, is_here in zip(layers[weights].tolist(), sizes.tolist(), here.tolist(), strict=True):
            balance[layer] = balance.get(layer, 0.0) + (-size if is_here else size)
        found[graph] = {layer: outside > 0 for layer, outside in balance.items()}
    return found


def _last_splits(process: Process) -> dict[int, Structured]:
    """The splits of each graph's last run, by the graph's number: SPLIT_DTYPE arrays."""
    splits = process.splits[np.argsort(process.splits["run"], kind="stable")]
    last = dict(zip(process.runs.graph.tolist(), process.runs.number.tolist(), strict=True))
    first, end = (np.searchsorted(splits["run"], list(last.values()), side=side) for side in ("left", "right"))
    return {graph: splits[a:b] for graph, a, b in zip(last, first.tolist(), end.tolist(), strict=True)}


def _on_threads(splits: Structured, nodes: npt.NDArray[np.uint32]) -> npt.NDArray[np.bool_]:
    """Which nodes of a graph lie in a split that CPU threads computed; all, where splits are not known."""
    if not len(splits):
        return np.ones(len(nodes), bool)
    splits = splits[splits["threads"] > 0]
    limit = int(nodes.max(initial=0)) + 1
    first = np.minimum(splits["first"], limit)
    end = np.minimum(splits["first"] + splits["count"].astype(np.int64), limit)
    begun = np.bincount(first, minlength=limit + 1) - np.bincount(end, minlength=limit + 1)
    on_threads: npt.NDArray[np.bool_] = np.cumsum(begun)[nodes] > 0
    return on_threads
