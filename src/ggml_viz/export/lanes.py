"""What a picture of time shows: lanes cut into columns, and how much of each column each kind of thing takes.

A lane costs the same whether it holds ten nodes or ten million, and nothing is drawn that is narrower than a pixel.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ggml_viz.errors import UserError
from ggml_viz.export.timeline import worker_count
from ggml_viz.model.kinds import KINDS, kind_of
from ggml_viz.model.phases import PHASES
from ggml_viz.model.records import shifted
from ggml_viz.model.table import Text
from ggml_viz.native import KIND_NODE
from ggml_viz.numbers import duration
from ggml_viz.views.columns import Columns

if TYPE_CHECKING:
    from ggml_viz.export.selection import Selection
    from ggml_viz.model.trace import Process
    from ggml_viz.native import Structured

WAITING, SPLITS = "waiting at barriers", "splits"
COLUMNS = 1000

# More lanes than these are not told apart in one picture.
_MAX_LANES = 24
# What is so many columns wide has room for a word or two.
_LABELLED_COLUMNS = 60
_MAX_LABELS = 100


@dataclass(slots=True)
class Lane:
    """One line of a timeline.

    Attributes:
        name: What it shows.
        parts: What its time is divided into.
        shares: How much of each column each part takes, 0 to 1: float array [parts, columns].
        labels: What is wide enough to be named: begin and end in columns, and the name.
    """

    name: str
    parts: Sequence[str]
    shares: npt.NDArray[np.float64]
    labels: list[tuple[float, float, str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Lanes:
    """A timeline.

    Attributes:
        from_s: Where it begins, since the trace began.
        until_s: Where it ends.
        lanes: From top to bottom.
        left_out: How many lanes there would be more.
    """

    from_s: float
    until_s: float
    lanes: list[Lane]
    left_out: int


def lanes_of(selection: Selection) -> Lanes:
    """Lays out the graphs, splits and workers of a selection; what reaches into its range is cut at its ends."""
    from_s, until_s = time_range(selection)
    lanes: list[Lane] = []
    left_out = 0
    several = len(selection.trace.watched) > 1
    for process in selection.trace.watched:
        prefix = f"{process.file.definitions.info.pid}: " if several else ""
        scale = _Scale(selection, process, from_s, until_s)
        found = [_graphs(selection, scale, prefix), *_backends(selection, scale, prefix)]
        room = _MAX_LANES - len(lanes) - len(found)
        if room <= 0:
            left_out += len(found) + worker_count(process)
            continue
        lanes += [*found, *_workers(selection, scale, prefix, min(room, worker_count(process)))]
        left_out += max(0, worker_count(process) - room)
    return Lanes(from_s, until_s, lanes, left_out)


def time_range(selection: Selection) -> tuple[float, float]:
    """The range of a selection, in seconds since the trace began; it ends with the trace, and is never empty.

    Raises:
        UserError: It begins when the trace is over.
    """
    duration_s = selection.trace.duration_s
    end_s = duration_s if 0 < duration_s < math.inf else 1e-6
    if selection.from_s >= end_s:
        raise UserError(f"--from is behind the trace's end: it lasts {duration(end_s).strip()}", exit_status=2)
    return selection.from_s, min(selection.until_s, end_s)


@dataclass(frozen=True, slots=True)
class _Scale:
    """Turns a process's ticks into columns."""

    selection: Selection
    process: Process
    from_s: float
    until_s: float

    def at(self, ticks: npt.NDArray[np.uint64]) -> npt.NDArray[np.float64]:
        since_ns = self.process.clock.monotonic_ns(ticks) - self.selection.trace.started_monotonic_ns
        return (since_ns * 1e-9 - self.from_s) * self._columns_per_s

    def wide(self, ticks: npt.NDArray[np.uint64]) -> npt.NDArray[np.float64]:
        return self.process.clock.seconds(ticks) * self._columns_per_s

    @property
    def _columns_per_s(self) -> float:
        return COLUMNS / (self.until_s - self.from_s)


def _graphs(selection: Selection, scale: _Scale, prefix: str) -> Lane:
    runs = scale.process.runs
    chosen = np.isin(runs.number, selection.run_nodes(scale.process)["run"])
    begin, wide = scale.at(runs.begin[chosen]), scale.wide(runs.duration[chosen])
    bins = Columns(len(PHASES), COLUMNS)
    bins.add(begin, begin + wide, runs.phase[chosen])

    def text(row: int) -> str:
        tokens = int(runs.tokens[chosen][row])
        phase = PHASES[int(runs.phase[chosen][row])]
        return f"{phase}, {tokens} tokens" if tokens > 1 else phase

    return Lane(f"{prefix}graphs", PHASES, bins.shares(), _labels(begin, wide, text))


