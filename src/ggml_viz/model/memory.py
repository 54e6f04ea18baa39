"""The buffers of a process: what for, where, from when to when."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ggml_viz.native import MalformedError, placement_decode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ggml_viz.model.graph import Graph
    from ggml_viz.trace.reader import ProcessTrace

WEIGHTS, KV, COMPUTE, OTHER = USAGES = ("weights", "kv", "compute", "other")

# What llama.cpp calls the tensors of its KV cache.
_KV_PREFIXES = ("cache_k_", "cache_v_")

# enum ggml_backend_buffer_usage
_GGML_USAGES = {1: WEIGHTS, 2: COMPUTE}


@dataclass(frozen=True, slots=True)
class BufferLife:
    """A buffer from its allocation to its end.

    Attributes:
        number: The process's number for it.
        place: Name of its buffer type, which tells the backend: `CPU`, `CPU_Mapped`.
        usage: One of USAGES.
        size_bytes: Its size.
        allocated_ticks: When it was allocated, or first seen.
        freed_ticks: When it was freed; None: not while it was watched.
        seen_allocated: False if it was there before the agent looked.
    """

    number: int
    place: str
    usage: str
    size_bytes: int
    allocated_ticks: int
    freed_ticks: int | None
    seen_allocated: bool


def buffer_lives(process: ProcessTrace, graphs: Mapping[int, Graph]) -> list[BufferLife]:
    """The buffers of a process, by number.

    ggml knows weights and compute buffers as such. The KV cache has no usage of its own: it is what the tensors of that
    name lie in.

    Args:
        process: The process.
        graphs: Its decoded graphs, by number.
    """
    definitions = process.definitions
    untold = {number for number, buffer in definitions.buffers.items() if buffer.usage not in _GGML_USAGES}
    kv = _buffers_of_kv(process, graphs, untold) if untold else set()
    return [
        BufferLife(
            number=number,
            place=definitions.places.get(buffer.place, "?"),
            usage=_GGML_USAGES.get(buffer.usage, KV if number in kv else OTHER),
            size_bytes=buffer.size_bytes,
            allocated_ticks=buffer.ticks,
            freed_ticks=definitions.buffers_freed.get(number),
            seen_allocated=buffer.origin == 0,
        )
        for number, buffer in sorted(definitions.buffers.items())
    ]


def _buffers_of_kv(process: ProcessTrace, graphs: Mapping[int, Graph], candidates: set[int]) -> set[int]:
    found: set[int] = set()
    tensors = {
        number: np.concatenate([graph.named(prefix) for prefix in _KV_PREFIXES]) for number, graph in graphs.items()
    }
    if not any(len(indices) for indices in tensors.values()):
        return found
    for extent in process.definitions.placements.values():
        try:
            _, graph, buffers, _ = placement_decode(process.body(extent))
        except MalformedError:
            continue
        indices = tensors.get(graph)
        if indices is not None:
            found |= candidates.intersection(buffers[indices[indices < len(buffers)]].tolist())
        if len(found) == len(candidates):
            break
    return found
