"""Writes and reads traces in plain Python, straight from docs/trace-format.md: the second implementation of the format.

Tests describe a tiny trace in text and get the bytes of a file (`trace_from_text`). One statement a line, `#` begins a
comment, times and durations are in µs on a clock whose ticks are ns:

    machine threads=1 triad=10e9 read=8e9 flops=50e9 int8=100e9
    process pid=100 ggml=0.25.3 command='llama-cli -m model.gguf'
    note not-seen 'copies between …'
    buffer 1 CPU weights 98000000 at=0
    free 1 at=900
    graph 1
      leaf token_embd.weight q4_1 [64,1000]
      leaf inp_tokens i32 [1]
      node embd GET_ROWS f32 [64,1] token_embd.weight inp_tokens
    placement 1 graph=1 token_embd.weight=1+0
    run 1 graph=1 at=100 for=50 threads=2
    split CPU run=1 first=0 count=1 at=100 for=50 threads=2
    copy set application>CPU run=1 bytes=4 at=90 for=1
    exec 0 run=1 worker=0 at=100 work=40 inner=2 wait=8 fused=0
    flush
    lost 3
    done ended

`flush` ends the chunks of records so far; `process` begins another process; `done` ends it (leave it out for a trace
that was cut short); `cut 10` takes the last ten bytes of the file away.
"""

from __future__ import annotations

import ast
import json
import shlex
import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MAGIC = b"GGMLVIZ2"
KINDS = NODE, RUN, SPLIT, COPY = range(4)
(PROCESS, NOTE, RUNTIME, NAME, BACKEND, PLACE, BUFFER, BUFFER_FREE, GRAPH, PLACEMENT) = range(1, 11)
NOTE_LEVELS = {"information": 0, "not-seen": 1, "distorting": 2}
USAGES = {"any": 0, "weights": 1, "compute": 2}
DETAILS = {"graph": 0, "op": 1, "thread": 2}
COPY_KINDS = {"set": 0, "get": 1, "tensor": 2, "fill": 3}
REASONS = {"ended": 0, "detached": 1, "abnormal": 2}
UNFINISHED = 65535
# Elements in a block of each type, and its bytes.
TYPES = {
    "f32": (1, 4),
    "f16": (1, 2),
    "i32": (1, 4),
    "i64": (1, 8),
    "q4_1": (32, 20),
    "q8_0": (32, 34),
    "q4_K": (256, 144),
}
# When the first process starts: on the monotonic clock, and 2026-01-02 12:00:00 UTC.
START_NS = 1_000_000_000
START_WALL_NS = 1_767_355_200_000_000_000


# --- numbers and strings ---


def varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def zigzag(value: int) -> bytes:
    """Of a difference of two u64, which is taken modulo 2^64."""
    value = (value + (1 << 63)) % (1 << 64) - (1 << 63)
    return varint((value << 1 ^ value >> 63) % (1 << 64))


def string(text: str) -> bytes:
    data = text.encode()
    return varint(len(data)) + data


class Cursor:
    """Reads what the functions above write."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def byte(self) -> int:
        self.at += 1
        return self.data[self.at - 1]

    def varint(self) -> int:
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    def zigzag(self) -> int:
        value = self.varint()
        return value >> 1 ^ -(value & 1)

    def string(self) -> str:
        length = self.varint()
        self.at += length
        return self.data[self.at - length : self.at].decode()


# --- records ---


@dataclass(frozen=True)
class Record:
    """`struct gv_record`; `words` are its last 16 bytes as four u32."""

    kind: int
    start: int
    run: int
    words: tuple[int, int, int, int]
    detail: int = 0
    shift: int = 0

    @property
    def end(self) -> int:
        """What the next record's start is told from."""
        return self.start + (sum(self.words[1:]) << (self.shift & 15) if self.kind == NODE else 0)

    def pack(self) -> bytes:
        """As it stands in memory."""
        return struct.pack("<QBBHI4I", self.start, self.kind, self.shift, self.detail, self.run, *self.words)


