"""Chrome's trace event format (JSON), which chrome://tracing, Perfetto and many others open."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, BinaryIO

from ggml_viz.export.timeline import WORKERS, memory_steps, node_events, process_name, slices, tracks
from ggml_viz.native import EVENTS_CHROME

if TYPE_CHECKING:
    from ggml_viz.export.selection import Selection


def write(selection: Selection, out: BinaryIO) -> None:
    """Writes a trace as JSON, a line for each event.

    Each process has a track of graphs, one of copies, one for each backend (its splits) and one for each worker. A
    worker's event lasts from its node's begin to the end of its work, barriers inside included (`inner_us`); the gap
    behind it is the wait at the closing barrier (`wait_us`).
    """
    out.write(b'{"displayTimeUnit":"ns","traceEvents":[\n')
    for index, process in enumerate(selection.trace.watched):
        number = index + 1
        _line(out, ph="M", pid=number, name="process_name", args={"name": process_name(process)})
        for track, name in tracks(selection, index).items():
            _line(out, ph="M", pid=number, tid=track, name="thread_name", args={"name": name})
            _line(out, ph="M", pid=number, tid=track, name="thread_sort_index", args={"sort_index": track})
        out.writelines(
            node_events(selection, process, _node_text, format=EVENTS_CHROME, number=number, first_track=WORKERS)
        )
    for part in slices(selection):
        place = {"pid": part.process + 1, "tid": part.track, "ts": part.begin_ns / 1000, "dur": part.duration_ns / 1000}
        _line(out, ph="X", **place, name=part.name, cat=part.kind, args=part.said)
    for index, at_ns, usage in memory_steps(selection):
        _line(out, ph="C", pid=index + 1, ts=at_ns / 1000, name="memory, bytes", args=usage)
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
