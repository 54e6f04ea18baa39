"""Pictures of tiny traces, read back: they are whole, say what the report says, and draw no more than can be seen."""

from __future__ import annotations

import json
import re
import struct
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
from tests.support.tracefile import trace_from_text

from ggml_viz.cli import main
from ggml_viz.export.lanes import COLUMNS, WAITING, lanes_of
from ggml_viz.export.selection import Selection
from ggml_viz.machine import Machine, Peaks
from ggml_viz.model.trace import Trace
from ggml_viz.views.columns import Columns
from ggml_viz.views.layer import by_role, choose_graph, layer_of

PICTURES = ("timeline", "ops", "roofline", "memory", "layer")

# A layer of a language model, decoded twice on two threads; one tensor's name is meant to break what it is put into.
TINY = r"""
process pid=12 command='/opt/llama-cli -m $x$.gguf'
buffer 1 CPU_Mapped weights 90000000 at=1
buffer 2 CPU compute 400000000 at=40
free 2 at=1150
graph 1
  leaf token_embd.weight q4_1 [64,1000]
  leaf inp_tokens i32 [1]
  leaf blk.0.attn_norm.weight f32 [64]
  leaf blk.0.attn_q.weight q4_1 [64,64]
  leaf blk.0.ffn_up.weight q4_1 [64,64]
  node embd GET_ROWS f32 [64,1] token_embd.weight inp_tokens
  node norm-0 RMS_NORM f32 [64,1] embd
  node attn_norm-0 MUL f32 [64,1] norm-0 blk.0.attn_norm.weight
  node Qcur-0 MUL_MAT f32 [64,1] blk.0.attn_q.weight attn_norm-0
  node 'Qcur-0 (view)' VIEW f32 [64,1] Qcur-0
  node '<&"\]$_0' ADD f32 [64,1] 'Qcur-0 (view)' embd
  node ffn_up-0 MUL_MAT f32 [64,1] blk.0.ffn_up.weight '<&"\]$_0'
  node result_output MUL_MAT f32 [1000,1] token_embd.weight ffn_up-0
"""
RUN = """
run {run} graph=1 at={at} for=500 threads=2
split CPU run={run} first=0 count=8 at={at} for=500 threads=2
"""
NODES = ((0, 20, 0, 0, 10), (1, 30, 0, 1, 0), (3, 100, 10, 0, 20), (5, 30, 0, 0, 0), (6, 100, 0, 0, 50))


def tiny() -> str:
    lines = [TINY]
    for run, begin in ((1, 100), (2, 650)):
        lines.append(RUN.format(run=run, at=begin))
        for worker in (0, 1):
            at = begin
            for node, work, inner, fused, wait in NODES:
                lines.append(
                    f"exec {node} run={run} worker={worker} at={at} work={work} inner={inner} wait={wait} fused={fused}"
                )
                at += work + inner + wait
    return "\n".join([*lines, "done ended"])


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.ggmlviz"
    path.write_bytes(trace_from_text(tiny()))
    return path


def export(trace: Path, form: str, *options: str) -> bytes:
    out = trace.with_suffix(f".{form}")
    assert main(["export", str(trace), "--to", form, "-o", str(out), *options]) == 0
    return out.read_bytes()


def texts(svg: bytes) -> list[str]:
    """What an SVG says."""
    root = ElementTree.fromstring(svg)
    return ["".join(each.itertext()).strip() for each in root.iter("{http://www.w3.org/2000/svg}text")]


def seconds(text: str) -> float:
    number, unit = text.split()
    return float(number) * {"ns": 1e-9, "µs": 1e-6, "ms": 1e-3, "s": 1.0}[unit]