def encode_records(ring: int, records: Iterable[Record]) -> bytes:
    records = list(records)
    out = bytearray(varint(ring) + varint(len(records)))
    run = end = worker = node = 0
    for record in records:
        is_node = record.kind == NODE
        same_run = record.run == run
        same_worker = is_node and record.detail == worker
        next_node = is_node and record.words[0] == (node + 1) % (1 << 32)
        shift = record.shift != 0
        out.append(record.kind | same_run << 2 | same_worker << 3 | next_node << 4 | shift << 5)
        if shift:
            out.append(record.shift)
        if not same_run:
            out += zigzag(record.run - run)
        out += zigzag(record.start - end)
        if is_node:
            if not same_worker:
                out += varint(record.detail)
            if not next_node:
                out += zigzag(record.words[0] - node)
            for word in record.words[1:]:
                out += varint(word)
            worker, node = record.detail, record.words[0]
        else:
            out += varint(record.detail)
            for word in record.words:
                out += varint(word)
        run, end = record.run, record.end
    return bytes(out)


def decode_records(payload: bytes) -> tuple[int, list[Record]]:
    """The ring and its records."""
    cursor = Cursor(payload)
    ring, count = cursor.varint(), cursor.varint()
    records = []
    run = end = worker = node = 0
    for _ in range(count):
        tag = cursor.byte()
        shift = cursor.byte() if tag & 32 else 0
        run = run if tag & 4 else run + cursor.zigzag()
        start = (end + cursor.zigzag()) % (1 << 64)
        if tag & 3 == NODE:
            worker = worker if tag & 8 else cursor.varint()
            node = (node + 1) % (1 << 32) if tag & 16 else node + cursor.zigzag()
            work, inner, wait = (cursor.varint() for _ in range(3))
            record = Record(NODE, start, run, (node, work, inner, wait), worker, shift)
        else:
            detail = cursor.varint()
            a, b, c, d = (cursor.varint() for _ in range(4))
            record = Record(tag & 3, start, run, (a, b, c, d), detail, shift)
        end = record.end
        records.append(record)
    assert cursor.at == len(payload)
    return ring, records


# --- chunks and definitions ---


def file_header() -> bytes:
    return struct.pack("<8sII", MAGIC, 2, 0)


def chunk(kind: bytes, process: int, payload: bytes) -> bytes:
    head = struct.pack("<4sII", kind, process, len(payload))
    return head + struct.pack("<I", zlib.crc32(head + payload)) + payload


def definition(kind: int, body: bytes) -> bytes:
    padding = -len(body) % 8
    return struct.pack("<IHH", 8 + len(body) + padding, kind, padding) + body + bytes(padding)


def read_chunks(data: bytes) -> list[tuple[bytes, int, bytes]]:
    """Kind, process and payload of each whole chunk of a file; a wrong checksum ends them."""
    assert data[:16] == file_header()
    at, chunks = 16, []
    while at + 16 <= len(data):
        kind, process, length, crc = struct.unpack_from("<4sIII", data, at)
        payload = data[at + 16 : at + 16 + length]
        if len(payload) != length or zlib.crc32(data[at : at + 12] + payload) != crc:
            break
        chunks.append((kind, process, payload))
        at += 16 + length
    return chunks


@dataclass
class Tensor:
    """A tensor of a graph; `sources` and `view` are indices in the graph."""

    name: str
    op: int
    type: int
    ne: tuple[int, int, int, int]
    nb: tuple[int, int, int, int] = (4, 4, 4, 4)
    bytes: int = 0
    flags: int = 16
    sources: tuple[int | None, ...] = ()
    view: int | None = None
    view_offset: int = 0


def encode_graph(number: int, runtime: int, nodes: int, tensors: list[Tensor]) -> bytes:
    out = bytearray(varint(number) + varint(runtime) + varint(nodes) + varint(len(tensors)))
    for tensor in tensors:
        out += string(tensor.name) + varint(tensor.op) + varint(tensor.type) + varint(tensor.flags)
        out += b"".join(varint(value) for value in (*tensor.ne, *tensor.nb)) + varint(tensor.bytes)
        out += varint(len(tensor.sources))
        out += b"".join(varint(0 if source is None else source + 1) for source in tensor.sources)
        out += varint(0) if tensor.view is None else varint(tensor.view + 1) + varint(tensor.view_offset)
    return bytes(out)


def encode_placement(number: int, graph: int, places: list[tuple[int, int]]) -> bytes:
    out = varint(number) + varint(graph) + varint(len(places))
    return out + b"".join(varint(buffer) + (varint(offset) if buffer else b"") for buffer, offset in places)


