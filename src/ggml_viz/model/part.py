"""A part of a trace: the same processes and graphs, and of what happened only the runs that began in some interval."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from ggml_viz.model.measured import MeasuredNodes
from ggml_viz.model.trace import Process, Runs, Trace

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    import numpy.typing as npt

    from ggml_viz.model.attribution import Attribution
    from ggml_viz.model.cost import Cost
    from ggml_viz.model.graph import Graph
    from ggml_viz.model.memory import BufferLife
    from ggml_viz.model.nodes import Places
    from ggml_viz.model.phases import Workload
    from ggml_viz.native import Structured

    _Within = Callable[[npt.NDArray[np.uint64]], npt.NDArray[np.bool_]]


class PartOfTrace(Trace):
    """The runs of a trace that began in an interval, their splits and copies, and the copies between runs there.

    Memory, and what is said of the recording as a whole, stay those of the whole trace.

    Args:
        whole: The trace.
        from_s: Where the interval begins, in seconds since the trace began.
        until_s: Where it ends.

    Attributes:
        interval: Both.
    """

    def __init__(self, whole: Trace, from_s: float, until_s: float) -> None:
        self.file = whole.file
        self.interval = max(from_s, 0.0), min(until_s, whole.duration_s)
        self._tables = {}
        self._started = whole.started_wall_ns, whole.started_monotonic_ns
        self._duration_s = max(min(until_s, whole.duration_s) - max(from_s, 0.0), 0.0)

        def within(process: Process) -> _Within:
            def began(ticks: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
                since_s = (process.clock.monotonic_ns(ticks) - whole.started_monotonic_ns) * 1e-9
                inside: npt.NDArray[np.bool_] = (since_s >= from_s) & (since_s < until_s)
                return inside

            return began

        self.watched: list[Process] = [_PartOfProcess(process, within(process)) for process in whole.watched]

    @cached_property
    def measured(self) -> MeasuredNodes:
        """Every node that was executed in the interval, and what its executions took."""
        return MeasuredNodes(self.watched)

    @cached_property
    def started_wall_ns(self) -> int:
        """When the whole began."""
        return self._started[0]

    @cached_property
    def started_monotonic_ns(self) -> int:
        """The same moment on the clock that the processes share."""
        return self._started[1]

    @cached_property
    def duration_s(self) -> float:
        """How long the interval is."""
        return self._duration_s


class _PartOfProcess(Process):
    def __init__(self, whole: Process, within: _Within) -> None:
        super().__init__(whole.file, whole.clock, whole._rules)
        self._whole = whole
        self._within = within

    @cached_property
    def graphs(self) -> dict[int, Graph]:
        return self._whole.graphs

    @cached_property
    def workloads(self) -> dict[int, Workload]:
        return self._whole.workloads

    @cached_property
    def attributions(self) -> dict[int, Attribution]:
        return self._whole.attributions

    @cached_property
    def costs(self) -> dict[int, Cost]:
        return self._whole.costs

    @cached_property
    def buffers(self) -> list[BufferLife]:
        return self._whole.buffers

    @cached_property
    def places(self) -> Places:
        return self._whole.places

    @cached_property
    def runs(self) -> Runs:
        whole = self._whole.runs
        chosen = self._within(whole.begin)
        return Runs(**{name: getattr(whole, name)[chosen] for name in Runs.__slots__})

    @cached_property
    def splits(self) -> Structured:
        return self._of_runs(self._whole.splits)

    @cached_property
    def copies(self) -> Structured:
        copies = self._whole.copies
        between = (copies["run"] == 0) & self._within(copies["start"])
        chosen: Structured = copies[between | np.isin(copies["run"], self.runs.number)]
        return chosen

    @cached_property
    def _index(self) -> Any:
        return self._whole._index

    def _of_runs(self, records: Structured) -> Structured:
        chosen: Structured = records[np.isin(records["run"], self.runs.number)]
        return chosen
