"""What stands out in a trace, in plain words: each rule is a function over the analyses.

A rule says what it saw, what that cost as it was measured, and what to do about it. Where the cost is the time that
something took, and doing without would still take some, it is an upper bound and called so. A run that is as it should
be has no findings: the limits below are where a difference begins to be worth somebody's time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ggml_viz.analysis.elsewhere import weights_elsewhere
from ggml_viz.analysis.roofline import Limits
from ggml_viz.analysis.threads import PhaseThreads, Threads
from ggml_viz.analysis.throughput import phase_totals
from ggml_viz.model.measured import MeasuredNodes, group_by
from ggml_viz.model.phases import DECODE, PHASES
from ggml_viz.model.records import STATUS_UNFINISHED, shifted
from ggml_viz.model.trace import Process, Trace

HIGH, MEDIUM, LOW = SEVERITIES = ("high", "medium", "low")

# Below this share of a phase's time nothing is worth a finding.
_WORTH = 0.05
# Threads of a healthy run on a busy machine wait up to a fifth of their time.
_WAITING = 0.25
_FAR_BELOW = 0.20
# What moves less in one execution is held up by other things than bandwidth.
_MUCH_BYTES = 100_000
_BULK = 0.10
_ATTENTION = 0.10
_BETWEEN_RUNS = 0.15
_MANY_RUNS = 16
_COLD_S, _COLD_TIMES = 0.1, 2.0
_OVERHEAD = 0.02


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that stands out.

    Attributes:
        rule: Which rule found it.
        severity: One of SEVERITIES, by its cost.
        phase: In which phase; empty: in all of the recording.
        sentence: What is so, in one sentence.
        evidence: The figures that it is told from.
        advice: What to do.
        cost_s: Seconds that it cost.
        cost_share: These as a share of the phase's time, or of all time in graphs.
        cost_tokens_per_second: By how much the phase would be faster without; None: it has no tokens.
        at_most: Whether the cost is an upper bound.
    """

    rule: str
    severity: str
    phase: str
    sentence: str
    evidence: str
    advice: str
    cost_s: float
    cost_share: float
    cost_tokens_per_second: float | None
    at_most: bool


class Evidence:
    """What the rules look at.

    Args:
        trace: The trace.
        threads: What its workers did.
        limits: How near the machine's limits its nodes came.
        records: Records in it.
        lost: Records that are missing.
        overhead: What recording cost, as a share of the threads' time.
    """

    def __init__(
        self, trace: Trace, threads: Threads, limits: Limits, records: int, lost: int, overhead: float
    ) -> None:
        self.trace = trace
        self.threads = threads
        self.limits = limits
        self.records = records
        self.lost = lost
        self.overhead = overhead
        self.phases = phase_totals(trace.watched)

    @property
    def nodes(self) -> MeasuredNodes:
        """The executed nodes."""
        return self.trace.measured

    def found(
        self,
        rule: str,
        phase: str,
        cost_s: float,
        sentence: str,
        evidence: str,
        advice: str,
        *,
        at_most: bool = True,
        worth: float = _WORTH,
    ) -> Iterator[Finding]:
        """Yields a finding, if it cost enough to be one.

        Args:
            rule: Which rule.
            phase: In which phase.
            cost_s: Seconds that it cost.
            sentence: What is so.
            evidence: The figures.
            advice: What to do.
            at_most: Whether the cost is an upper bound.
            worth: The share of the phase's time from which on it is worth a finding.
        """
        total = self.phases.get(phase)
        if total is None or not total.seconds:
            return
        share = min(cost_s / total.seconds, 1.0)
        if share < worth:
            return
        rest_s = total.seconds - cost_s
        gain = total.tokens / rest_s - total.tokens / total.seconds if total.tokens and rest_s > 0 else None
        severity = HIGH if share >= 0.25 else MEDIUM if share >= 0.10 else LOW
        yield Finding(rule, severity, phase, sentence, evidence, advice, cost_s, share, gain, at_most)


