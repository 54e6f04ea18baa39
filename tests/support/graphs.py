"""Makes graphs from a few words, with the strides and sizes that ggml would give their tensors."""

from __future__ import annotations

from math import prod

from tests.support.tracefile import TYPES, Tensor, encode_graph

from ggml_viz.model.graph import Graph

INPUT, COMPUTE = 1, 16


class GraphMaker:
    """Collects the tensors of a graph; each method returns a tensor's name to use as a source."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}
        self.nodes: list[tuple[str, Tensor, tuple[str | None, ...], str | None]] = []
        self.leaves: list[tuple[str, Tensor, tuple[str | None, ...], str | None]] = []

    def leaf(self, name: str, type_name: str, *ne: int, flags: int = 0) -> str:
        """A tensor that nothing in the graph computes."""
        self.leaves.append((name, self._tensor(name, "NONE", type_name, ne, None, flags), (), None))
        return name

    def node(
        self,
        op: str,
        ne: tuple[int, ...],
        *sources: str | None,
        name: str = "",
        type_name: str = "f32",
        nb: tuple[int, int, int, int] | None = None,
        view: str | None = None,
        offset: int = 0,
        flags: int = COMPUTE,
        key: str = "",
    ) -> str:
        """A node; `key` names it here if its name is not unique, `nb` are strides of its own."""
        name = name or f"node_{len(self.nodes)}"
        tensor = self._tensor(name, op, type_name, ne, nb, flags)
        tensor.view_offset = offset
        self.nodes.append((key or name, tensor, sources, view))
        return key or name

    def graph(self) -> Graph:
        """The graph."""
        everything = [*self.nodes, *self.leaves]
        index = {key: i for i, (key, *_) in enumerate(everything)}
        for _, tensor, sources, view in everything:
            tensor.sources = tuple(None if source is None else index[source] for source in sources)
            tensor.view = None if view is None else index[view]
        return graph_of([tensor for _, tensor, *_ in everything], len(self.nodes), self.numbers)

    def _number(self, name: str) -> int:
        return self.numbers.setdefault(name, len(self.numbers) + 1)

    def _tensor(
        self, name: str, op: str, type_name: str, ne: tuple[int, ...], nb: tuple[int, int, int, int] | None, flags: int
    ) -> Tensor:
        block, block_bytes = TYPES[type_name]
        shape = (*ne, 1, 1, 1)[:4]
        row = shape[0] // block * block_bytes
        strides = nb or (block_bytes, row, row * shape[1], row * shape[1] * shape[2])
        # As ggml_nbytes.
        size = block_bytes + (shape[0] - 1) * strides[0] if block == 1 else shape[0] * strides[0] // block
        size += sum((n - 1) * stride for n, stride in zip(shape[1:], strides[1:], strict=True))
        total = size if prod(shape) else 0
        return Tensor(name, self._number(op), self._number(type_name), shape, strides, total, flags)


def graph_of(tensors: list[Tensor], nodes: int, numbers: dict[str, int]) -> Graph:
    """The graph of some tensors, nodes first; `numbers` are those of NAMEs."""
    body = encode_graph(1, 1, nodes, tensors)
    return Graph.decode(memoryview(body), {number: name for name, number in numbers.items()})
