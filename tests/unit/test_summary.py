"""The arithmetic of the summary, on traces small enough to add up by hand, and its JSON, which is a contract."""

from __future__ import annotations

import json
import random
import struct
from pathlib import Path

import pytest
from tests.support import tracefile
from tests.support.tracefile import NODE, RUN, Record, Writer, trace_from_text

from ggml_viz.analysis import summary as summary_module
from ggml_viz.analysis.summary import Summary, summarize
from ggml_viz.model import trace as trace_module
from ggml_viz.model.trace import Trace

LANGUAGE_MODEL = """
graph {number}
  leaf token_embd.weight q4_1 [64,1000]
  leaf inp_tokens i32 [{tokens}]
  node embd GET_ROWS f32 [64,{tokens}] token_embd.weight inp_tokens
  node result_output MUL_MAT f32 [1000,{outputs}] token_embd.weight embd
"""


def language_model(number: int, tokens: int, outputs: int) -> str:
    return LANGUAGE_MODEL.format(number=number, tokens=tokens, outputs=outputs)


def summary_of(text: str, tmp_path: Path) -> Summary:
    path = tmp_path / "trace.ggmlviz"
    path.write_bytes(trace_from_text(text))
    return summarize(Trace.open(path))


@pytest.mark.parametrize(
    ("tokens", "outputs", "phase"),
    [
        (1, 1, "decode"),
        (1, 0, "decode"),
        (4, 4, "decode"),
        (256, 256, "decode"),
        (257, 257, "prefill"),
        (512, 1, "prefill"),
        (512, 0, "prefill"),
        (512, 2, "mixed"),
        (5, 4, "mixed"),
    ],
)
def test_phase_is_told_from_tokens_and_outputs(tokens: int, outputs: int, phase: str, tmp_path: Path) -> None:
    text = "process\n" + language_model(1, tokens, outputs) + "run 1 graph=1 at=0 for=1000\ndone ended"
    (row,) = summary_of(text, tmp_path).phases
    assert (row.phase, row.tokens, row.runs) == (phase, tokens, 1)


def test_whisper_names_its_tokens_but_not_their_table(tmp_path: Path) -> None:
    text = """
    process
    graph 1
      leaf leaf_1 f16 [384,51864]
      leaf embd i32 [1]
      leaf leaf_3 f32 [384,448]
      leaf position i32 [1]
      node node_0 GET_ROWS f32 [384,1] leaf_1 embd
      node node_1 GET_ROWS f32 [384,1] leaf_3 position
    graph 2
      leaf leaf_1 f16 [384,51864]
      node embd GET_ROWS f32 [384,3] leaf_1 leaf_1
      node node_1 GET_ROWS f32 [384,3] leaf_1 embd
    run 1 graph=1 at=0 for=1000
    run 2 graph=2 at=1000 for=1000
    done ended
    """
    rows = {row.phase: row.tokens for row in summary_of(text, tmp_path).phases}
    assert rows == {"decode": 1, "other": 0}


def test_graphs_that_look_up_no_tokens_are_other(tmp_path: Path) -> None:
    text = """
    process
    graph 1
      leaf positions f32 [64,100]
      leaf ids i32 [1]
      node rows GET_ROWS f32 [64,1] positions ids
    run 1 graph=1 at=0 for=1000
    run 2 graph=77 at=1000 for=1000
    done ended
    """
    (row,) = summary_of(text, tmp_path).phases
    assert (row.phase, row.runs, row.tokens, row.tokens_per_second) == ("other", 2, 0, None)


def test_time_between_tokens_counts_and_idleness_does_not(tmp_path: Path) -> None:
    text = (
        "process\n"
        + language_model(1, 8, 1)
        + language_model(2, 1, 1)
        + """
    graph 3
      node shift ROPE f32 [64,1]
    run 1 graph=1 at=0 for=10000
    run 2 graph=2 at=11000 for=4000     # a streak of decode: 11 to 24.9 ms,
    run 3 graph=2 at=15500 for=4000     # with half a millisecond of sampling,
    run 4 graph=3 at=19600 for=100      # and a graph of another kind, which breaks nothing
    run 5 graph=2 at=20900 for=4000
    run 6 graph=1 at=25000 for=10000    # a streak of prefill: 25 to 45 ms
    run 7 graph=1 at=35000 for=10000
    run 8 graph=2 at=200000 for=4000    # decode; idle for 155 ms before, and for 101 ms after
    run 9 graph=2 at=305000 for=4000
    done ended
    """
    )
    rows = {row.phase: row for row in summary_of(text, tmp_path).phases}
    assert list(rows) == ["prefill", "decode", "other"]
    assert rows["prefill"].seconds == pytest.approx(0.030)
    assert rows["decode"].seconds == pytest.approx(0.0139 + 0.004 + 0.004)
    assert rows["decode"].tokens_per_second == pytest.approx(5 / 0.0219)
    assert rows["other"].seconds == pytest.approx(0.0001)


