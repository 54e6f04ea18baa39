"""What is answered alike of a trace and of a process."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, BinaryIO

from ggml_viz.analysis.contents import command_line, wall_time
from ggml_viz.errors import UserError
from ggml_viz.export.selection import Selection
from ggml_viz.model.part import PartOfTrace
from ggml_viz.model.table import Column, Text
from ggml_viz.model.tables import FIELDS, make_table
from ggml_viz.model.trace import Trace
from ggml_viz.sources.source import BadQuestionError, NotThereError
from ggml_viz.trace.chunks import Integrity
from ggml_viz.trace.definitions import DETAIL_NAMES
from ggml_viz.trace.reader import TraceFile
from ggml_viz.views import nodes, series
from ggml_viz.views.graph import graph_list
from ggml_viz.views.layer import graph_of, has_layers
from ggml_viz.views.timeline import FIRST_WORKER, LANES_PER_PROCESS, Timeline

# Columns of longer tables are made for a request, one at a time, and let go of again: all of them fill the memory.
_LONG_TABLE_ROWS = 2_000_000

_DRAWING = threading.Lock()


def series_of(trace: Trace, timeline: Timeline, columns: int, from_s: float, until_s: float) -> dict[str, Any]:
    """Series of a trace."""
    until_s = max(until_s, from_s + 1e-6)
    try:
        rates = series.over_time(trace, from_s, until_s, columns)
    except ValueError as error:
        raise BadQuestionError(str(error)) from None
    return {**rates, "busy": timeline.busy(from_s, until_s, columns)}


def tile_of(
    timeline: Timeline,
    from_s: float,
    until_s: float,
    columns: int,
    lanes: Sequence[int] | None,
    spans: bool,
    request: int,
) -> bytes:
    """A tile of a timeline."""
    try:
        return timeline.tile(from_s, until_s, columns, lanes, spans, request)
    except ValueError as error:
        raise BadQuestionError(str(error)) from None


def span_of(trace: Trace, lane: int, run: int, node: int, begin_s: float) -> dict[str, Any]:
    """Span of a trace: of a worker's lane a node, of another what it shows there."""
    process = lane // LANES_PER_PROCESS
    if lane % LANES_PER_PROCESS >= FIRST_WORKER:
        return found(lambda: nodes.describe_node(trace, process, run, node))
    return found(lambda: nodes.describe_run(trace, process, run, begin_s))


def occurrence_of(
    trace: Trace, process: int, graph: int, node: int, after_s: float | None, before_s: float | None
) -> dict[str, Any]:
    """Occurrence in a trace."""
    seen = nodes.occurrence(trace, process, graph, node, after_s, before_s)
    if seen is None:
        raise NotThereError("there is no further execution")
    return dict(seen)


def longest_of(executions: Sequence[nodes.Occurrence], rank: int) -> dict[str, Any]:
    """One of a node's executions by how long it took, and how many there are."""
    if not 0 <= rank < len(executions):
        raise NotThereError("there is no further execution")
    return {**executions[rank], "count": len(executions)}


def export_selection(selection: Selection, form: str, table_name: str, out: BinaryIO) -> None:
    """Writes a part of a trace in one of EXPORTS but its own format."""
    from ggml_viz.export import chrome, perfetto, speedscope, table

    if form == "csv":
        table.write_csv(selection, table_name, out)
    else:
        {"chrome": chrome, "perfetto": perfetto, "speedscope": speedscope}[form].write(selection, out)


def found(look: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
    """What a view returns; what it does not find is not there."""
    try:
        return dict(look())
    except UserError as error:
        raise NotThereError(error.message, error.hint) from None


def picture_of(
    trace: Trace,
    form: str,
    picture: str,
    out: BinaryIO,
    from_s: float | None,
    until_s: float | None,
    graph: tuple[int, int] | None,
    layer: int | None,
) -> None:
    """Draws a picture; of runs those that began in the interval."""
    from ggml_viz.export import pictures

    # Drawn with settings that are the whole process's: one at a time.
    with _DRAWING:
        if picture == "layer":
            if graph is None:
                listed = graph_list(trace)["graphs"]
                if not listed:
                    raise NotThereError("the trace has no graph")
                graph = listed[0]["process"], listed[0]["graph"]
            of = graph_of(trace, *graph)
            pictures.write_layer(Selection(trace), form, of, layer if has_layers(trace, of) else None, out)
            return
        begin_s, end_s = from_s or 0.0, math.inf if until_s is None else until_s
        is_all = from_s is None and until_s is None
        if picture in ("ops", "roofline") and not is_all:
            selection = Selection(PartOfTrace(trace, begin_s, end_s))
        else:
            selection = Selection(trace, begin_s, end_s)
        pictures.write(selection, form, picture, None, None, out)


def describe_tables(trace: Trace) -> dict[str, Any]:
    """The tables of a trace, how long they are, and what is in their columns."""
    nothing = Trace(TraceFile("", 2, Integrity(file_bytes=0), []))
    return {
        "tables": [
            {
                "name": name,
                "rows": _length(trace, name),
                "columns": [
                    {
                        "name": field.name,
                        "type": _type(nothing.table(name)[field.name]),
                        "unit": _unit(field.name),
                        "meaning": field.meaning,
                    }
                    for field in fields
                ],
            }
            for name, fields in FIELDS.items()
        ]
    }


def some_rows(trace: Trace, name: str, offset: int, limit: int) -> dict[str, Any]:
    """Rows of a table; what is missing is null."""
    total = _length(trace, name)
    columns = [field.name for field in FIELDS[name]]
    part = slice(min(offset, total), min(offset + limit, total))
    if total > _LONG_TABLE_ROWS:
        values = [_listed(make_table(trace, name).load([column])[column][part]) for column in columns]
    else:
        loaded = trace.table(name).load()
        values = [_listed(loaded[column][part]) for column in columns]
    return {"columns": columns, "rows": [list(row) for row in zip(*values, strict=True)], "total": total}


def _length(trace: Trace, name: str) -> int:
    # The column that is cheapest to make; of a table that has been made nothing is made again.
    return len(trace.table(name))


def _listed(column: Column) -> list[Any]:
    return list(column) if isinstance(column, Text) else column.tolist()


def _type(column: Column) -> str:
    if isinstance(column, Text) or column.dtype.kind in "OU":
        return "text"
    return {"b": "boolean", "f": "number"}.get(column.dtype.kind, "integer")


def _unit(name: str) -> str:
    last = name.rpartition("_")[2]
    return {"ns": "ns", "us": "µs", "s": "s", "bytes": "bytes", "flops": "operations"}.get(last, "")


def describe_trace(trace: Trace) -> dict[str, Any]:
    """What a Source says of a trace."""
    processes = trace.watched
    infos = [process.file.definitions.info for process in processes]
    versions = {runtime.version for p in processes for runtime in p.file.definitions.runtimes.values()}
    backends = [name for p in processes for name in p.file.definitions.backends.values()]
    counters = [process.file.counters for process in processes if process.file.counters]
    return {
        "command": "; ".join(command_line(process.file) for process in processes),
        "pid": infos[0].pid if len(infos) == 1 else None,
        "ggml_version": ", ".join(sorted(versions - {""})),
        "backends": list(dict.fromkeys(backends)),
        "threads": max((int(process.runs.threads.max(initial=0)) for process in processes), default=0),
        "started": wall_time(trace.started_wall_ns),
        "duration_s": trace.duration_s,
        "records": trace.file.record_count,
        "lost": sum(counter.lost + counter.dropped for counter in counters),
        "detail": DETAIL_NAMES[infos[0].detail] if infos else None,
    }
