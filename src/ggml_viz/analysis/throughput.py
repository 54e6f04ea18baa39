"""How many tokens per second went through a model, by phase."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ggml_viz.model.phases import OTHER, PHASES
from ggml_viz.model.trace import STATUS_UNFINISHED, Process

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


def phase_totals(process: Process) -> dict[str, PhaseTotal]:
    """Adds up the runs of a process by phase.

    The time of a phase is that of its streaks. A streak is an unbroken sequence of runs of one phase, and lasts from
    the begin of its first run to the end of its last: what the program does between two tokens (sampling, building the
    next graph) counts, what it does before the first and after the last does not. A run of another phase breaks a
    streak, and so does an idle pause (IDLE_S); runs of phase other break only streaks of their own.

    Returns:
        By phase, in the order of PHASES; only those that occurred.
    """
    runs = process.runs
    totals: dict[str, PhaseTotal] = {}
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
        lengths = np.maximum.reduceat(end, starts) - begin[starts]
        tokens = np.where(runs.status[chosen] == STATUS_UNFINISHED, 0, runs.tokens[chosen])
        for index, name in enumerate(PHASES):
            mine = phase == index
            if mine.any():
                totals[name] = PhaseTotal(
                    runs=int(np.count_nonzero(mine)),
                    tokens=int(tokens[mine].sum()),
                    seconds=float(lengths[phase[starts] == index].sum()),
                )
    return {name: totals[name] for name in PHASES if name in totals}
