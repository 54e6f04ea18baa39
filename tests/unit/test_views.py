"""What faces show of a tiny trace: its graphs and layers, a layer laid out, memory, and single nodes."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from tests.support.tracefile import trace_from_text, write_large_trace

from ggml_viz.errors import UserError
from ggml_viz.model.kinds import KINDS
from ggml_viz.model.trace import Trace
from ggml_viz.trace.reader import ProcessTrace
from ggml_viz.views.graph import graph_list, layer_layout, layers_of
from ggml_viz.views.memory import arena_map, memory_over_time
from ggml_viz.views.nodes import describe_node, executions, occurrence, search
from ggml_viz.views.palette import HEAT, KIND_COLOURS, PHASE_COLOURS, USAGE_COLOURS

# Two layers of a language model on two threads; a norm is computed together with its product.
MODEL = """
machine threads=1 triad=10e9 read=8e9 flops=50e9 int8=100e9
machine threads=2 triad=10e9 read=8e9 flops=50e9 int8=100e9
process pid=12 command='llama-cli -m model.gguf'
buffer 1 CPU weights 90000 at=1
buffer 2 CPU compute 4096 at=2
free 2 at=2000
graph 1
  leaf token_embd.weight q4_1 [64,1000]
  leaf inp_tokens i32 [1]
  leaf blk.0.attn_norm.weight f32 [64]
  leaf blk.0.attn_q.weight q4_1 [64,64]
  leaf blk.0.attn_k.weight q4_1 [64,64]
  leaf blk.0.ffn_up.weight q4_1 [64,64]
  leaf blk.1.ffn_up.weight q4_1 [64,64]
  leaf inp_pos i32 [1]
  node embd GET_ROWS f32 [64,1] token_embd.weight inp_tokens
  node norm-0 RMS_NORM f32 [64,1] embd
  node attn_norm-0 MUL f32 [64,1] norm-0 blk.0.attn_norm.weight
  node Qcur-0 MUL_MAT f32 [64,1] blk.0.attn_q.weight attn_norm-0
  node Kcur-0 MUL_MAT f32 [64,1] blk.0.attn_k.weight attn_norm-0
  node 'Qcur-0 (view)' VIEW f32 [64,1] Qcur-0
  node Qrope-0 ROPE f32 [64,1] 'Qcur-0 (view)' inp_pos
  node Krope-0 ROPE f32 [64,1] Kcur-0 inp_pos
  node kq-0 MUL_MAT f32 [64,1] Krope-0 Qrope-0
  node ffn_inp-0 ADD f32 [64,1] kq-0 embd
  node ffn_out-0 MUL_MAT f32 [64,1] blk.0.ffn_up.weight ffn_inp-0
  node l_out-0 ADD f32 [64,1] ffn_out-0 ffn_inp-0
  node ffn_out-1 MUL_MAT f32 [64,1] blk.1.ffn_up.weight l_out-0
  node l_out-1 ADD f32 [64,1] ffn_out-1 l_out-0
  node result_output MUL_MAT f32 [1000,1] token_embd.weight l_out-1
placement 1 graph=1 inp_tokens=2+0 inp_pos=2+64 embd=2+256 Qcur-0=2+512 Kcur-0=2+768 ffn_out-0=2+512
"""
NODES = (0, 1, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14)
WORK_US, WAIT_US, RUNS = 10, 2, 3
RUN_US = len(NODES) * (WORK_US + WAIT_US)


def begin_us(run: int, place: int = 0) -> float:
    return 100 + 300 * (run - 1) + place * (WORK_US + WAIT_US)


def made() -> str:
    """The runs of MODEL, as text."""
    lines = [MODEL]
    for run in range(1, RUNS + 1):
        lines.append(f"run {run} graph=1 placement=1 at={begin_us(run)} for={RUN_US} threads=2")
        lines.append(f"split CPU run={run} first=0 count=15 at={begin_us(run)} for={RUN_US} threads=2")
        for worker in (0, 1):
            lines += [
                f"exec {node} run={run} worker={worker} at={begin_us(run, place)} work={WORK_US - worker} "
                f"inner={worker} wait={WAIT_US} fused={int(node == 1)}"
                for place, node in enumerate(NODES)
            ]
        lines.append("flush")
    return "\n".join([*lines, "done ended"])


@pytest.fixture
def trace(tmp_path: Path) -> Trace:
    return opened(made(), tmp_path)


def opened(text: str, folder: Path) -> Trace:
    path = folder / "made.ggmlviz"
    path.write_bytes(trace_from_text(text))
    return Trace.open(path)


def as_json(shown: Any) -> Any:
    """What a browser gets: numpy's numbers, NaN and infinities would fail here."""
    return json.loads(json.dumps(shown, allow_nan=False))


