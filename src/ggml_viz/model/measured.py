"""Every node that was executed, with what it is and what all its executions took: the table that analyses add up."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ggml_viz.model.nodes import UNKNOWN_OP
from ggml_viz.model.phases import PHASES
from ggml_viz.model.table import Text

if TYPE_CHECKING:
    from ggml_viz.model.attribution import Attribution
    from ggml_viz.model.cost import Cost
    from ggml_viz.model.graph import Graph
    from ggml_viz.model.nodes import NodeTimes, Places
    from ggml_viz.model.trace import Process

NO_LAYER = -1


class MeasuredNodes:
    """The executed nodes of some processes.

    Arrays are [rows]: a row for each node of each graph that was executed, one more where the same node was also
    computed fused with those behind it.

    Args:
        processes: Whose nodes.

    Attributes:
        process: Index of the process.
        graph: GRAPH number.
        node: Index of the node in the graph.
        fused: How many further nodes were computed with it.
        threads: The most threads that worked on it.
        count: Executions.
        wall_s: From the first thread's begin until the closing barrier opened, added up over executions, in seconds.
        work_s: Thread-seconds of work.
        inner_s: Thread-seconds at barriers inside the node.
        wait_s: Thread-seconds at its closing barrier.
    """

    def __init__(self, processes: Sequence[Process]) -> None:
        self._processes = list(processes)
        self._times: list[NodeTimes] = [process.node_times for process in processes]
        self._places: list[Places] = [process.places for process in processes]
        self.process = self._joined(lambda i, times: np.full(len(times.place), i, np.uint32))
        self.graph = self._joined(lambda i, times: self._places[i].graph[times.place])
        self.node = self._joined(lambda i, times: self._places[i].node[times.place])
        self.fused = self._joined(lambda i, times: times.fused)
        self.threads = self._joined(lambda i, times: times.threads)
        self.count: npt.NDArray[np.int64] = self._joined(lambda i, times: times.count)
        self.wall_s: npt.NDArray[np.float64] = self._joined(lambda i, times: times.wall_s)
        self.work_s: npt.NDArray[np.float64] = self._joined(lambda i, times: times.work_s)
        self.inner_s: npt.NDArray[np.float64] = self._joined(lambda i, times: times.inner_s)
        self.wait_s: npt.NDArray[np.float64] = self._joined(lambda i, times: times.wait_s)

    def __len__(self) -> int:
        return len(self.count)

    @cached_property
    def op(self) -> Text:
        """The op of each row; of a fused group the names of all: `RMS_NORM+MUL`."""
        names: dict[str, int] = {}
        codes = np.zeros(len(self), np.uint32)
        for rows, places, times in self._parts():
            groups = np.zeros((len(times.place), int(times.fused.max(initial=0)) + 1), np.int64)
            for i in range(groups.shape[1]):
                behind = times.place + i
                known = (times.place > 0) & (behind < len(places))
                known[known] &= places.graph[behind[known]] == places.graph[times.place[known]]
                groups[:, i] = np.where(known, places.op[np.where(known, behind, 0)], 0)
                groups[times.fused < i, i] = -1
            distinct, inverse = np.unique(groups, axis=0, return_inverse=True)
            named = ["+".join(places.ops[op] for op in group if op >= 0) for group in distinct.tolist()]
            numbers = np.array([names.setdefault(name, len(names)) for name in named], np.uint32)
            codes[rows] = numbers[inverse.reshape(-1)] if len(named) else 0
        return Text(codes, list(names) or [UNKNOWN_OP])

    @cached_property
    def phase(self) -> Text:
        """What its graph does: one of PHASES."""
        codes = np.zeros(len(self), np.uint8)
        for i, (rows, places, times) in enumerate(self._parts()):
            loads = self._processes[i].workloads
            graphs, inverse = np.unique(places.graph[times.place], return_inverse=True)
            other = len(PHASES) - 1
            of_graph = [PHASES.index(loads[graph].phase) if graph in loads else other for graph in graphs.tolist()]
            codes[rows] = np.array([*of_graph, other], np.uint8)[inverse]
        return Text(codes, PHASES)

    @cached_property
    def layer(self) -> npt.NDArray[np.int32]:
        """Number of its layer; NO_LAYER: it belongs to none."""
        layers: npt.NDArray[np.int32] = self._attributed(lambda attribution: attribution.layer, NO_LAYER, np.int32)
        return layers

    @cached_property
    def role(self) -> Text:
        """Its role: `attn_q`, `ffn_down`, `output`; empty where names do not tell."""
        codes = self._attributed(lambda attribution: attribution.role, 0, np.uint16)
        tables = (a.roles for process in self._processes for a in process.attributions.values())
        return Text(codes, next(tables, [""]))

    @cached_property
    def flops(self) -> npt.NDArray[np.float64]:
        """Operations of one execution, of a fused group all together; NaN: not modelled."""
        flops: npt.NDArray[np.float64] = self._added_up(lambda cost: cost.flops)
        return flops

    @cached_property
    def bytes(self) -> npt.NDArray[np.float64]:
        """Bytes that one execution moves; a fused group does not write and read what is between. NaN: not modelled."""
        moved: npt.NDArray[np.float64] = self._added_up(lambda cost: cost.bytes)
        for i in range(int(self.fused.max(initial=0))):
            inside = self.fused > i
            moved[inside] -= 2 * self._costs(lambda cost: cost.written_bytes, i, np.float64)[inside]
        return np.where(moved < 0, 0, moved)

    @cached_property
    def integer(self) -> npt.NDArray[np.bool_]:
        """Whether it is a product of quantized weights, computed with integers."""
        integer: npt.NDArray[np.bool_] = self._costs(lambda cost: cost.integer, 0, np.bool_)
        return integer

    @cached_property
    def shape(self) -> Text:
        """Its shape and its first two sources': `49152 < 576x49152, 576`, innermost first, without types."""
        values: dict[str, int] = {}
        codes = np.zeros(len(self), np.uint32)
        for i, (rows, places, times) in enumerate(self._parts()):
            graphs = self._processes[i].graphs
            dimensions = self._of_graphs(
                lambda number, graphs=graphs: _dimensions(graphs[number]),  # type: ignore[misc]
                *(i, places, times, np.zeros((1, 3, 4), np.int64)),
            )
            distinct, inverse = np.unique(dimensions.reshape(len(dimensions), 12), axis=0, return_inverse=True)
            texts = [_shape_text(row) for row in distinct.reshape(-1, 3, 4).tolist()]
            numbers = np.array([*(values.setdefault(text, len(values)) for text in texts), 0], np.uint32)
            codes[rows] = numbers[inverse.reshape(-1)]
        return Text(codes, list(values) or [""])

    def walls_s(self, chosen: npt.NDArray[np.intp]) -> npt.NDArray[np.float32]:
        """How long each execution of the chosen rows (indices) took, in no order: float32 array [n]."""
        parts = []
        for rows, _, times in self._parts():
            mine = chosen[(chosen >= rows.start) & (chosen < rows.stop)] - rows.start
            parts.append(times.walls_s(mine))
        return np.concatenate([*parts, np.empty(0, np.float32)])

    def _joined(self, column: Callable[[int, NodeTimes], npt.NDArray[Any]]) -> npt.NDArray[Any]:
        parts = [column(i, times) for i, times in enumerate(self._times)]
        return np.concatenate(parts) if parts else np.zeros(0, np.int64)

    def _parts(self) -> Iterable[tuple[slice, Places, NodeTimes]]:
        """For each process its rows, places and times."""
        begin = 0
        for places, times in zip(self._places, self._times, strict=True):
            yield slice(begin, begin + len(times.place)), places, times
            begin += len(times.place)

    def _added_up(self, column: Callable[[Cost], npt.NDArray[Any]]) -> Any:
        """The sum of a cost over the nodes of each fused group: [rows]."""
        out = self._costs(column, 0, np.float64)
        for i in range(1, int(self.fused.max(initial=0)) + 1):
            inside = self.fused >= i
            out[inside] += self._costs(column, i, np.float64)[inside]
        return out

    def _costs(self, column: Callable[[Cost], npt.NDArray[Any]], behind: int, dtype: Any) -> Any:
        """A column [rows] from one [nodes] of each graph's cost, of the node so many behind; NaN or 0: none."""
        unknown = np.full(1, np.nan if dtype is np.float64 else 0, dtype)
        out = np.repeat(unknown, len(self))
        for i, (rows, places, times) in enumerate(self._parts()):
            costs = self._processes[i].costs

            def shifted(number: int, costs: dict[int, Cost] = costs) -> npt.NDArray[Any]:
                values = column(costs[number])
                return np.concatenate([values[behind:], np.repeat(unknown, min(behind, len(values)))])

            out[rows] = self._of_graphs(shifted, i, places, times, unknown)
        return out

    def _attributed(self, column: Callable[[Attribution], npt.NDArray[Any]], unknown: int, dtype: Any) -> Any:
        """A column [rows] from one [tensors] of each graph's attribution."""
        out = np.full(len(self), unknown, dtype)
        for i, (rows, places, times) in enumerate(self._parts()):
            known = self._processes[i].attributions
            out[rows] = self._of_graphs(
                lambda number, known=known: column(known[number]),  # type: ignore[misc]
                *(i, places, times, np.full(1, unknown, dtype)),
            )
        return out

    def _of_graphs(
        self,
        column: Callable[[int], npt.NDArray[Any]],
        process: int,
        places: Places,
        times: NodeTimes,
        unknown: npt.NDArray[Any],
    ) -> npt.NDArray[Any]:
        """A column of one process's rows, from one [nodes or tensors, …] for each of its graphs.

        Args:
            column: Makes the column of a graph, by its number.
            process: Index of the process.
            places: Its places.
            times: Its rows.
            unknown: What stands for a node that no graph has, [1, …].
        """
        out = np.repeat(unknown, len(times.place), axis=0)
        graph = places.graph[times.place]
        order = np.argsort(graph, kind="stable")
        numbers, starts = np.unique(graph[order], return_index=True)
        for number, rows in zip(numbers.tolist(), np.split(order, starts[1:]), strict=False):
            if number in self._processes[process].graphs:
                known_rows = rows[times.place[rows] > 0]
                out[known_rows] = column(number)[places.node[times.place[known_rows]]]
        return out


