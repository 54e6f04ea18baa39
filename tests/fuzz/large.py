"""Makes hostile traces that have very many of something: what takes time that grows faster than the file shows here."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable

from tests.support import tracefile, version1
from tests.support.tracefile import (
    COPY,
    NODE,
    RUN,
    SPLIT,
    START_NS,
    Record,
    Tensor,
    Writer,
    encode_graph,
    string,
    varint,
)

Body = bytes


def large_trace(rng: random.Random, scale: float = 1.0, only: str | None = None) -> bytes:
    """A trace with very many of something.

    Args:
        rng: Decides what of.
        scale: How many more than usual.
        only: Name of one of LARGE to make.
    """
    name = only or rng.choice(list(LARGE))
    return LARGE[name](rng, max(int(scale * rng.choice((100, 400, 1500))), 1))


def _begun() -> Writer:
    writer = Writer()
    writer.begin_process()
    for name in ("f32", "ADD", "MUL_MAT", "RMS_NORM", "GET_ROWS", "VIEW"):
        writer.number(tracefile.NAME, name)
    return writer


def _tensor(i: int, nodes: int, name: str = "", op: int = 2, sources: tuple[int | None, ...] = ()) -> Tensor:
    return Tensor(name or f"n{i}", op if i < nodes else 99, 1, (8, 1, 1, 1), bytes=32, sources=sources)


def _graph(writer: Writer, number: int, tensors: list[Tensor], nodes: int) -> None:
    writer.define(tracefile.GRAPH, encode_graph(number, 1, nodes, tensors))


def _run(number: int, graph: int, placement: int = 0, start: int | None = None, duration: int = 900) -> Record:
    return Record(RUN, START_NS + number * 1000 if start is None else start, number, (graph, placement, duration, 1))


def _ended(writer: Writer, records: list[Record], at_once: int = 4000) -> bytes:
    for first in range(0, len(records), at_once):
        writer.chunk(b"RECS", tracefile.encode_records(0, records[first : first + at_once]))
    writer.end_process()
    return bytes(writer.data)


def _processes(rng: random.Random, count: int) -> bytes:
    writer = Writer()
    whole = rng.random() < 0.5
    for i in range(count):
        if whole:
            writer.begin_process(pid=i)
            writer.flush()
        else:
            writer.process = i + 1
        writer.chunk(*rng.choice(((b"DONE", bytes(4)), (b"CLOK", struct.pack("<3Q", i, i, i)))))
    return bytes(writer.data)


def _graphs(rng: random.Random, count: int) -> bytes:
    writer = _begun()
    for i in range(count):
        writer.define(tracefile.NAME, 10 + i, f"OP{i}")
    for number in range(1, count + 1):
        tensors = [_tensor(0, 2, op=10 + number % count, sources=(2,)), _tensor(1, 2, op=3, sources=(2, 0))]
        _graph(writer, number, [*tensors, _tensor(2, 2, f"blk.{number}.attn_q.weight")], 2)
        places = [(1, 0), (1, 64), (2, 0)]
        writer.define(tracefile.PLACEMENT, tracefile.encode_placement(number, number, places))
    for number, usage in ((1, 2), (2, 1)):
        place = writer.number(tracefile.PLACE, rng.choice(("CPU", "GPU0")))
        writer.define(tracefile.BUFFER, number, writer.start, place, usage, 0, 4096, 4096, "b")
    writer.flush()
    records = []
    for run in range(1, count + 1):
        start = START_NS + run * 1000
        records += [Record(NODE, start, run, (0, 100, 1, 2)), Record(NODE, start + 200, run, (1, 100, 1, 2))]
        records += [Record(SPLIT, start, run, (0, 2, 900, 1 | 1 << 16)), _run(run, run, run)]
    return _ended(writer, records)


def _backends(rng: random.Random, count: int) -> bytes:
    """Splits of ever other backends, and copies between ever other places."""
    writer = _begun()
    _graph(writer, 1, [_tensor(0, 1)], 1)
    writer.flush()
    records = []
    for i in range(count):
        start = START_NS + i * 100
        records.append(Record(SPLIT, start, 1 + i % 7, (0, 1, 50, i % 65536 | (i & 1) << 16)))
        records.append(Record(COPY, start, 1 + i % 7, (4, 0, 50, rng.getrandbits(32)), detail=i % 16))
    return _ended(writer, [*records, *(_run(number, 1) for number in range(1, 8))])


def _workers(rng: random.Random, count: int) -> bytes:
    writer = _begun()
    _graph(writer, 1, [_tensor(i, 4, op=2 + i % 3) for i in range(4)], 4)
    writer.flush()
    records = [
        Record(
            NODE, START_NS + i * 10, 1 + i % 3, (i % 4, 100, 2, 3), detail=i * 7 % 65536, shift=rng.choice((0, 0xF0))
        )
        for i in range(count)
    ]
    return _ended(writer, [*records, *(_run(number, 1) for number in (1, 2, 3))])


def _buffers(rng: random.Random, count: int) -> bytes:
    """Buffers of ever other places, with tensors of a KV cache in some."""
    writer = _begun()
    _graph(writer, 1, [_tensor(0, 1), *(_tensor(i, 1, f"cache_k_l{i}") for i in range(1, 9))], 1)
    for i in range(1, count + 1):
        writer.define(tracefile.PLACE, i, f"place {i}")
        fields = (
            i,
            writer.start + rng.randrange(1 << 30),
            i,
            rng.randrange(4),
            0,
            rng.getrandbits(rng.choice((20, 64))),
        )
        writer.define(tracefile.BUFFER, *fields, 4096, "b")
        if i % 3 == 0:
            writer.define(tracefile.BUFFER_FREE, i, writer.start + rng.randrange(1 << 30))
        places = [(rng.randrange(1, count + 1), 64 * j) for j in range(9)]
        writer.define(tracefile.PLACEMENT, tracefile.encode_placement(i, 1, places))
    writer.flush()
    return _ended(writer, [_run(number, 1, number) for number in range(1, count + 1)])


def _tensors(rng: random.Random, count: int) -> bytes:
    """One large graph, wired anyhow, whose tensors lie anywhere in one buffer."""
    writer = _begun()
    nodes = rng.choice((count, count // 2, 1))
    tensors = []
    for i in range(count):
        op, sources = rng.choice((2, 3, 4, 5, 6)), tuple(rng.randrange(count) for _ in range(rng.choice((0, 1, 2, 10))))
        tensor = _tensor(i, nodes, rng.choice((f"n{i}", "", f"node_{i}", f"blk.{i}.ffn_down.weight")), op, sources)
        tensor.view = rng.choice((None, i - 1 if i else None, rng.randrange(count)))
        tensor.bytes = rng.randrange(1 << 16)
        tensors.append(tensor)
    _graph(writer, 1, tensors, nodes)
    place = writer.number(tracefile.PLACE, "CPU")
    writer.define(tracefile.BUFFER, 1, writer.start, place, 2, 0, 1 << 30, 4096, "b")
    step = rng.choice((0, 1, 64, 1 << 14))
    places = [(1, step * i if step else rng.randrange(1 << 20)) for i in range(count)]
    writer.define(tracefile.PLACEMENT, tracefile.encode_placement(1, 1, places))
    writer.flush()
    records = [
        Record(NODE, START_NS + i * 10, 1, (i, 8, 1, 1), shift=rng.choice((0, 0x10, 0xF0))) for i in range(nodes)
    ]
    return _ended(writer, [*records, _run(1, 1, 1)])


def _layouts(rng: random.Random, count: int) -> bytes:
    """Some graphs, each run in the layouts of all others."""
    writer = _begun()
    side, tensors = 30, max(count // 10, 4)
    for usage, place in ((1, "CPU"), (1, "GPU0"), (2, "CPU")):
        number = 1 + len(writer.numbers)
        writer.define(
            tracefile.BUFFER, number, writer.start, writer.number(tracefile.PLACE, place), usage, 0, 99, 9, "b"
        )
    for number in range(1, side + 1):
        _graph(
            writer, number, [_tensor(i, tensors // 2, f"blk.{i}.attn_q.weight") for i in range(tensors)], tensors // 2
        )
        places = [(rng.choice((7, 8, 9)), 64 * i) for i in range(tensors)]
        writer.define(tracefile.PLACEMENT, tracefile.encode_placement(number, number, places))
    writer.flush()
    runs = [(graph, placement) for graph in range(1, side + 1) for placement in range(1, side + 1)]
    return _ended(writer, [_run(i, *each) for i, each in enumerate(runs, 1)])


def _runs(rng: random.Random, count: int) -> bytes:
    """Runs that overlap, lie in each other, or last for ever."""
    writer = _begun()
    _graph(writer, 1, [_tensor(0, 2), _tensor(1, 2)], 2)
    writer.flush()
    records = []
    how = rng.choice(("nested", "overlapping", "any", "long"))
    for i in range(1, count + 1):
        start, duration = {
            "nested": (START_NS + i * 10, max((count - i) * 20, 0)),
            "overlapping": (START_NS + i * 10, 10_000_000),
            "any": (START_NS + rng.randrange(1 << 24), rng.randrange(1 << 24)),
            "long": (rng.getrandbits(64), 0xFFFF_FFFF),
        }[how]
        records.append(Record(NODE, start, i, (i % 2, min(duration, 0xFFFF_FFFF), 0, 0), detail=i % 4))
        records.append(Record(SPLIT, start, i, (0, 2, min(duration, 0xFFFF_FFFF), 1)))
        records.append(_run(i, i % 3, 0, start, min(duration, 0xFFFF_FFFF)))
    return _ended(writer, records)


def _chunks(rng: random.Random, count: int) -> bytes:
    """Records and definitions one a chunk, of runs in a bad order."""
    writer = _begun()
    _graph(writer, 1, [_tensor(i, 8) for i in range(8)], 8)
    writer.flush()
    for i in range(count):
        run = rng.choice((i, count - i, 0, rng.randrange(count)))
        record = rng.choice((_run(run, 1), Record(NODE, START_NS + i, run, (i % 9, 10, 1, 1))))
        writer.chunk(b"RECS", tracefile.encode_records(rng.randrange(200), [record]))
        if rng.random() < 0.1:
            writer.calibrate()
    return _ended(writer, [])


def _strings(rng: random.Random, count: int) -> bytes:
    """Names of tensors, ops and everything that are long and look nearly like known ones."""
    writer = _begun()
    parts = (
        "blk.",
        "0",
        "9",
        ".",
        "-",
        "_",
        "attn",
        "layers.",
        "encoder.",
        "decoder.",
        "(",
        " (view)",
        "#",
        "weight",
        "é",
    )
    parts = rng.sample(parts, rng.choice((2, 3, 5))) if rng.random() < 0.7 else parts

    def name() -> str:
        return "".join(rng.choice(parts) for _ in range(rng.choice((3, 60, 250))))[: rng.choice((64, 255, 4000))]

    size = max(count // 10, 1)
    for i in range(size):
        writer.define(tracefile.NAME, 10 + i, name())
        writer.define(tracefile.NOTE, i % 4, name())
        writer.define(tracefile.RUNTIME, i, name(), name())
        writer.define(tracefile.BACKEND, i, name())
    tensors = [_tensor(i, size, name(), 10 + i, (size + i,)) for i in range(size)]
    _graph(writer, 1, [*tensors, *(_tensor(i, 0, name()) for i in range(size))], size)
    writer.flush()
    records = [Record(NODE, START_NS + i * 10, 1, (i, 8, 1, 1), shift=0x10) for i in range(size)]
    return _ended(writer, [*records, _run(1, 1)])


def _ops(rng: random.Random, count: int) -> bytes:
    """Ever other ops on ever other workers."""
    writer = _begun()
    body = b"".join(tracefile.definition(tracefile.NAME, varint(10 + i) + string(f"OP{i}")) for i in range(count))
    writer.chunk(b"DEFS", body)
    _graph(writer, 1, [_tensor(i, count, op=10 + i, sources=((i + 1) % count,)) for i in range(count)], count)
    writer.flush()
    shift = rng.choice((0, 0x10, 0xF0))
    records = [Record(NODE, START_NS + i * 10, 1, (i, 8, 1, 1), detail=i % 1100, shift=shift) for i in range(count)]
    return _ended(writer, [*records, _run(1, 1)])


def _version_1(rng: random.Random, count: int) -> bytes:
    data = bytearray(version1.HEADER)
    for i in range(max(count // 8, 1)):
        pointer = rng.choice((1, i, rng.getrandbits(64)))
        ops = [(rng.randrange(90), f"op{rng.randrange(count)}", i) for _ in range(rng.choice((1, 2, 8)))]
        data += version1.computed(pointer, ops, 1000 + i * 100, 1090 + i * 100)
        data += version1.event(rng.choice((version1.ALLOC, version1.FREE)), 1050 + i * 100, version1.memory(i, i))
    return bytes(data)


LARGE: dict[str, Callable[[random.Random, int], bytes]] = {
    "processes": _processes,
    "graphs": _graphs,
    "backends": _backends,
    "workers": _workers,
    "buffers": _buffers,
    "tensors": _tensors,
    "layouts": _layouts,
    "runs": _runs,
    "chunks": _chunks,
    "strings": _strings,
    "ops": _ops,
    "version 1": _version_1,
}
"""What there may be very many of."""
