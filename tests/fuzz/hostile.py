"""Makes hostile traces: good ones, damaged where it hurts, with checksums that are right again."""

from __future__ import annotations

import dataclasses
import json
import random
import struct
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

from tests.fuzz.large import large_trace
from tests.support import tracefile, version1
from tests.support.tracefile import Record, Tensor, chunk, encode_graph, encode_records, trace_from_text, varint

GOLDEN = Path(__file__).parents[1] / "golden"
_PROMPT = "$ ggml-viz "

Chunk = tuple[bytes, int, bytes]

INTERESTING = (
    *(0, 1, 2, 3, 7, 15, 16, 31, 63, 64, 127, 128, 255, 256, 1023, 4096, 65535, 65536, 1 << 20),
    *((1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 32, (1 << 53) + 1, (1 << 63) - 1, 1 << 63, (1 << 64) - 1),
)

_EVERYTHING = """
process pid=7 ggml=0.26.0 command='llama-cli -m model.gguf'
buffer 1 CPU_Mapped weights 98000000 at=0
buffer 2 CPU compute 30000000 at=1
buffer 3 GPU0 any 4000000 at=2
graph 1
  leaf token_embd.weight q4_1 [64,1000]
  leaf inp_tokens i32 [1]
  leaf cache_k_l0 f16 [64,512]
  leaf blk.0.attn_q.weight q4_1 [64,64]
  node embd GET_ROWS f32 [64,1] token_embd.weight inp_tokens
  node norm-0 RMS_NORM f32 [64,1] embd
  node attn_norm-0 MUL f32 [64,1] norm-0 embd
  node Qcur-0 MUL_MAT f32 [64,1] blk.0.attn_q.weight attn_norm-0
  node kqv-0 FLASH_ATTN_EXT f32 [64,1] Qcur-0 cache_k_l0 cache_k_l0
  node result_output MUL_MAT f32 [1000,1] token_embd.weight kqv-0
placement 1 graph=1 token_embd.weight=1+0 embd=2+0 norm-0=2+256 attn_norm-0=2+256 Qcur-0=2+0 cache_k_l0=3+0
run 1 graph=1 placement=1 at=100 for=400 threads=2 splits=2
split CPU run=1 first=0 count=3 at=100 for=200 threads=2
split GPU0 run=1 first=3 count=3 at=300 for=200 threads=0
copy set application>CPU run=1 bytes=4 at=90 for=1
copy tensor CPU>GPU0 run=1 bytes=256 at=299 for=2
exec 0 run=1 worker=0 at=100 work=10 wait=90
exec 0 run=1 worker=1 at=120 work=70 wait=10
exec 1 run=1 worker=0 at=200 work=40 wait=10 fused=1
exec 1 run=1 worker=1 at=200 work=30 inner=5 wait=20 fused=1
flush
run 2 graph=1 placement=1 at=600 for=300 threads=2
exec 3 run=2 worker=0 at=600 work=50
exec 5 run=2 worker=1 at=700 work=40 wait=10
free 3 at=950
done ended
"""


@cache
def good_traces() -> list[list[Chunk]]:
    """The chunks of traces with which nothing is wrong."""
    texts = [path.read_text().split(_PROMPT)[0] for path in sorted(GOLDEN.glob("*.txt"))]
    files = [trace_from_text(text) for text in (*texts, _EVERYTHING, _EVERYTHING) if "cut " not in text]
    machine = {"identity": "x", "cpu": "A CPU", "cpus": 2, "peaks": [dict.fromkeys(_PEAKS, 1e9) | {"threads": 1}]}
    return [[(b"MACH", 0, json.dumps(machine).encode()), *tracefile.read_chunks(data)] for data in files]


_PEAKS = ("triad_bytes_per_s", "read_bytes_per_s", "flops_per_s", "int8_ops_per_s")


def hostile_trace(seed: int, number: int) -> bytes:
    """The hostile trace of a seed and a number, always the same."""
    rng = random.Random(f"{seed} {number}")
    if number % 16 == 0:
        return _damaged(rng, _old_file(rng))
    if number % 400 == 1:
        return large_trace(rng)
    chunks = list(rng.choice(good_traces()))
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        rng.choice(_MUTATIONS)(rng, chunks)
    data = _circular_file(rng, chunks) if rng.random() < 0.05 else _file(chunks)
    return _damaged(rng, data) if rng.random() < 0.15 else data


def _file(chunks: list[Chunk]) -> bytes:
    return tracefile.file_header() + b"".join(chunk(*each) for each in chunks)


def _circular_file(rng: random.Random, chunks: list[Chunk]) -> bytes:
    """The chunks as a file of limited size in which some have been overwritten, and others stand in any order."""
    parts, records = [], 0
    for sequence, (kind, process, payload) in enumerate(chunks):
        prefix = [sequence, records, 1_000_000_000 + 100_000 * sequence]
        if rng.random() < 0.1:
            prefix[rng.randrange(3)] = _number(rng)
        if kind == b"RECS":
            records += rng.choice((1, 4, _number(rng)))
            if rng.random() < 0.3:
                head = struct.pack("<4sII", b"PAD ", 0, len(payload))
                parts.append(head + struct.pack("<I", zlib.crc32(head)) + payload)
                continue
        parts.append(chunk(kind, process, struct.pack("<3Q", *(value % (1 << 64) for value in prefix)) + payload))
    if rng.random() < 0.5:
        rng.shuffle(parts)
    return struct.pack("<8sII", tracefile.MAGIC, 2, 1) + b"".join(part + bytes(-len(part) % 16) for part in parts)


def _number(rng: random.Random) -> int:
    return rng.choice(INTERESTING) if rng.random() < 0.7 else rng.getrandbits(rng.choice((3, 8, 16, 32, 64)))


def _damaged(rng: random.Random, data: bytes) -> bytes:
    """The bytes with some changed anywhere, or cut."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 4, 40))):
        if changed:
            changed[rng.randrange(len(changed))] = rng.randrange(256)
    return bytes(changed[: rng.randrange(len(changed) + 1)]) if rng.random() < 0.3 else bytes(changed)


def _old_file(rng: random.Random) -> bytes:
    ops = [(rng.randrange(90), f"op{i}", _number(rng) % (1 << 64)) for i in range(rng.randrange(6))]
    times = sorted(_number(rng) % (1 << 63) for _ in range(2))
    return version1.HEADER + version1.computed(_number(rng) % (1 << 64), ops, max(times[0], 2), times[1] + 3)


def _any(rng: random.Random, chunks: list[Chunk]) -> int:
    if not chunks:
        chunks.append((b"DONE", 1, bytes(4)))
    return rng.randrange(len(chunks))


def _change_bytes(rng: random.Random, chunks: list[Chunk]) -> None:
    at = _any(rng, chunks)
    kind, process, payload = chunks[at]
    changed = bytearray(payload)
    for _ in range(rng.choice((1, 1, 2, 8))):
        if changed:
            changed[rng.randrange(len(changed))] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
    chunks[at] = (kind, process, bytes(changed))


def _put_number(rng: random.Random, chunks: list[Chunk]) -> None:
    """Puts a varint, or a word, where another one may have been."""
    at = _any(rng, chunks)
    kind, process, payload = chunks[at]
    where = rng.randrange(len(payload) + 1)
    new = varint(_number(rng)) if rng.random() < 0.7 else struct.pack("<Q", _number(rng))[: rng.choice((4, 8))]
    length = rng.choice((0, 1, 1, len(new)))
    changed = payload[:where] + new + payload[where + length :]
    chunks[at] = (kind, process, changed)


def _cut_or_grow(rng: random.Random, chunks: list[Chunk]) -> None:
    at = _any(rng, chunks)
    kind, process, payload = chunks[at]
    if rng.random() < 0.5:
        chunks[at] = (kind, process, payload[: rng.randrange(len(payload) + 1)])
    else:
        chunks[at] = (kind, process, payload + payload[-rng.randrange(1, 64) :] * rng.choice((1, 1, 50)))


def _move(rng: random.Random, chunks: list[Chunk]) -> None:
    taken = chunks.pop(_any(rng, chunks))
    for _ in range(rng.choice((0, 1, 1, 2, 3))):
        chunks.insert(rng.randrange(len(chunks) + 1), taken)


def _renumber(rng: random.Random, chunks: list[Chunk]) -> None:
    at = _any(rng, chunks)
    kind, _, payload = chunks[at]
    chunks[at] = (kind, rng.choice((0, 1, 2, 0xFFFF_FFFF)), payload)


def _add_graph(rng: random.Random, chunks: list[Chunk]) -> None:
    """Defines a graph whose tensors have any shape and are wired anyhow."""
    count = rng.choice((1, 2, 3, 5, 8, 12, 30)) if rng.random() < 0.98 else 300
    nodes = rng.choice((0, 1, count // 2, count))
    tensors = [_tensor(rng, count) for _ in range(count)]
    body = encode_graph(rng.choice((1, 1, 2, _number(rng))), 1, nodes, tensors)
    chunks.insert(min(2, len(chunks)), (b"DEFS", 1, tracefile.definition(tracefile.GRAPH, body)))


def _tensor(rng: random.Random, count: int) -> Tensor:
    def index() -> int | None:
        return (
            None
            if rng.random() < 0.2
            else rng.choice((rng.randrange(count), rng.randrange(count), _number(rng) % (1 << 31)))
        )

    names = (
        "",
        "blk.0.attn_q.weight",
        "Qcur-7",
        "cache_k_l0",
        "node_1",
        "token_embd.weight",
        "x" * 300,
        "CPU#a#0",
        "é (view)",
    )
    shape = tuple(_number(rng) % (1 << 63) if rng.random() < 0.3 else rng.randrange(1, 70) for _ in range(4))
    return Tensor(
        name=rng.choice(names),
        op=rng.randrange(12),
        type=rng.randrange(5),
        ne=shape,  # type: ignore[arg-type]
        nb=tuple(_number(rng) if rng.random() < 0.3 else 4 for _ in range(4)),  # type: ignore[arg-type]
        bytes=_number(rng) if rng.random() < 0.3 else rng.randrange(1 << 16),
        flags=rng.choice((0, 1, 2, 16, _number(rng) % (1 << 32))),
        sources=tuple(index() for _ in range(rng.choice((0, 1, 2, 2, 3, 5, 16)))),
        view=index() if rng.random() < 0.3 else None,
        view_offset=_number(rng),
    )


def _add_records(rng: random.Random, chunks: list[Chunk]) -> None:
    """Adds records of any kind, times and numbers."""
    some = (0, 1, 2, 3)

    def word() -> int:
        return rng.choice(some) if rng.random() < 0.6 else _number(rng) % (1 << 32)

    start = 1_000_000_000
    records = [
        Record(
            kind=rng.randrange(4),
            start=rng.choice((start, start + rng.randrange(1 << 20), _number(rng))) % (1 << 64),
            run=word(),
            words=(word(), word(), word(), word()),
            detail=rng.choice((0, 0, 1, 65535, rng.randrange(65536))),
            shift=rng.choice((0, 0, 0, 1, 15, 0x10, 0xFF)),
        )
        for _ in range(rng.choice((1, 3, 10, 30)) if rng.random() < 0.98 else 1000)
    ]
    at = rng.randrange(min(3, len(chunks)), len(chunks) + 1)
    chunks.insert(at, (b"RECS", 1, encode_records(rng.randrange(4), records)))


def _many_names(rng: random.Random, chunks: list[Chunk]) -> None:
    """Defines many names, graphs or buffers."""
    kind = rng.choice((tracefile.NAME, tracefile.BUFFER, tracefile.BACKEND, tracefile.NOTE))
    count = rng.choice((3, 10, 40)) if rng.random() < 0.97 else 2000
    out = bytearray()
    for i in range(count):
        if kind == tracefile.BUFFER:
            fields = (i, rng.getrandbits(40), 1, rng.randrange(4), 0, _number(rng), _number(rng))
            body = b"".join(varint(value) for value in fields) + tracefile.string("b")
        else:
            body = varint(i % 3 if kind == tracefile.NOTE else i) + tracefile.string(
                rng.choice(("GET_ROWS", "x" * 50, "\0"))
            )
        out += tracefile.definition(kind, body)
    chunks.insert(min(2, len(chunks)), (b"DEFS", 1, bytes(out)))


def _change_machine(rng: random.Random, chunks: list[Chunk]) -> None:
    texts = (
        '{"identity":"x","cpu":"c","cpus":2,"peaks":[{"threads":1,"triad_bytes_per_s":1e400}]}',
        '{"identity":1,"cpu":[],"cpus":"2","peaks":{}}',
        json.dumps({"identity": "x", "cpu": "c", "cpus": 10**4000, "peaks": []}),
        json.dumps({"identity": "x", "cpu": "c", "cpus": -1, "peaks": [{"threads": 10**400}]}),
        "[" * 5000,
        '{"peaks":[{"threads":1e99,"triad_bytes_per_s":NaN,"read_bytes_per_s":1,"flops_per_s":-1,"int8_ops_per_s":0}]}',
        "\0",
    )
    chunks.insert(0, (b"MACH", 0, rng.choice(texts).encode()))


def _change_fields(rng: random.Random, chunks: list[Chunk]) -> None:
    """Puts other numbers into definitions, of which everything else stays as it was."""
    places = [i for i, (kind, *_) in enumerate(chunks) if kind == b"DEFS"]
    if not places:
        return
    at = rng.choice(places)
    _, process, payload = chunks[at]
    entries = _entries(payload)
    if not entries:
        return
    for _ in range(rng.choice((1, 1, 3))):
        i = rng.randrange(len(entries))
        kind, body = entries[i]
        entries[i] = (rng.choice((kind, kind, kind, kind, rng.randrange(12))), _other_number(rng, body))
    if rng.random() < 0.3:
        entries.append(entries[0] if rng.random() < 0.5 else rng.choice(entries))
    if rng.random() < 0.1:
        rng.shuffle(entries)
    chunks[at] = (b"DEFS", process, b"".join(tracefile.definition(*entry) for entry in entries))


def _entries(payload: bytes) -> list[tuple[int, bytes]]:
    """Kind and body of each definition; one that is not whole ends them."""
    entries, at = [], 0
    while at + 8 <= len(payload):
        length, kind, padding = struct.unpack_from("<IHH", payload, at)
        if length < 8 + padding or at + length > len(payload):
            break
        entries.append((kind, payload[at + 8 : at + length - padding]))
        at += length
    return entries


def _other_number(rng: random.Random, body: bytes) -> bytes:
    """A body in which one byte that may be a whole varint is another one."""
    small = [i for i, byte in enumerate(body) if byte < 0x80 and (i == 0 or body[i - 1] < 0x80)]
    if not small:
        return body
    at = rng.choice(small[: rng.choice((4, 12, 1000))])
    value = body[at] + rng.choice((-1, 1)) if rng.random() < 0.3 else _number(rng)
    return body[:at] + varint(max(value, 0)) + body[at + 1 :]


def _change_clocks(rng: random.Random, chunks: list[Chunk]) -> None:
    """Lets a clock run backwards, stand still or leap, or the counters count anything."""
    places = [i for i, (kind, *_) in enumerate(chunks) if kind in (b"CLOK", b"STAT", b"DONE")]
    if not places:
        return
    at = rng.choice(places)
    kind, process, payload = chunks[at]
    words = [int.from_bytes(payload[i : i + 8], "little") for i in range(0, len(payload), 8)]
    for i in range(len(words)):
        if rng.random() < 0.5:
            words[i] = rng.choice((_number(rng), words[i] + rng.randrange(-(1 << 20), 1 << 20), 0)) % (1 << 64)
    chunks[at] = (kind, process, struct.pack(f"<{len(words)}Q", *words)[: len(payload)])


def _change_records(rng: random.Random, chunks: list[Chunk]) -> None:
    """Puts other numbers into records, or has some of them more often or in another order."""
    places = [i for i, (kind, *_) in enumerate(chunks) if kind == b"RECS"]
    if not places:
        return
    at = rng.choice(places)
    _, process, payload = chunks[at]
    try:
        ring, records = tracefile.decode_records(payload)
        for _ in range(rng.choice((1, 1, 3, 8))):
            i = rng.randrange(len(records))
            words = list(records[i].words)
            words[rng.randrange(4)] = _number(rng) % (1 << 32)
            change = rng.choice(
                (
                    {"words": tuple(words)},
                    {"words": tuple(words)},
                    {"start": (records[i].start + rng.choice((-1000, -100_000, 1 << 40, _number(rng)))) % (1 << 64)},
                    {"run": _number(rng) % (1 << 32)},
                    {"detail": _number(rng) % (1 << 16)},
                    {"shift": _number(rng) % 256},
                    {"kind": rng.randrange(4)},
                )
            )
            records[i] = dataclasses.replace(records[i], **change)
        if rng.random() < 0.3:
            records += rng.choices(records, k=rng.choice((1, 10)))
        if rng.random() < 0.2:
            rng.shuffle(records)
        chunks[at] = (b"RECS", process, encode_records(ring, records))
    except (IndexError, ValueError, AssertionError):
        _change_bytes(rng, chunks)  # what was changed before is no longer to be decoded


_MUTATIONS: tuple[Callable[[random.Random, list[Chunk]], None], ...] = (
    *(_change_bytes, _change_bytes, _put_number, _cut_or_grow, _move, _renumber, _change_fields, _change_fields),
    *(_change_clocks, _change_records, _change_records, _add_graph, _add_graph, _add_records, _many_names),
    _change_machine,
)
