"""How near the executed nodes came to what the machine can do.

The floor of a node is the least time that the machine could do it in: the larger of its operations over the peak of
operations and its bytes over the peak of bandwidth, each measured by `ggml-viz probe` with as many threads as the node
had. The formulae for operations and bytes are in `model.cost`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ggml_viz.analysis.throughput import phase_totals
from ggml_viz.machine import Machine, Peaks, machine_of
from ggml_viz.model.attribution import module_of
from ggml_viz.model.cost import kv_bytes
from ggml_viz.model.measured import MeasuredNodes, group_by
from ggml_viz.model.phases import DECODE, PHASES
from ggml_viz.model.records import STATUS_UNFINISHED
from ggml_viz.model.trace import Process, Trace

# What is beyond comes from a damaged trace.
_LEAST, _MOST = 1e-9, 1e24


@dataclass(frozen=True, slots=True)
class Attained:
    """What some executed nodes did, and how near that is to what the machine can do.

    Attributes:
        flops: Operations of all executions; None: of none of them is a formula known.
        bytes: Bytes that they moved; None likewise.
        gflops: Operations in 1e9 a second, of the nodes whose operations are modelled.
        gbps: Bytes in 1e9 a second, of the nodes whose bytes are modelled.
        floor_s: The least time in which the machine could have done the modelled nodes; None: its peaks are not known.
        floor_share: That as a share of what these took.
    """

    flops: float | None
    bytes: float | None
    gflops: float | None
    gbps: float | None
    floor_s: float | None
    floor_share: float | None


@dataclass(frozen=True, slots=True)
class GroupRow:
    """A layer or a role, in one phase.

    Attributes:
        phase: One of PHASES.
        name: `12` or, where stacks of layers are numbered alike, `encoder.12`; or a role: `ffn_down`. Empty: none.
        count: Executed nodes, a fused group counts as one.
        seconds: From the first thread's begin until the closing barrier opened, added up.
        share: Of the phase's time in nodes.
        work_s: Thread-seconds of work.
        wait_s: Thread-seconds at barriers.
        attained: How near the machine's limits.
    """

    phase: str
    name: str
    count: int
    seconds: float
    share: float
    work_s: float
    wait_s: float
    attained: Attained


@dataclass(frozen=True, slots=True)
class DecodeCeiling:
    """The most tokens per second that decoding could reach, as each token reads all active weights and the KV cache.

    Attributes:
        threads: That it was decoded with, whose bandwidth counts.
        bandwidth_gbps: The machine's peak with so many, in 1e9 bytes a second.
        weight_bytes: Read for one run of a graph, on average.
        kv_bytes: Read for one run, on average over the depths that there were.
        tokens_per_second: The ceiling.
        reached: Share of it that was: tokens per second as the report shows them over the ceiling.
    """

    threads: int
    bandwidth_gbps: float
    weight_bytes: float
    kv_bytes: float
    tokens_per_second: float
    reached: float


@dataclass(frozen=True, slots=True)
class Roofline:
    """What limits the trace's runs.

    Attributes:
        machine: What is known of the machine that it was recorded on; None: nothing is.
        modelled_share: Share of the time in nodes whose floor is known.
        floor_share: Floors as a share of the time of these; None: the peaks are not known.
        decode: The ceiling for decoding; None: nothing was decoded, or the peaks are not known.
    """

    machine: Machine | None
    modelled_share: float
    floor_share: float | None
    decode: DecodeCeiling | None


@dataclass(frozen=True, slots=True)
class Point:
    """An op in a role, in one phase: a point of a roofline.

    Attributes:
        phase: One of PHASES.
        op: As ggml describes it, a fused group by the names of all.
        role: Its role; empty: not known.
        seconds: What its executions took, of which operations and bytes are modelled.
        flops_per_byte: Operations over bytes, its arithmetic intensity.
        flops_per_s: Operations over time.
    """

    phase: str
    op: str
    role: str
    seconds: float
    flops_per_byte: float
    flops_per_s: float


class Limits:
    """The floors of measured nodes, on the machine that they were recorded on.

    Args:
        trace: The trace.
    """

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._nodes = trace.measured
        self.machine = machine_of(trace.file)
        self._floor_s, self._memory_s = _floors(self._nodes, self.machine)

    def attained(self, rows: npt.NDArray[np.intp]) -> Attained:
        """What the rows (indices) of the measured nodes attained, all together."""
        nodes = self._nodes
        count, wall_s = nodes.count[rows], nodes.wall_s[rows]
        flops, flops_s = _sum_known(nodes.flops[rows] * count, wall_s)
        moved, moved_s = _sum_known(nodes.bytes[rows] * count, wall_s)
        floor_s, floor_of_s = _sum_known(self._floor_s[rows] * count, wall_s)
        return Attained(
            flops=flops,
            bytes=moved,
            gflops=_rate(flops, flops_s),
            gbps=_rate(moved, moved_s),
            floor_s=floor_s,
            floor_share=floor_s / floor_of_s if floor_s is not None and floor_of_s else None,
        )

    def bound_by_memory(self, rows: npt.NDArray[np.intp]) -> bool:
        """Whether the floors of the rows come from their bytes rather than from their operations."""
        return bool(self._memory_s[rows].sum() > 0.5 * np.nansum(self._floor_s[rows]))

    def peak_gbps(self, rows: npt.NDArray[np.intp]) -> float:
        """The peak of bandwidth with the rows' threads, in 1e9 bytes a second; 0: it is not known."""
        threads = max(int(self._nodes.threads[rows].max(initial=1)), 1)
        known = self.machine is not None and self.machine.peaks
        return self.machine.at(threads).bandwidth_bytes_per_s * 1e-9 if self.machine and known else 0.0

    def roofline(self) -> Roofline:
        """What limits all runs together."""
        known = np.isfinite(self._floor_s)
        wall_s = float(self._nodes.wall_s.sum())
        known_s = float(self._nodes.wall_s[known].sum())
        return Roofline(
            machine=self.machine,
            modelled_share=known_s / wall_s if wall_s else 0.0,
            floor_share=self.attained(np.arange(len(self._nodes))).floor_share,
            decode=_decode_ceiling(self._trace, self.machine),
        )

    def points(self, chosen: npt.NDArray[np.bool_]) -> list[Point]:
        """A point for each phase, op and role of the chosen [rows] that compute and move something; longest first."""
        nodes = self._nodes
        flops, moved = nodes.flops * nodes.count, nodes.bytes * nodes.count
        # Not known is NaN, which is not more than anything.
        chosen = chosen & (flops > 0) & (flops < _MOST) & (moved > 0) & (moved < _MOST) & (nodes.wall_s > 0)
        points = []
        for group in group_by([nodes.phase, nodes.op, nodes.role]):
            rows = group.rows[chosen[group.rows]]
            if len(rows):
                phase, op, role = group.key
                seconds, operations = float(nodes.wall_s[rows].sum()), float(flops[rows].sum())
                point = Point(phase, op, role, seconds, operations / float(moved[rows].sum()), operations / seconds)
                if all(_LEAST < value < _MOST for value in (point.flops_per_byte, point.flops_per_s)):
                    points.append(point)
        return sorted(points, key=lambda point: -point.seconds)

    def layers(self) -> list[GroupRow]:
        """The layers of each phase, in order, those nodes last that belong to none."""
        rows = self._rows([self._nodes.phase, _modules(self._nodes), self._nodes.layer], _layer_name)
        return sorted(rows, key=lambda row: (PHASES.index(row.phase), not row.name, *_layer_order(row.name)))

    def roles(self) -> list[GroupRow]:
        """The roles of each phase, what took longest first."""
        rows = self._rows([self._nodes.phase, self._nodes.role], lambda key: str(key[0]))
        return sorted(rows, key=lambda row: (PHASES.index(row.phase), -row.seconds))

    def _rows(self, columns: Sequence[Any], name: Any) -> list[GroupRow]:
        nodes = self._nodes
        phase_s = np.bincount(nodes.phase.codes, weights=nodes.wall_s, minlength=len(PHASES))
        found = []
        for group in group_by(columns):
            rows, seconds = group.rows, float(nodes.wall_s[group.rows].sum())
            whole_s = float(phase_s[PHASES.index(group.key[0])])
            found.append(
                GroupRow(
                    phase=group.key[0],
                    name=name(group.key[1:]),
                    count=int(nodes.count[rows].sum()),
                    seconds=seconds,
                    share=seconds / whole_s if whole_s else 0.0,
                    work_s=float(nodes.work_s[rows].sum()),
                    wait_s=float((nodes.inner_s + nodes.wait_s)[rows].sum()),
                    attained=self.attained(rows),
                )
            )
        return found