def shape_texts(graph: Graph) -> list[str]:
    """The shape of each node of a graph and of its first two sources, as `MeasuredNodes.shape` has it."""
    dimensions = _dimensions(graph)
    distinct, inverse = np.unique(dimensions.reshape(len(dimensions), 12), axis=0, return_inverse=True)
    texts = [_shape_text(row) for row in distinct.reshape(-1, 3, 4).tolist()]
    return [texts[i] for i in inverse.reshape(-1).tolist()]


def shape_of(graph: Graph, index: int) -> str:
    """The shape of one tensor of a graph: `576x49152`, innermost first."""
    return _shape_text([graph.tensors["ne"][index].tolist()])


def _dimensions(graph: Graph) -> npt.NDArray[np.int64]:
    """The elements of each node and of its first two sources, int64 array [nodes, 3, 4]; of none zeros."""
    tensors = graph.tensors
    nodes = tensors[: graph.node_count]
    ne = np.concatenate([tensors["ne"], np.zeros((1, 4), np.int64)])
    sources = nodes["sources"][:, :2].astype(np.int64) - 1
    sources[(sources < 0) | (sources >= len(tensors))] = len(tensors)
    return np.concatenate([nodes["ne"][:, None, :], ne[sources]], axis=1)


def _shape_text(dimensions: list[list[int]]) -> str:
    own, *sources = ["x".join(map(str, _without_ones(ne))) for ne in dimensions if any(ne)] or [""]
    return f"{own} < {', '.join(sources)}" if sources else own


