"""What changed between two sets of recordings, and which of it is more than chance.

What is compared is the time that each token takes, because that adds up: the change of a phase is the sum of the
changes of its nodes and of the time outside nodes. Where a phase has no tokens it is the time of each graph, without
what passes between two of them: nobody knows whether that is work or waiting for something to do.

The procedure:

- With at least two files on both sides a sample is a file: the executions within one run of a program have its luck in
  common, so that thousands of them say little about the next run. From each file and key comes one number, the median
  of an execution times how many there are for each token; of keys taken together, the sum of these.
- There are two families of questions: the phases, and the nodes by (op, role), by op and by role, each in each phase.
  Layers and shapes are looked at only within an (op, role) that was found to differ. Half of ALPHA goes to each family.
- In a family, p-values are corrected by relabelling the files (`statistics.max_t`). Mann and Whitney's test is done for
  each key too, but of 5 against 5 files its least p-value is 0.0079, which Holm's correction multiplies by up to the
  number of keys: nothing could ever be found.
- With one file on a side, a sample is an execution: Mann and Whitney's test of each layer and shape, taken together by
  van Elteren's weights, and Holm's correction. Such a test cannot know how much two runs of the same build differ.
- Whatever differs by less than RELEVANT of the phase's time is called the same, and so is what cannot be told apart.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ggml_viz.analysis.profile import OUTSIDE, OUTSIDE_IN_GRAPHS, PhaseProfile, Profile, profile
from ggml_viz.analysis.statistics import (
    LEAST_VALUES,
    Z_95,
    RankSum,
    bootstrap_ratios,
    combined_p,
    holm,
    least_p,
    max_t,
    rank_sum,
)
from ggml_viz.errors import UserError
from ggml_viz.model.phases import PHASES

SCHEMA = 1
VERDICTS = SLOWER, FASTER, NEW, GONE, SAME = ("slower", "faster", "new", "gone", "same")
FILE, EXECUTION = "file", "execution"
TOKEN, GRAPH = "token", "graph"

# Of two sets that do not differ, in at most so many cases anything is called different.
ALPHA = 0.05
_LEVEL = ALPHA / 2

# Of the time of a phase; below it a difference is of no use to know.
RELEVANT = 0.01

# Steps of a phase that are compared, at most; they are spread evenly.
_MOST_STEPS = 20_000

# Times that can be divided, and exponents that can be taken, whatever a damaged trace says.
_LEAST, _MOST, _MOST_LOG = 1e-15, 1e15, 100.0

Floats: TypeAlias = "npt.NDArray[np.float64]"
_Name: TypeAlias = "tuple[str, str | None, str | None, int | None, str | None]"

# What the time of a phase is divided by, and which time.
_AMOUNTS: dict[str, Callable[[PhaseProfile], float]] = {TOKEN: lambda p: p.tokens, GRAPH: lambda p: p.runs}
_SECONDS: dict[str, Callable[[PhaseProfile], float]] = {TOKEN: lambda p: p.seconds, GRAPH: lambda p: p.graph_s}
_OUTSIDE = {TOKEN: OUTSIDE, GRAPH: OUTSIDE_IN_GRAPHS}


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two sets of recordings.

    Attributes:
        files: The traces.
        commands: What was recorded, each distinct command line once.
        ggml_versions: Each distinct version of ggml once.
        threads: The most CPU threads that worked on one graph, each distinct number once.
    """

    files: list[str]
    commands: list[str]
    ggml_versions: list[str]
    threads: list[int]