def find(evidence: Evidence) -> list[Finding]:
    """Asks all rules; what costs most comes first."""
    found = [finding for rule in RULES for finding in rule(evidence)]
    return sorted(found, key=lambda finding: (SEVERITIES.index(finding.severity), -finding.cost_share))


def _percent(share: float) -> str:
    return f"{share * 100:.0f} %"


def _oversubscribed(phase: PhaseThreads) -> bool:
    return 0 < phase.cpus < phase.threads


def too_many_threads(evidence: Evidence) -> Iterator[Finding]:
    """More threads than CPUs: they wait for those that the system does not let run."""
    for phase in evidence.threads.phases:
        if _oversubscribed(phase):
            yield from evidence.found(
                "too-many-threads",
                phase.phase,
                phase.wait_s / phase.threads,
                f"{phase.threads} threads compute on {phase.cpus} CPUs, so they wait for each other at barriers",
                f"{_percent(phase.waiting)} of the threads' time passed at barriers",
                f"use -t {phase.cpus}",
                worth=0.0,
            )


def barrier_waits(evidence: Evidence) -> Iterator[Finding]:
    """Threads that wait at barriers for the slowest of them."""
    for phase in evidence.threads.phases:
        if phase.threads < 2 or _oversubscribed(phase) or phase.waiting < _WAITING:
            continue
        as_fast = f"{phase.enough} would have been as fast" if phase.enough < phase.threads else ""
        yield from evidence.found(
            "barrier-waits",
            phase.phase,
            phase.wait_s / phase.threads,
            f"{phase.threads} threads wait for each other {_percent(phase.waiting)} of their time",
            f"{phase.work_s:.3g} thread-seconds at work, {phase.wait_s:.3g} at barriers",
            f"try -t {phase.enough} ({as_fast})" if as_fast else "leave CPUs to it that nothing else uses",
        )


def weights_are_elsewhere(evidence: Evidence) -> Iterator[Finding]:
    """Nodes that the CPU computes although the weights of their layer lie in another backend's memory."""
    nodes = evidence.nodes
    stranded = weights_elsewhere(evidence.trace)
    for rows, op, phase in _by_op_and_phase(nodes, stranded):
        layers = np.unique(nodes.layer[rows])
        attention = op.startswith("FLASH_ATTN")
        yield from evidence.found(
            "flash-attention-on-cpu" if attention else "op-on-cpu",
            phase,
            float(nodes.wall_s[rows].sum()),
            f"{op} of {_counted(layers)} is computed on the CPU, its weights are in another backend's memory",
            f"roles {', '.join(_roles(nodes, rows))}",
            "look whether the backend has it for this KV cache type and head size (-ctk, -ctv, -fa)"
            if attention
            else "keep these layers on the CPU (-ngl), or use a build whose backend has this op",
        )


def no_flash_attention(evidence: Evidence) -> Iterator[Finding]:
    """Attention computed by products and a soft-max of its own."""
    nodes = evidence.nodes
    fused = np.isin(nodes.op.codes, [i for i, op in enumerate(nodes.op.values) if op.startswith("FLASH_ATTN")])
    parts = ("kq", "kq_soft_max", "kq_soft_max_ext", "kqv")
    of_attention = [i for i, role in enumerate(nodes.role.values) if role.split(".")[-1] in parts]
    attention = np.isin(nodes.role.codes, of_attention)
    for code, phase in enumerate(nodes.phase.values):
        mine = nodes.phase.codes == code
        if (mine & fused).any() or not (mine & attention).any():
            continue
        yield from evidence.found(
            "no-flash-attention",
            phase,
            float(nodes.wall_s[mine & attention].sum()),
            "attention is computed without flash attention",
            f"products and soft-max take {_percent(_share(nodes, mine & attention, mine))} of the time in nodes",
            "try -fa on",
            worth=_ATTENTION,
        )


