"""A process that goes on: what is kept added up while a trace grows is what adding up the whole trace gives."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.support.tracefile import write_large_trace

from ggml_viz.analysis.summary import summarize
from ggml_viz.model.attribution import load_rules
from ggml_viz.model.growing import GrowingProcess, GrowingTrace
from ggml_viz.model.trace import Trace
from ggml_viz.native import NOW_RUN_DTYPE
from ggml_viz.trace.reader import GrowingTrace as GrowingFile
from ggml_viz.views.timeline import Timeline

NOTHING_IN_PROGRESS = np.empty(0, NOW_RUN_DTYPE)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("growing") / "whole.ggmlviz"
    write_large_trace(path, 60_000, threads=2)
    return path


def pairs(values: list[int]) -> Iterator[tuple[int, int]]:
    return ((values[i], values[i + 1]) for i in range(len(values) - 1))


def grown(path: Path, folder: Path, parts: int) -> tuple[GrowingTrace, Timeline]:
    """The trace as a viewer sees it that takes it in in so many parts, cut anywhere."""
    data = path.read_bytes()
    copy = folder / "growing.ggmlviz"
    edges = np.linspace(64, len(data), parts).astype(int).tolist()
    copy.write_bytes(data[:64])
    file = GrowingFile(copy)
    trace = GrowingTrace(file.file, load_rules())
    timeline = Timeline(trace)
    taken_in = 0
    for begin, end in pairs(edges):
        with copy.open("ab") as out:
            out.write(data[begin:end])
        file.grow()
        trace.bring_up_to_date()
        if not trace.watched:
            continue
        process = trace.watched[0]
        assert isinstance(process, GrowingProcess)
        chunks = process.file.chunks_from(taken_in)
        taken_in = process.file.chunk_count
        records = process.take_in(chunks, NOTHING_IN_PROGRESS)
        timeline.add(0, chunks, records, trace.duration_s)
        summarize(trace)  # what it says in between must not be kept
    process.finish()
    file.close()
    trace.bring_up_to_date()
    return trace, timeline


def test_totals_are_those_of_the_whole(path: Path, tmp_path: Path) -> None:
    whole = summarize(Trace.open(path))
    growing = summarize(grown(path, tmp_path, 40)[0])
    assert growing.phases == whole.phases
    assert growing.graphs == whole.graphs
    assert growing.threads == whole.threads
    assert growing.backends == whole.backends
    assert growing.memory == whole.memory
    assert growing.trace.records == whole.trace.records
    assert [row.op for row in growing.ops] == [row.op for row in whole.ops]
    for row, expected in zip(growing.ops, whole.ops, strict=True):
        assert (row.count, row.share) == (expected.count, pytest.approx(expected.share))
        assert row.seconds == pytest.approx(expected.seconds)
        assert row.p50_us == pytest.approx(expected.p50_us, rel=0.045)
        assert row.p99_us == pytest.approx(expected.p99_us, rel=0.045)


def test_the_timeline_is_that_of_the_whole(path: Path, tmp_path: Path) -> None:
    trace = Trace.open(path)
    whole = Timeline(trace)
    whole.build()
    growing = grown(path, tmp_path, 17)[1]
    end = trace.duration_s
    for from_s, until_s in ((0.2 * end, 0.2 * end + 0.001), (0.7 * end, 0.7 * end + 0.0001)):
        assert whole.tile(from_s, until_s, 800)[56:] == growing.tile(from_s, until_s, 800)[56:]


def test_one_run_is_found(path: Path, tmp_path: Path) -> None:
    whole = Trace.open(path).watched[0]
    growing = grown(path, tmp_path, 9)[0].watched[0]
    for run in whole.runs.number[[0, len(whole.runs) // 2, -1]].tolist():
        nodes = whole.nodes_of(run)
        assert len(nodes)
        assert np.array_equal(np.sort(growing.nodes_of(run)), np.sort(nodes))


def test_old_records_are_let_go(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / "live.ggmlviz"
    copy.write_bytes(path.read_bytes())
    file = GrowingFile(copy)
    file.grow()
    process = file.file.processes[0]
    before, room = process.record_count, copy.stat().st_blocks
    assert file.let_go(process, 100_000)
    assert process.record_count < before
    assert process.recorded == before
    assert process.let_go == before - process.record_count
    assert copy.stat().st_blocks < room
    # What is left is a trace of the runs of which everything is there.
    left = Trace(file.snapshot()).watched[0]
    assert 0 < len(left.runs) < len(Trace.open(path).watched[0].runs)
    nodes = {len(left.nodes_of(run)) for run in left.runs.number.tolist()}
    assert len(nodes) == 1
