"""Traces of limited size, of which the oldest records were let go."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import pytest
from tests.support.tracefile import read_chunks, trace_from_text

from ggml_viz.analysis.summary import summarize
from ggml_viz.model.trace import Trace
from ggml_viz.native import records_count
from ggml_viz.trace.reader import open_trace

TEXT = """
process pid=100 command='program'
graph 1
  leaf a f32 [4,4]
  node b ADD f32 [4,4] a a
  node c ADD f32 [4,4] b a
exec 0 run=1 worker=0 at=100 work=40
flush
exec 1 run=1 worker=0 at=150 work=40
run 1 graph=1 at=100 for=100
flush
exec 0 run=2 worker=0 at=300 work=10
exec 1 run=2 worker=0 at=320 work=30
run 2 graph=1 at=300 for=100
flush
done ended
"""


def circular(let_go: int, rotate: int = 0) -> bytes:
    """The trace as a circular file without its first `let_go` RECS chunks, its chunks beginning with the `rotate`th."""
    chunks = read_chunks(trace_from_text(TEXT))
    out = []
    records = latest = seen = 0
    for sequence, (kind, process, payload) in enumerate(chunks):
        prefix = struct.pack("<3Q", sequence, records, latest)
        if kind == b"RECS":
            records += records_count(payload)
            latest = 1_000_000_000 + (140_000, 200_000, 400_000)[seen]
            seen += 1
            if seen <= let_go:
                head = struct.pack("<4sII", b"PAD ", 0, 48)
                out.append(head + struct.pack("<I", zlib.crc32(head)) + b"\xff" * 48)
                continue
        head = struct.pack("<4sII", kind, process, len(prefix + payload))
        body = struct.pack("<I", zlib.crc32(head + prefix + payload)) + prefix + payload
        out.append(head + body + bytes(-len(head + body) % 16))
    return b"GGMLVIZ2" + struct.pack("<II", 2, 1) + b"".join(out[rotate:] + out[:rotate])


@pytest.mark.parametrize("rotate", range(6))
def test_chunks_are_read_in_the_order_in_which_they_were_written(tmp_path: Path, rotate: int) -> None:
    path = tmp_path / "t.ggmlviz"
    path.write_bytes(circular(0, rotate))
    file = open_trace(path)
    assert file.integrity.damage is None
    assert file.integrity.readable_bytes == file.integrity.file_bytes
    (process,) = file.processes
    assert (process.record_count, process.let_go, process.done) == (6, 0, 0)
    assert [call.runs for call in [summarize(Trace.open(path)).graphs]] == [2]


@pytest.mark.parametrize(("let_go", "records"), [(1, 1), (2, 3)])
def test_runs_that_miss_records_are_in_no_figure(tmp_path: Path, let_go: int, records: int) -> None:
    path = tmp_path / "t.ggmlviz"
    path.write_bytes(circular(let_go))
    trace = Trace.open(path)
    (process,) = trace.watched
    assert process.file.let_go == records
    assert process.runs.number.tolist() == [2]
    spans = [span for _, window in process.nodes() for span in window]
    assert [(int(span["run"]), int(span["node"]), int(span["work"])) for span in spans] == [
        (2, 0, 10_000),
        (2, 1, 30_000),
    ]
    # It covers the time from when nothing is missing on.
    assert trace.duration_s == pytest.approx({1: 260e-6, 2: 200e-6}[let_go])
    summary = summarize(trace)
    assert summary.trace.let_go == records
    assert summary.trace.lost == 0
    assert summary.graphs.runs == 1


def test_damage_and_cuts_anywhere_are_survived(tmp_path: Path) -> None:
    data = circular(1, 3)
    path = tmp_path / "t.ggmlviz"
    for at in range(16, len(data)):
        path.write_bytes(data[:at])
        Trace.open(path)
        changed = bytearray(data)
        changed[at] ^= 0x55
        path.write_bytes(changed)
        trace = Trace.open(path)
        assert all(process.file.record_count <= 6 for process in trace.watched)