@dataclass(frozen=True, slots=True)
class NodeChange:
    """What executed nodes of one kind take for each token, before and after. Where a field is None, it is of all.

    Attributes:
        phase: One of PHASES.
        op: As ggml describes it; a fused pair is `RMS_NORM+MUL`.
        role: As names tell it; may be empty.
        layer: Number of the layer, -1: none.
        shape: Its shape and its sources'.
        verdict: One of VERDICTS.
        a_executions: For each token, in the first set.
        b_executions: In the second.
        a_median_s: Time of one execution, the median; of several kinds, the mean of theirs, weighted by executions;
            over files, the median.
        b_median_s: The same of the second set.
        a_s: Time for each token, mean over files, so that it adds up.
        b_s: The same of the second set.
        change_s: From `a_s` to `b_s`.
        share: The change, as a share of the phase's time for each token in the first set.
        least_share: How large that share is at least, by the end of the ratio's interval that is nearer to no change.
        ratio: Second to first, of medians of the time for each token; None where one side has none.
        ratio_low: End of its 95 % interval.
        ratio_high: The other.
        p: Mann-Whitney, two-sided; None: not tested.
        p_corrected: For the number of keys that were compared.
        shapes_differ: Whether its shapes are others on the two sides, so that more than the build differs.
        details: Of an (op, role) that differs: its layers and shapes, those that differ first.
    """

    phase: str
    op: str | None
    role: str | None
    layer: int | None
    shape: str | None
    verdict: str
    a_executions: float
    b_executions: float
    a_median_s: float
    b_median_s: float
    a_s: float
    b_s: float
    change_s: float
    share: float
    least_share: float
    ratio: float | None
    ratio_low: float | None
    ratio_high: float | None
    p: float | None
    p_corrected: float | None
    shapes_differ: bool
    details: list[NodeChange]


@dataclass(frozen=True, slots=True)
class OutsideChange:
    """The time for each token that is in no node.

    Attributes:
        part: One of `profile.OUTSIDE`.
        a_s: In the first set, mean over files. Negative where computing overlaps.
        b_s: In the second.
        change_s: From one to the other.
        share: The change, as a share of the phase's time for each token in the first set.
    """

    part: str
    a_s: float
    b_s: float
    change_s: float
    share: float


@dataclass(frozen=True, slots=True)
class PhaseChange:
    """What one phase takes for each token, before and after. Where a set has none of it, its fields are None.

    Attributes:
        phase: One of PHASES.
        verdict: One of VERDICTS.
        per: What `a_s` and `b_s` are the time of: `token`, or `graph` where there are no tokens.
        a_per_second: Tokens, or graphs, per second in the first set.
        b_per_second: In the second.
        a_s: Time of a token or graph in the first set, mean over files.
        b_s: In the second.
        change_s: From one to the other: the sum of the changes of the phase's operations and of `outside`.
        ratio: `b_s / a_s`.
        ratio_low: End of its 95 % interval.
        ratio_high: The other.
        p: Mann-Whitney, two-sided; None: not tested.
        p_corrected: For the number of phases.
        outside: What is in no node.
    """

    phase: str
    verdict: str
    per: str
    a_per_second: float | None
    b_per_second: float | None
    a_s: float | None
    b_s: float | None
    change_s: float | None
    ratio: float | None
    ratio_low: float | None
    ratio_high: float | None
    p: float | None
    p_corrected: float | None
    outside: list[OutsideChange]

    def fell(self, percent: float) -> bool:
        """Whether what it does per second fell by more than so many percent, and not by chance."""
        if self.ratio is None or self.p_corrected is None:
            return False
        return self.p_corrected <= _LEVEL and (1 - 1 / self.ratio) * 100 > percent


@dataclass(frozen=True, slots=True)
class Diff:
    """What changed.

    Attributes:
        a: The first set.
        b: The second.
        unit: What a sample is: `file` or `execution`.
        can_tell: Whether so many files can tell anything apart.
        notes: What to know before believing it.
        phases: In the order of PHASES.
        findings: What differs, each once: operations, and an op where none of its roles does by itself. What certainly
            changes most of its phase's time comes first (`least_share`).
        operations: By phase, op and role: first what differs, in the same order, then the rest by `share`. Of each
            phase they and `outside` add up to its change.
        ops: By phase and op, in the same order.
        roles: By phase and role, in the same order.
    """

    a: Side
    b: Side
    unit: str
    can_tell: bool
    notes: list[str]
    phases: list[PhaseChange]
    findings: list[NodeChange]
    operations: list[NodeChange]
    ops: list[NodeChange]
    roles: list[NodeChange]

    def to_json(self) -> dict[str, Any]:
        """Schema 1 of `diff --json`."""
        return {"schema": SCHEMA, **dataclasses.asdict(self)}