def _backends(selection: Selection, scale: _Scale, prefix: str) -> Iterable[Lane]:
    process = scale.process
    splits = process.splits[np.isin(process.splits["run"], selection.run_nodes(process)["run"])]
    names = process.file.definitions.backends
    by_name: dict[str, list[int]] = {}
    for number in np.unique(splits["backend"]).tolist():
        by_name.setdefault(names.get(number, "?"), []).append(number)
    for name, numbers in sorted(by_name.items())[:_MAX_LANES]:
        mine = splits[np.isin(splits["backend"], numbers)]
        begin, wide = scale.at(mine["start"]), scale.wide(shifted(mine, "duration"))
        bins = Columns(1, COLUMNS)
        bins.add(begin, begin + wide, np.zeros(len(mine), np.int64))
        labels = _labels(begin, wide, [f"{count} nodes" for count in mine["count"].tolist()].__getitem__)
        yield Lane(f"{prefix}splits on {name}", (SPLITS,), bins.shares(), labels)


def _workers(selection: Selection, scale: _Scale, prefix: str, count: int) -> list[Lane]:
    """The work of each worker by kind of op, then its waits. Those inside a node are spread over it."""
    process = scale.process
    parts = (*KINDS, WAITING)
    kinds = np.array([KINDS.index(kind_of(op)) for op in process.places.ops], np.int64)
    chosen_places, run_nodes = selection.places(process), selection.run_nodes(process)
    bins = [Columns(len(parts), COLUMNS) for _ in range(count)]
    labels: list[list[tuple[float, float, str]]] = [[] for _ in range(count)]
    for window in selection.windows(process):
        nodes = window[window["kind"] == KIND_NODE]
        nodes, place = _wanted(nodes, run_nodes, chosen_places)
        begin = scale.at(nodes["start"])
        work, inner = scale.wide(shifted(nodes, "work")), scale.wide(shifted(nodes, "inner"))
        worked = begin + work + inner
        end = worked + scale.wide(shifted(nodes, "wait"))
        at_work = work / np.maximum(work + inner, 1e-300)
        for worker in range(count):
            mine = (nodes["detail"] == worker) & (end > 0) & (begin < COLUMNS)
            op = process.places.op[place[mine]]
            waiting = np.full(len(op), len(KINDS))
            bins[worker].add(begin[mine], worked[mine], kinds[op], at_work[mine])
            bins[worker].add(begin[mine], worked[mine], waiting, 1 - at_work[mine])
            bins[worker].add(worked[mine], end[mine], waiting)
            if len(labels[worker]) < _MAX_LABELS:
                labels[worker] += _labels(begin[mine], (work + inner)[mine], Text(op, process.places.ops).__getitem__)
    return [
        Lane(f"{prefix}worker {worker}", parts, bins[worker].shares(), labels[worker][:_MAX_LABELS])
        for worker in range(count)
    ]


def _wanted(
    nodes: Structured, run_nodes: Structured, chosen: npt.NDArray[np.bool_]
) -> tuple[Structured, npt.NDArray[np.int64]]:
    """The records of wanted nodes, and their places; those whose node no graph has are of place 0."""
    if not len(run_nodes):
        return nodes[:0], np.zeros(0, np.int64)
    row = np.minimum(np.searchsorted(run_nodes["run"], nodes["run"]), len(run_nodes) - 1)
    known = run_nodes["run"][row] == nodes["run"]
    nodes, row = nodes[known], row[known]
    inside = nodes["node"] < run_nodes["nodes"][row]
    place = np.where(inside, run_nodes["first"][row].astype(np.int64) + nodes["node"], 0)
    return nodes[chosen[place]], place[chosen[place]]


def _labels(
    begin: npt.NDArray[np.float64], wide: npt.NDArray[np.float64], text: Callable[[int], str]
) -> list[tuple[float, float, str]]:
    begin_in, end_in = np.clip(begin, 0, COLUMNS), np.clip(begin + wide, 0, COLUMNS)
    rows = np.flatnonzero(end_in - begin_in >= _LABELLED_COLUMNS)[:_MAX_LABELS].tolist()
    return [(float(begin_in[row]), float(end_in[row]), text(row)) for row in rows]