@dataclass
class Writer:
    """Writes one process after another."""

    data: bytearray = field(default_factory=lambda: bytearray(file_header()))
    process: int = 0

    def begin_process(
        self,
        pid: int = 100,
        ggml: str = "0.25.3",
        command: str = "program",
        put_cost_ns: float = 10,
        cpus: int = 2,
        detail: str = "thread",
        start: int = 0,
    ) -> None:
        self.process += 1
        self.numbers: dict[tuple[int, str], int] = {}
        self.definitions = bytearray()
        self.records: dict[int, list[Record]] = {}
        self.counters = [0] * 6
        self.tensors: dict[int, list[Tensor]] = {}
        self.start = START_NS + start * 1000
        self.heard = self.start
        words = shlex.split(command)
        self.define(
            PROCESS,
            *(pid, 1, self.start, self.start, START_WALL_NS + start * 1000, 0, DETAILS[detail]),
            *(round(put_cost_ns * 1000), cpus, "0.1.0", "preload", f"/usr/bin/{words[0]}", "\0".join(words)),
        )
        self.define(RUNTIME, 1, ggml, "/usr/lib/libggml-base.so")
        self.flush()
        self.calibrate()

    def define(self, kind: int, *fields: int | str | bytes) -> None:
        body = b"".join(varint(f) if isinstance(f, int) else f if isinstance(f, bytes) else string(f) for f in fields)
        self.definitions += definition(kind, body)

    def number(self, kind: int, name: str) -> int:
        """The number of a NAME, BACKEND or PLACE, defined at its first use."""
        if (kind, name) not in self.numbers:
            self.numbers[kind, name] = 1 + sum(known == kind for known, _ in self.numbers)
            self.define(kind, self.numbers[kind, name], name)
        return self.numbers[kind, name]

    def ticks(self, us: float) -> int:
        ticks = self.start + round(us * 1000)
        self.heard = max(self.heard, ticks)
        return ticks

    def record(self, ring: int, record: Record) -> None:
        self.heard = max(self.heard, record.end)
        self.counters[0] += 1
        self.records.setdefault(ring, []).append(record)

    def chunk(self, kind: bytes, payload: bytes) -> None:
        self.data += chunk(kind, self.process, payload)

    def calibrate(self) -> None:
        wall = START_WALL_NS + self.heard - START_NS
        self.chunk(b"CLOK", struct.pack("<3Q", self.heard, self.heard, wall))

    def flush(self) -> None:
        if self.definitions:
            self.chunk(b"DEFS", bytes(self.definitions))
            self.definitions.clear()
        for ring, records in sorted(self.records.items()):
            self.chunk(b"RECS", encode_records(ring, records))
        self.records.clear()

    def end_process(self, reason: str | None = "ended") -> None:
        self.flush()
        self.calibrate()
        self.chunk(b"STAT", struct.pack("<6Q", *self.counters))
        if reason is not None:
            self.chunk(b"DONE", struct.pack("<I", REASONS[reason]))


# --- the text ---


def trace_from_text(text: str) -> bytes:
    """The bytes of the trace that a text describes (see the top of this file)."""
    writer = Writer()
    graph: list[list[str]] | None = None
    graph_number = open_process = cut = 0
    for line in text.splitlines():
        words = shlex.split(line, comments=True)
        if not words:
            continue
        verb = words.pop(0)
        if verb in ("leaf", "node"):
            assert graph is not None
            graph.append([verb, *words])
            continue
        if graph is not None:
            _define_graph(writer, graph_number, graph)
            graph = None
        if verb == "process":
            if open_process:
                writer.end_process(None)
            options = {key: _value(value) for key, value in (word.split("=", 1) for word in words)}
            writer.begin_process(**{**options, "ggml": str(options.get("ggml", "0.25.3"))})
            open_process = 1
        elif verb == "graph":
            graph, graph_number = [], int(words[0])
        elif verb == "machine":
            writer.data += machine_chunk({key: float(value) for key, value in (word.split("=") for word in words)})
        elif verb == "done":
            writer.end_process(words[0])
            open_process = 0
        elif verb == "cut":
            cut = int(words[0])
        else:
            _statement(
                writer, verb, [w for w in words if "=" not in w], dict(w.split("=", 1) for w in words if "=" in w)
            )
    if open_process:
        writer.end_process(None)
    return bytes(writer.data[: len(writer.data) - cut])


