"""The tables of a trace: what each column holds, and how it is made."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ggml_viz.model.ahead import one_ahead
from ggml_viz.model.arena import arenas
from ggml_viz.model.phases import PHASES
from ggml_viz.model.records import shifted
from ggml_viz.model.table import Column, Field, Table, Text
from ggml_viz.native import KIND_NODE, SPAN_COLUMNS, MalformedError, placement_decode, spans_columns
from ggml_viz.trace.definitions import CLOCK_NAMES, DETAIL_NAMES, NOTE_DISTORTING
from ggml_viz.trace.reader import END_CUT, END_NAMES

if TYPE_CHECKING:
    from ggml_viz.model.graph import Graph
    from ggml_viz.model.trace import Process, Trace

_PROCESS = Field("process", "which of the trace's processes, from 0")
_GRAPH = Field("graph", "the process's number of the graph")
_RUN = Field("run", "the process's number of the run; 0: between runs")
_BEGIN = Field("begin_ns", "when it began, since the trace did, in ns")
_DURATION = Field("duration_ns", "how long it took, in ns")

FIELDS: dict[str, tuple[Field, ...]] = {
    "processes": (
        _PROCESS,
        Field("pid", "process id"),
        Field("parent_pid", "of the process that made it"),
        Field("command", "its command line, arguments separated by blanks"),
        Field("executable", "its program"),
        Field("ggml_version", "of each copy of ggml in it"),
        Field("method", "how the agent came in"),
        Field("detail", "thread: every node on every thread; op: every node on the first thread; graph: graphs only"),
        Field("clock", "counter or monotonic"),
        Field("cpus", "CPUs online"),
        Field("ns_per_record", "what recording one node on one thread costs, in ns"),
        Field("began_ns", "when its recording began, since the trace did, in ns"),
        Field("end", "ended, detached (the recording ended first), abnormal (it died in a run) or cut"),
        Field("records", "records in the file"),
        Field("lost", "records overwritten before they were read, or that found no room"),
        Field("skipped", "records left out on request"),
        Field("distorting", "whether watching it changed its timing"),
    ),
    "threads": (
        _PROCESS,
        Field("worker", "index of the worker; 0 is the thread that called"),
        Field("spans", "nodes that it worked on"),
        Field("work_ns", "time at work, in ns"),
        Field("inner_ns", "time at barriers inside nodes, in ns"),
        Field("wait_ns", "time at closing barriers, in ns"),
    ),
    "backends": (_PROCESS, Field("backend", "the process's number of the backend"), Field("name", "its name")),
    "tensors": (
        _PROCESS,
        _GRAPH,
        Field("tensor", "index in the graph; the nodes come first, in order of execution"),
        Field("name", "its name"),
        Field("op", "what computes it, as ggml describes it; NONE of a leaf"),
        Field("type", "its type: f32, q4_K"),
        Field("is_node", "whether it is a node of the graph, not a leaf"),
        Field("layer", "number of the layer it belongs to; missing: to none"),
        Field("role", "its role in the layer or the model: attn_q, ffn_down, output; empty: not known"),
        Field("ne0", "elements of the innermost dimension"),
        Field("ne1", "elements of the second dimension"),
        Field("ne2", "elements of the third dimension"),
        Field("ne3", "elements of the outermost dimension"),
        Field("nb0", "stride in bytes of the innermost dimension (of a quantized type: of a block)"),
        Field("nb1", "stride in bytes of the second dimension"),
        Field("nb2", "stride in bytes of the third dimension"),
        Field("nb3", "stride in bytes of the outermost dimension"),
        Field("size_bytes", "what ggml counts for it, in bytes"),
        Field("flags", "as ggml has them"),
        Field("view_of", "index of the tensor that it is a view of; missing: it is none"),
        Field("view_offset_bytes", "where in that tensor it begins, in bytes"),
    ),
    "edges": (
        _PROCESS,
        _GRAPH,
        Field("tensor", "index of the tensor that reads"),
        Field("place", "which of its sources it is, from 0"),
        Field("source", "index of the tensor that is read"),
    ),
    "graphs": (
        _PROCESS,
        _GRAPH,
        Field("nodes", "how many nodes it has"),
        Field("tensors", "how many tensors it has, nodes and leaves"),
        Field("phase", "prefill, decode, mixed, or other"),
        Field("tokens", "that go through the model in one run; 0: it is not a language model"),
    ),
    "nodes": (
        _PROCESS,
        _GRAPH,
        Field("node", "index in the graph"),
        Field("name", "name of the tensor that it computes"),
        Field("op", "its op, as ggml describes it"),
        Field("type", "type of what it computes"),
        Field("layer", "number of the layer it belongs to; missing: to none"),
        Field("role", "its role in the layer or the model: attn_q, ffn_down, output; empty: not known"),
        Field("phase", "of its graph"),
        Field("flops", "operations of one execution, by formulae over its shapes; missing: not modelled"),
        Field("moved_bytes", "bytes that one execution reads and writes, likewise"),
        Field("weight_bytes", "those of them that are read from weights"),
        Field("executions", "how often it was executed, alone or first of a fused group"),
        Field(
            "wall_ns", "what its executions took, from the first thread's begin until the closing barrier opened, in ns"
        ),
        Field("work_ns", "work of all threads in them, in ns"),
        Field("inner_ns", "waits of all threads at barriers inside the node, in ns"),
        Field("wait_ns", "waits of all threads at the closing barrier, in ns"),
    ),
    "runs": (
        _PROCESS,
        _RUN,
        _GRAPH,
        Field("placement", "number of the placement of its tensors in buffers"),
        Field("phase", "prefill, decode, mixed, or other"),
        Field("tokens", "that went through the model"),
        _BEGIN,
        _DURATION,
        Field("status", "what ggml returned; 65535: it never ended"),
        Field("splits", "calls into backends"),
        Field("threads", "the most CPU threads that worked on it; 0: none seen"),
    ),
    "spans": (
        _PROCESS,
        _RUN,
        _GRAPH,
        Field("node", "index of the executed node in the graph; several were fused if `fused` is not 0"),
        Field("op", "its op, as ggml describes it; of a fused group the first"),
        Field("phase", "of its graph"),
        Field("fused", "how many nodes behind it were computed together with it"),
        Field("threads", "how many threads worked on it"),
        _BEGIN,
        Field("wall_ns", "from the first thread's begin until the closing barrier opened, in ns"),
        Field("work_ns", "work of all threads, in ns"),
        Field("inner_ns", "waits of all threads at barriers inside the node, in ns"),
        Field("wait_ns", "waits of all threads at the closing barrier, in ns"),
    ),
    "worker_spans": (
        _PROCESS,
        _RUN,
        Field("node", "index of the executed node in the run's graph"),
        Field("worker", "index of the worker"),
        Field("fused", "how many nodes behind it were computed together with it"),
        _BEGIN,
        Field("work_ns", "work, in ns"),
        Field("inner_ns", "waits at barriers inside the node, in ns"),
        Field("wait_ns", "wait at the closing barrier, in ns"),
    ),
    "splits": (
        _PROCESS,
        _RUN,
        Field("backend", "name of the backend"),
        Field("first", "index of its first node in the run's graph; missing: unknown"),
        Field("nodes", "how many nodes it has"),
        _BEGIN,
        Field("duration_ns", "how long the call into the backend took, in ns"),
        Field("status", "what the backend returned"),
        Field("threads", "CPU threads that worked on it; 0: the backend's own"),
    ),
    "copies": (
        _PROCESS,
        _RUN,
        Field("kind", "set (into a tensor), get (out of one), tensor (between two), or fill"),
        Field("source", "buffer type, or application for the program's own memory"),
        Field("target", "the same"),
        Field("size_bytes", "bytes moved"),
        _BEGIN,
        _DURATION,
        Field("submitted", "whether it was only submitted in that time"),
    ),
    "buffers": (
        _PROCESS,
        Field("buffer", "the process's number of the buffer"),
        Field("place", "its buffer type, which tells the backend"),
        Field("usage", "weights, kv, compute or other"),
        Field("size_bytes", "its size"),
        Field("allocated_ns", "when it was allocated, or first seen, since the trace began, in ns"),
        Field("freed_ns", "when it was freed, in ns; missing: not while it was watched"),
        Field("seen_allocated", "whether its allocation was seen"),
    ),
    "placements": (
        _PROCESS,
        Field("placement", "the process's number of the placement"),
        _GRAPH,
        Field("tensor", "index in the graph"),
        Field("buffer", "number of the buffer that it lies in"),
        Field("offset_bytes", "where in the buffer it begins"),
        Field("size_bytes", "what ggml counts for it"),
    ),
    "lifetimes": (
        _PROCESS,
        _GRAPH,
        Field("placement", "the process's number of the placement"),
        Field("buffer", "number of the compute buffer that it lies in"),
        Field("tensor", "index in the graph; views are part of what they are views of"),
        Field("offset_bytes", "where in the buffer it begins"),
        Field("size_bytes", "what ggml counts for it"),
        Field("first", "the node that writes it, an index in the graph; missing: it is there before the first"),
        Field("last", "the last node that reads it, or a view of it"),
        Field("reuses", "the tensor that lay in its memory before; missing: none"),
    ),
}
"""The columns of each table, in order."""

COPY_KINDS = ("set", "get", "tensor", "fill")
APPLICATION = "application"

_SUBMITTED = 8
_MAX_U64 = (1 << 64) - 1
_UNKNOWN_NODE = 0xFFFF_FFFF


def make_table(trace: Trace, name: str) -> Table:
    """One of the tables in FIELDS."""
    makers: dict[str, Callable[[Trace], Mapping[str, Column]]] = {
        "processes": _processes,
        "threads": _threads,
        "backends": _backends,
        "tensors": _tensors,
        "edges": _edges,
        "graphs": _graphs,
        "nodes": _nodes,
        "runs": _runs,
        "splits": _splits,
        "copies": _copies,
        "buffers": _buffers,
        "placements": _placements,
        "lifetimes": _lifetimes,
    }
    if name == "spans":
        return Table(name, FIELDS[name], lambda columns: _spans(trace, columns))
    if name == "worker_spans":
        return Table(name, FIELDS[name], lambda columns: _worker_spans(trace, columns))
    return Table(name, FIELDS[name], lambda columns: makers[name](trace))


def _since(trace: Trace, process: Process, ticks: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
    """Moments in ticks as ns since the trace began."""
    return _whole(process.clock.monotonic_ns(ticks) - trace.started_monotonic_ns)


def _ns(process: Process, ticks: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Durations in ticks as ns."""
    return _whole(process.clock.seconds(ticks) * 1e9)


