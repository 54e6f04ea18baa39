"""Writes files of version 1 straight from docs/trace-format.md, every field packed by its own offset."""

from __future__ import annotations

import struct

HEADER = b"GGMLVIZ1" + struct.pack("<I", 1)
(GRAPH_BEGIN, GRAPH_END, OP_BEGIN, OP_END, ALLOC, FREE, BARRIER, THREAD_BEGIN, THREAD_END) = range(9)


def event(kind: int, time_ns: int, union: bytes = b"", label: str | bytes | None = None, thread: int = 1) -> bytes:
    """One event. What `union` leaves over of the 32 bytes is not zero, because a file does not promise that."""
    data = struct.pack("<B", kind) + struct.pack("<Q", time_ns) + struct.pack("<I", thread)
    data += union + b"\xa5" * (32 - len(union))
    if label is None:
        return data + b"\0"
    text = label.encode() if isinstance(label, str) else label
    return data + b"\1" + struct.pack("<I", len(text)) + text


def graph(pointer: int, nodes: int = 0, threads: int = 1, backend: int = 0) -> bytes:
    """The union of a graph's begin or end: offsets 0, 8, 12, 16."""
    return (
        struct.pack("<Q", pointer) + struct.pack("<I", nodes) + struct.pack("<I", threads) + struct.pack("<Q", backend)
    )


def op(op_type: int, size: int = 0, tensor: int = 0x7000, backend: int = 0) -> bytes:
    """The union of an op's begin or end: offsets 0, 8, 16, 24, with something in the padding at 12."""
    data = struct.pack("<Q", tensor) + struct.pack("<I", op_type) + b"\xde\xad\xbe\xef"
    return data + struct.pack("<Q", size) + struct.pack("<Q", backend)


def memory(pointer: int, size: int = 0) -> bytes:
    """The union of an allocation or its end: offsets 0, 8."""
    return struct.pack("<Q", pointer) + struct.pack("<Q", size)


def computed(
    pointer: int, ops: list[tuple[int, str, int]], begin_ns: int, end_ns: int, threads: int = 2, thread: int = 1
) -> bytes:
    """A graph with ops (type, label, size) that is computed as the earlier tool saw it: all ops begin, run, and end."""
    out = event(GRAPH_BEGIN, begin_ns, graph(pointer, len(ops), threads), thread=thread)
    out += b"".join(event(OP_BEGIN, begin_ns + 1, op(kind, size), label, thread) for kind, label, size in ops)
    out += b"".join(event(OP_END, end_ns - 1, op(kind, size), label, thread) for kind, label, size in ops)
    return out + event(GRAPH_END, end_ns, graph(pointer, len(ops), threads), thread=thread)
