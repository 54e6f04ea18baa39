"""What a trace amounts to: the data of `report`, and of its JSON, whose keys are a contract."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np

from ggml_viz.analysis.contents import command_line, end_of, wall_time
from ggml_viz.analysis.findings import Evidence, Finding, find
from ggml_viz.analysis.memory import Memory, memory_use
from ggml_viz.analysis.operations import OpTotal, cpu_seconds, op_totals, quantiles, worker_totals
from ggml_viz.analysis.roofline import GroupRow, Limits, Roofline
from ggml_viz.analysis.threads import Threads, threads_of
from ggml_viz.analysis.throughput import PhaseTotal, phase_totals
from ggml_viz.model.nodes import UNKNOWN_OP
from ggml_viz.model.records import STATUS_UNFINISHED, shifted
from ggml_viz.model.trace import Process, Trace
from ggml_viz.trace.definitions import DETAIL_NAMES, NOTE_DISTORTING, NOTE_FILTER, NOTE_INFORMATION, NOTE_NOT_SEEN

SCHEMA = 1
APPLICATION = "application"


@dataclass(frozen=True, slots=True)
class ProcessSummary:
    """Who was watched and how.

    Attributes:
        pid: Process id; 0 if unknown.
        command: Its command line.
        ggml_version: Of each copy of ggml in it; empty if that does not tell.
        method: How the agent came in; empty if unknown.
        detail: `thread`, `op` or `graph`.
        distorting: Whether watching changed what was watched.
        filters: What was recorded where not all was, on request.
        not_seen: What could not be seen and why.
        end: `ended`; `detached`: the recording stopped before the process; `abnormal`: it died in a run; `cut`: the
            trace does not say.
        threads: The most CPU threads that worked on one graph.
    """

    pid: int
    command: str
    ggml_version: str
    method: str
    detail: str
    distorting: bool
    filters: list[str]
    not_seen: list[str]
    end: str
    threads: int


@dataclass(frozen=True, slots=True)
class TraceSummary:
    """The recording itself.

    Attributes:
        path: The file.
        format: Its version.
        started: When, ISO 8601 in UTC; empty if unknown.
        duration_s: From then to the last that was heard of any process.
        records: In the file.
        lost: Records that are missing: overwritten before they were read, or no ring was free for them. Of a file of
            version 1 that is not known, and 0; as is the overhead.
        skipped: Records left out on request.
        let_go: Older records that newer ones took the place of, to keep the file within its limit.
        damage: What ends the readable part of the file before its end.
        processes: Who was watched.
    """

    path: str
    format: int
    started: str
    duration_s: float
    records: int
    lost: int
    skipped: int
    let_go: int
    damage: str | None
    processes: list[ProcessSummary]


@dataclass(frozen=True, slots=True)
class Overhead:
    """What recording cost the program.

    Attributes:
        ns_per_record: To record one node on one thread, measured in the process; the mean over processes.
        share: Of the threads' time inside graphs.
    """

    ns_per_record: float
    share: float


@dataclass(frozen=True, slots=True)
class GraphCounts:
    """How many.

    Attributes:
        runs: Graphs computed.
        definitions: Distinct graphs.
        nodes: Nodes executed in all runs; a fused pair is two.
    """

    runs: int
    definitions: int
    nodes: int


@dataclass(frozen=True, slots=True)
class GraphTime:
    """How long graphs took, by those runs that ended.

    Attributes:
        seconds: All together.
        p50_us: Half of them took at most so long.
        p99_us: And 99 of 100.
    """

    seconds: float
    p50_us: float
    p99_us: float


@dataclass(frozen=True, slots=True)
class UntimedOp:
    """One op of the graphs that were computed, where only graphs were timed.

    Attributes:
        op: Its name.
        count: Nodes of all runs; which of them took any time is not known.
    """

    op: str
    count: int


@dataclass(frozen=True, slots=True)
class PhaseSummary:
    """One phase; `analysis.throughput` says what its time is.

    Attributes:
        phase: One of PHASES.
        runs: Graphs computed.
        tokens: That went through the model.
        seconds: Its time.
        tokens_per_second: None where no tokens were seen.
    """

    phase: str
    runs: int
    tokens: int
    seconds: float
    tokens_per_second: float | None


@dataclass(frozen=True, slots=True)
class OpSummary:
    """One op, over all runs.

    Attributes:
        op: As ggml describes it; a fused pair is `RMS_NORM+MUL`.
        count: Spans: executed nodes, or fused groups of nodes.
        seconds: Wall time from the first thread's begin until the closing barrier opens.
        work_s: Thread-seconds of work.
        wait_s: Thread-seconds at barriers, inside the node and at its end.
        share: Of the time inside graphs.
        p50_us: Half of the spans took at most so long.
        p99_us: And 99 of 100.
        flops: Operations of all of them; None: not modelled. `analysis.roofline` says whence this and the rest come.
        bytes: Bytes that they moved; None: not modelled.
        gflops: 1e9 operations a second.
        gbps: 1e9 bytes a second.
        floor_share: The least time in which the machine could have done it, as a share of what it took; None: its peaks
            are not known.
    """

    op: str
    count: int
    seconds: float
    work_s: float
    wait_s: float
    share: float
    p50_us: float
    p99_us: float
    flops: float | None
    bytes: float | None
    gflops: float | None
    gbps: float | None
    floor_share: float | None


@dataclass(frozen=True, slots=True)
class ThreadSummary:
    """One worker of the CPU backend, over all runs.

    Attributes:
        worker: Its index; 0 is the thread that called.
        work_s: Time at work.
        wait_s: Time at barriers, inside nodes and at their end.
        busy: Work as a share of the time that the CPU backend spent on graphs; where nodes were filtered, on those.
    """

    worker: int
    work_s: float
    wait_s: float
    busy: float


@dataclass(frozen=True, slots=True)
class BackendSummary:
    """One backend.

    Attributes:
        backend: Its name.
        runs: That it computed a part of.
        splits: The parts.
        seconds: The calls into it took.
        timed: What `seconds` covers: "computation" where the call computes before it returns, which is known of the
            CPU; else "call", because a backend may compute after the call that submitted the split has returned.
    """

    backend: str
    runs: int
    splits: int
    seconds: float
    timed: str


@dataclass(frozen=True, slots=True)
class CopySummary:
    """Bytes moved into, out of and between tensors. In JSON its ends are `from` and `to`.

    Attributes:
        source: Buffer type, or `application` for the program's own memory.
        target: The same.
        count: Copies.
        bytes: They moved.
        seconds: They took; of asynchronous ones, submitting them.
    """

    source: str
    target: str
    count: int
    bytes: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Summary:
    """The data of a report."""

    trace: TraceSummary
    overhead: Overhead
    graphs: GraphCounts
    graph_time: GraphTime
    phases: list[PhaseSummary]
    ops: list[OpSummary]
    untimed_ops: list[UntimedOp]
    threads: list[ThreadSummary]
    backends: list[BackendSummary]
    copies: list[CopySummary]
    memory: Memory
    layers: list[GroupRow]
    roles: list[GroupRow]
    roofline: Roofline
    thread_use: Threads
    findings: list[Finding]

    def to_json(self) -> dict[str, Any]:
        """Schema 1 of `report --json`."""
        data = dataclasses.asdict(self)
        for copy in data["copies"]:
            copy["from"], copy["to"] = copy.pop("source"), copy.pop("target")
        for name in ("layers", "roles"):
            for row in data[name]:
                row[name.removesuffix("s")] = row.pop("name")
                row |= row.pop("attained")
        return {"schema": SCHEMA, **data}


def summarize(trace: Trace) -> Summary:
    """Adds up a trace."""
    ops = op_totals(trace.measured)
    summary, overhead = _trace(trace), _overhead(trace)
    limits, threads = Limits(trace), threads_of(trace)
    evidence = Evidence(trace, threads, limits, summary.records, summary.lost, overhead.share)
    return Summary(
        trace=summary,
        overhead=overhead,
        graphs=GraphCounts(
            runs=sum(len(process.runs) for process in trace.watched),
            definitions=sum(len(process.file.definitions.graphs) for process in trace.watched),
            nodes=sum(process.node_times.executed for process in trace.watched),
        ),
        graph_time=_graph_time(trace),
        phases=_phases(trace),
        ops=_ops(ops, limits, _graph_seconds(trace)),
        untimed_ops=[] if ops else _untimed_ops(trace),
        threads=_threads(trace, ops, summary.processes),
        backends=_backends(trace),
        copies=_copies(trace),
        memory=memory_use(trace),
        layers=limits.layers(),
        roles=limits.roles(),
        roofline=limits.roofline(),
        thread_use=threads,
        findings=find(evidence),
    )


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def _graph_seconds(trace: Trace) -> float:
    return sum(float(process.clock.seconds(process.runs.duration).sum()) for process in trace.watched)


def _graph_time(trace: Trace) -> GraphTime:
    took = np.concatenate(
        [
            np.empty(0),
            *(
                process.clock.seconds(process.runs.duration[process.runs.status != STATUS_UNFINISHED])
                for process in trace.watched
            ),
        ]
    )
    p50_s, p99_s = quantiles(took, (0.50, 0.99)) if len(took) else (0.0, 0.0)
    return GraphTime(seconds=float(took.sum()), p50_us=p50_s * 1e6, p99_us=p99_s * 1e6)


def _untimed_ops(trace: Trace) -> list[UntimedOp]:
    counts: dict[str, int] = defaultdict(int)
    for process in trace.watched:
        numbers, runs = np.unique(process.runs.graph, return_counts=True)
        for number, times in zip(numbers.tolist(), runs.tolist(), strict=True):
            if (graph := process.graphs.get(number)) is None:
                continue
            ops, nodes = np.unique(graph.tensors["op"][: graph.node_count], return_counts=True)
            for op, count in zip(ops.tolist(), nodes.tolist(), strict=True):
                counts[graph.names.get(op, UNKNOWN_OP)] += times * count
    return [UntimedOp(op, count) for op, count in sorted(counts.items(), key=lambda item: -item[1])]


def _trace(trace: Trace) -> TraceSummary:
    counters = [process.file.counters for process in trace.watched if process.file.counters]
    return TraceSummary(
        path=trace.file.path,
        format=trace.file.format,
        started=wall_time(trace.started_wall_ns),
        duration_s=trace.duration_s,
        records=trace.file.record_count,
        lost=sum(counter.lost + counter.dropped for counter in counters),
        skipped=sum(counter.skipped for counter in counters),
        let_go=sum(process.file.let_go for process in trace.watched),
        damage=trace.file.integrity.damage,
        processes=[_process(process) for process in trace.watched],
    )


def _process(process: Process) -> ProcessSummary:
    definitions = process.file.definitions
    info = definitions.info
    versions = {runtime.version for runtime in definitions.runtimes.values() if runtime.version}
    not_seen = [note.text for note in definitions.notes if note.level == NOTE_NOT_SEEN]
    if process.file.counters and process.file.counters.definitions_dropped:
        not_seen.append(f"{process.file.counters.definitions_dropped} definitions that found their log full")
    if process.undecodable_records:
        not_seen.append(f"{process.undecodable_records} records that are malformed")
    if not process.clock.known:
        not_seen.append("the rate of its clock: its times are in ticks, shown as if they were ns")
    return ProcessSummary(
        pid=info.pid,
        command=command_line(process.file),
        ggml_version=", ".join(sorted(versions)),
        method=info.method,
        detail=DETAIL_NAMES[info.detail],
        distorting=any(note.level == NOTE_DISTORTING for note in definitions.notes),
        filters=[
            note.text.removeprefix(NOTE_FILTER)
            for note in definitions.notes
            if note.level == NOTE_INFORMATION and note.text.startswith(NOTE_FILTER)
        ],
        not_seen=not_seen,
        end=end_of(process.file),
        threads=int(process.runs.threads.max(initial=0)),
    )


def _overhead(trace: Trace) -> Overhead:
    records = cost_s = thread_s = 0.0
    for process in trace.watched:
        own = process.file.record_count
        records += own
        cost_s += own * process.file.definitions.info.put_cost_ns * 1e-9
        threads = np.maximum(process.runs.threads, 1)
        thread_s += float((process.clock.seconds(process.runs.duration) * threads).sum())
    return Overhead(ns_per_record=_ratio(cost_s * 1e9, records), share=_ratio(cost_s, thread_s))


def _phases(trace: Trace) -> list[PhaseSummary]:
    return [
        PhaseSummary(name, total.runs, total.tokens, total.seconds, _rate(total))
        for name, total in phase_totals(trace.watched).items()
    ]


def _threads(trace: Trace, ops: list[OpTotal], processes: list[ProcessSummary]) -> list[ThreadSummary]:
    if any(process.distorting for process in processes):
        return []  # nodes that are timed from outside say nothing of threads
    # Of what was left out, the time at work is not known either.
    filtered = any(process.filters for process in processes)
    whole_s = sum(op.seconds for op in ops) if filtered else sum(map(cpu_seconds, trace.watched))
    return [
        ThreadSummary(worker, total.work_s, total.wait_s, _ratio(total.work_s, whole_s))
        for worker, total in worker_totals(trace.watched).items()
    ]


def _rate(total: PhaseTotal) -> float | None:
    return total.tokens / total.seconds if total.tokens and total.seconds else None


def _ops(ops: list[OpTotal], limits: Limits, graph_s: float) -> list[OpSummary]:
    rows = []
    for total in ops:
        attained = limits.attained(total.rows)
        rows.append(
            OpSummary(
                op=total.op,
                count=total.spans,
                seconds=total.seconds,
                work_s=total.work_s,
                wait_s=total.wait_s,
                share=_ratio(total.seconds, graph_s),
                p50_us=total.p50_s * 1e6,
                p99_us=total.p99_s * 1e6,
                flops=attained.flops,
                bytes=attained.bytes,
                gflops=attained.gflops,
                gbps=attained.gbps,
                floor_share=attained.floor_share,
            )
        )
    return rows


def _backends(trace: Trace) -> list[BackendSummary]:
    rows: dict[str, list[float]] = defaultdict(lambda: [0, 0, 0.0])
    on_threads = {"CPU"}
    for process in trace.watched:
        splits = process.splits
        seconds = process.clock.seconds(shifted(splits, "duration"))
        numbers, inverse = np.unique(splits["backend"], return_inverse=True)
        counts, took = np.bincount(inverse), np.bincount(inverse, seconds)
        runs = np.bincount(np.unique(inverse.astype(np.int64) << 32 | splits["run"]) >> 32)
        threads = np.bincount(inverse, splits["threads"])
        for i, number in enumerate(numbers.tolist()):
            name = process.file.definitions.backends.get(number, "?")
            if threads[i]:
                on_threads.add(name)
            row = rows[name]
            row[0] += int(runs[i])
            row[1] += int(counts[i])
            row[2] += float(took[i])
    backends = [
        BackendSummary(name, int(runs), int(count), total, "computation" if name in on_threads else "call")
        for name, (runs, count, total) in rows.items()
    ]
    return sorted(backends, key=lambda row: -row.seconds)


def _copies(trace: Trace) -> list[CopySummary]:
    rows: dict[tuple[str, str], list[float]] = defaultdict(lambda: [0, 0, 0.0])
    for process in trace.watched:
        copies = process.copies
        seconds = process.clock.seconds(shifted(copies, "duration"))
        places = {**process.file.definitions.places, 0: APPLICATION}
        ends = copies["from"].astype(np.uint32) << 16 | copies["to"]
        distinct, inverse = np.unique(ends, return_inverse=True)
        count = np.bincount(inverse, minlength=len(distinct))
        size = np.bincount(inverse, weights=copies["bytes"].astype(np.float64), minlength=len(distinct))
        took = np.bincount(inverse, weights=seconds, minlength=len(distinct))
        for i, both in enumerate(distinct.tolist()):
            row = rows[places.get(both >> 16, "?"), places.get(both & 0xFFFF, "?")]
            row[0] += int(count[i])
            row[1] += int(size[i])
            row[2] += float(took[i])
    copied = [CopySummary(*ends, int(n), int(size), took) for ends, (n, size, took) in rows.items()]
    return sorted(copied, key=lambda row: -row.bytes)