# --- graphs ---


def test_graphs(trace: Trace) -> None:
    (row,) = as_json(graph_list(trace))["graphs"]
    assert row == {
        "process": 0,
        "graph": 1,
        "phase": "decode",
        "tokens": 1,
        "nodes": 15,
        "runs": RUNS,
        "seconds": pytest.approx(RUNS * RUN_US * 1e-6),
    }


def test_layers_add_up_to_the_graph(trace: Trace) -> None:
    shown = as_json(layers_of(trace, 0, 1))
    assert (shown["phase"], shown["tokens"], shown["runs"]) == ("decode", 1, RUNS)
    layers = shown["layers"]
    assert [row["name"] for row in layers] == ["layer 0", "layer 1", "outside layers"]
    # The view computes nothing.
    assert [row["nodes"] for row in layers] == [10, 2, 2]
    assert sum(row["share"] for row in layers) == pytest.approx(1)
    executed = RUNS * (WORK_US + WAIT_US) * 1e-6
    assert [row["seconds"] for row in layers] == pytest.approx([9 * executed, 2 * executed, 2 * executed])
    for row in layers:
        assert sum(role["seconds"] for role in row["roles"]) == pytest.approx(row["seconds"])
    moved = trace.measured.bytes[trace.measured.layer == 1].sum()
    assert layers[1]["bytes"] == pytest.approx(moved)
    assert {role["role"] for role in layers[1]["roles"]} == {"ffn_up", "l_out"}


def test_a_layer_is_laid_out(trace: Trace) -> None:
    shown = as_json(layer_layout(trace, 0, 1, 0))
    nodes = {node["id"]: node for node in shown["nodes"]}
    assert len(nodes) == len(shown["nodes"])
    by_name: dict[str, list[dict[str, Any]]] = {}
    for node in nodes.values():
        by_name.setdefault(node["name"], []).append(node)

    def one(name: str) -> dict[str, Any]:
        (node,) = by_name[name]
        return node

    norm = one("attn_norm-0")
    assert (norm["op"], norm["node"], norm["outside"]) == ("RMS_NORM+MUL", 1, False)
    product = one("Qcur-0")
    assert (KINDS[product["kind"]], product["role"], product["type"]) == ("matrix products", "attn_q", "q4_1")
    assert product["seconds"] == pytest.approx(RUNS * (WORK_US + WAIT_US) * 1e-6)
    assert product["executions"] == RUNS
    weight = one("blk.0.attn_q.weight")
    assert (weight["node"], weight["outside"], weight["seconds"]) == (None, True, None)
    assert weight["bytes"] == 64 * 64 // 32 * 20
    assert product["bytes"] > weight["bytes"]

    # From left to right, each weight above what reads it, and what two nodes read above each.
    joined = {(nodes[edge["from"]]["name"], nodes[edge["to"]]["name"]) for edge in shown["edges"]}
    assert joined >= {("embd", "attn_norm-0"), ("embd", "ffn_inp-0"), ("Qcur-0", "Qrope-0"), ("inp_pos", "Qrope-0")}
    for edge in shown["edges"]:
        begin, end = nodes[edge["from"]], nodes[edge["to"]]
        if begin["node"] is None:
            assert begin["y"] + begin["height"] < end["y"]
        else:
            assert begin["x"] + begin["width"] < end["x"]
        assert inside_or_on(edge["points"][0], begin)
        assert inside_or_on(edge["points"][-1], end)
    assert len(by_name["inp_pos"]) == 2
    # The residual stream is straight.
    stream = [one(name) for name in ("embd", "ffn_inp-0", "l_out-0")]
    assert len({node["y"] for node in stream}) == 1
    ends = {(edge["from"], edge["to"]): edge["points"] for edge in shown["edges"]}
    assert all(len(ends[a["id"], b["id"]]) == 2 for a, b in pairwise(stream))
    assert_apart(shown)