@pytest.mark.parametrize(
    ("picture", "labels"),
    [
        ("timeline", ["What ran when", "graphs", "splits on CPU", "worker 0", "worker 1", "decode", WAITING]),
        ("ops", ["Time by op", "MUL_MAT", "RMS_NORM+MUL", "matrix products"]),
        ("roofline", ["What limits each op", "operations for each byte moved, op/byte", "operations, 1e9 op/s"]),
        ("memory", ["Memory in buffers", "peak 490 MB at 40.0 µs", "weights: 90.0 MB", "compute: 400 MB"]),
        ("layer", ["Layer 0 of graph 1 (decode, 1 token, 2 runs)", "RMS_NORM+MUL", "Qcur-0", '<&"\\]$_0']),
    ],
)
def test_a_picture_says_what_it_shows(picture: str, labels: list[str], trace: Path) -> None:
    said = texts(export(trace, "svg", "--picture", picture))
    assert [label for label in labels if label not in said] == []
    assert any(text.startswith("llama-cli -m $x$.gguf (pid 12) · 2026-01-02 12:00 UTC · 2 threads") for text in said)


@pytest.mark.parametrize("picture", PICTURES)
def test_png(picture: str, trace: Path) -> None:
    png = export(trace, "png", "--picture", picture)
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    assert struct.unpack(">II", png[16:24]) == (1200, 700)


def test_numbers_are_those_of_the_report(trace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "--json", str(trace)]) == 0
    report = json.loads(capsys.readouterr().out)
    said = texts(export(trace, "svg", "--picture", "ops"))
    bars = [text for text in said if text.endswith(" % waiting")]
    assert len(bars) == len(report["ops"])
    for bar, row in zip(bars, report["ops"], strict=True):
        took, share, executions, waiting = bar.split(" · ")
        assert row["op"] in said
        assert seconds(took) == pytest.approx(row["seconds"], rel=0.005)
        assert float(share.split()[0]) == pytest.approx(100 * row["seconds"] / sum_of(report, "seconds"), abs=0.5)
        assert int(executions.split()[0]) == row["count"]
        waited = row["wait_s"] / (row["wait_s"] + row["work_s"])
        assert float(waiting.split()[0]) == pytest.approx(100 * waited, abs=0.5)
    peak = next(text for text in texts(export(trace, "svg", "--picture", "memory")) if text.startswith("peak"))
    assert float(peak.split()[1]) * 1e6 == pytest.approx(report["memory"]["peak_bytes"], rel=0.005)


def sum_of(report: dict[str, list[dict[str, float]]], key: str) -> float:
    return sum(row[key] for row in report["ops"])


def test_lanes_add_up_to_what_workers_did(trace: Path) -> None:
    opened = Trace.open(trace)
    shown = lanes_of(Selection(opened))
    per_column_s = (shown.until_s - shown.from_s) / COLUMNS
    for worker, (work_ns, inner_ns, wait_ns) in enumerate(
        zip(*(opened.threads[f"{name}_ns"].tolist() for name in ("work", "inner", "wait")), strict=True)
    ):
        lane = next(lane for lane in shown.lanes if lane.name == f"worker {worker}")
        in_s = dict(zip(lane.parts, lane.shares.sum(axis=1) * per_column_s, strict=True))
        waiting = in_s.pop(WAITING)
        assert waiting * 1e9 == pytest.approx(inner_ns + wait_ns, rel=1e-6)
        assert sum(in_s.values()) * 1e9 == pytest.approx(work_ns, rel=1e-6)


def test_a_range_is_cut_out_of_the_timeline(trace: Path) -> None:
    opened = Trace.open(trace)
    # From the first matrix product on, 60 µs after the run's begin, half of its 110 µs of work.
    shown = lanes_of(Selection(opened, from_s=160e-6, until_s=215e-6))
    worker = next(lane for lane in shown.lanes if lane.name == "worker 0")
    matrix = worker.shares[worker.parts.index("matrix products")]
    assert matrix == pytest.approx(np.full(COLUMNS, 100 / 110), abs=1e-6)
    assert [text for _, _, text in worker.labels] == ["MUL_MAT"]
    said = texts(export(trace, "svg", "--picture", "timeline", "--from", "0.00016", "--until", "0.000215"))
    assert "MUL_MAT" in said


