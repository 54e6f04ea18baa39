"""What the workers of the CPU backend did: work and waits, by worker and by op, and how many of them it took."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from ggml_viz.model.trace import Trace


@dataclass(frozen=True, slots=True)
class OpThreads:
    """What the workers did in one op.

    Attributes:
        op: As ggml describes it.
        work_s: Thread-seconds at work.
        inner_s: Thread-seconds at barriers inside the op's nodes.
        wait_s: Thread-seconds at the barriers that end them.
        imbalance: Work of the busiest worker over the mean of all that the runs had; 1: it is even.
    """

    op: str
    work_s: float
    inner_s: float
    wait_s: float
    imbalance: float


@dataclass(frozen=True, slots=True)
class PhaseThreads:
    """What the workers did in the runs of one phase.

    Attributes:
        phase: One of PHASES.
        threads: The most that a run had.
        cpus: That the machine has.
        seconds: In nodes, from the first thread's begin until the closing barrier opened.
        work_s: Thread-seconds at work in them.
        wait_s: Thread-seconds at barriers.
        enough: The fewest threads that could do as much work in that time, if the work divided evenly and took no
            longer: the mean number at work, rounded up, and no more than there are CPUs.
    """

    phase: str
    threads: int
    cpus: int
    seconds: float
    work_s: float
    wait_s: float
    enough: int

    @property
    def waiting(self) -> float:
        """Share of the threads' time that they waited."""
        whole = self.work_s + self.wait_s
        return self.wait_s / whole if whole else 0.0


@dataclass(frozen=True, slots=True)
class Threads:
    """What all workers did.

    Attributes:
        ops: By op, longest work first.
        phases: By phase.
    """

    ops: list[OpThreads] = field(default_factory=list)
    phases: list[PhaseThreads] = field(default_factory=list)


def threads_of(trace: Trace) -> Threads:
    """Adds up what workers did, by op and by phase."""
    return Threads(_ops(trace), _phases(trace))


def _ops(trace: Trace) -> list[OpThreads]:
    work: dict[str, npt.NDArray[np.float64]] = {}
    waits: defaultdict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for process in trace.watched:
        workers, seconds = process.node_times.workers, process.clock.seconds
        for code, op in enumerate(process.places.ops):
            row = workers[code]
            if not row["count"].any():
                continue
            mine = seconds(row["work"])
            before = work.get(op, np.zeros(0))
            both = np.zeros(max(len(mine), len(before)))
            both[: len(mine)] += mine
            both[: len(before)] += before
            work[op] = both
            waits[op][0] += float(seconds(row["inner"]).sum())
            waits[op][1] += float(seconds(row["wait"]).sum())
    ops = [
        OpThreads(
            op=op,
            work_s=float(each.sum()),
            inner_s=waits[op][0],
            wait_s=waits[op][1],
            imbalance=float(each.max() / each.mean()) if each.any() else 1.0,
        )
        for op, each in work.items()
    ]
    return sorted(ops, key=lambda row: -row.work_s)


def _phases(trace: Trace) -> list[PhaseThreads]:
    nodes = trace.measured
    phases = []
    for code, phase in enumerate(nodes.phase.values):
        mine = nodes.phase.codes == code
        if not mine.any():
            continue
        seconds, work_s = float(nodes.wall_s[mine].sum()), float(nodes.work_s[mine].sum())
        cpus = min((p.file.definitions.info.cpus for p in trace.watched if p.file.definitions.info.cpus), default=0)
        threads = int(nodes.threads[mine].max(initial=0))
        at_work = math.ceil(work_s / seconds - 0.05) if seconds else threads
        phases.append(
            PhaseThreads(
                phase=phase,
                threads=threads,
                cpus=cpus,
                seconds=seconds,
                work_s=work_s,
                wait_s=float((nodes.inner_s + nodes.wait_s)[mine].sum()),
                enough=max(1, min(at_work, threads, cpus or threads)),
            )
        )
    return phases
