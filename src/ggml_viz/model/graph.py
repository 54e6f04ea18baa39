"""One graph definition: its tensors, their ops, names and sources."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ggml_viz.native import graph_decode, graph_head

if TYPE_CHECKING:
    from ggml_viz.native import Structured


@dataclass(frozen=True, slots=True)
class Graph:
    """A distinct graph that the process ran.

    Attributes:
        runtime: RUNTIME number of the ggml that ran it.
        node_count: The first so many tensors are its nodes, in order of execution.
        tensors: TENSOR_ROW_DTYPE array [tensors].
        names: What NAME numbers stand for, shared by all graphs of the process.
    """

    runtime: int
    node_count: int
    tensors: Structured
    names: Mapping[int, str]
    _body: bytes

    @classmethod
    def decode(cls, body: memoryview, names: Mapping[int, str]) -> Graph:
        """Decodes the body of a GRAPH definition.

        Raises:
            MalformedError: It is none.
        """
        head = graph_head(body)
        tensors = graph_decode(body)
        return cls(head.runtime, min(head.nodes, len(tensors)), tensors, names, bytes(body))

    def op(self, index: int) -> str:
        """The op of a tensor, as ggml describes it."""
        return self.names.get(int(self.tensors["op"][index]), "?")

    def name(self, index: int) -> str:
        """The name of a tensor; may be empty."""
        start = int(self.tensors["name_offset"][index])
        return self._body[start : start + int(self.tensors["name_length"][index])].decode("utf-8", "replace")

    def encoded_names(self, longest: int) -> list[bytes]:
        """The first so many bytes of the name of each tensor, as the program gave them."""
        starts = self.tensors["name_offset"].tolist()
        lengths = np.minimum(self.tensors["name_length"], longest).tolist()
        body = self._body
        return [body[start : start + length] for start, length in zip(starts, lengths, strict=True)]

    def source(self, index: int, place: int) -> int | None:
        """Index of a tensor's source, None where it has none."""
        source = int(self.tensors["sources"][index][place])
        return source - 1 if 0 < source <= len(self.tensors) else None

    def nodes_of(self, op: str) -> list[int]:
        """Indices of the nodes that compute an op."""
        ops = self.tensors["op"][: self.node_count]
        numbers = [number for number in np.unique(ops).tolist() if self.names.get(number) == op]
        return [int(i) for i in np.flatnonzero(np.isin(ops, numbers))]

    def containing(self, part: bytes) -> list[int]:
        """Indices of the tensors whose names contain some bytes, found without decoding all names."""
        if part not in self._body:
            return []
        return [index for index, name in enumerate(self.encoded_names(len(self._body))) if part in name]

    def named(self, prefix: str) -> npt.NDArray[np.intp]:
        """Indices of the tensors whose names begin with a prefix, found without decoding all names."""
        wanted = prefix.encode()
        offsets = self.tensors["name_offset"]
        found = []
        at = self._body.find(wanted)
        while at >= 0:
            index = int(np.searchsorted(offsets, at))
            if index < len(offsets) and offsets[index] == at and self.tensors["name_length"][index] >= len(wanted):
                found.append(index)
            at = self._body.find(wanted, at + 1)
        return np.array(found, np.intp)