def test_bins_hold_what_is_put_in() -> None:
    random = np.random.default_rng(1)
    begin = random.uniform(-50, COLUMNS, 500)
    end = begin + random.exponential(0.01, 500)
    bins = Columns(2, COLUMNS)
    part = random.integers(0, 2, 500)
    bins.add(begin, end, part)
    inside = np.clip(end, 0, COLUMNS) - np.clip(begin, 0, COLUMNS)
    assert bins.shares().sum(axis=1) == pytest.approx([inside[part == 0].sum(), inside[part == 1].sum()], abs=1e-6)


def test_many_nodes_take_no_more_than_pixels(tmp_path: Path) -> None:
    nodes = "\n".join(f"exec 0 run=1 at={10 + i} work=0.5 wait=0.2" for i in range(20_000))
    path = tmp_path / "many.ggmlviz"
    text = f"process\ngraph 1\n  node a MUL_MAT f32 [4,4]\nrun 1 graph=1 at=10 for=20000\n{nodes}\ndone ended"
    path.write_bytes(trace_from_text(text))
    svg = export(path, "svg", "--picture", "timeline")
    assert len(svg) < 400_000
    assert svg.count(b"<path") < 100


def test_only_some_ops(trace: Path) -> None:
    said = texts(export(trace, "svg", "--picture", "ops", "--op", "mul_mat"))
    assert "MUL_MAT" in said
    assert "ADD" not in said


