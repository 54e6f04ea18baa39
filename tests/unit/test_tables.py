"""The tables of a trace, on one small enough to know every value, and what other libraries make of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.support.tracefile import START_NS, trace_from_text

import ggml_viz
from ggml_viz.model.table import Table, Text
from ggml_viz.model.tables import FIELDS
from ggml_viz.model.trace import Trace

TRACE = """
process pid=7 ggml=0.26.0 command='llama-cli -m model.gguf'
buffer 1 CPU_Mapped weights 98000000 at=0
buffer 2 CPU compute 30000 at=1
graph 1
  leaf token_embd.weight q4_1 [64,1000]
  leaf inp_tokens i32 [1]
  leaf blk.3.attn_q.weight q4_1 [64,32]
  node embd GET_ROWS f32 [64,1] token_embd.weight inp_tokens
  node norm-3 RMS_NORM f32 [64,1] embd
  node attn_norm-3 MUL f32 [64,1] norm-3 embd
  node Qcur-3 MUL_MAT f32 [32,1] blk.3.attn_q.weight attn_norm-3
placement 1 graph=1 token_embd.weight=1+0 embd=2+0 norm-3=2+256
run 1 graph=1 placement=1 at=100 for=400 threads=2
split CPU run=1 first=0 count=4 at=101 for=398 threads=2
copy set application>CPU run=1 bytes=4 at=90 for=1
exec 0 run=1 worker=0 at=110 work=10 wait=90
exec 0 run=1 worker=1 at=120 work=70 wait=10
exec 1 run=1 worker=0 at=200 work=40 inner=5 wait=5 fused=1
exec 1 run=1 worker=1 at=200 work=30 wait=20 fused=1
exec 3 run=1 worker=1 at=300 work=20
free 2 at=950
done ended
"""


@pytest.fixture
def trace(tmp_path: Path) -> Trace:
    path = tmp_path / "t.ggmlviz"
    path.write_bytes(trace_from_text(TRACE))
    return ggml_viz.open(path)


def rows(table: Table, *names: str) -> list[tuple[object, ...]]:
    columns = table.load(names)
    lists = (list(column) if isinstance(column, Text) else column.tolist() for column in columns.values())
    return list(zip(*lists, strict=True))


def test_every_table_has_its_columns_and_they_are_of_one_length(trace: Trace) -> None:
    for name, fields in FIELDS.items():
        table = trace.table(name)
        columns = table.load()
        assert list(columns) == [field.name for field in fields] == table.columns
        assert {len(column) for column in columns.values()} == {len(table)}


def test_processes(trace: Trace) -> None:
    names = ("process", "pid", "command", "ggml_version", "detail", "end", "records", "distorting")
    assert rows(trace.processes, *names) == [(0, 7, "llama-cli -m model.gguf", "0.26.0", "thread", "ended", 8, False)]


def test_spans_are_of_all_threads_together(trace: Trace) -> None:
    names = ("run", "node", "op", "phase", "fused", "threads", "begin_ns", "wall_ns", "work_ns", "inner_ns", "wait_ns")
    assert rows(trace.spans, *names) == [
        (1, 0, "GET_ROWS", "decode", 0, 2, 110_000, 90_000, 80_000, 0, 100_000),
        (1, 1, "RMS_NORM", "decode", 1, 2, 200_000, 50_000, 70_000, 5_000, 25_000),
        (1, 3, "MUL_MAT", "decode", 0, 1, 300_000, 20_000, 20_000, 0, 0),
    ]


def test_worker_spans_are_of_each_thread(trace: Trace) -> None:
    names = ("node", "worker", "begin_ns", "work_ns", "inner_ns", "wait_ns")
    assert sorted(rows(trace.worker_spans, *names)) == [
        (0, 0, 110_000, 10_000, 0, 90_000),
        (0, 1, 120_000, 70_000, 0, 10_000),
        (1, 0, 200_000, 40_000, 5_000, 5_000),
        (1, 1, 200_000, 30_000, 0, 20_000),
        (3, 1, 300_000, 20_000, 0, 0),
    ]


def test_threads_add_up_their_spans(trace: Trace) -> None:
    names = ("worker", "spans", "work_ns", "inner_ns", "wait_ns")
    assert rows(trace.threads, *names) == [(0, 2, 50_000, 5_000, 95_000), (1, 3, 120_000, 0, 30_000)]


def test_nodes_have_what_their_executions_took(trace: Trace) -> None:
    names = ("node", "name", "op", "layer", "role", "phase", "executions", "wall_ns", "work_ns")
    assert rows(trace.nodes, *names) == [
        (0, "embd", "GET_ROWS", None, "token_embd", "decode", 1, 90_000, 80_000),
        (1, "norm-3", "RMS_NORM", 3, "norm", "decode", 1, 50_000, 70_000),
        (2, "attn_norm-3", "MUL", 3, "attn_norm", "decode", 0, 0, 0),
        (3, "Qcur-3", "MUL_MAT", 3, "attn_q", "decode", 1, 20_000, 20_000),
    ]


def test_tensors_edges_and_graphs(trace: Trace) -> None:
    names = ("tensor", "name", "op", "type", "is_node", "ne0", "ne1", "view_of")
    tensors = rows(trace.tensors, *names)
    assert tensors[3] == (3, "Qcur-3", "MUL_MAT", "f32", True, 32, 1, None)
    assert tensors[4] == (4, "token_embd.weight", "NONE", "q4_1", False, 64, 1000, None)
    assert rows(trace.edges, "tensor", "place", "source")[-2:] == [(3, 0, 6), (3, 1, 2)]
    assert rows(trace.graphs, "graph", "nodes", "tensors", "phase", "tokens") == [(1, 4, 7, "decode", 1)]


def test_runs_splits_and_copies(trace: Trace) -> None:
    names = ("run", "graph", "phase", "tokens", "begin_ns", "duration_ns", "threads")
    assert rows(trace.runs, *names) == [(1, 1, "decode", 1, 100_000, 400_000, 2)]
    names = ("run", "backend", "first", "nodes", "begin_ns", "duration_ns", "threads")
    assert rows(trace.splits, *names) == [(1, "CPU", 0, 4, 101_000, 398_000, 2)]
    names = ("run", "kind", "source", "target", "size_bytes", "begin_ns", "duration_ns", "submitted")
    assert rows(trace.copies, *names) == [(1, "set", "application", "CPU", 4, 90_000, 1_000, False)]


def test_buffers_and_placements(trace: Trace) -> None:
    names = ("buffer", "place", "usage", "size_bytes", "allocated_ns", "freed_ns")
    assert rows(trace.buffers, *names) == [
        (1, "CPU_Mapped", "weights", 98_000_000, 0, None),
        (2, "CPU", "compute", 30_000, 1_000, 950_000),
    ]
    names = ("graph", "tensor", "buffer", "offset_bytes")
    assert rows(trace.placements, *names) == [(1, 0, 2, 0), (1, 1, 2, 256), (1, 4, 1, 0)]
    names = ("graph", "buffer", "tensor", "offset_bytes", "size_bytes", "first", "last", "reuses")
    assert rows(trace.lifetimes, *names) == [(1, 2, 0, 0, 256, 0, 2, None), (1, 2, 1, 256, 256, 1, 2, None)]


def test_a_column_is_made_when_it_is_asked_for_and_is_no_copy(trace: Trace) -> None:
    wall = trace.spans["wall_ns"]
    assert trace.spans["wall_ns"] is wall
    assert wall.dtype == np.int64
    assert np.asarray(trace.spans["op"]).tolist() == ["GET_ROWS", "RMS_NORM", "MUL_MAT"]
    assert (trace.spans["op"] == "MUL_MAT").tolist() == [False, False, True]
    with pytest.raises(KeyError, match="spans has no column wall; it has"):
        trace.spans["wall"]
    with pytest.raises(KeyError):
        trace.table("nothing")


def test_arrow_polars_and_pandas_say_the_same(trace: Trace) -> None:
    for name in FIELDS:
        table = trace.table(name)
        arrow, polars, pandas = table.to_arrow(), table.to_polars(), table.to_pandas()
        assert arrow.num_rows == polars.height == len(pandas) == len(table)
        assert arrow.column_names == polars.columns == list(pandas.columns) == table.columns
        expected = rows(table, *table.columns)
        assert [tuple(row.values()) for row in arrow.to_pylist()] == expected
        assert polars.rows() == expected
        as_pandas = pandas.astype(object).where(pandas.notna(), None)
        assert [tuple(row) for row in as_pandas.itertuples(index=False)] == expected


def test_several_processes_and_none(tmp_path: Path) -> None:
    path = tmp_path / "two.ggmlviz"
    path.write_bytes(trace_from_text(TRACE + TRACE.replace("pid=7", "pid=8 start=1000")))
    two = ggml_viz.open(path)
    assert two.spans["process"].tolist() == [0, 0, 0, 1, 1, 1]
    assert two.spans["begin_ns"].tolist()[3:] == [1_110_000, 1_200_000, 1_300_000]
    assert two.processes["began_ns"].tolist() == [0, 1_000_000]
    path.write_bytes(trace_from_text(""))
    none = ggml_viz.open(path)
    for name in FIELDS:
        assert len(none.table(name)) == 0
        assert none.table(name).to_arrow().num_rows == 0
        assert f"{name}: 0 rows" in repr(none.table(name))


def test_looks_in_a_terminal_and_in_a_notebook(trace: Trace) -> None:
    assert repr(trace).startswith("Trace of llama-cli -m model.gguf: 1 graph runs, 8 records")
    assert "spans" in repr(trace)
    lines = repr(trace.buffers).splitlines()
    assert lines[0] == "buffers: 2 rows"
    assert lines[1].split()[:3] == ["process", "buffer", "place"]
    assert "<td>weights</td>" in trace.buffers._repr_html_()
    assert "<table>" in trace._repr_html_()
    assert START_NS  # the trace's clock begins there; tables begin at 0
