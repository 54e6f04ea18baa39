"""Reading trace files: the two implementations of the format agree, and no input makes the reader fail."""

from __future__ import annotations

import random
import struct
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from tests.support import tracefile
from tests.support.tracefile import COPY, NODE, RUN, SPLIT, Record, Tensor, trace_from_text

from ggml_viz.analysis.contents import describe
from ggml_viz.analysis.summary import summarize
from ggml_viz.errors import UserError
from ggml_viz.model.trace import Trace
from ggml_viz.native import RECORD_DTYPE, MalformedError, graph_decode, placement_decode, records_decode, records_encode
from ggml_viz.trace.reader import open_trace

EVERYTHING = """
process pid=12 command='llama-server -ngl 1'
note not-seen 'copies inside the GPU'
buffer 1 CPU weights 90000000 at=1
buffer 2 GPU0 any 12000000 at=3
free 2 at=650
graph 1
  leaf token_embd.weight q4_1 [64,1000]
  leaf inp_tokens i32 [2]
  leaf cache_k_l0 f16 [64,256]
  node embd GET_ROWS f32 [64,2] token_embd.weight inp_tokens
  node norm RMS_NORM f32 [64,2] embd
  node normed MUL f32 [64,2] norm cache_k_l0
placement 1 graph=1 token_embd.weight=1+0 cache_k_l0=2+0
copy set application>CPU run=1 bytes=4 at=99 for=1
run 1 graph=1 placement=1 at=100 for=500 threads=2
split CPU run=1 first=0 count=3 at=100 for=500 threads=2
exec 0 run=1 worker=0 at=100 work=40 wait=10
exec 0 run=1 worker=1 at=100 work=30 wait=20
exec 1 run=1 worker=0 at=150 work=300 inner=100 wait=50 fused=1
exec 1 run=1 worker=1 at=150 work=400 wait=50 fused=1
flush
run 2 graph=1 placement=1 at=700 for=50 unfinished
exec 0 run=2 worker=0 at=700 work=40 wait=10
lost 3
done ended
process pid=13 start=100 command=whisper-cli
run 1 graph=9 at=10 for=20
exec 5 run=1 at=10 work=20
done abnormal
"""


def random_records(rng: random.Random, count: int) -> list[Record]:
    """Records of every kind with small, large and extreme values."""

    def number(bits: int) -> int:
        return rng.choice((0, 1, rng.getrandbits(7), rng.getrandbits(bits), (1 << bits) - 1))

    records = []
    for _ in range(count):
        kind = rng.choice((NODE, NODE, NODE, RUN, SPLIT, COPY))
        words = (number(32), number(32), number(32), number(32))
        records.append(Record(kind, number(64), number(32), words, number(16), number(8)))
    return records


@pytest.mark.parametrize("seed", range(20))
def test_both_codecs_agree(seed: int) -> None:
    records = random_records(random.Random(seed), 200)
    array = np.frombuffer(b"".join(record.pack() for record in records), RECORD_DTYPE)
    payload = tracefile.encode_records(seed, records)
    assert records_encode(seed, array) == payload
    assert records_decode(payload).tobytes() == array.tobytes()
    assert tracefile.decode_records(payload) == (seed, records)


def test_consecutive_nodes_take_few_bytes() -> None:
    records = [Record(NODE, 1000 * i, 1, (i, 800, 0, 190), 1) for i in range(1000)]
    assert len(tracefile.encode_records(0, records)) < 8 * len(records)


def test_graph_decodes_to_what_was_written() -> None:
    tensors = [
        Tensor("out", 1, 2, (64, 2, 1, 1), (4, 256, 512, 512), 512, 16, (1, None, 2)),
        Tensor("blk.0.größe", 3, 4, (1 << 40, 2, 3, 4), (1, 2, 3, 1 << 50), 1 << 60, 0),
        Tensor("", 3, 4, (5, 1, 1, 1), view=1, view_offset=77),
    ]
    body = tracefile.encode_graph(7, 1, 1, tensors)
    rows = graph_decode(body)
    for row, tensor in zip(rows, tensors, strict=True):
        name = body[int(row["name_offset"]) :][: int(row["name_length"])].decode()
        assert (name, row["op"], row["type"], row["flags"]) == (tensor.name, tensor.op, tensor.type, tensor.flags)
        assert (tuple(row["ne"]), tuple(row["nb"]), row["bytes"]) == (tensor.ne, tensor.nb, tensor.bytes)
        sources = row["sources"][: row["source_count"]].tolist()
        assert sources == [0 if source is None else source + 1 for source in tensor.sources]
        assert row["view"] == (0 if tensor.view is None else tensor.view + 1)
        assert row["view_offset_bytes"] == tensor.view_offset