def test_roofs_are_the_machines_peaks(trace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unknown = texts(export(trace, "svg", "--picture", "roofline"))
    assert any("peaks are not known" in text for text in unknown)
    peaks = tuple(Peaks(threads, threads * 1e10, 5e9, threads * 1e11, threads * 2e11) for threads in (1, 2))
    machine = Machine("machine", "CPU", 2, peaks)
    monkeypatch.setattr("ggml_viz.analysis.roofline.machine_of", lambda file: machine)
    said = texts(export(trace, "svg", "--picture", "roofline"))
    assert {"memory: 20.0 GB/s", "f32: 200 Gop/s", "int8: 400 Gop/s"} <= set(said)
    # Those two points lie so near to each other that they share a name.
    assert "MUL_MAT ffn_up, attn_q" in said


def test_a_layers_nodes_and_edges(trace: Path) -> None:
    opened = Trace.open(trace)
    of = choose_graph(opened)
    layer = layer_of(opened, of, 0, 100)
    named = {node.name: i for i, node in enumerate(layer.nodes)}
    odd = '<&"\\]$_0'
    edges = {(layer.nodes[source].name, layer.nodes[reader].name) for source, reader in layer.edges}
    # The view is looked through, and the two that were fused are one.
    assert edges == {
        ("embd", "attn_norm-0"),
        ("embd", odd),
        ("attn_norm-0", "Qcur-0"),
        ("Qcur-0", odd),
        (odd, "ffn_up-0"),
    }
    assert [layer.nodes[named[name]].level for name in ("embd", "attn_norm-0", "Qcur-0", odd, "ffn_up-0")] == [
        *range(5)
    ]
    product = layer.nodes[named["Qcur-0"]]
    assert (product.executions, product.type) == (2, "q4_1")
    assert product.mean_s == pytest.approx(130e-6)
    roles, joined = by_role(opened, of)
    assert {(role.layer, role.role) for role in roles} >= {("0", "attn_q"), ("0", "ffn_up"), ("", "output")}
    assert all(0 <= index < len(roles) for edge in joined for index in edge)


def statements(dot: bytes) -> tuple[dict[str, str], list[tuple[str, str]]]:
    """Labels by node, and edges; every line must be one of the few forms that there are."""
    text = dot.decode()
    string = r'"((?:[^"\\]|\\.)*)"'
    labels, edges = {}, []
    assert text.startswith("digraph ggml {\n")
    assert text.endswith("}\n")
    for line in map(str.strip, text.splitlines()[1:-1]):
        if match := re.fullmatch(rf"(\w+) \[label={string}, (fillcolor|style|shape)=.*\];", line):
            labels[match[1]] = match[2]
        elif match := re.fullmatch(r"(\w+) -> (\w+);", line):
            edges.append((match[1], match[2]))
        else:
            assert re.fullmatch(
                rf"label={string}; labelloc=t;|(node|edge) \[.*\];|subgraph cluster_\d+ {{ label={string}; .*|}}", line
            ), line
    assert text.count("{") - text.count("}") == 0
    return labels, edges


@pytest.mark.parametrize("options", [(), ("--layer", "0"), ("--graph", "1", "--layer", "0")])
def test_dot(options: tuple[str, ...], trace: Path) -> None:
    labels, edges = statements(export(trace, "dot", *options))
    assert edges
    assert {node for edge in edges for node in edge} <= set(labels)
    if options:
        assert r"ADD\n<&\"\\]$_0\n64 f32\n30.0 µs × 2" in labels.values()
    else:
        assert any(label.startswith(r"attn_q\n2 nodes") for label in labels.values())


def test_a_graph_without_layers_is_shown_by_its_nodes(tmp_path: Path) -> None:
    path = tmp_path / "plain.ggmlviz"
    path.write_bytes(
        trace_from_text(
            "process\ngraph 7\n  node a ADD f32 [4]\n  node b MUL f32 [4] a\nrun 1 graph=7 at=1 for=9\ndone ended"
        )
    )
    labels, edges = statements(export(path, "dot"))
    assert list(labels.values()) == [r"ADD\na\n4 f32", r"MUL\nb\n4 f32"]
    assert edges == [("n0", "n1")]
    said = texts(export(path, "svg", "--picture", "layer"))
    assert "Graph 7 (other, 1 run)" in said
    assert any("tell of no layers" in text for text in said)


@pytest.mark.parametrize("picture", ["timeline", "ops", "roofline", "memory"])
def test_a_trace_with_nothing_in_it(picture: str, tmp_path: Path) -> None:
    path = tmp_path / "empty.ggmlviz"
    path.write_bytes(trace_from_text("process\ndone ended"))
    assert texts(export(path, "svg", "--picture", picture))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--to", "svg", "--picture", "layer", "--layer", "3"), "graph 1 has no layer 3: it has 0"),
        (("--to", "dot", "--graph", "9"), "the trace has no graph 9; it has 1"),
        (("--to", "dot", "--op", "ADD"), "are not for dot"),
        (("--to", "svg", "--picture", "ops", "--from", "0.0001"), "--from and --until"),
        (("--to", "svg", "--picture", "memory", "--op", "ADD"), "--op and --phase"),
    ],
)
def test_what_cannot_be_drawn_is_one_message(
    options: tuple[str, ...], message: str, trace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = trace.with_name("out")
    assert main(["export", str(trace), "-o", str(out), *options]) == 2
    assert message in capsys.readouterr().err
    assert not out.exists()


def test_without_matplotlib(trace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main(["export", str(trace), "--to", "svg", "-o", str(trace.with_name("out"))]) == 1
    assert "pip install 'ggml-viz[plots]'" in capsys.readouterr().err


def test_mutated_traces_do_not_crash_it(trace: Path) -> None:
    whole = trace.read_bytes()
    random = np.random.default_rng(5)
    mutated = trace.with_name("mutated.ggmlviz")
    for _ in range(12):
        data = bytearray(whole)
        for at in random.integers(16, len(data), 6):
            data[at] = random.integers(0, 256)
        mutated.write_bytes(data)
        for form, picture in (("svg", "timeline"), ("svg", "ops"), ("svg", "memory"), ("svg", "layer"), ("dot", "ops")):
            status = main(["export", str(mutated), "--to", form, "--picture", picture, "-o", str(trace.with_name("x"))])
            assert status in (0, 1, 2)