def inside_or_on(point: list[float], box: dict[str, float]) -> bool:
    across, down = point[0] - box["x"], point[1] - box["y"]
    return 0 <= across <= box["width"] and 0 <= down <= box["height"]


def assert_apart(shown: dict[str, Any]) -> None:
    """No box lies on another, or outside the picture."""
    boxes = [(n["x"], n["y"], n["x"] + n["width"], n["y"] + n["height"]) for n in shown["nodes"]]
    for i, (left, top, right, bottom) in enumerate(boxes):
        assert left >= 0
        assert top >= 0
        assert right <= shown["width"]
        assert bottom <= shown["height"]
        for other_left, other_top, other_right, other_bottom in boxes[:i]:
            assert right <= other_left or other_right <= left or bottom <= other_top or other_bottom <= top


def test_what_belongs_to_no_layer_is_laid_out(trace: Trace) -> None:
    shown = as_json(layer_layout(trace, 0, 1, None))
    computed = {node["name"] for node in shown["nodes"] if not node["outside"]}
    assert computed == {"embd", "result_output"}
    assert_apart(shown)


def test_a_graph_that_tells_of_no_layers_is_cut(tmp_path: Path) -> None:
    lines = ["  node n0 ADD f32 [4]"]
    lines += [f"  node n{i} ADD f32 [4] n{i - 1} n{max(i - 60, 0)}" for i in range(1, 1000)]
    text = "\n".join(["process", "graph 1", *lines, "run 1 graph=1 at=1 for=9", "done ended"])
    trace = opened(text, tmp_path)
    (layer,) = as_json(layers_of(trace, 0, 1))["layers"]
    assert (layer["layer"], layer["nodes"], layer["bytes"]) == (None, 1000, None)
    shown = as_json(layer_layout(trace, 0, 1, None))
    assert len(shown["nodes"]) + shown["left_out"] == 1000
    assert len(shown["nodes"]) < 300
    assert_apart(shown)


@pytest.mark.parametrize("process", [-1, 0, 1])
def test_what_is_not_there_is_one_message(trace: Trace, process: int) -> None:
    with pytest.raises(UserError, match="no graph 9"):
        layers_of(trace, process, 9)
    with pytest.raises(UserError, match="no graph 9"):
        arena_map(trace, process, 9, 1, 2)
    with pytest.raises(UserError, match="was not recorded" if process == 0 else "no process"):
        describe_node(trace, process, 77, 0)
    with pytest.raises(UserError, match="has no layer 7"):
        layer_layout(trace, 0, 1, 7)
    with pytest.raises(UserError, match="buffer 8"):
        arena_map(trace, 0, 1, 1, 8)


# --- memory ---


def test_memory(trace: Trace) -> None:
    shown = as_json(memory_over_time(trace))
    assert shown["peak_bytes"] == 94_096
    assert [(row["usage"], row["bytes"], row["total_bytes"]) for row in shown["changes"]] == [
        ("weights", 90_000, 90_000),
        ("compute", 4096, 94_096),
        ("compute", 0, 90_000),
    ]
    (row,) = shown["arenas"]
    assert (row["graph"], row["placement"], row["buffer"], row["backend"]) == (1, 1, 2, "CPU")
    assert (row["phase"], row["tokens"]) == ("decode", 1)
    # Both products of the layer's input, its tokens and positions, and the embedding.
    assert row["bytes"] == 3 * 256 + 4