def compare(a: Sequence[str], b: Sequence[str], naming: Path | None = None) -> Diff:
    """Compares two sets of recordings.

    Args:
        a: Paths of the traces of the first set, at least one.
        b: Of the second.
        naming: A file of naming rules beyond those that come with ggml-viz.

    Raises:
        UserError: One of them is no trace, or there is nothing to compare.
    """
    by_file = min(len(a), len(b)) > 1
    with ThreadPoolExecutor(2) as pool:
        profiles = list(pool.map(lambda path: profile(path, executions=not by_file, naming=naming), [*a, *b]))
    return compare_profiles(profiles[: len(a)], profiles[len(a) :])


def compare_profiles(a: list[Profile], b: list[Profile]) -> Diff:
    """Compares two sets of recordings that are added up already; if one is a single one, its executions were kept.

    Raises:
        UserError: There is nothing to compare.
    """
    for side in (a, b):
        if not any(item.phases for item in side):
            raise UserError(f"{side[0].path}: no graph was computed while it was recorded", "It cannot be compared.")
    comparison = _Comparison(a, b)
    if not any(phase in item.phases for item in a for phase in {phase for other in b for phase in other.phases}):
        raise UserError(
            f"{a[0].path} and {b[0].path} have no phase in common",
            f"In one there is {_listed(a[0].phases)}, in the other {_listed(b[0].phases)}.",
        )
    return comparison.diff()


@dataclass(slots=True)
class _Row:
    """Keys that are taken together.

    Attributes:
        name: Phase, op, role, layer and shape; None: of all.
        keys: Indices of the keys.
        strata: The same, those together whose executions are compared with each other.
        shapes_differ: Whether some are of shapes that only one set has.
    """

    name: _Name
    keys: list[int]
    strata: list[tuple[int, ...]]
    shapes_differ: bool

    @property
    def phase(self) -> str:
        return self.name[0]


@dataclass(frozen=True, slots=True)
class _Tested:
    """How the second set differs from the first: ratio, its interval, and p-values."""

    ratio: float
    low: float | None
    high: float | None
    p: float
    p_corrected: float

    @classmethod
    def with_error(cls, ratio: float, relative_error: float, p: float) -> _Tested:
        """A ratio whose logarithm is distributed normally about its true value."""
        half_width = Z_95 * relative_error
        if not half_width < _MOST_LOG:
            return cls(ratio, None, None, p, p)
        return cls(ratio, ratio * math.exp(-half_width), ratio * math.exp(half_width), p, p)