def test_a_pause_no_longer_than_the_run_before_it_is_no_idleness(tmp_path: Path) -> None:
    text = (
        "process\n"
        + language_model(1, 1, 1)
        + """
    run 1 graph=1 at=0 for=800000
    run 2 graph=1 at=1500000 for=500000
    done ended
    """
    )
    (row,) = summary_of(text, tmp_path).phases
    assert row.seconds == pytest.approx(2.0)


def test_peak_memory_is_of_one_moment(tmp_path: Path) -> None:
    text = """
    process
    buffer 1 CPU weights 100 at=0
    buffer 2 CPU compute 50 at=1
    free 2 at=2
    buffer 3 GPU compute 60 at=2
    buffer 4 CPU any 7 at=3
    free 3 at=4
    buffer 5 CPU compute 59 at=5
    done ended
    """
    memory = summary_of(text, tmp_path).memory
    assert memory.peak_bytes == 167
    rows = {(row.backend, row.usage): row.bytes for row in memory.buffers}
    assert rows == {("CPU", "weights"): 100, ("GPU", "compute"): 60, ("CPU", "other"): 7}


def test_peak_memory_of_processes_is_added_up_in_time(tmp_path: Path) -> None:
    first = "process\nbuffer 1 CPU compute 100 at=0\nfree 1 at=100\ndone ended\n"
    together = "process start=50\nbuffer 1 CPU compute 11 at=0\ndone ended\n"
    apart = "process start=150\nbuffer 1 CPU compute 11 at=0\ndone ended\n"
    assert summary_of(first + together, tmp_path).memory.peak_bytes == 111
    assert summary_of(first + apart, tmp_path).memory.peak_bytes == 100


def test_work_on_another_backend_is_no_idleness_of_threads(tmp_path: Path) -> None:
    text = """
    process
    graph 1
      node a MUL_MAT f32 [64,1]
      node b MUL_MAT f32 [64,1] a
    run 1 graph=1 at=0 for=1000 splits=2 threads=1
    split CPU run=1 first=0 count=1 at=0 for=100 threads=1
    exec 0 run=1 at=0 work=80 wait=20
    split GPU run=1 first=1 count=1 at=100 for=900 threads=0
    done ended
    """
    summary = summary_of(text, tmp_path)
    assert summary.threads[0].busy == pytest.approx(0.8)
    assert [(row.backend, row.seconds) for row in summary.backends] == [
        ("GPU", pytest.approx(0.0009)),
        ("CPU", pytest.approx(0.0001)),
    ]
    assert summary.ops[0].share == pytest.approx(0.1)


def test_long_durations_are_shifted_back(tmp_path: Path) -> None:
    """A record's durations have 32 bits; longer ones lose their lowest."""
    writer = Writer()
    writer.begin_process()
    second = 10**9
    tracefile._define_graph(writer, 1, [["node", "a", "MUL_MAT", "f32", "[64,1]"]])
    start = writer.start
    writer.record(1, Record(NODE, start, 1, (0, 6 * second >> 4, second >> 4, second >> 4), 0, 4))
    writer.record(0, Record(RUN, start, 1, (1, 0, 8 * second >> 4, 1 | 1 << 16), 0, 4))
    writer.end_process()
    path = tmp_path / "trace.ggmlviz"
    path.write_bytes(writer.data)
    summary = summarize(Trace.open(path))
    assert summary.phases[0].seconds == pytest.approx(8.0)
    assert (summary.ops[0].seconds, summary.ops[0].work_s, summary.ops[0].wait_s) == pytest.approx((8.0, 6.0, 2.0))
    assert summary.threads[0].busy == pytest.approx(0.75)


def counter_clock(calibrations: list[tuple[int, int]], tmp_path: Path) -> Summary:
    """A process whose ticks are of a counter, at tick 5000 at 1 s of monotonic time, with a run of 3000 ticks."""
    process = (100, 1, 5000, 10**9, 0, 1, 2, 10_000, 2, "0.1.0", "preload", "/usr/bin/program", "program")
    body = b"".join(tracefile.varint(f) if isinstance(f, int) else tracefile.string(f) for f in process)
    data = tracefile.file_header()
    data += tracefile.chunk(b"DEFS", 1, tracefile.definition(tracefile.PROCESS, body))
    data += tracefile.chunk(b"RECS", 1, tracefile.encode_records(0, [Record(RUN, 8000, 1, (0, 0, 3000, 1))]))
    for ticks, monotonic in calibrations:
        data += tracefile.chunk(b"CLOK", 1, struct.pack("<3Q", ticks, monotonic, 0))
    path = tmp_path / "trace.ggmlviz"
    path.write_bytes(data)
    return summarize(Trace.open(path))


def test_ticks_are_converted_between_the_first_and_the_last_calibration(tmp_path: Path) -> None:
    summary = counter_clock([(6000, 10**9 + 300), (15000, 10**9 + 4000)], tmp_path)
    assert summary.phases[0].seconds == pytest.approx(3000 * 0.4e-9)
    assert summary.trace.processes[0].not_seen == []


def test_a_clock_of_unknown_rate_is_said(tmp_path: Path) -> None:
    summary = counter_clock([], tmp_path)
    assert "rate of its clock" in summary.trace.processes[0].not_seen[0]