def test_an_arena(trace: Trace) -> None:
    shown = as_json(arena_map(trace, 0, 1, 1, 2))
    assert (shown["bytes"], shown["nodes"]) == (4096, 15)
    tensors = {tensor["name"]: tensor for tensor in shown["tensors"]}
    tokens = tensors["inp_tokens"]
    assert (tokens["born"], tokens["dies"], tokens["node"]) == (-1, 0, None)
    product = tensors["Qcur-0"]
    # Its view is what the sixth node reads.
    assert (product["offset"], product["bytes"], product["born"], product["dies"]) == (512, 256, 3, 5)
    again = tensors["ffn_out-0"]
    assert shown["tensors"][again["reuses"]]["name"] == "Qcur-0"
    assert product["reuses"] is None


# --- nodes ---


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("mul_mat attn_q", [3]),
        ("LAYER 1", [12, 13]),
        ("blk.0.ffn_up", [10]),
        ("attn_norm-0", [1]),
        ("rope decode", [6, 7]),
        ("nothing", []),
        ("  ", []),
    ],
)
def test_search(trace: Trace, query: str, found: list[int]) -> None:
    shown = as_json(search(trace, query))
    # Words may also be found in the names of what is read, as `1` is in many.
    assert set(found) <= {match["node"] for match in shown["matches"]}
    assert shown["total"] == len(shown["matches"])
    if query.islower():
        assert len(found) == shown["total"]


def test_search_says_what_it_found(trace: Trace) -> None:
    (match,) = search(trace, "Qcur-0")["matches"]
    assert match == {
        "process": 0,
        "graph": 1,
        "node": 3,
        "name": "Qcur-0",
        "op": "MUL_MAT",
        "role": "attn_q",
        "layer": 0,
        "phase": "decode",
        "count": RUNS,
        "seconds": pytest.approx(RUNS * 12e-6),
    }
    shown = search(trace, "decode", limit=2)
    assert (len(shown["matches"]), shown["total"]) == (2, len(NODES))


def test_going_through_the_executions_of_a_node(trace: Trace) -> None:
    forth = []
    at = occurrence(trace, 0, 1, 3, after_s=0.0)
    while at is not None:
        forth.append(at)
        at = occurrence(trace, 0, 1, 3, after_s=at["begin_s"])
    assert [each["run"] for each in forth] == [1, 2, 3]
    assert [each["begin_s"] * 1e6 for each in forth] == pytest.approx([begin_us(run, 2) for run in (1, 2, 3)])
    assert forth[0]["end_s"] - forth[0]["begin_s"] == pytest.approx(12e-6)
    assert occurrence(trace, 0, 1, 3, before_s=forth[2]["begin_s"]) == forth[1]
    assert occurrence(trace, 0, 1, 3, before_s=forth[0]["begin_s"]) is None
    # A view is never executed.
    assert occurrence(trace, 0, 1, 5, after_s=0.0) is None


def test_the_executions_of_a_node_longest_first(trace: Trace) -> None:
    found = executions(trace, 0, 1, 3)
    took = [each["end_s"] - each["begin_s"] for each in found]
    assert took == sorted(took, reverse=True)
    forth = [occurrence(trace, 0, 1, 3, after_s=each["begin_s"] - 1e-9) for each in found]
    assert forth == found
    assert sorted(each["run"] for each in found) == [1, 2, 3]
    # A view is never executed, and there is no such graph.
    assert executions(trace, 0, 1, 5) == executions(trace, 0, 99, 3) == []


