"""Perfetto's native format: protobuf packets, as protos/perfetto/trace in Perfetto's sources has them.

Only the few messages that a timeline takes are written, by hand: a field is a key (its number and wire type) and a
varint or a length with bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO

from ggml_viz.export.chrome import memory_steps
from ggml_viz.export.timeline import node_events, process_name, worker_count
from ggml_viz.native import EVENT_ANNOTATIONS, EVENTS_PERFETTO

if TYPE_CHECKING:
    from ggml_viz.export.selection import Selection

# TracePacket
_TIMESTAMP, _SEQUENCE, _TRACK_EVENT, _INTERNED, _FLAGS, _DESCRIPTOR = 8, 10, 11, 12, 13, 60
_STATE_CLEARED, _NEEDS_STATE = 1, 2
# TrackEvent
_ANNOTATION, _TYPE, _TRACK, _CATEGORY, _NAME, _COUNTER_VALUE = 4, 9, 11, 22, 23, 30
_SLICE_BEGIN, _SLICE_END, _COUNTER = 1, 2, 4
# DebugAnnotation
_ANNOTATION_UINT, _ANNOTATION_TEXT, _ANNOTATION_NAME = 3, 6, 10

# TrackDescriptor
_UUID, _TRACK_NAME, _PARENT = 1, 2, 5

_ONE_SEQUENCE = 1
_TRACKS_OF_PROCESS = 1 << 20
_GRAPHS, _COPIES, _BACKENDS, _WORKERS, _MEMORY = 1, 2, 64, 1024, 1 << 19


def write(selection: Selection, out: BinaryIO) -> None:
    """Writes a trace with the same tracks as for Chrome; times are on the machine's monotonic clock."""
    epoch_ns = max(selection.trace.started_monotonic_ns, 0)
    names = b"".join(_message(3, _field(1, i), _text(2, name)) for i, name in enumerate(EVENT_ANNOTATIONS, 1))
    out.write(_packet(_field(_FLAGS, _STATE_CLEARED), _message(_INTERNED, names)))
    for index, process in enumerate(selection.trace.watched):
        base = (index + 1) * _TRACKS_OF_PROCESS
        pid = process.file.definitions.info.pid & 0x7FFF_FFFF
        described = _message(3, _field(1, pid), _text(6, process_name(process)))
        out.write(_packet(_message(_DESCRIPTOR, _field(_UUID, base), described)))
        for track, name in {
            _GRAPHS: "graphs",
            _COPIES: "copies",
            **{_BACKENDS + i: f"splits on {name}" for i, name in enumerate(_backends(selection, index))},
            **{_WORKERS + worker: f"worker {worker}" for worker in range(worker_count(process))},
        }.items():
            out.write(_packet(_track_of(base, track, name)))
        out.writelines(
            node_events(
                selection,
                process,
                _node_text,
                format=EVENTS_PERFETTO,
                number=index + 1,
                first_track=base + _WORKERS,
                sequence=_ONE_SEQUENCE,
                epoch_ns=epoch_ns,
            )
        )
    for slices in (_graphs(selection), _splits(selection), _copies(selection)):
        for track, begin_ns, took_ns, text in slices:
            begin = epoch_ns + max(begin_ns, 0)
            out.write(_event(begin, _field(_TYPE, _SLICE_BEGIN), _field(_TRACK, track), text))
            out.write(_event(begin + max(took_ns, 0), _field(_TYPE, _SLICE_END), _field(_TRACK, track)))
    _write_memory(selection, epoch_ns, out)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _field(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value)


