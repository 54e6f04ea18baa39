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
        for graph, elsewhere in _layers_elsewhere(process).items():
            mine = np.flatnonzero((nodes.process == index) & (nodes.graph == graph) & (nodes.layer >= 0))
            mine = mine[_on_threads(process, graph, nodes.node[mine])]
            found[mine] = np.isin(nodes.layer[mine], [layer for layer, is_so in elsewhere.items() if is_so])
    return found


def _layers_elsewhere(process: Process) -> dict[int, Mapping[int, bool]]:
    """For each graph, by layer: whether more bytes of its weights lie outside the CPU's memory than in it."""
    host = {buffer.number: is_host(buffer.place) for buffer in process.buffers if buffer.usage == WEIGHTS}
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
        weights = np.flatnonzero(np.isin(buffers, list(host)) & (layers >= 0))
        sizes = known.tensors["bytes"][weights].astype(np.float64)
        here = np.array([host[number] for number in buffers[weights].tolist()], bool)
        balance: dict[int, float] = {}
        for layer, size, is_here in zip(layers[weights].tolist(), sizes.tolist(), here.tolist(), strict=True):
            balance[layer] = balance.get(layer, 0.0) + (-size if is_here else size)
        found[graph] = {layer: outside > 0 for layer, outside in balance.items()}
    return found


def _on_threads(process: Process, graph: int, nodes: npt.NDArray[np.uint32]) -> npt.NDArray[np.bool_]:
    """Which of a graph's nodes lie in a split that CPU threads computed; all, where splits are not known."""
    runs, splits = process.runs, process.splits
    numbers = runs.number[runs.graph == graph]
    mine = splits[splits["run"] == numbers[-1]] if len(numbers) else splits[:0]
    if not len(mine):
        return np.ones(len(nodes), bool)
    on_threads = np.zeros(len(nodes), bool)
    for split in mine:
        first, count = int(split["first"]), int(split["count"])
        inside = (nodes >= first) & (nodes < first + count)
        on_threads |= inside & (int(split["threads"]) > 0)
    return on_threads