def _without_ones(ne: list[int]) -> list[int]:
    while len(ne) > 1 and ne[-1] == 1:
        ne = ne[:-1]
    return ne


@dataclass(frozen=True, slots=True)
class Group:
    """Rows of measured nodes that have the same key.

    Attributes:
        key: What they have in common, one item for each column grouped by.
        rows: Their indices.
    """

    key: tuple[Any, ...]
    rows: npt.NDArray[np.intp]


def group_by(columns: Sequence[npt.NDArray[Any] | Text]) -> list[Group]:
    """Groups rows by equal values of some columns, each [rows]; in the order of the values."""
    if not columns or not len(columns[0]):
        return []
    codes = np.zeros(len(columns[0]), np.int64)
    firsts: list[Any] = []
    for column in columns:
        numbers = column.codes if isinstance(column, Text) else column
        distinct, inverse = np.unique(numbers, return_inverse=True)
        firsts.append(column)
        # Made dense after each column, so that no product overflows.
        _, codes = np.unique(codes * len(distinct) + inverse, return_inverse=True)
    order = np.argsort(codes, kind="stable")
    starts = np.flatnonzero(np.diff(codes[order], prepend=-1))
    groups = []
    for rows in np.split(order, starts[1:]):
        key = tuple(column[int(rows[0])] if isinstance(column, Text) else column[rows[0]].item() for column in firsts)
        groups.append(Group(key, rows))
    return groups
