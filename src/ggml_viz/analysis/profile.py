"""What one recording took, by phase and by key, small enough to keep many of them: what `diff` compares."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ggml_viz.analysis.contents import command_line
from ggml_viz.analysis.statistics import median_interval
from ggml_viz.analysis.throughput import PhaseSteps, phase_steps
from ggml_viz.model.measured import group_by
from ggml_viz.model.phases import PHASES
from ggml_viz.model.records import shifted
from ggml_viz.model.trace import Process, Trace
from ggml_viz.trace.definitions import NOTE_DISTORTING

IN_SPLITS = "in splits, outside nodes"
IN_GRAPHS = "in graphs, outside splits"
COPIES_IN_GRAPHS = "copies in graphs"
COPIES_BETWEEN = "copies between graphs"
BETWEEN = "between graphs"
# What a graph's own time is made of, besides nodes; and the time until the next.
OUTSIDE_IN_GRAPHS = (IN_SPLITS, IN_GRAPHS, COPIES_IN_GRAPHS)
OUTSIDE = (*OUTSIDE_IN_GRAPHS, COPIES_BETWEEN, BETWEEN)

# Of each key so many executions are kept at most, evenly spread over all.
_KEPT = 5_000

# No median of fewer executions protects from one that was interrupted. It counts at most so many times what it is in
# most layers, if there are some.
_FEW, _MOST_TIMES, _LEAST_LAYERS = 5, 3, 3

# Damaged clocks may say anything; what is kept can be added up, divided and written as JSON.
_LEAST_S, _MOST_S = 1e-12, 1e12


class Key(NamedTuple):
    """What makes executed nodes of two recordings comparable."""

    phase: str
    op: str
    role: str
    layer: int
    shape: str


@dataclass(slots=True)
class Times:
    """The executions of the nodes of one key.

    Attributes:
        count: Executions.
        seconds: All together.
        median_s: Of one; of few executions limited, see `_FEW`.
        standard_error_s: Of the median, if executions were independent; inf: there are too few to tell.
        kept_s: Some of them, evenly spread, float32 array [n]; empty unless they were asked for.
    """

    count: int
    seconds: float
    median_s: float
    standard_error_s: float
    kept_s: npt.NDArray[np.float32]


@dataclass(slots=True)
class PhaseProfile:
    """What one phase took.

    Attributes:
        runs: Graphs computed.
        tokens: That went through the model; 0 where it is none of language.
        seconds: Its time (`analysis.throughput`).
        outside_s: The time that is in no node, by the parts of OUTSIDE; with the nodes it adds up to `seconds`. A part
            is negative where what it is made of overlaps, as with two graphs computed at once.
        steps_s: The time of each run until the next of its streak, float64 array [runs].
        graphs_s: The time of each run alone, float64 array [runs].
        step_tokens: Tokens of each run, int64 array [runs].
    """

    runs: int
    tokens: int
    seconds: float
    outside_s: dict[str, float]
    steps_s: npt.NDArray[np.float64]
    graphs_s: npt.NDArray[np.float64]
    step_tokens: npt.NDArray[np.int64]

    @property
    def graph_s(self) -> float:
        """The time of its runs alone."""
        return _bounded(float(self.graphs_s.sum()))


@dataclass(slots=True)
class Profile:
    """What one recording took.

    Attributes:
        path: The trace.
        commands: Command line of each process.
        ggml_versions: Of each copy of ggml.
        threads: The most CPU threads that worked on one graph.
        missing: What makes it less than a recording of everything, in words.
        phases: By name.
        times: By key.
    """

    path: str
    commands: list[str]
    ggml_versions: list[str]
    threads: int
    missing: list[str]
    phases: dict[str, PhaseProfile]
    times: dict[Key, Times]


def profile(path: str, *, executions: bool, naming: Path | None = None) -> Profile:
    """Reads a trace and adds it up.

    Args:
        path: The trace.
        executions: Whether to keep some executions of each key, to compare these.
        naming: A file of naming rules beyond those that come with ggml-viz.

    Raises:
        UserError: It is no trace.
    """
    trace = Trace.open(path, naming)
    definitions = [process.file.definitions for process in trace.watched]
    times, nodes_s = _times(trace, executions)
    return Profile(
        path=path,
        commands=[command_line(process.file) for process in trace.watched],
        ggml_versions=sorted({runtime.version for d in definitions for runtime in d.runtimes.values()} - {""}),
        threads=max((int(process.runs.threads.max(initial=0)) for process in trace.watched), default=0),
        missing=_missing(trace),
        phases=_phases(trace, nodes_s),
        times=times,
    )


def _missing(trace: Trace) -> list[str]:
    missing = []
    if trace.file.integrity.damage:
        missing.append(f"the file is {trace.file.integrity.damage}")
    counters = [process.file.counters for process in trace.watched if process.file.counters]
    if lost := sum(counter.lost + counter.dropped for counter in counters):
        missing.append(f"{lost} records were lost")
    if sum(counter.skipped for counter in counters):
        missing.append("nodes were filtered")
    if not len(trace.measured):
        missing.append("its nodes are not timed")
    notes = [note for process in trace.watched for note in process.file.definitions.notes]
    if any(note.level == NOTE_DISTORTING for note in notes):
        missing.append("watching it changed its timing")
    if not all(process.clock.known for process in trace.watched):
        missing.append("the rate of its clock is not known")
    return missing


def _times(trace: Trace, executions: bool) -> tuple[dict[Key, Times], dict[str, float]]:
    """By key; and the time of all nodes by phase."""
    nodes = trace.measured
    times: dict[Key, Times] = {}
    nodes_s: dict[str, float] = {}
    for group in group_by([nodes.phase, nodes.op, nodes.role, nodes.layer, nodes.shape]):
        walls_s = nodes.walls_s(group.rows)
        kept_s = np.nan_to_num(walls_s[:: -(-len(walls_s) // _KEPT)]) if executions else walls_s[:0]
        middle = median_interval(walls_s)
        seconds = _bounded(float(nodes.wall_s[group.rows].sum()))
        key = Key(*group.key)
        count = int(nodes.count[group.rows].sum())
        times[key] = Times(count, seconds, _bounded(middle.median), middle.standard_error, kept_s)
        nodes_s[key.phase] = nodes_s.get(key.phase, 0.0) + seconds
    _limit_interrupted(times)
    return times, nodes_s


def _limit_interrupted(times: dict[Key, Times]) -> None:
    """Limits medians of few executions by those of the other layers."""
    layers: dict[tuple[str, str, str, str], list[Times]] = {}
    for key, own in times.items():
        layers.setdefault((key.phase, key.op, key.role, key.shape), []).append(own)
    for group in layers.values():
        if len(group) >= _LEAST_LAYERS and any(own.count < _FEW for own in group):
            most_s = _MOST_TIMES * float(np.median([own.median_s for own in group]))
            for own in group:
                if own.count < _FEW:
                    own.median_s = min(own.median_s, most_s)


def _bounded(seconds: float) -> float:
    return min(max(_LEAST_S, seconds), _MOST_S)  # in this order NaN becomes the least


def _phases(trace: Trace, nodes_s: dict[str, float]) -> dict[str, PhaseProfile]:
    phases: dict[str, PhaseProfile] = {}
    for process in trace.watched:
        for name, steps in phase_steps(process).items():
            none = PhaseProfile(0, 0, 0.0, dict.fromkeys(OUTSIDE, 0.0), np.empty(0), np.empty(0), np.empty(0, np.int64))
            added = phases.setdefault(name, none)
            steps_s, graphs_s = (
                np.nan_to_num(np.clip(seconds, -_MOST_S, _MOST_S)) for seconds in (steps.seconds, steps.graph_s)
            )
            added.runs += len(steps_s)
            added.tokens += int(steps.tokens.sum())
            added.seconds += float(steps_s.sum())
            added.steps_s = np.concatenate([added.steps_s, steps_s])
            added.graphs_s = np.concatenate([added.graphs_s, graphs_s])
            added.step_tokens = np.concatenate([added.step_tokens, steps.tokens])
            _add_outside(added.outside_s, process, name, steps)
    for name, phase in phases.items():
        phase.seconds = _bounded(phase.seconds)
        phase.outside_s[BETWEEN] += phase.seconds - phase.graph_s
        phase.outside_s[IN_GRAPHS] += phase.graph_s
        # Nodes are computed in splits, if these were seen.
        phase.outside_s[IN_SPLITS if phase.outside_s[IN_SPLITS] else IN_GRAPHS] -= nodes_s.get(name, 0.0)
    return phases


def _add_outside(outside_s: dict[str, float], process: Process, name: str, steps: PhaseSteps) -> None:
    """Adds what one phase of a process took in splits and copies, and takes it off what they are a part of."""
    runs, splits, copies = process.runs, process.splits, process.copies
    mine = np.isin(splits["run"], runs.number[runs.phase == PHASES.index(name)])
    split_s = float(process.clock.seconds(shifted(splits, "duration"))[mine].sum())
    # A copy belongs to the step in which it began, if to any.
    begin_s = process.clock.monotonic_ns(copies["start"]) * 1e-9
    copy_s = process.clock.seconds(shifted(copies, "duration"))
    at = np.searchsorted(steps.begin_s, begin_s, side="right") - 1
    since_s = begin_s - steps.begin_s[at]
    in_step = (at >= 0) & (since_s < steps.seconds[at])
    in_graph = in_step & (since_s < steps.graph_s[at])
    for part, whole, seconds in (
        (IN_SPLITS, IN_GRAPHS, split_s),
        (COPIES_IN_GRAPHS, IN_GRAPHS, float(copy_s[in_graph].sum())),
        (COPIES_BETWEEN, BETWEEN, float(copy_s[in_step & ~in_graph].sum())),
    ):
        outside_s[part] += min(seconds, _MOST_S)
        outside_s[whole] -= min(seconds, _MOST_S)