def test_placement_decodes_to_what_was_written() -> None:
    number, graph, buffers, offsets = placement_decode(tracefile.encode_placement(3, 7, [(1, 0), (0, 0), (2, 1 << 40)]))
    assert (number, graph, buffers.tolist(), offsets.tolist()) == (3, 7, [1, 0, 2], [0, 0, 1 << 40])


@pytest.mark.parametrize("decode", [records_decode, graph_decode, placement_decode])
def test_a_cut_body_is_malformed(decode: object) -> None:
    bodies = {
        records_decode: tracefile.encode_records(1, random_records(random.Random(1), 20)),
        graph_decode: tracefile.encode_graph(7, 1, 1, [Tensor("name", 1, 2, (64, 2, 1, 1), sources=(0,))]),
        placement_decode: tracefile.encode_placement(3, 7, [(1, 300), (0, 0), (2, 1 << 40)]),
    }
    body = bodies[decode]  # type: ignore[index]
    for length in range(len(body)):
        with pytest.raises(MalformedError):
            decode(body[:length])  # type: ignore[operator]


def test_a_count_that_lies_costs_nothing(tmp_path: Path) -> None:
    """Neither a billion records nor a billion tensors are made room for, if there are none."""
    records = tracefile.varint(1) + tracefile.varint(1 << 30)
    with pytest.raises(MalformedError):
        graph_decode(tracefile.varint(1) * 3 + tracefile.varint(1 << 30))
    path = tmp_path / "lie.ggmlviz"
    path.write_bytes(tracefile.file_header() + tracefile.chunk(b"RECS", 1, records))
    trace = open_trace(path)
    assert trace.record_count == 0
    assert trace.integrity.damage == "damaged: a chunk claims more records than it has room for"


def test_a_graph_that_claims_more_tensors_than_it_has_room_for_takes_no_memory() -> None:
    body = tracefile.varint(1) * 3 + tracefile.varint(1 << 20) + bytes(1 << 20)
    tracemalloc.start()
    with pytest.raises(MalformedError):
        graph_decode(body)
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


def read_all(path: Path) -> None:
    """Everything that commands do with a file."""
    describe(open_trace(path, check_records=False))
    summarize(Trace.open(path))


def test_cut_anywhere_it_is_readable_up_to_the_last_whole_chunk(tmp_path: Path) -> None:
    data = trace_from_text(EVERYTHING)
    path = tmp_path / "cut.ggmlviz"
    for length in range(len(data)):
        path.write_bytes(data[:length])
        if length < 16:
            with pytest.raises(UserError, match=r"not a ggml-viz trace"):
                open_trace(path)
            continue
        read_all(path)
        trace = open_trace(path)
        whole = tracefile.read_chunks(data[:length])
        assert trace.integrity.chunks == len(whole)
        assert trace.integrity.readable_bytes == 16 + sum(16 + len(payload) for _, _, payload in whole)
        assert (trace.integrity.damage is None) == (trace.integrity.readable_bytes == length)
        records = sum(len(tracefile.decode_records(payload)[1]) for kind, _, payload in whole if kind == b"RECS")
        assert trace.record_count == records


def test_a_flipped_bit_ends_the_readable_part(tmp_path: Path) -> None:
    data = trace_from_text(EVERYTHING)
    path = tmp_path / "flipped.ggmlviz"
    rng = random.Random(1)
    for at in range(16, len(data)):
        flipped = bytearray(data)
        flipped[at] ^= 1 << rng.randrange(8)
        path.write_bytes(flipped)
        trace = open_trace(path)
        assert trace.integrity.damage is not None
        assert trace.integrity.readable_bytes <= at
        read_all(path)


def test_nonsense_with_right_checksums_is_survived(tmp_path: Path) -> None:
    """What a broken or hostile writer could make: any byte of any payload changed, and the checksum with it."""
    chunks = tracefile.read_chunks(trace_from_text(EVERYTHING))
    path = tmp_path / "nonsense.ggmlviz"
    rng = random.Random(2)
    for index, (_, _, payload) in enumerate(chunks):
        for at in range(len(payload)):
            changed = bytearray(payload)
            changed[at] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, changed[at] ^ 1 << rng.randrange(8)))
            data = bytearray(tracefile.file_header())
            for other, (kind, process, body) in enumerate(chunks):
                data += tracefile.chunk(kind, process, bytes(changed) if other == index else body)
            path.write_bytes(data)
            read_all(path)