def below_the_roofline(evidence: Evidence) -> Iterator[Finding]:
    """Roles of a decode that read weights far more slowly than the machine can."""
    nodes, limits = evidence.nodes, evidence.limits
    for group in group_by([nodes.phase, nodes.role]):
        phase, role = group.key
        rows, total = group.rows[nodes.bytes[group.rows] >= _MUCH_BYTES], evidence.phases.get(phase)
        if phase != DECODE or total is None or not total.seconds or not len(rows):
            continue
        seconds, attained = float(nodes.wall_s[rows].sum()), limits.attained(rows)
        if attained.floor_s is None or attained.floor_share is None or seconds < _BULK * total.seconds:
            continue
        if attained.floor_share < _FAR_BELOW and limits.bound_by_memory(rows):
            yield from evidence.found(
                "below-the-roofline",
                phase,
                seconds - attained.floor_s,
                f"{role or 'what has no name'} reaches {_percent(attained.floor_share)} of the memory bandwidth",
                f"{attained.gbps or 0:.3g} GB/s, measured peak {limits.peak_gbps(rows):.3g} GB/s",
                "compare with another -t, and look whether something else uses the memory",
            )


def splits_and_copies(evidence: Evidence) -> Iterator[Finding]:
    """Tensors copied between backends while a graph is computed."""
    cost_s, count, splits, runs = (np.zeros(len(PHASES)) for _ in range(4))
    for process in evidence.trace.watched:
        copies = process.copies
        between = copies[(copies["from"] != 0) & (copies["to"] != 0) & (copies["from"] != copies["to"])]
        index = np.searchsorted(process.runs.number, between["run"])
        known = index < len(process.runs)
        known[known] &= process.runs.number[index[known]] == between["run"][known]
        phase = process.runs.phase[index[known]]
        seconds = process.clock.seconds(shifted(between, "duration"))[known]
        cost_s += np.bincount(phase, seconds, len(PHASES))
        count += np.bincount(phase, minlength=len(PHASES))
        splits += np.bincount(process.runs.phase, process.runs.splits, len(PHASES))
        runs += np.bincount(process.runs.phase, minlength=len(PHASES))
    for number, phase in enumerate(PHASES):
        if count[number] and phase in evidence.phases:
            share = _percent(cost_s[number] / max(evidence.phases[phase].seconds, 1e-9))
            yield from evidence.found(
                "splits-and-copies",
                phase,
                float(cost_s[number]),
                f"each graph is cut into {splits[number] / runs[number]:.0f} splits, between which tensors are copied",
                f"{count[number] / runs[number]:.1f} copies a graph take {share} of the time",
                "put whole layers on one backend (-ngl, -ot), so that less passes between them",
                at_most=False,
            )


def graphs_rebuilt(evidence: Evidence) -> Iterator[Finding]:
    """A new graph for each token, and time that passes between graphs."""
    for number, phase in enumerate(PHASES):
        runs = graphs = 0
        inside_s = 0.0
        for process in evidence.trace.watched:
            mine = process.runs.phase == number
            runs += int(np.count_nonzero(mine))
            graphs += len(np.unique(process.runs.graph[mine]))
            inside_s += float(process.clock.seconds(process.runs.duration[mine]).sum())
        if runs >= _MANY_RUNS and graphs > runs / 2 and phase in evidence.phases:
            yield from evidence.found(
                "graphs-rebuilt",
                phase,
                evidence.phases[phase].seconds - inside_s,
                "nearly every token computes another graph, which is built anew between two runs",
                f"{graphs} different graphs in {runs} runs",
                "use a version that keeps the graph where its shapes stay the same",
                worth=_BETWEEN_RUNS,
            )