def _message(number: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return _varint(number << 3 | 2) + _varint(len(body)) + body


def _text(number: int, text: str) -> bytes:
    return _message(number, text.encode())


def _packet(*parts: bytes) -> bytes:
    return _message(1, _field(_SEQUENCE, _ONE_SEQUENCE), *parts)


def _track_of(base: int, track: int, name: str, *more: bytes) -> bytes:
    """The descriptor of a track of a process."""
    parts = (_field(_UUID, base + track), _text(_TRACK_NAME, name), _field(_PARENT, base))
    return _message(_DESCRIPTOR, *parts, *more)


def _event(at_ns: int, *parts: bytes) -> bytes:
    return _packet(_field(_TIMESTAMP, at_ns), _field(_FLAGS, _NEEDS_STATE), _message(_TRACK_EVENT, *parts))


def _annotations(**values: str | int) -> bytes:
    return b"".join(
        _message(
            _ANNOTATION,
            _text(_ANNOTATION_NAME, name),
            _field(_ANNOTATION_UINT, max(value, 0)) if isinstance(value, int) else _text(_ANNOTATION_TEXT, value),
        )
        for name, value in values.items()
    )


def _node_text(op: str, name: str, layer: int, role: str, shape: str) -> bytes:
    values: dict[str, str | int] = {"tensor": name, "role": role, "shape": shape}
    if layer >= 0:
        values["layer"] = layer
    return _text(_NAME, op) + _text(_CATEGORY, role or "node") + _annotations(**values)


def _rows(selection: Selection, table: str, *columns: str) -> Iterator[tuple[int, ...]]:
    loaded = selection.rows(table, columns)
    return zip(*(column.tolist() if hasattr(column, "tolist") else column for column in loaded.values()), strict=True)


def _backends(selection: Selection, process: int) -> list[str]:
    splits = selection.trace.splits
    return sorted(set(splits["backend"][splits["process"] == process]))


def _track(process: int, track: int) -> int:
    return (process + 1) * _TRACKS_OF_PROCESS + track


def _graphs(selection: Selection) -> Iterator[tuple[int, int, int, bytes]]:
    columns = ("process", "run", "graph", "phase", "tokens", "begin_ns", "duration_ns", "threads")
    for process, run, graph, phase, tokens, begin, took, threads in _rows(selection, "runs", *columns):
        name = f"{phase}, {tokens} tokens" if tokens > 1 else str(phase)
        said = _annotations(run=run, graph=graph, tokens=tokens, threads=threads)
        yield _track(process, _GRAPHS), begin, took, _text(_NAME, name) + _text(_CATEGORY, "graph") + said


def _splits(selection: Selection) -> Iterator[tuple[int, int, int, bytes]]:
    tracks = {
        (process, name): _track(process, _BACKENDS + i)
        for process in range(len(selection.trace.watched))
        for i, name in enumerate(_backends(selection, process))
    }
    columns = ("process", "run", "backend", "nodes", "begin_ns", "duration_ns", "threads")
    for process, run, backend, nodes, begin, took, threads in _rows(selection, "splits", *columns):
        said = _annotations(run=run, threads=threads)
        track = tracks[process, str(backend)]
        yield track, begin, took, _text(_NAME, f"{nodes} nodes") + _text(_CATEGORY, "split") + said


def _copies(selection: Selection) -> Iterator[tuple[int, int, int, bytes]]:
    columns = ("process", "run", "kind", "source", "target", "size_bytes", "begin_ns", "duration_ns")
    for process, run, kind, source, target, size, begin, took in _rows(selection, "copies", *columns):
        said = _annotations(run=run, kind=str(kind), bytes=size)
        name = _text(_NAME, f"{source} → {target}") + _text(_CATEGORY, "copy")
        yield _track(process, _COPIES), begin, took, name + said


def _write_memory(selection: Selection, epoch_ns: int, out: BinaryIO) -> None:
    tracks: dict[tuple[int, str], int] = {}
    for process, at_ns, usage in memory_steps(selection):
        for name, size in usage.items():
            if (process, name) not in tracks:
                number = _MEMORY + len(tracks)
                tracks[process, name] = _track(process, number)
                counter = _message(8, _field(3, 3))  # CounterDescriptor.unit: UNIT_SIZE_BYTES
                out.write(_packet(_track_of(_track(process, 0), number, f"{name} memory", counter)))
            value = _field(_COUNTER_VALUE, max(size, 0))
            out.write(_event(epoch_ns + at_ns, _field(_TYPE, _COUNTER), _field(_TRACK, tracks[process, name]), value))