def test_ops_do_not_depend_on_how_records_are_chunked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads work on several runs, rings are drained at odd times, windows are small: the sums are the same."""
    rng = random.Random(3)
    ops = ["MUL_MAT", "ADD", "SILU", "RMS_NORM", "MUL"]
    expected = {name: [0, 0, 0] for name in ops}
    streams: list[list[Record]] = [[], [], [], []]
    writer = Writer()
    writer.begin_process()
    lines = [["node", f"n{i}", ops[i % 5], "f32", "[64,1]"] for i in range(30)]
    tracefile._define_graph(writer, 1, lines)
    for run in range(1, 201):
        # Two callers, each with a worker of its own, in runs that interleave.
        caller = 2 * rng.randrange(2)
        begin = writer.start + run * 10_000
        for node in range(0, 30, rng.choice((1, 2, 3))):
            leaves, work_ends = [], []
            for worker in (0, 1):
                work, wait = rng.randrange(1, 400), rng.randrange(50)
                start = begin + node * 500 + worker
                streams[caller + worker].append(Record(NODE, start, run, (node, work, 0, wait), worker))
                leaves.append(start + work + wait)
                work_ends.append(start + work)
                expected[ops[node % 5]][1] += work
            expected[ops[node % 5]][0] += 1
            expected[ops[node % 5]][2] += max(min(leaves), *work_ends) - (begin + node * 500)
        streams[caller].append(Record(RUN, begin, run, (1, 0, 20_000, 1 | 2 << 16)))
    while any(streams):
        ring = rng.randrange(4)
        taken = rng.choice((1, 5, 100))
        for record in streams[ring][:taken]:
            writer.record(ring, record)
        del streams[ring][:taken]
        writer.flush()
    writer.end_process()
    path = tmp_path / "trace.ggmlviz"
    path.write_bytes(writer.data)
    for window in (16, 1000, 1 << 18):
        monkeypatch.setattr(trace_module, "_WINDOW_RECORDS", window)
        summary = summarize(Trace.open(path))
        assert summary.graphs.runs == 200
        for row in summary.ops:
            count, work, wall = expected[row.op]
            assert (row.count, round(row.work_s * 1e9), round(row.seconds * 1e9)) == (count, work, wall)


def test_quantiles_are_of_the_spans(tmp_path: Path) -> None:
    nodes = "\n".join(f"node n{i} ADD f32 [64,1]" for i in range(200))
    executed = "\n".join(f"exec {i} run=1 at={i * 1000} work={i + 1}" for i in range(200))
    text = f"process\ngraph 1\n{nodes}\nrun 1 graph=1 at=0 for=200000\n{executed}\ndone ended"
    (row,) = summary_of(text, tmp_path).ops
    assert (row.p50_us, row.p99_us) == pytest.approx((100, 198))


SCHEMA_1 = {
    "schema": int,
    "trace": {
        "path": str,
        "format": int,
        "started": str,
        "duration_s": float,
        "records": int,
        "lost": int,
        "processes": [
            {
                "pid": int,
                "command": str,
                "ggml_version": str,
                "method": str,
                "detail": str,
                "distorting": bool,
                "not_seen": [str],
            }
        ],
    },
    "overhead": {"ns_per_record": float, "share": float},
    "graphs": {"runs": int, "definitions": int, "nodes": int},
    "graph_time": {"seconds": float, "p50_us": float, "p99_us": float},
    "phases": [{"phase": str, "runs": int, "tokens": int, "seconds": float, "tokens_per_second": float}],
    "ops": [
        {
            "op": str,
            "count": int,
            "seconds": float,
            "work_s": float,
            "wait_s": float,
            "share": float,
            "p50_us": float,
            "p99_us": float,
        }
    ],
    "threads": [{"worker": int, "work_s": float, "wait_s": float, "busy": float}],
    "backends": [{"backend": str, "runs": int, "splits": int, "seconds": float, "timed": str}],
    "copies": [{"from": str, "to": str, "count": int, "bytes": int, "seconds": float}],
    "memory": {"peak_bytes": int, "buffers": [{"backend": str, "usage": str, "bytes": int}]},
}


def assert_has(value: object, shape: object) -> None:
    """Checks that JSON has at least these keys, of these types, and that no list is empty."""
    if isinstance(shape, dict):
        assert isinstance(value, dict)
        for key, item in shape.items():
            assert_has(value[key], item)
    elif isinstance(shape, list):
        assert isinstance(value, list)
        assert value
        for item in value:
            assert_has(item, shape[0])
    else:
        assert type(value) is shape


def test_json_is_schema_1(tmp_path: Path) -> None:
    text = (
        "process\nnote not-seen something\nbuffer 1 CPU compute 100 at=0\n"
        + language_model(1, 1, 1)
        + """
    copy set application>CPU run=1 bytes=4 at=1 for=1
    run 1 graph=1 at=10 for=10
    split CPU run=1 first=0 count=2 at=10 for=10
    exec 0 run=1 at=10 work=10
    done ended
    """
    )
    data = json.loads(json.dumps(summary_of(text, tmp_path).to_json()))
    assert data["schema"] == summary_module.SCHEMA == 1
    assert_has(data, SCHEMA_1)