def _whole(ns: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    return np.rint(np.clip(ns, -9.2e18, 9.2e18)).astype(np.int64)


def _joined(parts: Sequence[npt.NDArray[Any]], dtype: Any) -> npt.NDArray[Any]:
    return np.concatenate([*parts, np.empty(0, dtype)]).astype(dtype, copy=False)


def _process_column(trace: Trace, lengths: Sequence[int]) -> npt.NDArray[np.uint16]:
    return np.repeat(np.arange(len(trace.watched), dtype=np.uint16), lengths)


def _processes(trace: Trace) -> dict[str, Column]:
    files = [process.file for process in trace.watched]
    infos = [file.definitions.info for file in files]
    counters = [file.counters for file in files]
    began = [process.began.monotonic_ns - trace.started_monotonic_ns for process in trace.watched]
    return {
        "process": np.arange(len(files), dtype=np.uint16),
        "pid": np.array([info.pid for info in infos], np.uint64),
        "parent_pid": np.array([info.parent_pid for info in infos], np.uint64),
        "command": Text.of([" ".join(info.command) for info in infos]),
        "executable": Text.of([info.executable for info in infos]),
        "ggml_version": Text.of(
            [", ".join(dict.fromkeys(r.version for r in file.definitions.runtimes.values())) for file in files]
        ),
        "method": Text.of([info.method for info in infos]),
        "detail": Text.of([DETAIL_NAMES[info.detail] for info in infos]),
        "clock": Text.of([CLOCK_NAMES[min(info.clock, len(CLOCK_NAMES) - 1)] for info in infos]),
        "cpus": np.array([info.cpus for info in infos], np.uint64),
        "ns_per_record": np.array([info.put_cost_ns for info in infos], np.float64),
        "began_ns": _whole(np.array(began, np.float64)),
        "end": Text.of([END_CUT if f.done is None else END_NAMES[min(f.done, len(END_NAMES) - 1)] for f in files]),
        "records": np.array([file.record_count for file in files], np.uint64),
        "lost": np.array([min(c.lost + c.dropped, _MAX_U64) if c else 0 for c in counters], np.uint64),
        "skipped": np.array([c.skipped if c else 0 for c in counters], np.uint64),
        "distorting": np.array(
            [any(note.level == NOTE_DISTORTING for note in file.definitions.notes) for file in files], bool
        ),
    }


def _threads(trace: Trace) -> dict[str, Column]:
    used = [np.flatnonzero(process.node_times.workers["count"].any(axis=0)) for process in trace.watched]

    def sums(field: str) -> list[npt.NDArray[np.float64]]:
        return [
            process.node_times.workers[field].sum(axis=0, dtype=np.float64)[workers]
            for process, workers in zip(trace.watched, used, strict=True)
        ]

    columns: dict[str, Column] = {
        "process": _process_column(trace, [len(workers) for workers in used]),
        "worker": _joined(used, np.uint16),
        "spans": _joined(sums("count"), np.int64),
    }
    for field in ("work", "inner", "wait"):
        in_ns = [_ns(process, ticks) for process, ticks in zip(trace.watched, sums(field), strict=True)]
        columns[f"{field}_ns"] = _joined(in_ns, np.int64)
    return columns


def _backends(trace: Trace) -> dict[str, Column]:
    backends = [process.file.definitions.backends for process in trace.watched]
    return {
        "process": _process_column(trace, [len(names) for names in backends]),
        "backend": np.array([number for names in backends for number in names], np.uint64),
        "name": Text.of([name for names in backends for name in names.values()]),
    }


def _each_graph(trace: Trace) -> list[tuple[int, int, Graph]]:
    return [
        (index, number, graph)
        for index, process in enumerate(trace.watched)
        for number, graph in sorted(process.graphs.items())
    ]


def _tensors(trace: Trace) -> dict[str, Column]:
    graphs = _each_graph(trace)
    counts = [len(graph.tensors) for _, _, graph in graphs]
    names: dict[str, int] = {}

    def text(field: str) -> Text:
        parts = []
        for _, _, graph in graphs:
            distinct, inverse = np.unique(graph.tensors[field], return_inverse=True)
            known = [graph.names.get(int(number), "?") for number in distinct]
            parts.append(np.array([names.setdefault(name, len(names)) for name in known], np.uint32)[inverse])
        return Text(_joined(parts, np.uint32), list(names))

    def joined(column: Callable[[Graph], npt.NDArray[Any]], dtype: Any) -> npt.NDArray[Any]:
        return _joined([column(graph) for _, _, graph in graphs], dtype)

    attributions = [trace.watched[index].attributions[number] for index, number, _ in graphs]
    roles = attributions[0].roles if attributions else [""]
    layer = _joined([attribution.layer for attribution in attributions], np.int32)
    view = joined(lambda graph: graph.tensors["view"], np.uint32)
    columns: dict[str, Column] = {
        "process": np.repeat(np.array([index for index, _, _ in graphs], np.uint16), counts),
        "graph": np.repeat(np.array([number for _, number, _ in graphs], np.uint32), counts),
        "tensor": joined(lambda graph: np.arange(len(graph.tensors), dtype=np.uint32), np.uint32),
        "name": Text.of([graph.name(i) for _, _, graph in graphs for i in range(len(graph.tensors))]),
        "op": text("op"),
        "type": text("type"),
        "is_node": joined(lambda graph: np.arange(len(graph.tensors)) < graph.node_count, bool),
        "layer": np.ma.MaskedArray(layer, mask=layer < 0),
        "role": Text(_joined([attribution.role for attribution in attributions], np.uint16), roles),
        "size_bytes": joined(lambda graph: graph.tensors["bytes"], np.uint64),
        "flags": joined(lambda graph: graph.tensors["flags"], np.uint32),
        "view_of": np.ma.MaskedArray(view.astype(np.int64) - 1, mask=view == 0),
        "view_offset_bytes": joined(lambda graph: graph.tensors["view_offset_bytes"], np.uint64),
    }
    for i in range(4):
        columns[f"ne{i}"] = joined(lambda graph, i=i: graph.tensors["ne"][:, i], np.int64)  # type: ignore[misc]
        columns[f"nb{i}"] = joined(lambda graph, i=i: graph.tensors["nb"][:, i], np.uint64)  # type: ignore[misc]
    return columns


def _edges(trace: Trace) -> dict[str, Column]:
    graphs = _each_graph(trace)
    found = [np.nonzero(graph.tensors["sources"]) for _, _, graph in graphs]
    counts = [len(tensor) for tensor, _ in found]
    sources = [graph.tensors["sources"][at] for (_, _, graph), at in zip(graphs, found, strict=True)]
    return {
        "process": np.repeat(np.array([index for index, _, _ in graphs], np.uint16), counts),
        "graph": np.repeat(np.array([number for _, number, _ in graphs], np.uint32), counts),
        "tensor": _joined([tensor for tensor, _ in found], np.uint32),
        "place": _joined([place for _, place in found], np.uint8),
        "source": _joined(sources, np.uint32) - np.uint32(1),
    }


def _graphs(trace: Trace) -> dict[str, Column]:
    graphs = _each_graph(trace)
    loads = [trace.watched[index].workloads[number] for index, number, _ in graphs]
    return {
        "process": np.array([index for index, _, _ in graphs], np.uint16),
        "graph": np.array([number for _, number, _ in graphs], np.uint32),
        "nodes": np.array([graph.node_count for _, _, graph in graphs], np.uint32),
        "tensors": np.array([len(graph.tensors) for _, _, graph in graphs], np.uint32),
        "phase": Text(np.array([PHASES.index(load.phase) for load in loads], np.uint8), PHASES),
        "tokens": np.array([load.tokens for load in loads], np.int64),
    }


def _nodes(trace: Trace) -> dict[str, Column]:
    tensors, graphs = trace.tensors.load(), trace.graphs.load(["process", "graph", "phase"])
    chosen = np.flatnonzero(tensors["is_node"])
    measured, columns = (
        trace.measured,
        {name: tensors[name][chosen] for name in ("process", "graph", "name", "op", "type", "layer", "role")},
    )
    columns["node"] = tensors["tensor"][chosen]
    costs = [trace.watched[index].costs[number] for index, number, _ in _each_graph(trace)]
    for name, parts in (
        ("flops", [cost.flops for cost in costs]),
        ("moved_bytes", [cost.bytes for cost in costs]),
        ("weight_bytes", [cost.weight_bytes for cost in costs]),
    ):
        values = _joined(parts, np.float64)
        columns[name] = np.ma.MaskedArray(np.nan_to_num(values), mask=~np.isfinite(values))
    # Nodes lie one behind the other, graph by graph, as the places of each process do.
    starts = {}
    at = 0
    for index, process in enumerate(trace.watched):
        starts[index] = at
        at += len(process.places) - 1
    lengths = [len(process.places) - 1 for process in trace.watched]
    of_graph = np.repeat(np.arange(len(trace.graphs)), np.asarray(trace.graphs["nodes"], np.int64))
    columns["phase"] = graphs["phase"][of_graph]
    rows = np.concatenate(
        [process.node_times.place - 1 + starts[index] for index, process in enumerate(trace.watched)]
        + [np.empty(0, np.int64)]
    )
    known = np.concatenate([process.node_times.place > 0 for process in trace.watched] + [np.empty(0, bool)])
    total = sum(lengths)
    for name, values in (
        ("executions", measured.count),
        ("wall_ns", measured.wall_s * 1e9),
        ("work_ns", measured.work_s * 1e9),
        ("inner_ns", measured.inner_s * 1e9),
        ("wait_ns", measured.wait_s * 1e9),
    ):
        columns[name] = _whole(np.bincount(rows[known], values[known], total).astype(np.float64))
    return columns


def _runs(trace: Trace) -> dict[str, Column]:
    runs = [process.runs for process in trace.watched]

    def joined(field: str, dtype: Any) -> npt.NDArray[Any]:
        return _joined([getattr(run, field) for run in runs], dtype)

    return {
        "process": _process_column(trace, [len(run) for run in runs]),
        "run": joined("number", np.uint32),
        "graph": joined("graph", np.uint32),
        "placement": joined("placement", np.uint32),
        "phase": Text(joined("phase", np.uint8), PHASES),
        "tokens": joined("tokens", np.int64),
        "begin_ns": _joined([_since(trace, p, r.begin) for p, r in zip(trace.watched, runs, strict=True)], np.int64),
        "duration_ns": _joined([_ns(p, r.duration) for p, r in zip(trace.watched, runs, strict=True)], np.int64),
        "status": joined("status", np.uint16),
        "splits": joined("splits", np.uint16),
        "threads": joined("threads", np.uint16),
    }


def _spans(trace: Trace, names: Sequence[str]) -> dict[str, Column]:
    wanted = [name for name in names if name in SPAN_COLUMNS] or ["fused"]
    capacity = sum(process.file.record_count for process in trace.watched)
    # Of memory that is never touched nothing is taken.
    columns: dict[str, npt.NDArray[Any]] = {name: np.empty(capacity, SPAN_COLUMNS[name]) for name in wanted}
    ops: dict[str, int] = {}
    lengths, filled = [], 0
    for process in trace.watched:
        places, clock, before = process.places, process.clock, filled
        of_places = np.array([ops.setdefault(op, len(ops)) for op in places.ops], np.uint16)[places.op]
        run_nodes = places.of_runs(process.runs)
        origin_ns = float(clock.origin.monotonic_ns) - trace.started_monotonic_ns
        scale = (clock.origin.ticks % (1 << 64), origin_ns, clock.ns_per_tick)
        for spans in one_ahead((spans for _, spans in process.nodes()), process.is_large):
            filled += spans_columns(spans, run_nodes, scale, of_places, columns, filled)
        lengths.append(filled - before)
    made: dict[str, Column] = {name: column[:filled] for name, column in columns.items()}
    made["process"] = _process_column(trace, lengths)
    if "op" in made:
        made["op"] = Text(columns["op"][:filled], list(ops) or ["?"])
    if "phase" in made:
        made["phase"] = Text(columns["phase"][:filled], PHASES)
    return made


def _worker_spans(trace: Trace, names: Sequence[str]) -> dict[str, Column]:
    parts: dict[str, list[npt.NDArray[Any]]] = {name: [] for name in names}
    lengths = []
    for process in trace.watched:
        lengths.append(0)
        known = process.runs.number
        for window, _ in process.nodes():
            records = window[window["kind"] == KIND_NODE]
            records = records[np.isin(records["run"], known)]
            lengths[-1] += len(records)
            for name in names:
                if name != "process":
                    parts[name].append(_worker_column(trace, process, records, name))
    types = {"run": np.uint32, "node": np.uint32, "worker": np.uint16, "fused": np.uint8}
    columns: dict[str, Column] = {name: _joined(part, types.get(name, np.int64)) for name, part in parts.items()}
    columns["process"] = _process_column(trace, lengths)
    return columns


def _worker_column(trace: Trace, process: Process, records: Any, name: str) -> npt.NDArray[Any]:
    column: npt.NDArray[Any]
    if name == "begin_ns":
        return _since(trace, process, records["start"])
    if name == "fused":
        column = records["shift"] >> 4
        return column
    if name in ("run", "node", "worker"):
        column = records["detail" if name == "worker" else name].copy()
        return column
    return _ns(process, shifted(records, name.removesuffix("_ns")))


def _splits(trace: Trace) -> dict[str, Column]:
    splits = [process.splits for process in trace.watched]

    def joined(field: str, dtype: Any) -> npt.NDArray[Any]:
        return _joined([split[field] for split in splits], dtype)

    first = joined("first", np.int64)
    return {
        "process": _process_column(trace, [len(split) for split in splits]),
        "run": joined("run", np.uint32),
        "backend": _named(
            [(split["backend"], process.file.definitions.backends) for process, split in _both(trace, splits)]
        ),
        "first": np.ma.MaskedArray(first, mask=first == _UNKNOWN_NODE),
        "nodes": joined("count", np.uint32),
        "begin_ns": _joined([_since(trace, p, split["start"]) for p, split in _both(trace, splits)], np.int64),
        "duration_ns": _joined([_ns(p, shifted(split, "duration")) for p, split in _both(trace, splits)], np.int64),
        "status": joined("detail", np.uint16),
        "threads": joined("threads", np.uint16),
    }


def _copies(trace: Trace) -> dict[str, Column]:
    copies = [process.copies for process in trace.watched]
    places = [{**process.file.definitions.places, 0: APPLICATION} for process in trace.watched]
    kind = _joined([copy["detail"] for copy in copies], np.uint16)
    return {
        "process": _process_column(trace, [len(copy) for copy in copies]),
        "run": _joined([copy["run"] for copy in copies], np.uint32),
        "kind": Text(np.minimum(kind & 7, len(COPY_KINDS)), (*COPY_KINDS, "?")),
        "source": _named([(copy["from"], names) for copy, names in zip(copies, places, strict=True)]),
        "target": _named([(copy["to"], names) for copy, names in zip(copies, places, strict=True)]),
        "size_bytes": _joined([copy["bytes"] for copy in copies], np.uint64),
        "begin_ns": _joined([_since(trace, p, copy["start"]) for p, copy in _both(trace, copies)], np.int64),
        "duration_ns": _joined([_ns(p, shifted(copy, "duration")) for p, copy in _both(trace, copies)], np.int64),
        "submitted": (kind & _SUBMITTED) != 0,
    }


def _both(trace: Trace, tables: Sequence[npt.NDArray[np.void]]) -> list[tuple[Process, npt.NDArray[np.void]]]:
    return list(zip(trace.watched, tables, strict=True))


def _named(columns: Sequence[tuple[npt.NDArray[Any], Mapping[int, str]]]) -> Text:
    """Numbers of several processes as the names that they stand for in each."""
    values: dict[str, int] = {}
    parts = []
    for numbers, names in columns:
        distinct, inverse = np.unique(numbers, return_inverse=True)
        known = [names.get(int(number), "?") for number in distinct]
        parts.append(np.array([values.setdefault(name, len(values)) for name in known], np.uint32)[inverse])
    return Text(_joined(parts, np.uint32), list(values))


def _buffers(trace: Trace) -> dict[str, Column]:
    lives = [(process, life) for process in trace.watched for life in process.buffers]
    allocated = [_since(trace, process, np.array([life.allocated_ticks], np.uint64)) for process, life in lives]
    freed = [_since(trace, process, np.array([life.freed_ticks or 0], np.uint64)) for process, life in lives]
    return {
        "process": _process_column(trace, [len(process.buffers) for process in trace.watched]),
        "buffer": np.array([life.number for _, life in lives], np.uint64),
        "place": Text.of([life.place for _, life in lives]),
        "usage": Text.of([life.usage for _, life in lives]),
        "size_bytes": np.array([life.size_bytes for _, life in lives], np.uint64),
        "allocated_ns": _joined(allocated, np.int64),
        "freed_ns": np.ma.MaskedArray(
            _joined(freed, np.int64), mask=np.array([life.freed_ticks is None for _, life in lives], bool)
        ),
        "seen_allocated": np.array([life.seen_allocated for _, life in lives], bool),
    }


def _placements(trace: Trace) -> dict[str, Column]:
    parts: dict[str, list[npt.NDArray[Any]]] = {field.name: [] for field in FIELDS["placements"]}
    for index, process in enumerate(trace.watched):
        for number, extent in process.file.definitions.placements.items():
            try:
                _, graph, buffers, offsets = placement_decode(process.file.body(extent))
            except MalformedError:
                continue
            tensors = np.flatnonzero(buffers)
            sizes = np.zeros(len(buffers), np.uint64)
            if (known := process.graphs.get(graph)) is not None:
                shared = min(len(sizes), len(known.tensors))
                sizes[:shared] = known.tensors["bytes"][:shared]
            parts["process"].append(np.full(len(tensors), index, np.uint16))
            parts["placement"].append(np.full(len(tensors), number, np.uint64))
            parts["graph"].append(np.full(len(tensors), graph, np.uint32))
            parts["tensor"].append(tensors.astype(np.uint32))
            parts["buffer"].append(buffers[tensors])
            parts["offset_bytes"].append(offsets[tensors])
            parts["size_bytes"].append(sizes[tensors])
    types = {"process": np.uint16, "placement": np.uint64, "offset_bytes": np.uint64, "size_bytes": np.uint64}
    return {name: _joined(part, types.get(name, np.uint32)) for name, part in parts.items()}


def _lifetimes(trace: Trace) -> dict[str, Column]:
    found = [(index, arena) for index, process in enumerate(trace.watched) for arena in arenas(process)]
    counts = [len(arena.tensor) for _, arena in found]

    def repeated(values: Sequence[int], dtype: Any) -> npt.NDArray[Any]:
        return np.repeat(np.array(values, dtype), counts)

    first = _joined([arena.first for _, arena in found], np.int64)
    reuses = _joined([arena.reuses for _, arena in found], np.int64)
    return {
        "process": repeated([index for index, _ in found], np.uint16),
        "graph": repeated([arena.graph for _, arena in found], np.uint32),
        "placement": repeated([arena.placement for _, arena in found], np.uint32),
        "buffer": repeated([arena.buffer for _, arena in found], np.uint64),
        "tensor": _joined([arena.tensor for _, arena in found], np.int64),
        "offset_bytes": _joined([arena.offset_bytes for _, arena in found], np.float64),
        "size_bytes": _joined([arena.size_bytes for _, arena in found], np.float64),
        "first": np.ma.MaskedArray(first, mask=first < 0),
        "last": _joined([arena.last for _, arena in found], np.int64),
        "reuses": np.ma.MaskedArray(reuses, mask=reuses < 0),
    }