def _modules(nodes: MeasuredNodes) -> npt.NDArray[Any]:
    """The stack of layers of each row, as text: object array [rows]."""
    modules = np.array([*(module_of(role) for role in nodes.role.values), ""], object)
    found: npt.NDArray[Any] = modules[nodes.role.codes].astype(str)
    return found


def _layer_name(key: tuple[Any, ...]) -> str:
    module, layer = key
    if layer < 0:
        return ""
    return f"{module}.{layer}" if module else str(layer)


def _layer_order(name: str) -> tuple[str, int]:
    module, _, number = name.rpartition(".")
    return module, int(number or 0)


def _floors(nodes: MeasuredNodes, machine: Machine | None) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The floors of one execution of each row, in seconds: array [rows], NaN where not known.

    Returns:
        The floors, and the same where they come from bytes, else 0.
    """
    floors, by_memory = np.full(len(nodes), np.nan), np.zeros(len(nodes))
    if machine is None or not machine.peaks:
        return floors, by_memory
    for threads in np.unique(nodes.threads).tolist():
        mine = nodes.threads == threads
        peaks = machine.at(max(threads, 1))
        compute_s, memory_s = _least(peaks, nodes.flops[mine], nodes.bytes[mine], nodes.integer[mine])
        floors[mine] = np.fmax(compute_s, memory_s)
        by_memory[mine] = np.where(memory_s >= np.nan_to_num(compute_s), memory_s, 0)
    return floors, by_memory


def _least(
    peaks: Peaks, flops: npt.NDArray[np.float64], moved: npt.NDArray[np.float64], integer: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The least time that operations [n] take by themselves, and that bytes [n] do, in seconds."""
    rate = np.where(integer, max(peaks.int8_ops_per_s, peaks.flops_per_s), peaks.flops_per_s)
    return flops / rate, moved / peaks.bandwidth_bytes_per_s


