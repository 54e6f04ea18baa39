"""Chrome's trace event format (JSON), which chrome://tracing, Perfetto and many others open."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, BinaryIO

from ggml_viz.export.timeline import node_events, process_name, worker_count
from ggml_viz.native import EVENTS_CHROME

if TYPE_CHECKING:
    from ggml_viz.export.selection import Selection

_GRAPHS, _COPIES, _BACKENDS, _WORKERS = 1, 2, 10, 1000


def write(selection: Selection, out: BinaryIO) -> None:
    """Writes a trace as JSON, a line for each event.

    Each process has a track of graphs, one of copies, one for each backend (its splits) and one for each worker. A
    worker's event lasts from its node's begin to the end of its work, barriers inside included (`inner_us`); the gap
    behind it is the wait at the closing barrier (`wait_us`).
    """
    out.write(b'{"displayTimeUnit":"ns","traceEvents":[\n')
    for index, process in enumerate(selection.trace.watched):
        number = index + 1
        tracks = {_GRAPHS: "graphs", _COPIES: "copies"}
        tracks |= {_BACKENDS + i: f"splits on {name}" for i, name in enumerate(_backends(selection, index))}
        tracks |= {_WORKERS + worker: f"worker {worker}" for worker in range(worker_count(process))}
        _line(out, ph="M", pid=number, name="process_name", args={"name": process_name(process)})
        for track, name in tracks.items():
            _line(out, ph="M", pid=number, tid=track, name="thread_name", args={"name": name})
            _line(out, ph="M", pid=number, tid=track, name="thread_sort_index", args={"sort_index": track})
        events = node_events(selection, process, _node_text, format=EVENTS_CHROME, number=number, first_track=_WORKERS)
        for piece in events:
            out.write(piece)
    for event in (*_graphs(selection), *_splits(selection), *_copies(selection), *_memory(selection)):
        _line(out, **event)
    command = "; ".join(map(process_name, selection.trace.watched))
    last = json.dumps({"ph": "M", "pid": 1, "name": "process_labels", "args": {"labels": "recorded by ggml-viz"}})
    out.write(f"{last}\n],\n".encode() + b'"otherData":' + json.dumps({"command": command}).encode() + b"}\n")


def _line(out: BinaryIO, **event: Any) -> None:
    out.write(json.dumps(event, separators=(",", ":")).encode() + b",\n")


def _node_text(op: str, name: str, layer: int, role: str, shape: str) -> bytes:
    arguments: dict[str, Any] = {"tensor": name, "role": role, "shape": shape}
    if layer >= 0:
        arguments["layer"] = layer
    event = json.dumps({"name": op, "cat": role or "node", "args": arguments}, separators=(",", ":"))
    # The native side goes on inside of "args", which comes last.
    return event[1:-2].encode()


def _us(ns: int) -> float:
    return ns / 1000


def _rows(selection: Selection, table: str, *columns: str) -> Iterator[tuple[Any, ...]]:
    loaded = selection.rows(table, columns)
    return zip(*(column.tolist() if hasattr(column, "tolist") else column for column in loaded.values()), strict=True)


def _backends(selection: Selection, process: int) -> list[str]:
    splits = selection.trace.splits
    return sorted(set(splits["backend"][splits["process"] == process]))


def _graphs(selection: Selection) -> Iterator[dict[str, Any]]:
    columns = ("process", "run", "graph", "phase", "tokens", "begin_ns", "duration_ns", "threads", "status")
    for process, run, graph, phase, tokens, begin, took, threads, status in _rows(selection, "runs", *columns):
        yield {
            "ph": "X",
            "pid": process + 1,
            "tid": _GRAPHS,
            "ts": _us(begin),
            "dur": _us(took),
            "name": f"{phase}, {tokens} tokens" if tokens > 1 else phase,
            "cat": "graph",
            "args": {"run": run, "graph": graph, "tokens": tokens, "threads": threads, "status": status},
        }


def _splits(selection: Selection) -> Iterator[dict[str, Any]]:
    tracks = {
        (process, name): _BACKENDS + i
        for process in range(len(selection.trace.watched))
        for i, name in enumerate(_backends(selection, process))
    }
    columns = ("process", "run", "backend", "nodes", "begin_ns", "duration_ns", "threads")
    for process, run, backend, nodes, begin, took, threads in _rows(selection, "splits", *columns):
        track = tracks[process, backend]
        yield {
            "ph": "X",
            "pid": process + 1,
            "tid": track,
            "ts": _us(begin),
            "dur": _us(took),
            "name": f"{nodes} nodes",
            "cat": "split",
            "args": {"run": run, "backend": backend, "threads": threads},
        }


def _copies(selection: Selection) -> Iterator[dict[str, Any]]:
    columns = ("process", "run", "kind", "source", "target", "size_bytes", "begin_ns", "duration_ns")
    for process, run, kind, source, target, size, begin, took in _rows(selection, "copies", *columns):
        yield {
            "ph": "X",
            "pid": process + 1,
            "tid": _COPIES,
            "ts": _us(begin),
            "dur": _us(took),
            "name": f"{source} → {target}",
            "cat": "copy",
            "args": {"run": run, "kind": kind, "bytes": size},
        }


def _memory(selection: Selection) -> Iterator[dict[str, Any]]:
    for process, at_ns, usage in memory_steps(selection):
        yield {"ph": "C", "pid": process + 1, "ts": _us(at_ns), "name": "memory, bytes", "args": usage}


def memory_steps(selection: Selection) -> Iterator[tuple[int, int, dict[str, int]]]:
    """What the buffers of each process take, by usage, from each moment on at which that changed.

    Yields:
        Index of the process, ns since the trace began, bytes by usage.
    """
    columns = ("process", "usage", "size_bytes", "allocated_ns", "freed_ns")
    changes: list[tuple[int, int, str, int]] = []
    for process, usage, size, allocated, freed in _rows(selection, "buffers", *columns):
        changes.append((process, max(allocated, 0), usage, size))
        if freed is not None:
            changes.append((process, max(freed, 0), usage, -size))
    now: dict[int, dict[str, int]] = {}
    for process, at_ns, usage, size in sorted(changes):
        use = now.setdefault(process, {})
        use[usage] = use.get(usage, 0) + size
        yield process, at_ns, dict(use)
