"""From the ticks of a process's records to time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ggml_viz.trace.definitions import CLOCK_NAMES
from ggml_viz.trace.reader import Calibration, ProcessTrace


@dataclass(frozen=True, slots=True)
class Clock:
    """A straight line from ticks to monotonic time, through the first and the last calibration of a process.

    The first calibration is the one that the agent makes at its start. A counter that drifts against the monotonic
    clock between the two (by parts in a million, where it is invariant) is averaged out.

    Attributes:
        origin: The first calibration.
        last: The last one.
        ns_per_tick: The line's slope; 1 where it is unknown.
        known: Whether the slope is known: it takes two calibrations, unless ticks are ns.
    """

    origin: Calibration
    last: Calibration
    ns_per_tick: float
    known: bool

    @classmethod
    def of(cls, process: ProcessTrace) -> Clock:
        """The clock of one process."""
        info = process.definitions.info
        points = [Calibration(info.start_ticks, info.start_monotonic_ns, info.start_wall_ns), *process.calibrations]
        if not points[0].ticks and len(points) > 1:
            del points[0]
        first, last = points[0], points[-1]
        if CLOCK_NAMES[min(info.clock, 1)] == "monotonic":
            return cls(first, last, 1.0, True)
        ticks, ns = last.ticks - first.ticks, last.monotonic_ns - first.monotonic_ns
        if ticks <= 0 or ns <= 0:
            return cls(first, last, 1.0, False)
        return cls(first, last, ns / ticks, True)

    def with_rate(self, ns_per_tick: float) -> Clock:
        """The same clock with a slope that is known from elsewhere."""
        return replace(self, ns_per_tick=ns_per_tick, known=True)

    def seconds(self, ticks: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Durations in ticks, any shape, as seconds."""
        return np.asarray(ticks, np.float64) * (self.ns_per_tick * 1e-9)

    def monotonic_ns(self, ticks: npt.NDArray[np.uint64]) -> npt.NDArray[np.float64]:
        """Moments in ticks [n] as monotonic ns, which the processes of one machine share."""
        since: npt.NDArray[Any] = (np.asarray(ticks, np.uint64) - np.uint64(self.origin.ticks)).view(np.int64)
        return since * self.ns_per_tick + self.origin.monotonic_ns
