"""What the executed nodes took: by op, and by thread."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ggml_viz.model.ahead import side_by_side
from ggml_viz.model.measured import Group, MeasuredNodes, group_by
from ggml_viz.model.records import shifted
from ggml_viz.model.trace import Process

# Below, sorting takes less than starting a thread.
_MANY_SPANS = 100_000


@dataclass(frozen=True, slots=True)
class OpTotal:
    """What the spans of one op add up to.

    Attributes:
        op: As ggml describes it; a fused group is named after its nodes: `RMS_NORM+MUL`.
        rows: Of the measured nodes, which are of this op.
        spans: Executed nodes or fused groups of nodes.
        seconds: From the first thread's begin until the closing barrier opens.
        work_s: Thread-seconds of work.
        wait_s: Thread-seconds at barriers, inside the node and at its end.
        p50_s: Half of the spans took at most so long.
        p99_s: And 99 of 100.
    """

    op: str
    rows: npt.NDArray[np.intp]
    spans: int
    seconds: float
    work_s: float
    wait_s: float
    p50_s: float
    p99_s: float


@dataclass(slots=True)
class WorkerTotal:
    """What one worker did in the runs that it could have worked in.

    Attributes:
        work_s: Time at work.
        wait_s: Time at barriers.
    """

    work_s: float = 0.0
    wait_s: float = 0.0


def op_totals(nodes: MeasuredNodes) -> list[OpTotal]:
    """Adds up executed nodes by op; what took longest comes first."""

    def total(group: Group) -> OpTotal:
        rows = group.rows
        p50_s, p99_s = quantiles(nodes.walls_s(rows), (0.50, 0.99))
        return OpTotal(
            op=group.key[0],
            rows=rows,
            spans=int(nodes.count[rows].sum()),
            seconds=float(nodes.wall_s[rows].sum()),
            work_s=float(nodes.work_s[rows].sum()),
            wait_s=float((nodes.inner_s[rows] + nodes.wait_s[rows]).sum()),
            p50_s=p50_s,
            p99_s=p99_s,
        )

    groups = group_by([nodes.op])
    # What has many spans first, so that two threads end at about the same time.
    groups.sort(key=lambda group: -int(nodes.count[group.rows].sum()))
    many = nodes.count.sum() > _MANY_SPANS
    return sorted(side_by_side(total, groups, 2 if many else 1), key=lambda op: -op.seconds)


def quantiles(walls_s: npt.NDArray[np.floating[Any]], shares: Sequence[float]) -> list[float]:
    """The times within which such shares of the spans were done (nearest rank); the array [n > 0] is reordered."""
    ranks = [max(int(np.ceil(share * len(walls_s))) - 1, 0) for share in shares]
    walls_s.partition(ranks)
    return [float(walls_s[rank]) for rank in ranks]


def worker_totals(processes: Sequence[Process]) -> dict[int, WorkerTotal]:
    """Adds up what each worker did, all processes together."""
    totals: dict[int, WorkerTotal] = {}
    for process in processes:
        workers = process.node_times.workers
        seconds = process.clock.seconds
        work_s = seconds(workers["work"].sum(axis=0, dtype=np.float64))
        wait_s = seconds((workers["inner"].astype(np.float64) + workers["wait"]).sum(axis=0))
        for number in np.flatnonzero(workers["count"].any(axis=0)).tolist():
            total = totals.setdefault(number, WorkerTotal())
            total.work_s += float(work_s[number])
            total.wait_s += float(wait_s[number])
    return dict(sorted(totals.items()))


def cpu_seconds(process: Process) -> float:
    """Time that the CPU backend spent on the runs of which nodes were recorded.

    That is in its splits, or, of a run whose splits are not known, in all of it.
    """
    runs, splits, seen = process.runs, process.splits, process.node_times.seen
    splits = splits[(splits["threads"] > 0) & np.isin(splits["run"], runs.number[seen])]
    unsplit = seen & ~np.isin(runs.number, splits["run"])
    seconds = process.clock.seconds
    return float(seconds(shifted(splits, "duration")).sum() + seconds(runs.duration[unsplit]).sum())
