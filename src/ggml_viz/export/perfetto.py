"""Perfetto's native format: protobuf packets, as protos/perfetto/trace in Perfetto's sources has them.

Only the few messages that a timeline takes are written, by hand: a field is a key (its number and wire type) and a
varint or a length with bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

from ggml_viz.export.timeline import WORKERS, memory_steps, node_events, process_name, slices, tracks
from ggml_viz.native import EVENT_ANNOTATIONS, EVENTS_PERFETTO
from ggml_viz.trace.varint import encode_varint

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
# Of a process; counters of memory are behind all others.
_TRACKS, _MEMORY = 1 << 20, 1 << 19


def write(selection: Selection, out: BinaryIO) -> None:
    """Writes a trace with the same tracks as for Chrome; times are on the machine's monotonic clock."""
    epoch_ns = max(selection.trace.started_monotonic_ns, 0)
    names = b"".join(_message(3, _field(1, i), _text(2, name)) for i, name in enumerate(EVENT_ANNOTATIONS, 1))
    out.write(_packet(_field(_FLAGS, _STATE_CLEARED), _message(_INTERNED, names)))
    for index, process in enumerate(selection.trace.watched):
        pid = process.file.definitions.info.pid & 0x7FFF_FFFF
        described = _message(3, _field(1, pid), _text(6, process_name(process)))
        out.write(_packet(_message(_DESCRIPTOR, _field(_UUID, _track(index)), described)))
        for track, name in tracks(selection, index).items():
            out.write(_packet(_described(index, track, name)))
        out.writelines(
            node_events(
                selection,
                process,
                _node_text,
                format=EVENTS_PERFETTO,
                number=index + 1,
                first_track=_track(index, WORKERS),
                sequence=_ONE_SEQUENCE,
                epoch_ns=epoch_ns,
            )
        )
    for part in slices(selection):
        begin, on = epoch_ns + max(part.begin_ns, 0), _field(_TRACK, _track(part.process, part.track))
        text = _text(_NAME, part.name) + _text(_CATEGORY, part.kind) + _annotations(part.said)
        out.write(_event(begin, _field(_TYPE, _SLICE_BEGIN), on, text))
        out.write(_event(begin + max(part.duration_ns, 0), _field(_TYPE, _SLICE_END), on))
    _write_memory(selection, epoch_ns, out)


def _track(process: int, number: int = 0) -> int:
    return (process + 1) * _TRACKS + number


def _field(number: int, value: int) -> bytes:
    return encode_varint(number << 3) + encode_varint(value)


def _message(number: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return encode_varint(number << 3 | 2) + encode_varint(len(body)) + body


def _text(number: int, text: str) -> bytes:
    return _message(number, text.encode())


def _packet(*parts: bytes) -> bytes:
    return _message(1, _field(_SEQUENCE, _ONE_SEQUENCE), *parts)


def _described(process: int, number: int, name: str, *more: bytes) -> bytes:
    """The descriptor of a track of a process."""
    parts = (_field(_UUID, _track(process, number)), _text(_TRACK_NAME, name), _field(_PARENT, _track(process)))
    return _message(_DESCRIPTOR, *parts, *more)


def _event(at_ns: int, *parts: bytes) -> bytes:
    return _packet(_field(_TIMESTAMP, at_ns), _field(_FLAGS, _NEEDS_STATE), _message(_TRACK_EVENT, *parts))


def _annotations(values: dict[str, str | int]) -> bytes:
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
    return _text(_NAME, op) + _text(_CATEGORY, role or "node") + _annotations(values)


def _write_memory(selection: Selection, epoch_ns: int, out: BinaryIO) -> None:
    numbers: dict[tuple[int, str], int] = {}
    for process, at_ns, usage in memory_steps(selection):
        for name, size in usage.items():
            if (process, name) not in numbers:
                number = numbers[process, name] = _MEMORY + len(numbers)
                counter = _message(8, _field(3, 3))  # CounterDescriptor.unit: UNIT_SIZE_BYTES
                out.write(_packet(_described(process, number, f"{name} memory", counter)))
            track = _field(_TRACK, _track(process, numbers[process, name]))
            value = _field(_COUNTER_VALUE, max(size, 0))
            out.write(_event(epoch_ns + at_ns, _field(_TYPE, _COUNTER), track, value))