class _Comparison:
    """Two sets of profiles, as arrays over files (first set first) and keys."""

    def __init__(self, a: list[Profile], b: list[Profile]) -> None:
        self.sides = (a, b)
        self.by_file = min(len(a), len(b)) > 1
        self.profiles = [*a, *b]
        self.of_a = np.arange(len(self.profiles)) < len(a)
        self.keys = sorted({key for item in self.profiles for key in item.times})
        shape = len(self.profiles), len(self.keys)
        self.counts, self.seconds, self.typical_s = (np.zeros(shape) for _ in range(3))
        for row, item in enumerate(self.profiles):
            for column, key in enumerate(self.keys):
                if times := item.times.get(key):
                    self.counts[row, column] = times.count
                    self.seconds[row, column] = times.seconds
                    self.typical_s[row, column] = times.count * times.median_s
        self.phases = [phase for phase in PHASES if any(phase in item.phases for item in self.profiles)]
        self.per = {phase: self._per(phase) for phase in PHASES}
        self.rank_sums: dict[tuple[int, ...], RankSum | None] = {}
        # Of each file, [files], by phase: tokens or graphs, NaN where it has none of the phase; and the time of one.
        self.amounts = {phase: self._of_files(phase, _AMOUNTS[self.per[phase]]) for phase in PHASES}
        self.phase_s = {
            phase: self._of_files(phase, _SECONDS[self.per[phase]]) / self.amounts[phase] for phase in PHASES
        }

    def diff(self) -> Diff:
        rows = self._detail_rows()
        families = [_rolled_up(rows, *fields) for fields in (("op", "role"), ("op",), ("role",))]
        changes = self._changes([row for family in families for row in family], relevant=self._is_relevant)
        ends = np.cumsum([len(family) for family in families]).tolist()
        operations, ops, roles = (changes[end - len(f) : end] for f, end in zip(families, ends, strict=True))
        operations = _in_order([self._with_details(change, rows) for change in operations])
        n, m = map(len, self.sides)
        return Diff(
            a=_side(self.sides[0]),
            b=_side(self.sides[1]),
            unit=FILE if self.by_file else EXECUTION,
            can_tell=not self.by_file or least_p(n, m) <= _LEVEL,
            notes=self._notes(),
            phases=self._phase_changes(),
            findings=_findings(operations, ops),
            operations=operations,
            ops=_in_order(ops),
            roles=_in_order(roles),
        )

    # --- what is compared ---

    def _per(self, phase: str) -> str:
        """What the time of a phase is divided by: tokens, if both sets have some wherever they have the phase."""
        for side in self.sides:
            own = [item.phases[phase].tokens for item in side if phase in item.phases]
            if own and not all(own):
                return GRAPH
        return TOKEN

    def _of_files(self, phase: str, value: Callable[[PhaseProfile], float]) -> Floats:
        return np.array([value(item.phases[phase]) if phase in item.phases else math.nan for item in self.profiles])

    def _detail_rows(self) -> list[_Row]:
        """The finest that can be compared: by shape where both sets have the same ones, else with all shapes as one."""
        by_place: dict[tuple[str, str, str, int], list[int]] = {}
        for index, key in enumerate(self.keys):
            by_place.setdefault(key[:4], []).append(index)
        in_a, in_b = (np.any(self.counts[mine] > 0, axis=0) for mine in (self.of_a, ~self.of_a))
        rows = []
        for place, keys in by_place.items():
            if np.all(in_a[keys] & in_b[keys]):
                rows += [_Row((*place, self.keys[index].shape), [index], [(index,)], False) for index in keys]
            else:
                differ = bool(in_a[keys].any() and in_b[keys].any())
                only = self.keys[keys[0]].shape if len(keys) == 1 else None
                rows.append(_Row((*place, only), keys, [tuple(keys)], differ))
        return rows

    # --- nodes ---

    def _changes(self, rows: list[_Row], relevant: Callable[[_Row, Floats, float], bool]) -> list[NodeChange]:
        """Compares rows, which are one family."""
        amounts = [self.amounts[row.phase] for row in rows]
        counts = [self.counts[:, row.keys].sum(axis=1) for row in rows]
        typical_s = [self.typical_s[:, row.keys].sum(axis=1) / own for row, own in zip(rows, amounts, strict=True)]
        # In a damaged trace a node may be of a phase that no run is of.
        tested = [i for i in range(len(rows)) if counts[i].all() and not np.isnan(amounts[i]).any()]
        test = self._test_files if self.by_file else self._test_executions
        tests = dict(zip(tested, test([rows[i] for i in tested], [typical_s[i] for i in tested]), strict=True))
        changes = []
        for index, row in enumerate(rows):
            result = tests.get(index)
            verdict = SAME
            if not counts[index][self.of_a].any():
                verdict = NEW
            elif not counts[index][~self.of_a].any():
                verdict = GONE
            elif result and result.p_corrected <= _LEVEL and relevant(row, typical_s[index], result.ratio):
                verdict = SLOWER if result.ratio > 1 else FASTER
            changes.append(self._change(row, counts[index], verdict, result))
        return changes

    def _change(self, row: _Row, counts: Floats, verdict: str, result: _Tested | None) -> NodeChange:
        amounts = self.amounts[row.phase]
        a_s, b_s = self._means(self.seconds[:, row.keys].sum(axis=1) / amounts)
        a_executions, b_executions = self._means(counts / amounts)
        typical_s = self.typical_s[:, row.keys].sum(axis=1)
        medians = [
            float(np.median(typical_s[chosen] / counts[chosen])) if chosen.any() else 0.0
            for chosen in (self.of_a & (counts > 0), ~self.of_a & (counts > 0))
        ]
        whole_s = self._whole_s(row.phase)
        return NodeChange(
            *row.name,
            verdict=verdict,
            a_executions=a_executions,
            b_executions=b_executions,
            a_median_s=medians[0],
            b_median_s=medians[1],
            a_s=a_s,
            b_s=b_s,
            change_s=b_s - a_s,
            share=(b_s - a_s) / whole_s,
            least_share=(b_s + a_s if verdict in (NEW, GONE) else a_s * _least_change(verdict, result)) / whole_s,
            ratio=result.ratio if result else None,
            ratio_low=result.low if result else None,
            ratio_high=result.high if result else None,
            p=result.p if result else None,
            p_corrected=result.p_corrected if result else None,
            shapes_differ=row.shapes_differ,
            details=[],
        )

    def _with_details(self, change: NodeChange, rows: list[_Row]) -> NodeChange:
        if change.verdict not in (SLOWER, FASTER):
            return change
        mine = [row for row in rows if row.name[:3] == (change.phase, change.op, change.role)]
        if len(mine) < 2:
            return change
        details = self._changes(mine, relevant=lambda row, typical_s, ratio: abs(ratio - 1) >= RELEVANT)
        return dataclasses.replace(change, details=_in_order(details))

    def _is_relevant(self, row: _Row, typical_s: Floats, ratio: float) -> bool:
        before_s, _ = self._means(typical_s)
        return abs(ratio - 1) * before_s >= RELEVANT * self._whole_s(row.phase)

    def _test_files(self, rows: list[_Row], typical_s: list[Floats]) -> list[_Tested]:
        if not rows:
            return []
        values = np.clip(np.stack(typical_s, axis=1), _LEAST, _MOST)
        a, b = values[self.of_a], values[~self.of_a]
        low, high = bootstrap_ratios(a, b)
        ratios = np.median(b, axis=0) / np.median(a, axis=0)
        corrected = max_t(a, b)
        return [
            _Tested(float(ratio), float(low[i]), float(high[i]), rank_sum(a[:, i], b[:, i]).p, float(corrected[i]))
            for i, ratio in enumerate(ratios)
        ]

    def _test_executions(self, rows: list[_Row], typical_s: list[Floats]) -> list[_Tested]:
        found = []
        for row, typical in zip(rows, typical_s, strict=True):
            a, b = (float(np.clip(value, _LEAST, _MOST)) for value in self._means(typical))
            errors = [self._relative_error(row, side) for side in self.sides]
            strata = [rank for stratum in row.strata if (rank := self._rank_sum(row.phase, stratum))]
            found.append(_Tested.with_error(b / a, math.hypot(*errors), combined_p(strata) if strata else 1.0))
        return _corrected(found)

    def _rank_sum(self, phase: str, stratum: tuple[int, ...]) -> RankSum | None:
        """Of the executions of some keys, in time for each token; None: one set has none."""
        if stratum not in self.rank_sums:
            sides = []
            for side, mine in zip(self.sides, (self.of_a, ~self.of_a), strict=True):
                keys = [self.keys[index] for index in stratum]
                times = [item.times[key] for item in side for key in keys if key in item.times]
                kept = np.concatenate([np.empty(0), *(own.kept_s for own in times)])
                sides.append(kept * (sum(own.count for own in times) / float(np.nansum(self.amounts[phase][mine]))))
            self.rank_sums[stratum] = rank_sum(*sides) if all(map(len, sides)) else None
        return self.rank_sums[stratum]

    def _relative_error(self, row: _Row, side: list[Profile]) -> float:
        times = [item.times[self.keys[index]] for item in side for index in row.keys if self.keys[index] in item.times]
        whole_s = sum(own.count * own.median_s for own in times)
        return math.sqrt(sum((own.count * own.standard_error_s) ** 2 for own in times)) / max(whole_s, _LEAST)

    # --- phases ---

    def _phase_changes(self) -> list[PhaseChange]:
        both = [phase for phase in self.phases if not np.isnan(self.phase_s[phase]).any()]
        test = self._test_phases_of_files if self.by_file else self._test_phases_of_executions
        tests = dict(zip(both, test(both), strict=True))
        return [self._phase_change(phase, tests.get(phase)) for phase in self.phases]

    def _phase_change(self, phase: str, result: _Tested | None) -> PhaseChange:
        per_s = self.phase_s[phase]
        has = [not bool(np.isnan(per_s[mine]).all()) for mine in (self.of_a, ~self.of_a)]
        a_s, b_s = (value if here else None for value, here in zip(self._means(per_s), has, strict=True))
        verdict = SAME
        if a_s is None or b_s is None:
            verdict = NEW if a_s is None else GONE
        elif result and result.p_corrected <= _LEVEL and abs(b_s / a_s - 1) >= RELEVANT:
            verdict = SLOWER if b_s > a_s else FASTER
        outside = []
        for part in _OUTSIDE[self.per[phase]]:
            before_s, after_s = self._means(
                self._of_files(phase, lambda p, part=part: p.outside_s[part]) / self.amounts[phase]  # type: ignore[misc]
            )
            change_s = after_s - before_s
            outside.append(OutsideChange(part, before_s, after_s, change_s, change_s / self._whole_s(phase)))
        return PhaseChange(
            phase=phase,
            verdict=verdict,
            per=self.per[phase],
            a_per_second=1 / a_s if a_s else None,
            b_per_second=1 / b_s if b_s else None,
            a_s=a_s,
            b_s=b_s,
            change_s=b_s - a_s if a_s and b_s else None,
            ratio=b_s / a_s if a_s and b_s else None,
            ratio_low=result.low if result else None,
            ratio_high=result.high if result else None,
            p=result.p if result else None,
            p_corrected=result.p_corrected if result else None,
            outside=outside,
        )

    def _test_phases_of_files(self, phases: list[str]) -> list[_Tested]:
        if not phases:
            return []
        values = np.stack([self.phase_s[phase] for phase in phases], axis=1)
        a, b = values[self.of_a], values[~self.of_a]
        low, high = bootstrap_ratios(a, b, means=True)
        corrected = max_t(a, b)
        return [
            _Tested(float(b[:, i].mean() / a[:, i].mean()), float(low[i]), float(high[i]), rank.p, float(corrected[i]))
            for i in range(len(phases))
            for rank in [rank_sum(a[:, i], b[:, i])]
        ]

    def _test_phases_of_executions(self, phases: list[str]) -> list[_Tested]:
        found = []
        for phase in phases:
            strata, errors = [], []
            steps = [self._steps(phase, side) for side in self.sides]
            for seconds, tokens in steps:
                weights = np.maximum(tokens, 1)
                mean_s = float(np.average(seconds, weights=weights)) if len(seconds) else 0.0
                spread = (
                    math.sqrt(float(((weights * (seconds - mean_s)) ** 2).sum()))
                    if len(seconds) >= LEAST_VALUES
                    else math.inf
                )
                errors.append(spread / max(mean_s * float(weights.sum()), _LEAST))
            (a_seconds, a_tokens), (b_seconds, b_tokens) = steps
            for tokens in np.intersect1d(a_tokens, b_tokens).tolist():
                strata.append(rank_sum(a_seconds[a_tokens == tokens], b_seconds[b_tokens == tokens]))
            a_s, b_s = self._means(self.phase_s[phase])
            found.append(_Tested.with_error(b_s / a_s, math.hypot(*errors), combined_p(strata) if strata else 1.0))
        return _corrected(found)

    def _steps(self, phase: str, side: list[Profile]) -> tuple[Floats, npt.NDArray[np.int64]]:
        """The time of each run of a phase for each token, or graph; and its tokens: both [n]."""
        by_token = self.per[phase] == TOKEN
        profiles = [item.phases[phase] for item in side if phase in item.phases]
        seconds = np.concatenate([own.steps_s if by_token else own.graphs_s for own in profiles])
        tokens = np.concatenate([own.step_tokens for own in profiles])
        if by_token:
            seconds, tokens = seconds[tokens > 0], tokens[tokens > 0]
            seconds = seconds / tokens
        step = max(-(-len(seconds) // _MOST_STEPS), 1)
        return np.clip(seconds[::step], _LEAST, _MOST), tokens[::step]

    # --- both ---

    def _means(self, values: Floats) -> tuple[float, float]:
        """The mean over the files of each set that have a value; of none 0."""
        a, b = (own[~np.isnan(own)] for own in (values[self.of_a], values[~self.of_a]))
        return (float(a.mean()) if len(a) else 0.0), (float(b.mean()) if len(b) else 0.0)

    def _whole_s(self, phase: str) -> float:
        """The time of a token of a phase in the first set; where that has none, in the second."""
        a_s, b_s = self._means(self.phase_s[phase])
        return a_s or b_s or 1.0

    def _notes(self) -> list[str]:
        n, m = map(len, self.sides)
        notes = []
        if not self.by_file:
            notes.append(
                "how much two runs of the same build differ is not known from one file on a side; record 5 of each"
            )
        elif least_p(n, m) > _LEVEL:
            notes.append(f"{n} against {m} files cannot tell anything apart; 5 against 5 can")
        threads = [sorted({item.threads for item in side}) for side in self.sides]
        if threads[0] != threads[1]:
            notes.append("the numbers of threads differ: {} and {}".format(*(_listed(own) for own in threads)))
        commands = [{command for item in side for command in item.commands} for side in self.sides]
        if commands[0] != commands[1]:
            notes.append("the command lines differ (--json has them)")
        for item in self.profiles:
            notes += [f"{item.path}: {text}" for text in item.missing]
        return notes


def _corrected(tests: list[_Tested]) -> list[_Tested]:
    corrected = holm([test.p for test in tests])
    return [dataclasses.replace(test, p_corrected=p) for test, p in zip(tests, corrected, strict=True)]


def _rolled_up(rows: list[_Row], *fields: str) -> list[_Row]:
    """Rows of one phase that have some more fields in common, taken together."""
    together: dict[_Name, _Row] = {}
    for row in rows:
        phase, op, role, _, _ = row.name
        name = (phase, op if "op" in fields else None, role if "role" in fields else None, None, None)
        own = together.setdefault(name, _Row(name, [], [], False))
        own.keys.extend(row.keys)
        own.strata.extend(row.strata)
        own.shapes_differ |= row.shapes_differ
    return list(together.values())


def _in_order(changes: list[NodeChange]) -> list[NodeChange]:
    return sorted(changes, key=lambda change: (change.verdict == SAME, -change.least_share, -abs(change.share)))


def _least_change(verdict: str, result: _Tested | None) -> float:
    """By what share of itself a time changes at least, by its interval; 0: perhaps by nothing."""
    if result is None or result.low is None or result.high is None:
        return 0.0
    return max(result.low - 1 if verdict == SLOWER else 1 - result.high, 0.0)


def _findings(operations: list[NodeChange], ops: list[NodeChange]) -> list[NodeChange]:
    found = [change for change in operations if change.verdict != SAME]
    named = {(change.phase, change.op) for change in found}
    return _in_order(found + [op for op in ops if op.verdict in (SLOWER, FASTER) and (op.phase, op.op) not in named])


def _side(profiles: list[Profile]) -> Side:
    return Side(
        files=[item.path for item in profiles],
        commands=list(dict.fromkeys(command for item in profiles for command in item.commands)),
        ggml_versions=sorted({version for item in profiles for version in item.ggml_versions}),
        threads=sorted({item.threads for item in profiles}),
    )


def _listed(items: Iterable[object]) -> str:
    return ", ".join(map(str, items))