@pytest.mark.parametrize("seed", range(10))
def test_noise_as_payload_is_survived(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    data = tracefile.file_header()
    for _ in range(50):
        kind = rng.choice((b"DEFS", b"RECS", b"CLOK", b"STAT", b"DONE", b"NEWS"))
        records = tracefile.encode_records(rng.getrandbits(20), random_records(rng, 30))
        payload = records if kind == b"RECS" else rng.randbytes(rng.choice((0, 4, 24, 48, 100)))
        if kind != b"DEFS":
            data += tracefile.chunk(kind, 1, payload)
    path = tmp_path / "noise.ggmlviz"
    path.write_bytes(data)
    read_all(path)


def test_kinds_of_a_later_version_are_skipped(tmp_path: Path) -> None:
    path = tmp_path / "later.ggmlviz"
    chunks = tracefile.read_chunks(trace_from_text(EVERYTHING))
    later = tracefile.definition(99, b"whatever")
    data = tracefile.file_header() + tracefile.chunk(b"NEWS", 1, b"news") + tracefile.chunk(b"DEFS", 1, later)
    path.write_bytes(data + b"".join(tracefile.chunk(*chunk) for chunk in chunks))
    trace = open_trace(path)
    assert trace.integrity.damage is None
    assert trace.processes[0].definitions.info.pid == 12
    assert trace.integrity.kinds["other"].chunks == 1


def test_unreadable_files_are_one_message(tmp_path: Path) -> None:
    header = struct.Struct("<8sII")
    cases = {
        "empty": (b"", "not a ggml-viz trace"),
        "text": (b"#!/bin/sh\necho this is not a trace\n", "not a ggml-viz trace"),
        "old": (header.pack(b"GGMLVIZ1", 2, 0), "is a version 2 trace"),
        "new": (header.pack(b"GGMLVIZ2", 3, 0), "version 3"),
    }
    for name, (data, message) in cases.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(UserError, match=message):
            open_trace(tmp_path / name)
    for name, message in (("missing", "No such file"), (".", "Is a directory"), ("nul\0", "null")):
        with pytest.raises(UserError, match=message):
            open_trace(tmp_path / name)


def test_processes_have_any_numbers(tmp_path: Path) -> None:
    path = tmp_path / "process.ggmlviz"
    chunks = tracefile.read_chunks(trace_from_text(EVERYTHING))
    numbers = {1: 1 << 31, 2: 7}
    data = tracefile.file_header() + tracefile.chunk(b"GRUP", 0, bytes(4))
    data += b"".join(tracefile.chunk(kind, numbers[process], payload) for kind, process, payload in chunks)
    path.write_bytes(data)
    assert [process.definitions.info.pid for process in open_trace(path).processes] == [12, 13]


@pytest.mark.parametrize(("kind", "room"), [(b"CLOK", 24), (b"STAT", 48), (b"DONE", 4)])
def test_a_chunk_that_is_too_short_is_damage(kind: bytes, room: int, tmp_path: Path) -> None:
    path = tmp_path / "short.ggmlviz"
    path.write_bytes(tracefile.file_header() + tracefile.chunk(kind, 1, bytes(room - 1)))
    assert open_trace(path).integrity.damage == f"damaged: a {kind.decode()} chunk is too short"


def test_too_many_processes_are_damage(tmp_path: Path) -> None:
    path = tmp_path / "processes.ggmlviz"
    path.write_bytes(tracefile.file_header() + b"".join(tracefile.chunk(b"NEWS", i, b"") for i in range(5_000)))
    trace = open_trace(path)
    assert len(trace.processes) < 5_000
    assert trace.integrity.damage == "damaged: it claims more than 4096 processes"


def test_definitions_say_what_was_written(tmp_path: Path) -> None:
    path = tmp_path / "trace.ggmlviz"
    path.write_bytes(trace_from_text(EVERYTHING))
    first, second = open_trace(path).processes
    info = first.definitions.info
    assert (info.pid, info.command, info.put_cost_ns, info.cpus) == (12, ("llama-server", "-ngl", "1"), 10.0, 2)
    assert [note.text for note in first.definitions.notes] == ["copies inside the GPU"]
    assert first.definitions.places == {1: "CPU", 2: "GPU0"}
    assert first.definitions.buffers[2].size_bytes == 12_000_000
    assert set(first.definitions.buffers_freed) == {2}
    assert first.counters is not None
    assert first.counters.lost == 3
    assert (first.done, second.done) == (0, 2)
    assert second.definitions.info.start_monotonic_ns - info.start_monotonic_ns == 100_000


def test_a_large_file_is_checked_only_on_request(tmp_path: Path) -> None:
    data = bytearray(trace_from_text(EVERYTHING))
    at = data.index(b"RECS") + 20
    data[at] ^= 1
    path = tmp_path / "trace.ggmlviz"
    path.write_bytes(data)
    quick = open_trace(path, check_records=False)
    assert quick.integrity.damage is None
    assert quick.integrity.checked_bytes < quick.integrity.readable_bytes
    assert open_trace(path).integrity.damage == "damaged: a chunk has a wrong checksum"


def test_checksum_covers_kind_and_process() -> None:
    data = tracefile.chunk(b"DONE", 1, struct.pack("<I", 0))
    assert struct.unpack_from("<I", data, 12)[0] == zlib.crc32(data[:12] + data[16:])
