"""Files of version 1: their graphs are timed, their ops never, and no input makes the reader fail."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path

import pytest
from tests.support import version1
from tests.support.version1 import HEADER, computed, event, graph, memory, op

from ggml_viz.analysis.contents import describe
from ggml_viz.analysis.summary import Summary, summarize
from ggml_viz.cli import main
from ggml_viz.errors import UserError
from ggml_viz.model.records import STATUS_UNFINISHED
from ggml_viz.model.trace import Process, Trace

MS = 1_000_000
PREFILL = [(29, "matmul_AB", 0x4000), (2, "result", 64)]
DECODE = [(29, "matmul_AB", 0x200), (2, "result", 64)]
EVENTS = [
    event(version1.THREAD_BEGIN, 1 * MS),
    event(version1.ALLOC, 1 * MS, memory(0x1000, 1 << 20), "weights"),
    computed(0xA0, PREFILL, 2 * MS, 5 * MS),
    computed(0xB0, DECODE, 6 * MS, 7 * MS),
    event(version1.BARRIER, 7 * MS),
    computed(0xC0, DECODE, 8 * MS, 10 * MS),
    event(version1.FREE, 11 * MS, memory(0x1000)),
    event(version1.THREAD_END, 11 * MS),
]
WHOLE = HEADER + b"".join(EVENTS)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "old.ggmlviz"


def read(path: Path, *events: bytes) -> Process:
    path.write_bytes(HEADER + b"".join(events))
    (process,) = Trace.open(path).watched
    return process


def not_seen(path: Path) -> list[str]:
    return summarize(Trace.open(path)).trace.processes[0].not_seen


def durations(process: Process) -> list[int]:
    return [int(ticks) for ticks in process.runs.duration]


def test_a_file_as_the_earlier_tool_wrote_it(path: Path) -> None:
    process = read(
        path,
        event(version1.GRAPH_BEGIN, 1000, graph(0xABC, nodes=2, threads=1)),
        event(version1.OP_BEGIN, 1500, op(29, size=0x4000), "matmul_AB"),
    )
    runs = process.runs
    assert (runs.begin.tolist(), durations(process), runs.threads.tolist()) == ([1000], [500], [1])
    assert runs.status.tolist() == [STATUS_UNFINISHED]
    (known,) = process.graphs.values()
    assert (known.node_count, known.name(0), known.op(0)) == (1, "matmul_AB", "op 29")
    assert known.tensors["bytes"].tolist() == [0x4000]
    assert "graphs with more or fewer ops than they claim to have nodes (1): shown as listed" in not_seen(path)


def test_graphs_have_their_times_and_ops_none(path: Path) -> None:
    process = read(path, *EVENTS)
    assert durations(process) == [3 * MS, 1 * MS, 2 * MS]
    # Rebuilt elsewhere it is still the same graph; with other sizes it is another.
    assert process.runs.graph.tolist() == [1, 2, 2]
    assert sum(len(spans) for _, spans in process.nodes()) == 0
    summary = summarize(Trace.open(path))
    assert (summary.graphs.runs, summary.graphs.definitions, summary.graphs.nodes) == (3, 2, 0)
    assert summary.ops == []
    assert [(row.op, row.count) for row in summary.untimed_ops] == [("op 29", 3), ("op 2", 3)]
    assert summary.graph_time.seconds == pytest.approx(0.006)
    assert (summary.graph_time.p50_us, summary.graph_time.p99_us) == pytest.approx((2000, 3000))
    assert summary.memory.peak_bytes == 1 << 20
    assert summary.trace.duration_s == pytest.approx(0.009)


def test_buffers_live_from_allocation_to_end(path: Path) -> None:
    process = read(
        path,
        event(version1.ALLOC, 10, memory(0x1000, 100), "first"),
        event(version1.ALLOC, 20, memory(0x1000, 200)),  # its end was not seen
        event(version1.ALLOC, 30, memory(0x2000, 50)),
        event(version1.FREE, 40, memory(0x1000)),
        event(version1.FREE, 50, memory(0x3000)),
    )
    lives = [(life.size_bytes, life.allocated_ticks, life.freed_ticks, life.place) for life in process.buffers]
    assert lives == [(100, 10, 20, "?"), (200, 20, 40, "?"), (50, 30, None, "?")]
    assert process.file.definitions.buffers[1].name == "first"
    assert summarize(Trace.open(path)).memory.peak_bytes == 250
    assert "frees of tensors that were not allocated in the file (1): left out" in not_seen(path)


def test_begins_and_ends_that_do_not_match(path: Path) -> None:
    process = read(
        path,
        event(version1.GRAPH_END, 5, graph(0xA)),
        event(version1.GRAPH_BEGIN, 10, graph(0xA)),
        event(version1.GRAPH_BEGIN, 20, graph(0xA)),
        event(version1.GRAPH_END, 25, graph(0xA)),
        event(version1.GRAPH_BEGIN, 30, graph(0xB)),
        event(version1.GRAPH_END, 29, graph(0xB)),
    )
    assert process.runs.begin.tolist() == [10, 20, 30]
    assert durations(process) == [0, 5, 0]
    assert process.runs.status.tolist() == [STATUS_UNFINISHED, 0, 0]
    notes = not_seen(path)
    assert "ends of graphs that did not begin in the file (1): left out" in notes
    assert "graphs that end before they begin (1): shown without duration" in notes


def test_ops_belong_to_the_graph_of_their_thread(path: Path) -> None:
    process = read(
        path,
        event(version1.OP_BEGIN, 1, op(1), "before any graph"),
        event(version1.GRAPH_BEGIN, 10, graph(0xA, 1), thread=1),
        event(version1.OP_BEGIN, 11, op(1), "of a helper", thread=9),
        event(version1.GRAPH_BEGIN, 12, graph(0xB, 1), thread=2),
        event(version1.OP_BEGIN, 13, op(2), "of b", thread=2),
        event(version1.OP_BEGIN, 14, op(3), "of either", thread=9),
        event(version1.GRAPH_END, 20, graph(0xA), thread=1),
        event(version1.GRAPH_END, 21, graph(0xB), thread=2),
    )
    names = [process.graphs[number].name(0) for number in process.runs.graph.tolist()]
    assert names == ["of a helper", "of b"]
    assert "ops that no graph can be found for (2): left out" in not_seen(path)


def test_a_graph_may_take_days(path: Path) -> None:
    day_ns = 86_400 * 10**9
    process = read(path, computed(1, [], 0, day_ns), computed(2, [], day_ns, day_ns + 7))
    assert durations(process) == [pytest.approx(day_ns, rel=1e-6), 7]


def test_report_as_text(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path.write_bytes(WHOLE)
    assert main(["report", "--width", "80", str(path)]) == 0
    assert capsys.readouterr().out == (
        "? · 2 threads · 9.00 ms\n"
        "\n"
        "phase       graphs   tokens       t/s     time\n"
        "other            3                      8.00 ms\n"
        "\n"
        "graphs    6.00 ms in all · p50 2.00 ms, p99 3.00 ms\n"
        "ops       not timed · op 29 × 3, op 2 × 3\n"
        "memory    peak 1.05 MB · other 1.05 MB ?\n"
        "not seen  how long each op took: ops are listed, not timed, because in version\n"
        "          1 files all ops of a graph begin before it runs and end after it\n"
        "not seen  waits of threads at barriers (1): that they waited is noted, not how\n"
        "          long\n"
        "          …2 more (--json)\n"
        "\n"
        "version 1 trace, only graphs are timed; losses, overhead and its end are not\n"
        "known\n"
    )


def test_report_as_json(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path.write_bytes(WHOLE[:-1])
    assert main(["report", "--json", str(path)]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["trace"]["format"] == 1
    assert report["trace"]["started"] == ""
    assert report["trace"]["damage"] == "cut: 45 bytes of an event remain"
    assert report["graphs"] == {"runs": 3, "definitions": 2, "nodes": 0}
    assert report["ops"] == report["threads"] == report["backends"] == []
    assert report["untimed_ops"] == [{"op": "op 29", "count": 3}, {"op": "op 2", "count": 3}]
    (process,) = report["trace"]["processes"]
    assert (process["detail"], process["threads"], process["end"]) == ("graph", 2, "cut")
    assert process["not_seen"][0].startswith("how long each op took: ops are listed, not timed")


def test_info_as_text(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path.write_bytes(WHOLE)
    assert main(["info", "--verify", "--width", "80", str(path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("old.ggmlviz · ggml-viz trace, version 1 · 1.22 kB")
    assert lines[1] == "ends with a whole event; version 1 has no checksums"
    assert lines[3].split() == ["events", "count", "bytes"]
    counts = {line[:14].strip(): line[14:].split() for line in lines[4 : lines.index("", 4)]}
    assert counts["graph begin"] == ["3", "138"]
    assert counts["op begin"] == ["6", str(6 * 50 + 3 * len("matmul_AB" + "result"))]
    assert counts["barrier wait"] == ["1", "46"]
    assert "records      3" in lines
    assert not any(line.startswith(("pid", "started", "agent")) for line in lines)


def test_info_as_json(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path.write_bytes(WHOLE + b"\x09" * 46)
    assert main(["info", "--json", str(path)]) == 0
    contents = json.loads(capsys.readouterr().out)
    assert (contents["format"], contents["checked_bytes"], contents["records"]) == (1, 0, 3)
    assert (contents["readable_bytes"], contents["file_bytes"]) == (len(WHOLE), len(WHOLE) + 46)
    assert contents["damage"] == "damaged: an event is of unknown type 9"
    assert {row["kind"]: row["count"] for row in contents["chunks"]}["graph begin"] == 3
    assert main(["info", "--verify", str(path)]) == 1


def everything(path: Path) -> Summary:
    trace = Trace.open(path)
    describe(trace.file)
    summary = summarize(trace)
    json.dumps(summary.to_json())
    return summary


def test_cut_anywhere_it_is_read_to_the_last_whole_event(path: Path) -> None:
    ends = [len(HEADER)]
    for part in EVENTS:
        ends.append(ends[-1] + len(part))
    whole_runs = {ends[3]: 1, ends[4]: 2, ends[6]: 3}
    for length in range(len(WHOLE) + 1):
        path.write_bytes(WHOLE[:length])
        if length < 8:
            with pytest.raises(UserError, match="not a ggml-viz trace"):
                Trace.open(path)
            continue
        trace = Trace.open(path)
        integrity = trace.file.integrity
        assert integrity.readable_bytes <= length == integrity.file_bytes
        assert length - integrity.readable_bytes < 46 + 4 + len("matmul_AB")
        assert (integrity.damage is None) == (integrity.readable_bytes == length >= len(HEADER))
        if length in ends:
            assert integrity.damage is None
        finished = sum(status != STATUS_UNFINISHED for status in trace.watched[0].runs.status.tolist())
        assert finished == max((runs for end, runs in whole_runs.items() if end <= length), default=0)
        summarize(trace)


def test_only_the_header_is_refused(path: Path) -> None:
    for data, message in ((b"GGMLVIZ1\2\0\0\0", "is a version 2 trace"), (b"GGMLVIZ" + WHOLE, "not a ggml-viz trace")):
        path.write_bytes(data)
        with pytest.raises(UserError, match=message):
            Trace.open(path)
    path.write_bytes(HEADER)
    assert everything(path).trace.damage is None


def test_no_mutation_makes_it_fail(path: Path) -> None:
    rng = random.Random(1)
    for _ in range(5000):
        data = bytearray(WHOLE)
        for _ in range(rng.choice((1, 1, 2, 8))):
            at = rng.randrange(len(data))
            action = rng.randrange(4)
            if action == 0:
                data[at] = rng.randrange(256)
            elif action == 1:
                data[at : at + 8] = rng.choice((b"\xff" * 8, bytes(8), b"\0" * 7 + b"\x80"))
            elif action == 2:
                del data[at : at + rng.randrange(1, 60)]
            else:
                data[at:at] = rng.randbytes(rng.randrange(1, 60))
        path.write_bytes(data)
        try:
            summary = everything(path)
        except UserError:
            assert data[:12] != HEADER
            continue
        assert summary.ops == []


def test_no_byte_makes_it_fail_by_its_greatest_value(path: Path) -> None:
    for at in range(len(HEADER), len(WHOLE)):
        path.write_bytes(WHOLE[:at] + b"\xff" * 8 + WHOLE[at + 8 :])
        everything(path)


def test_a_label_that_claims_4_gib_costs_nothing(path: Path) -> None:
    long = event(version1.OP_BEGIN, 3, op(1), b"x" * 100_000)
    lying = event(version1.OP_BEGIN, 4, op(1), b"x" * 100)
    lying = lying[:46] + b"\xff\xff\xff\xff" + lying[50:]
    process = read(path, event(version1.GRAPH_BEGIN, 1, graph(0xA, 1)), long, lying)
    assert process.file.integrity.damage is None
    summary = everything(path)
    assert summary.trace.damage == "cut: 100 of the 4294967295 bytes of a label remain"
    assert process.graphs[1].name(0) == "x" * 256


def test_labels_need_not_be_text(path: Path) -> None:
    process = read(path, event(version1.GRAPH_BEGIN, 1, graph(0xA)), event(version1.OP_BEGIN, 2, op(1), b"\xff\x1b[2J"))
    assert process.graphs[1].name(0) == "\N{REPLACEMENT CHARACTER}\x1b[2J"
    assert process.graphs[1].op(0) == "op 1"


def test_a_million_events_take_seconds_at_most(path: Path) -> None:
    ops = [(i % 90, f"blk.{i // 20}.node_{i}", 4096) for i in range(499)]
    part = computed(0xA, ops, 1 * MS, 2 * MS)
    path.write_bytes(HEADER + part * 1000)
    begin = time.process_time()
    trace = Trace.open(path)
    assert time.process_time() - begin < 3
    assert (len(trace.watched[0].runs), len(trace.watched[0].graphs)) == (1000, 1)


def test_graphs_that_never_end_are_not_all_remembered(path: Path) -> None:
    begun = [event(version1.GRAPH_BEGIN, i, graph(i)) for i in range(1000)]
    process = read(path, *begun, event(version1.GRAPH_END, 2000, graph(999)))
    assert len(process.runs) == 1000
    assert durations(process)[-1] == 1001


def test_ops_and_graphs_without_number_are_not_all_remembered(path: Path) -> None:
    one_op = (
        event(version1.GRAPH_BEGIN, i, graph(1, 1))
        + event(version1.OP_BEGIN, i, op(i), str(i))
        + event(version1.GRAPH_END, i, graph(1, 1))
        for i in range(40_000)
    )
    process = read(path, *one_op)
    assert (len(process.runs), len(process.graphs)) == (40_000, 32_768)
    assert (process.graphs[1].op(0), process.graphs[32_768].op(0)) == ("op 0", "?")
    assert any(
        note.text == "graphs other than the first 32768 distinct ones (7232): shown without ops"
        for note in process.file.definitions.notes
    )