def floor_s(machine: Machine | None, threads: int, flops: float, moved: float, integer: bool) -> float | None:
    """The floor of one execution of a node; None: it is not known.

    Args:
        machine: The machine.
        threads: That worked on the node.
        flops: Its operations, NaN: not modelled.
        moved: The bytes that it moves, NaN: not modelled.
        integer: Whether it is a product of quantized weights.
    """
    if machine is None or not machine.peaks:
        return None
    of_one = np.array([flops]), np.array([moved]), np.array([integer])
    floor = float(np.fmax(*_least(machine.at(max(threads, 1)), *of_one))[0])
    return floor if math.isfinite(floor) else None


def _sum_known(values: npt.NDArray[np.float64], wall_s: npt.NDArray[np.float64]) -> tuple[float | None, float]:
    """The sum of what is known, None if nothing is; and the time of these."""
    known = np.isfinite(values)
    return (float(values[known].sum()), float(wall_s[known].sum())) if known.any() else (None, 0.0)


def _rate(amount: float | None, seconds: float) -> float | None:
    return amount / seconds * 1e-9 if amount is not None and seconds else None


def _decode_ceiling(trace: Trace, machine: Machine | None) -> DecodeCeiling | None:
    if machine is None or not machine.peaks:
        return None
    least_s = runs = tokens = threads = 0.0
    weights = kv = passing_s = 0.0
    for process in trace.watched:
        total = phase_totals([process]).get(DECODE)
        if total is None or not total.tokens:
            continue
        passing_s += total.seconds
        tokens += total.tokens
        for graph, count, used in _decoded(process):
            peaks = machine.at(max(used, 1))
            of_weights = float(process.costs[graph].weight_bytes.sum())
            of_kv = float(kv_bytes(process.graphs[graph]).read_bytes)
            least_s += count * (of_weights + of_kv) / peaks.bandwidth_bytes_per_s
            weights += count * of_weights
            kv += count * of_kv
            runs += count
            threads = max(threads, used)
    if not runs or not least_s or not passing_s:
        return None
    ceiling = tokens / least_s
    return DecodeCeiling(
        threads=int(threads),
        bandwidth_gbps=machine.at(max(int(threads), 1)).bandwidth_bytes_per_s * 1e-9,
        weight_bytes=weights / runs,
        kv_bytes=kv / runs,
        tokens_per_second=ceiling,
        reached=tokens / passing_s / ceiling,
    )


def _decoded(process: Process) -> list[tuple[int, int, int]]:
    """The graphs that were decoded with: number, finished runs, the most threads of one."""
    runs = process.runs
    chosen = (runs.phase == PHASES.index(DECODE)) & (runs.status != STATUS_UNFINISHED)
    found = []
    for graph in np.unique(runs.graph[chosen]).tolist():
        mine = chosen & (runs.graph == graph)
        if graph in process.graphs:
            found.append((graph, int(np.count_nonzero(mine)), int(runs.threads[mine].max())))
    return found