def machine_chunk(peaks: dict[str, float]) -> bytes:
    """A MACH chunk: triad and read in bytes a second, flops and int8 in operations a second, threads."""
    rates = {"triad": "triad_bytes_per_s", "read": "read_bytes_per_s", "flops": "flops_per_s", "int8": "int8_ops_per_s"}
    measured = {name: peaks[key] for key, name in rates.items()} | {"threads": int(peaks.get("threads", 1))}
    machine = {"identity": "0123456789abcdef", "cpu": "A CPU", "cpus": 4, "peaks": [measured]}
    return chunk(b"MACH", 0, json.dumps(machine).encode())


def _value(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return text


def _statement(writer: Writer, verb: str, words: list[str], options: dict[str, str]) -> None:
    def number(key: str, default: float = 0) -> int:
        return int(options.get(key, default))

    def ns(key: str) -> int:
        return round(float(options.get(key, 0)) * 1000)

    def record(kind: int, ring: int, detail: int, fields: bytes, shift: int = 0) -> None:
        a, b, c, d = struct.unpack("<4I", fields)
        start = writer.ticks(float(options["at"]))
        writer.heard = max(writer.heard, start + ns("for"))
        writer.record(ring, Record(kind, start, number("run"), (a, b, c, d), detail, shift))

    if verb == "note":
        writer.define(NOTE, NOTE_LEVELS[words[0]], words[1])
    elif verb == "buffer":
        place = writer.number(PLACE, words[1])
        origin = number("origin")
        ticks = writer.ticks(float(options["at"]))
        writer.define(BUFFER, int(words[0]), ticks, place, USAGES[words[2]], origin, int(words[3]), 4096, words[1])
    elif verb == "free":
        writer.define(BUFFER_FREE, int(words[0]), writer.ticks(float(options["at"])))
    elif verb == "placement":
        graph = number("graph")
        places = dict(item.split("=") for item in words[1:]) | {k: v for k, v in options.items() if k != "graph"}
        placed = [places.get(tensor.name, "0+0").split("+") for tensor in writer.tensors[graph]]
        pairs = [(int(buffer), int(offset)) for buffer, offset in placed]
        writer.define(PLACEMENT, encode_placement(int(words[0]), graph, pairs))
    elif verb == "run":
        options["run"] = words[0]
        graph, placement = number("graph"), number("placement")
        fields = struct.pack("<3I2H", graph, placement, ns("for"), number("splits", 1), number("threads", 1))
        record(RUN, 0, UNFINISHED if "unfinished" in words else number("status"), fields)
    elif verb == "split":
        backend = writer.number(BACKEND, words[0])
        fields = struct.pack("<3I2H", number("first"), number("count"), ns("for"), backend, number("threads", 1))
        record(SPLIT, 0, number("status"), fields)
    elif verb == "copy":
        ends = [0 if end == "application" else writer.number(PLACE, end) for end in words[1].split(">")]
        fields = struct.pack("<QI2H", number("bytes"), ns("for"), *ends)
        record(COPY, 0, COPY_KINDS[words[0]] | ("submitted" in words) << 3, fields)
    elif verb == "exec":
        fields = struct.pack("<4I", int(words[0]), ns("work"), ns("inner"), ns("wait"))
        record(NODE, number("worker"), number("worker"), fields, number("fused") << 4)
    elif verb == "flush":
        writer.flush()
    elif verb in ("lost", "dropped", "skipped"):
        writer.counters[1 + ("lost", "dropped", "skipped").index(verb)] += int(words[0])
    else:
        raise ValueError(f"unknown statement: {verb}")


def _define_graph(writer: Writer, number: int, lines: list[list[str]]) -> None:
    nodes = [line for line in lines if line[0] == "node"]
    leaves = [line for line in lines if line[0] == "leaf"]
    index = {line[1]: i for i, line in enumerate([*nodes, *leaves])}
    tensors = []
    for verb, name, *rest in [*nodes, *leaves]:
        op = rest.pop(0) if verb == "node" else "NONE"
        shape = ast.literal_eval(rest[1])
        ne = (*shape, *(1,) * (4 - len(shape)))
        elements, block_bytes = TYPES[rest[0]]
        nb = [block_bytes, block_bytes * ne[0] // elements]
        nb += [nb[1] * ne[1], nb[1] * ne[1] * ne[2]]
        tensors.append(
            Tensor(
                name,
                writer.number(NAME, op),
                writer.number(NAME, rest[0]),
                ne,
                (nb[0], nb[1], nb[2], nb[3]),
                bytes=nb[3] * ne[3],
                sources=tuple(index[source] for source in rest[2:]),
            )
        )
    writer.tensors[number] = tensors
    writer.define(GRAPH, encode_graph(number, 1, len(nodes), tensors))


# --- large traces ---

_LAYER = (
    *("RMS_NORM", "MUL", "MUL_MAT", "MUL_MAT", "MUL_MAT", "ROPE", "ROPE", "CPY", "CPY", "FLASH_ATTN_EXT", "MUL_MAT"),
    *("ADD", "RMS_NORM", "MUL", "MUL_MAT", "MUL_MAT", "SWIGLU", "MUL_MAT", "ADD"),
)


def write_large_trace(
    path: Path, record_count: int, threads: int = 2, layers: int = 12, chunk_records: int = 8192
) -> int:
    """Writes a decode of a llama-like model with at least so many records, encoded by the native library.

    Returns:
        How many records it has.
    """
    import numpy as np

    from ggml_viz.native import RECORD_DTYPE, records_encode

    ops = ["GET_ROWS", *_LAYER * 12, "RMS_NORM", "MUL", "MUL_MAT"]
    writer = Writer()
    writer.begin_process(command="llama-bench -m large.gguf")
    lines = [["leaf", "token_embd.weight", "f32", "[64,100]"], ["leaf", "inp_tokens", "i32", "[1]"]]
    for i, op in enumerate(ops):
        sources = ["token_embd.weight", "inp_tokens"] if i == 0 else [f"n{i - 1}"]
        lines.append(["node", f"n{i}", op, "f32", "[64,1]", *sources])
    _define_graph(writer, 1, lines)
    writer.number(BACKEND, "CPU")
    writer.flush()
    executed = np.array([i for i, op in enumerate(ops) if not (op == "MUL" and ops[i - 1] == "RMS_NORM")])
    fused = np.array([op == "RMS_NORM" for op in ops])[executed]
    runs = -(-record_count // (len(executed) * threads + 2))
    rng = np.random.default_rng(1)
    work = rng.integers(2_000, 30_000, (runs, len(executed)), np.uint32)
    # Like a recorder that drains all rings every so often: what the threads did at the same time lies close together.
    step = max(1, chunk_records // len(executed))
    clock = writer.start
    for first in range(0, runs, step):
        part = work[first : first + step]
        numbers = np.arange(first + 1, first + 1 + len(part), dtype=np.uint32)
        slowest = part + 700
        ends = np.cumsum(slowest.ravel() + 300 * (np.arange(slowest.size) % len(executed) == 0)).reshape(part.shape)
        begins = (clock + ends - slowest).astype(np.uint64)
        for worker in range(threads):
            nodes = np.zeros(part.shape, RECORD_DTYPE)
            nodes["start"] = begins + np.uint64(40 * worker)
            nodes["run"] = numbers[:, None]
            nodes["node"] = executed
            nodes["work"] = part - 100 * worker
            nodes["wait"] = slowest - nodes["work"] - 40 * worker
            nodes["detail"] = worker
            nodes["shift"] = fused.astype(np.uint8) << 4
            writer.chunk(b"RECS", records_encode(worker, nodes.ravel()))
            writer.counters[0] += nodes.size
        durations = slowest.sum(axis=1)
        for number, begin, duration in zip(numbers.tolist(), begins[:, 0].tolist(), durations.tolist(), strict=True):
            writer.record(9, Record(SPLIT, begin, number, (0, len(ops), duration, 1 | threads << 16)))
            writer.record(9, Record(RUN, begin, number, (1, 0, duration, 1 | threads << 16)))
        clock += int(ends[-1, -1])
        writer.flush()
    writer.heard = clock
    writer.end_process()
    path.write_bytes(writer.data)
    return writer.counters[0]
