"""What of a trace is exported: chosen once, the same for all formats."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ggml_viz.model.phases import PHASES
from ggml_viz.model.table import Column, Text

if TYPE_CHECKING:
    from ggml_viz.model.trace import Process, Trace
    from ggml_viz.native import Structured


@dataclass(frozen=True)
class Selection:
    """A part of a trace.

    Attributes:
        trace: The trace.
        from_s: Since the trace began; what begins earlier is left out.
        until_s: What begins then or later is left out.
        ops: Only nodes of these ops (a fused group by its first); empty: of all.
        phases: Only what belongs to runs of these phases; empty: all.
        advance: Is told how many records have been dealt with since it was last called.
    """

    trace: Trace
    from_s: float = 0.0
    until_s: float = math.inf
    ops: frozenset[str] = frozenset()
    phases: frozenset[str] = frozenset()
    advance: Callable[[int], None] = field(default=lambda records: None)

    @property
    def is_all(self) -> bool:
        """Whether nothing is left out."""
        return self.from_s <= 0 and self.until_s == math.inf and not self.ops and not self.phases

    def places(self, process: Process) -> npt.NDArray[np.bool_]:
        """Which nodes of a process's graphs are wanted: bool array [places]."""
        ops = process.places.ops
        wanted = np.array([not self.ops or op.upper() in self.ops for op in ops], bool)
        chosen: npt.NDArray[np.bool_] = wanted[process.places.op]
        return chosen

    def run_nodes(self, process: Process) -> Structured:
        """The wanted runs of a process: RUN_NODES_DTYPE array."""
        table = process.places.of_runs(process.runs)
        chosen = self._of_phases(process.runs.phase)
        begin_ns = process.clock.monotonic_ns(process.runs.begin) - self.trace.started_monotonic_ns
        end_ns = begin_ns + process.clock.seconds(process.runs.duration) * 1e9
        return table[chosen & (end_ns >= self.from_s * 1e9) & (begin_ns < self.until_s * 1e9)]

    def windows(self, process: Process) -> Iterator[Structured]:
        """The records of a process that belong to runs, a window at a time, wanted or not."""
        for records, _ in process.nodes():
            yield records
            self.advance(len(records))

    def rows(self, name: str, columns: Sequence[str] | None = None) -> dict[str, Column]:
        """The wanted rows of a table, and of all columns or some."""
        table = self.trace.table(name)
        shown = list(columns or table.columns)
        asked = {"begin_ns", "run", "process", "op", "phase"}.intersection(table.columns)
        loaded = table.load(shown if self.is_all else [*shown, *(asked - set(shown))])
        if self.is_all:
            return {column: loaded[column] for column in shown}
        keep = np.ones(len(table), bool)
        if "begin_ns" in asked:
            begin = np.asarray(loaded["begin_ns"], np.float64)
            keep &= (begin >= self.from_s * 1e9) & (begin < self.until_s * 1e9)
        if self.ops and isinstance(op := loaded.get("op"), Text):
            keep &= np.array([*(text.upper() in self.ops for text in op.values), False])[op.codes]
        if self.phases and isinstance(phase := loaded.get("phase"), Text):
            keep &= np.isin(phase.codes, [i for i, text in enumerate(phase.values) if text in self.phases])
        elif self.phases and "run" in asked:
            keep &= self._of_runs(np.asarray(loaded["process"]), np.asarray(loaded["run"]))
        return {column: loaded[column][keep] for column in shown}

    def _of_phases(self, phase: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
        if not self.phases:
            return np.ones(len(phase), bool)
        return np.isin(phase, [PHASES.index(name) for name in self.phases])

    def _of_runs(self, process: npt.NDArray[Any], run: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        keep = np.zeros(len(run), bool)
        for index, watched in enumerate(self.trace.watched):
            wanted = watched.runs.number[self._of_phases(watched.runs.phase)]
            keep |= (process == index) & np.isin(run, wanted)
        return keep
