"""Single nodes of a trace: finding them by name, going from one execution to the next, and what is known of one."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypedDict
from weakref import WeakKeyDictionary

import numpy as np

from ggml_viz.analysis.roofline import floor_s
from ggml_viz.errors import UserError
from ggml_viz.machine import machine_of
from ggml_viz.model.growing import GrowingProcess
from ggml_viz.model.kinds import kind_index
from ggml_viz.model.measured import NO_LAYER, shape_of
from ggml_viz.model.nodes import UNKNOWN_OP
from ggml_viz.model.phases import PHASES
from ggml_viz.model.records import shifted
from ggml_viz.model.table import Text
from ggml_viz.native import fold_spans

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy.typing as npt

    from ggml_viz.model.graph import Graph
    from ggml_viz.model.trace import Process, Trace
    from ggml_viz.native import Structured

# A node that is in none of so many runs of its graph was left out on request, or computes nothing.
_MOST_RUNS = 256


class Match(TypedDict):
    """A node that a search found.

    Attributes:
        process: Index of its process.
        graph: The process's number of its graph.
        node: Its index there, of a fused group the first one's.
        name: Of its tensor, of a fused group the last one's.
        op: What computes it; of a fused group the names of all.
        role: Its role; empty: names do not tell.
        layer: Number of its layer; None: it belongs to none.
        phase: What its graph does.
        count: How often it was executed.
        seconds: What its executions took.
    """

    process: int
    graph: int
    node: int
    name: str
    op: str
    role: str
    layer: int | None
    phase: str
    count: int
    seconds: float


class Matches(TypedDict):
    """What a search found: the first, by time, and how many there are in all."""

    matches: list[Match]
    total: int


class Occurrence(TypedDict):
    """An execution of a node: in which run, and from when until when, since the trace began."""

    run: int
    begin_s: float
    end_s: float


class SourceRow(TypedDict):
    """A tensor that a node reads; of one that no node computes the op is `NONE`."""

    name: str
    shape: str
    type: str
    op: str


class WorkerRow(TypedDict):
    """What one worker did for an execution of a node.

    Attributes:
        worker: Its number.
        begin_s: Since the trace began.
        work_s: What it worked.
        inner_s: What it waited at barriers inside the node.
        wait_s: What it waited at the closing barrier.
    """

    worker: int
    begin_s: float
    work_s: float
    inner_s: float
    wait_s: float


class Typical(TypedDict):
    """How often a node was executed in the trace, and what that took in the middle."""

    count: int
    median_s: float


class NodeDetails(TypedDict):
    """An execution of a node.

    Attributes:
        title: What it is, in short.
        op: What computes it; of a fused group the names of all.
        kind: Of work: an index in KINDS.
        role: Its role; empty: names do not tell.
        layer: Number of its layer; None: it belongs to none.
        tensor: Name of its result.
        shape: Of its result: elements of its dimensions, innermost first.
        types: Of what it reads.
        sources: What it reads.
        phase: What its run does.
        run: Number of the run.
        graph: Number of the graph.
        node: Index of the node in the graph.
        process: Index of the process.
        begin_s: When the first worker began, since the trace began.
        wall_s: Until the closing barrier opened.
        work_s: Thread-seconds of work.
        wait_s: Thread-seconds at barriers.
        workers: Each of them.
        flops: Operations; None: not modelled.
        bytes: That it moves; None: not modelled.
        gbps: Those in 1e9 a second.
        gflops: Operations in 1e9 a second.
        floor_s: The least time that the machine could do it in; None: not known.
        backend: That computed it; None: not seen.
        typical: All its executions; None: they were not added up yet, or are not kept each.
    """

    title: str
    op: str
    kind: int
    role: str
    layer: int | None
    tensor: str
    shape: str
    types: str
    sources: list[SourceRow]
    phase: str
    run: int
    graph: int
    node: int
    process: int
    begin_s: float
    wall_s: float
    work_s: float
    wait_s: float
    workers: list[WorkerRow]
    flops: float | None
    bytes: float | None
    gbps: float | None
    gflops: float | None
    floor_s: float | None
    backend: str | None
    typical: Typical | None


# --- search ---

_texts: WeakKeyDictionary[Trace, Text] = WeakKeyDictionary()


def search(trace: Trace, query: str, limit: int = 50) -> Matches:
    """The executed nodes of whose op, role, layer, phase, name and read tensors' names each word is a part.

    Args:
        trace: The trace.
        query: Words.
        limit: How many to return at most.
    """
    words = query.lower().split()
    if not words:
        return {"matches": [], "total": 0}
    texts = _texts.get(trace)
    if texts is None:
        texts = _texts[trace] = _searched(trace)
    fitting = np.array([*(all(word in text for word in words) for text in texts.values), False], bool)
    measured = trace.measured
    rows = np.flatnonzero(fitting[texts.codes])
    rows = rows[np.argsort(-measured.wall_s[rows], kind="stable")]
    matches: list[Match] = []
    for row in rows[: max(limit, 0)].tolist():
        process, graph, node = int(measured.process[row]), int(measured.graph[row]), int(measured.node[row])
        layer = int(measured.layer[row])
        known = trace.watched[process].graphs.get(graph)
        matches.append(
            {
                "process": process,
                "graph": graph,
                "node": node,
                "name": known.name(_last(known, node, int(measured.fused[row]))) if known else "",
                "op": measured.op[row],
                "role": measured.role[row],
                "layer": None if layer == NO_LAYER else layer,
                "phase": measured.phase[row],
                "count": int(measured.count[row]),
                "seconds": float(measured.wall_s[row]),
            }
        )
    return {"matches": matches, "total": len(rows)}


def _searched(trace: Trace) -> Text:
    """What is searched of each measured row, in lower case. The graphs of one model differ little: few are distinct."""
    measured = trace.measured
    columns = (measured.process, measured.graph, measured.node, measured.fused, measured.layer)
    names: dict[tuple[int, int], list[str]] = {}
    texts = []
    for row, (process, graph, node, fused, layer) in enumerate(
        zip(*(column.tolist() for column in columns), strict=True)
    ):
        of_nodes = names.get((process, graph))
        if of_nodes is None:
            known = trace.watched[process].graphs.get(graph)
            of_nodes = names[process, graph] = _names_around(known) if known else []
        own = of_nodes[node : node + fused + 1]
        place = f"layer {layer}" if layer != NO_LAYER else ""
        texts.append("\n".join((measured.op[row], measured.role[row], place, measured.phase[row], *own)).lower())
    return Text.of(texts)


def _names_around(graph: Graph) -> list[str]:
    """The name of each node, and those of the tensors that no node computes and that it reads."""
    names = [graph.name(i) for i in range(len(graph.tensors))]
    count = graph.node_count
    return [
        "\n".join((names[i], *(names[s - 1] for s in sources if count < s <= len(names))))
        for i, sources in enumerate(graph.tensors["sources"][:count].tolist())
    ]


# --- one execution ---


def occurrence(
    trace: Trace, process: int, graph: int, node: int, after_s: float | None = None, before_s: float | None = None
) -> Occurrence | None:
    """The first execution of a node that begins after a moment, or the last one that begins before it.

    Args:
        trace: The trace.
        process: Index of the process.
        graph: Number of the graph.
        node: Index of the node in the graph.
        after_s: The moment, since the trace began.
        before_s: Or that one.
    """
    watched = _process(trace, process)
    runs = watched.runs
    begin_s = _since_s(trace, watched, runs.begin)
    mine = np.flatnonzero(runs.graph == graph)
    mine = mine[np.argsort(begin_s[mine], kind="stable")]
    if before_s is not None:
        candidates = mine[begin_s[mine] < before_s][::-1]
    else:
        moment_s = -math.inf if after_s is None else after_s
        candidates = mine[begin_s[mine] + watched.clock.seconds(runs.duration[mine]) > moment_s]
    for run in runs.number[candidates[:_MOST_RUNS]].tolist():
        records = watched.nodes_of(run)
        for span in fold_spans(records[records["node"] == node]):
            begin, end = _since_s(trace, watched, np.array([span["begin"], span["end"]])).tolist()
            if begin < before_s if before_s is not None else begin > moment_s:
                return {"run": run, "begin_s": begin, "end_s": end}
    return None


def executions(trace: Trace, process: int, graph: int, node: int) -> list[Occurrence]:
    """All executions of a node, the longest first; of a process that still runs only the newest.

    Args:
        trace: The trace.
        process: Index of the process.
        graph: Number of the graph.
        node: Index of the node in the graph.
    """
    watched = _process(trace, process)
    runs = np.sort(watched.runs.number[watched.runs.graph == graph])
    parts: Iterable[Structured]
    if isinstance(watched, GrowingProcess):
        parts = (fold_spans(watched.nodes_of(run)) for run in runs[-_MOST_RUNS:].tolist())
    else:
        parts = (spans for _, spans in watched.nodes())
    # What nodes() yields is overwritten by what it yields next.
    mine = [spans[(spans["node"] == node) & np.isin(spans["run"], runs)] for spans in parts]
    if not mine:
        return []
    spans = np.concatenate(mine)
    begin_s, end_s = _since_s(trace, watched, spans["begin"]), _since_s(trace, watched, spans["end"])
    order = np.argsort(begin_s - end_s, kind="stable")
    return [
        {"run": run, "begin_s": begin, "end_s": end}
        for run, begin, end in zip(
            spans["run"][order].tolist(), begin_s[order].tolist(), end_s[order].tolist(), strict=True
        )
    ]


def describe_node(trace: Trace, process: int, run: int, node: int) -> NodeDetails:
    """What is known of one execution of a node, without reading more of the trace than the part it lies in.

    Args:
        trace: The trace.
        process: Index of the process.
        run: Number of the run.
        node: Index of the node in the run's graph, of a fused group the first one's.

    Raises:
        UserError: There is no such execution.
    """
    watched = _process(trace, process)
    runs = watched.runs
    records = watched.nodes_of(run)
    records = records[records["node"] == node]
    row = int(np.searchsorted(runs.number, np.uint32(run))) if 0 <= run < 1 << 32 else len(runs)
    if not len(records) or row == len(runs) or int(runs.number[row]) != run:
        raise UserError(f"node {node} of run {run} was not recorded", exit_status=2)
    span = fold_spans(records)[0]
    number, phase = int(runs.graph[row]), PHASES[int(runs.phase[row])]
    begin_s, end_s = _since_s(trace, watched, np.array([span["begin"], span["end"]])).tolist()
    wall_s = end_s - begin_s
    fused, threads = int(span["fused"]), int(span["threads"])
    graph = watched.graphs.get(number)
    if graph is not None and node >= graph.node_count:
        graph = None
    op, role, layer, tensor, shape, sources = UNKNOWN_OP, "", None, "", "", []
    flops = moved = least_s = None
    if graph is not None:
        attribution, cost = watched.attributions[number], watched.costs[number]
        last = _last(graph, node, fused)
        op = "+".join(graph.op(i) for i in range(node, last + 1))
        role = attribution.roles[int(attribution.role[node])]
        layer = int(attribution.layer[node])
        tensor, shape = graph.name(last), shape_of(graph, last)
        sources = _sources(graph, node, last)
        all_flops, all_bytes = cost.of_group(node, last - node)
        flops, moved = _known(all_flops), _known(all_bytes)
        least_s = floor_s(machine_of(trace.file), threads, all_flops, all_bytes, bool(cost.integer[node]))
    layer = None if layer == NO_LAYER else layer
    return {
        "title": f"{op} {role}".strip() + (f", layer {layer}" if layer is not None else ""),
        "op": op,
        "kind": kind_index(op),
        "role": role,
        "layer": layer,
        "tensor": tensor,
        "shape": shape,
        "types": " × ".join(source["type"] for source in sources),
        "sources": sources,
        "phase": phase,
        "run": run,
        "graph": number,
        "node": node,
        "process": process,
        "begin_s": begin_s,
        "wall_s": wall_s,
        "work_s": float(watched.clock.seconds(span["work"])),
        "wait_s": float(watched.clock.seconds(int(span["inner"]) + int(span["wait"]))),
        "workers": _workers(trace, watched, records),
        "flops": flops,
        "bytes": moved,
        "gbps": moved / wall_s * 1e-9 if moved is not None and wall_s > 0 else None,
        "gflops": flops / wall_s * 1e-9 if flops is not None and wall_s > 0 else None,
        "floor_s": least_s,
        "backend": _backend(watched, run, node),
        "typical": _typical(trace, process, number, node, fused),
    }


def describe_run(trace: Trace, process: int, run: int, begin_s: float) -> NodeDetails:
    """What is known of a run, in the same words; of one in progress only when it began.

    Args:
        trace: The trace.
        process: Index of the process.
        run: Number of the run.
        begin_s: When it began, should nothing else be known of it.

    Raises:
        UserError: There is no such process.
    """
    watched = _process(trace, process)
    runs = watched.runs
    row = int(np.searchsorted(runs.number, np.uint32(run))) if 0 < run < 1 << 32 else len(runs)
    known = row < len(runs) and int(runs.number[row]) == run
    phase = PHASES[int(runs.phase[row])] if known else ""
    number = int(runs.graph[row]) if known else 0
    details: NodeDetails = {
        "title": f"{phase}, {int(runs.tokens[row])} tokens" if known and runs.tokens[row] else phase or "graph",
        "op": "",
        "kind": kind_index(""),
        "role": "",
        "layer": None,
        "tensor": "",
        "shape": "",
        "types": "",
        "sources": [],
        "phase": phase,
        "run": run,
        "graph": number,
        "node": 0,
        "process": process,
        "begin_s": float(_since_s(trace, watched, runs.begin[row : row + 1])[0]) if known else begin_s,
        "wall_s": float(watched.clock.seconds(runs.duration[row])) if known else 0.0,
        "work_s": 0.0,
        "wait_s": 0.0,
        "workers": [],
        "flops": None,
        "bytes": None,
        "gbps": None,
        "gflops": None,
        "floor_s": None,
        "backend": None,
        "typical": None,
    }
    return details


def _process(trace: Trace, index: int) -> Process:
    if not 0 <= index < len(trace.watched):
        raise UserError(f"the trace has no process {index}", exit_status=2)
    return trace.watched[index]


def _since_s(trace: Trace, process: Process, ticks: npt.NDArray[np.uint64]) -> npt.NDArray[np.float64]:
    since: npt.NDArray[np.float64] = (process.clock.monotonic_ns(ticks) - trace.started_monotonic_ns) * 1e-9
    return since


def _last(graph: Graph, node: int, fused: int) -> int:
    return min(node + fused, graph.node_count - 1)


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _sources(graph: Graph, node: int, last: int) -> list[SourceRow]:
    found: dict[int, SourceRow] = {}
    for place in graph.tensors["sources"][node : last + 1].astype(np.int64).ravel().tolist():
        source = place - 1
        if 0 <= source < len(graph.tensors) and not node <= source <= last:
            found[source] = {
                "name": graph.name(source),
                "shape": shape_of(graph, source),
                "type": graph.names.get(int(graph.tensors["type"][source]), "?"),
                "op": graph.op(source),
            }
    return list(found.values())


def _workers(trace: Trace, process: Process, records: Structured) -> list[WorkerRow]:
    records = records[np.argsort(records["detail"], kind="stable")]
    begin_s = _since_s(trace, process, records["start"])
    durations = (process.clock.seconds(shifted(records, field)).tolist() for field in ("work", "inner", "wait"))
    return [
        {"worker": worker, "begin_s": begin, "work_s": work, "inner_s": inner, "wait_s": wait}
        for worker, begin, work, inner, wait in zip(
            *(records["detail"].tolist(), begin_s.tolist(), *durations), strict=True
        )
    ]


def _backend(process: Process, run: int, node: int) -> str | None:
    splits = process.splits
    splits = splits[splits["run"] == run]
    inside = splits[(splits["first"] <= node) & (node < splits["first"].astype(np.int64) + splits["count"])]
    return process.file.definitions.backends.get(int(inside["backend"][0])) if len(inside) else None


def _typical(trace: Trace, process: int, graph: int, node: int, fused: int) -> Typical | None:
    # Adding up all executions reads the whole trace, which a look at one of them is not worth.
    if "measured" not in vars(trace) or not trace.watched[process].node_times.keeps_each:
        return None
    measured = trace.measured
    rows = np.flatnonzero(
        (measured.process == process) & (measured.graph == graph) & (measured.node == node) & (measured.fused == fused)
    )
    walls_s = measured.walls_s(rows)
    return {"count": len(walls_s), "median_s": float(np.median(walls_s))} if len(walls_s) else None
