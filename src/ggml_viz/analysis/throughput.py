"""How many tokens per second went through a model, by phase."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ggml_viz.model.phases import OTHER, PHASES
from ggml_viz.model.records import STATUS_UNFINISHED
from ggml_viz.model.trace import Process

# Between two runs, a pause longer than this and than the run before it is idleness, not work of the program.
IDLE_S = 0.1


@dataclass(slots=True)
class PhaseTotal:
    """What the runs of one phase add up to.

    Attributes:
        runs: How many there were.
        tokens: That went through the model in those that finished.
        seconds: How long its streaks took.
    """

    runs: int = 0
    tokens: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class PhaseSteps:
    """The runs of one phase, each with the time until the next of its streak begins, of the last until its end.

    Attributes:
        begin_s: When each step began, on the monotonic clock, in this order: float64 array [runs].
        seconds: How long it took, float64 array [runs].
        graph_s: How much of it the run took, float64 array [runs].
        tokens: That went through the model in each, 0 in one that did not finish: int64 array [runs].
    """

    begin_s: npt.NDArray[np.float64]
    seconds: npt.NDArray[np.float64]
    graph_s: npt.NDArray[np.float64]
    tokens: npt.NDArray[np.int64]


def phase_steps(process: Process) -> dict[str, PhaseSteps]:
    """Takes the time of each phase of a process apart into steps of a run each.

    The time of a phase is that of its streaks. A streak is an unbroken sequence of runs of one phase, and lasts from
    the begin of its first run to the end of its last: what the program does between two tokens (sampling, building the
    next graph) counts, what it does before the first and after the last does not. A run of another phase breaks a
    streak, and so does an idle pause (IDLE_S); runs of phase other break only streaks of their own.

    Returns:
        By phase, in the order of PHASES; only those that occurred.
    """
    runs = process.runs
    steps: dict[str, PhaseSteps] = {}
    order = np.argsort(runs.begin, kind="stable")
    other = runs.phase[order] == PHASES.index(OTHER)
    for chosen in (order[~other], order[other]):
        if not len(chosen):
            continue
        phase = runs.phase[chosen]
        begin = process.clock.monotonic_ns(runs.begin[chosen]) * 1e-9
        duration = process.clock.seconds(runs.duration[chosen])
        end = begin + duration
        idle = begin[1:] - end[:-1] > np.maximum(duration[:-1], IDLE_S)
        starts = np.concatenate([[0], np.flatnonzero((phase[1:] != phase[:-1]) | idle) + 1])
        seconds = np.diff(begin, append=0.0)
        last = np.concatenate([starts[1:] - 1, [len(chosen) - 1]])
        seconds[last] = np.maximum.reduceat(end, starts) - begin[last]
        tokens = np.where(runs.status[chosen] == STATUS_UNFINISHED, 0, runs.tokens[chosen])
        for index, name in enumerate(PHASES):
            mine = phase == index
            if mine.any():
                steps[name] = PhaseSteps(begin[mine], seconds[mine], duration[mine], tokens[mine])
    return {name: steps[name] for name in PHASES if name in steps}


def phase_totals(processes: Sequence[Process]) -> dict[str, PhaseTotal]:
    """Adds up the runs of processes by phase; `phase_steps` says what the time of each is.

    Returns:
        By phase, in the order of PHASES; only those that occurred.
    """
    totals: dict[str, PhaseTotal] = {}
    for process in processes:
        for name, steps in phase_steps(process).items():
            total = totals.setdefault(name, PhaseTotal())
            total.runs += len(steps.seconds)
            total.tokens += int(steps.tokens.sum())
            total.seconds += float(steps.seconds.sum())
    return {name: totals[name] for name in PHASES if name in totals}