def test_an_execution(trace: Trace) -> None:
    shown = as_json(describe_node(trace, 0, 2, 3))
    assert shown["title"] == "MUL_MAT attn_q, layer 0"
    assert (shown["tensor"], shown["shape"], shown["types"]) == ("Qcur-0", "64", "q4_1 × f32")
    assert shown["sources"][0] == {"name": "blk.0.attn_q.weight", "shape": "64x64", "type": "q4_1", "op": "NONE"}
    assert (shown["run"], shown["graph"], shown["node"], shown["process"], shown["phase"]) == (2, 1, 3, 0, "decode")
    assert shown["backend"] == "CPU"
    assert shown["begin_s"] * 1e6 == pytest.approx(begin_us(2, 2))
    assert shown["wall_s"] == pytest.approx(12e-6)
    assert (shown["work_s"], shown["wait_s"]) == pytest.approx((19e-6, 5e-6))
    assert [worker["worker"] for worker in shown["workers"]] == [0, 1]
    assert [worker["inner_s"] for worker in shown["workers"]] == pytest.approx([0, 1e-6])
    assert shown["flops"] == 2 * 64 * 64
    assert shown["gflops"] == pytest.approx(shown["flops"] / 12e-6 * 1e-9)
    # The machine reads 10 GB/s, as the last that was said of it has it.
    assert shown["floor_s"] == pytest.approx(shown["bytes"] / 10e9)
    assert shown["typical"] is None
    assert KINDS[shown["kind"]] == "matrix products"
    # Once all executions were added up, they are told too.
    assert trace.measured.count.sum()
    assert describe_node(trace, 0, 2, 3)["typical"] == {"count": RUNS, "median_s": pytest.approx(12e-6)}


def test_nodes_computed_together_are_one(trace: Trace) -> None:
    shown = as_json(describe_node(trace, 0, 1, 1))
    assert (shown["op"], shown["tensor"]) == ("RMS_NORM+MUL", "attn_norm-0")
    assert [source["name"] for source in shown["sources"]] == ["embd", "blk.0.attn_norm.weight"]
    row = trace.measured.node.tolist().index(1)
    assert shown["bytes"] == pytest.approx(trace.measured.bytes[row])
    assert shown["flops"] == pytest.approx(trace.measured.flops[row])


def test_a_run_without_a_graph_is_described(tmp_path: Path) -> None:
    trace = opened("process\nrun 1 graph=5 at=1 for=9\nexec 0 run=1 at=1 work=3 wait=1\ndone ended", tmp_path)
    shown = as_json(describe_node(trace, 0, 1, 0))
    assert (shown["op"], shown["sources"], shown["bytes"], shown["layer"]) == ("?", [], None, None)
    assert shown["wall_s"] == pytest.approx(4e-6)
    assert as_json(search(trace, "other"))["total"] == 1


def test_looking_at_one_node_reads_little(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "large.ggmlviz"
    records = write_large_trace(path, 200_000)
    trace = Trace.open(path)
    runs = len(trace.watched[0].runs)
    decoded = []
    decode = ProcessTrace.decode

    def counting(self: ProcessTrace, chunk: Any, out: Any) -> int:
        decoded.append(chunk.count)
        return decode(self, chunk, out)

    monkeypatch.setattr(ProcessTrace, "decode", counting)
    shown = as_json(describe_node(trace, 0, runs // 2, 3))
    assert len(shown["workers"]) == 2
    assert 0 < sum(decoded) < records / 5
    before = len(decoded)
    assert occurrence(trace, 0, 1, 3, before_s=shown["begin_s"]) is not None
    describe_node(trace, 0, runs // 2, 4)
    assert len(decoded) - before <= 2


def test_each_kind_has_a_colour_of_its_own() -> None:
    assert set(KIND_COLOURS) == set(KINDS)
    for tone in range(3):
        assert len({colour[tone] for colour in KIND_COLOURS.values()}) == len(KINDS)


def test_the_dashboard_has_the_same_colours() -> None:
    source = (Path(__file__).parents[2] / "web/src/palette.ts").read_text()
    for tone, name in enumerate(("LIGHT", "DARK")):
        theme = source.partition(f"const {name}: Palette = {{")[2].partition("\n};")[0]
        for key, colours in (("kinds", KIND_COLOURS), ("phases", PHASE_COLOURS), ("usages", USAGE_COLOURS)):
            told = re.findall(r"#[0-9A-Fa-f]{6}", theme.partition(f"{key}: {{")[2].partition("}")[0])
            assert told == [colour[tone] for colour in colours.values()]
        assert HEAT[tone] in theme