def first_run_cold(evidence: Evidence) -> Iterator[Finding]:
    """The first run of a graph takes longer than those that follow: weights come from disk, memory is touched first."""
    for number, phase in enumerate(PHASES):
        worst_s, typical_s = 0.0, 0.0
        for process in evidence.trace.watched:
            for first_s, median_s in _first_runs(process, number):
                if first_s - median_s > worst_s - typical_s:
                    worst_s, typical_s = first_s, median_s
        if typical_s and worst_s - typical_s >= _COLD_S and worst_s >= _COLD_TIMES * typical_s:
            yield from evidence.found(
                "first-run-cold",
                phase,
                worst_s - typical_s,
                f"the first run takes {worst_s / typical_s:.1f} times as long as those that follow",
                f"{worst_s:.3g} s, later {typical_s:.3g} s",
                "leave the first run out when you measure; --mlock or a warm-up run keeps weights in memory",
                at_most=False,
            )


def capture_is_not_whole(evidence: Evidence) -> Iterator[Finding]:
    """Records that are missing, and recording that was felt."""
    seconds = sum(total.seconds for total in evidence.phases.values())
    trace = evidence.trace
    distorting = any(note.level == 2 for p in trace.watched for note in p.file.definitions.notes)
    if evidence.lost:
        share = evidence.lost / (evidence.lost + evidence.records)
        yield Finding(
            "records-lost",
            HIGH if share >= 0.01 else LOW,
            "",
            f"{evidence.lost} records are missing, so sums over nodes are too small",
            f"{_percent(share)} of all records" if share >= 0.005 else f"{share * 100:.2g} % of all records",
            "record less (--detail op, --ops), or give the recorder a CPU of its own",
            0.0,
            share,
            None,
            False,
        )
    if distorting or evidence.overhead >= _OVERHEAD:
        yield Finding(
            "capture-distorts",
            HIGH if distorting else MEDIUM,
            "",
            "each node was computed by itself, which takes longer than usual"
            if distorting
            else f"recording took {evidence.overhead * 100:.1f} % of the threads' time",
            "--per-node-sync was on" if distorting else "nodes are short, and each costs a record on each thread",
            "take times from a recording without --per-node-sync" if distorting else "record with --detail op",
            0.0 if distorting else evidence.overhead * seconds,
            0.0 if distorting else evidence.overhead,
            None,
            False,
        )


RULES = (
    too_many_threads,
    barrier_waits,
    weights_are_elsewhere,
    no_flash_attention,
    below_the_roofline,
    splits_and_copies,
    graphs_rebuilt,
    first_run_cold,
    capture_is_not_whole,
)


def _counted(layers: npt.NDArray[np.int32]) -> str:
    """Which layers, in few words."""
    if len(layers) == 1:
        return f"layer {layers[0]}"
    return f"{len(layers)} layers ({layers[0]} to {layers[-1]})"


def _share(nodes: MeasuredNodes, part: npt.NDArray[np.bool_], whole: npt.NDArray[np.bool_]) -> float:
    whole_s = float(nodes.wall_s[whole].sum())
    return float(nodes.wall_s[part].sum()) / whole_s if whole_s else 0.0


def _roles(nodes: MeasuredNodes, rows: npt.NDArray[np.intp]) -> Sequence[str]:
    roles = sorted({nodes.role[int(row)] or "unnamed" for row in rows[:1000]})
    return [*roles[:3], "…"] if len(roles) > 3 else roles


def _by_op_and_phase(
    nodes: MeasuredNodes, chosen: npt.NDArray[np.bool_]
) -> Iterator[tuple[npt.NDArray[np.intp], str, str]]:
    rows = np.flatnonzero(chosen)
    for group in group_by([nodes.op[rows], nodes.phase[rows]]):
        yield rows[group.rows], *group.key


def _first_runs(process: Process, phase: int) -> Iterator[tuple[float, float]]:
    """For each graph that ran several times in a phase: seconds of its first run, median of the others."""
    runs = process.runs
    mine = np.flatnonzero((runs.phase == phase) & (runs.status != STATUS_UNFINISHED))
    for group in group_by([runs.graph[mine]]):
        rows = mine[group.rows]
        if len(rows) > 2:
            seconds = process.clock.seconds(runs.duration[rows])
            first = int(np.argmin(runs.begin[rows]))
            yield float(seconds[first]), float(np.median(np.delete(seconds, first)))
