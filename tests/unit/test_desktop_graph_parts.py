"""What the desktop's graph, tensor and comparison are made of, without a window; and what is known of a tensor."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.tracefile import trace_from_text
from tests.unit.test_growing import grown
from tests.unit.test_views import RUNS, WAIT_US, WORK_US, made

from ggml_viz.desktop.compare import words as diff_words
from ggml_viz.desktop.graph import words
from ggml_viz.desktop.graph.camera import Camera, fitted, legible
from ggml_viz.desktop.graph.scene import Scene
from ggml_viz.desktop.tensor import words as tensor_words
from ggml_viz.errors import UserError
from ggml_viz.model.trace import Trace
from ggml_viz.sources.source import NotThereError
from ggml_viz.sources.traces import TraceSource
from ggml_viz.views.graph import layer_layout, layers_of
from ggml_viz.views.memory import arena_map
from ggml_viz.views.nodes import describe_node
from ggml_viz.views.tensor import tensor_details


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "made.ggmlviz"
    path.write_bytes(trace_from_text(made()))
    return path


@pytest.fixture
def trace(path: Path) -> Trace:
    return Trace.open(path)


def details(trace: Trace, node: int) -> dict[str, Any]:
    """As a face gets them: numpy's numbers, NaN and infinities would fail here."""
    found: dict[str, Any] = json.loads(json.dumps(tensor_details(trace, 0, 1, node), allow_nan=False))
    return found


def number_of(trace: Trace, name: str) -> int:
    graph = trace.watched[0].graphs[1]
    return next(i for i in range(len(graph.tensors)) if graph.name(i) == name)


# --- what is known of a tensor ---


def test_a_node_is_known_with_all_that_it_has_to_do_with(trace: Trace) -> None:
    node = number_of(trace, "Qcur-0")
    shown = details(trace, node)
    assert (shown["name"], shown["op"], shown["role"], shown["layer"]) == ("Qcur-0", "MUL_MAT", "attn_q", 0)
    assert (shown["node"], shown["computed"], shown["backend"]) == (node, True, "CPU")
    assert (shown["phase"], shown["tokens"], shown["type"], shown["size"]) == ("decode", 1, "f32", 256)
    assert (shown["shape"], shown["strides"]) == ([64, 1, 1, 1], [4, 256, 256, 256])
    assert [row["name"] for row in shown["sources"]] == ["blk.0.attn_q.weight", "attn_norm-0"]
    # What was computed together is one, by its first node.
    assert [row["op"] for row in shown["sources"]] == ["NONE", "RMS_NORM+MUL"]
    assert shown["sources"][1]["node"] == 1
    assert [row["name"] for row in shown["users"]] == ["Qcur-0 (view)"]
    assert shown["place"] == {"buffer": 2, "backend": "CPU", "usage": "compute", "offset": 512, "buffer_bytes": 4096}


def test_a_tensor_lives_as_its_arena_says(trace: Trace) -> None:
    graph = trace.watched[0].graphs[1]
    tensors = arena_map(trace, 0, 1, 1, 2)["tensors"]
    for tensor in tensors:
        life = details(trace, number_of(trace, tensor["name"]))["life"]
        assert (-1 if life["born"] is None else life["born"]) == tensor["born"]
        assert life["dies"] == tensor["dies"]
        assert life["dies_name"] == graph.name(tensor["dies"])
    life = details(trace, number_of(trace, "Kcur-0"))["life"]
    assert (life["born_name"], life["dies_name"]) == ("Kcur-0", "Krope-0")


def test_its_executions_are_those_that_were_measured(trace: Trace) -> None:
    node = number_of(trace, "Qcur-0")
    shown = details(trace, node)
    took = (WORK_US + WAIT_US) * 1e-6
    times = shown["times"]
    assert times["count"] == RUNS
    assert (times["threads"], times["of_last"]) == (2, None)
    for name in ("median_s", "p99_s", "min_s", "max_s"):
        assert times[name] == pytest.approx(took, rel=1e-5)
    assert times["seconds"] == pytest.approx(RUNS * took)
    assert times["work_s"] == pytest.approx(RUNS * (2 * WORK_US - 1) * 1e-6)
    assert times["wait_s"] == pytest.approx(RUNS * (2 * WAIT_US + 1) * 1e-6)
    # What one execution says of limits is what all do, as they are alike.
    one = describe_node(trace, 0, 1, node)
    for name in ("flops", "bytes", "gbps", "gflops", "floor_s"):
        assert shown[name] == pytest.approx(one[name])  # type: ignore[literal-required]
    by_bytes = shown["bytes"] / (shown["peak_gbps"] * 1e9)
    by_operations = shown["flops"] / (shown["peak_gflops"] * 1e9)
    assert shown["floor_s"] == pytest.approx(max(by_bytes, by_operations))
    assert shown["floor_by"] == ("bytes" if by_bytes > by_operations else "operations")


def test_of_a_process_that_goes_on_the_last_executions_are_those_of_the_node(
    path: Path, trace: Trace, tmp_path: Path
) -> None:
    """It keeps how long executions took only by op: that of another node of the op is not this one's."""
    growing, _ = grown(path, tmp_path, 2)
    for node in (1, number_of(trace, "Qcur-0"), number_of(trace, "ffn_out-1")):
        now, then = details(growing, node)["times"], details(trace, node)["times"]
        assert now.pop("of_last") == then["count"] == RUNS
        assert now == pytest.approx({name: value for name, value in then.items() if name != "of_last"}, rel=1e-5)


def test_of_a_fused_group_all_is_known_by_any_of_its_nodes(trace: Trace) -> None:
    head, behind = details(trace, 1), details(trace, 2)
    assert head == behind
    assert (head["node"], head["name"], head["op"]) == (1, "attn_norm-0", "RMS_NORM+MUL")
    assert [row["name"] for row in head["sources"]] == ["embd", "blk.0.attn_norm.weight"]
    assert {row["name"] for row in head["users"]} == {"Qcur-0", "Kcur-0"}
    assert head["times"]["count"] == RUNS


def test_a_weight_is_known_too(trace: Trace) -> None:
    shown = details(trace, number_of(trace, "token_embd.weight"))
    assert (shown["computed"], shown["op"], shown["times"], shown["backend"]) == (False, "NONE", None, None)
    assert {row["name"] for row in shown["users"]} == {"embd", "result_output"}
    assert (shown["life"]["born"], shown["life"]["dies_name"]) == (None, "result_output")
    assert shown["place"] is None


@pytest.mark.parametrize("place", [(1, 1, 0), (0, 2, 0), (0, 1, 10_000), (0, 1, -1)])
def test_what_is_not_there_is_said(trace: Trace, path: Path, place: tuple[int, int, int]) -> None:
    with pytest.raises(UserError):
        tensor_details(trace, *place)
    source = TraceSource("made", path)
    with pytest.raises(NotThereError):
        source.tensor(*place)
    source.close()


def test_nodes_of_a_layer_tell_their_backend(trace: Trace) -> None:
    shown = layer_layout(trace, 0, 1, 0)
    assert {node["backend"] for node in shown["nodes"] if node["node"] is not None} == {"CPU"}
    assert {node["backend"] for node in shown["nodes"] if node["node"] is None} == {None}
    graph = trace.watched[0].graphs[1]
    assert all(graph.name(node["tensor"]) == node["name"] for node in shown["nodes"])


def test_it_is_said_in_words(trace: Trace) -> None:
    shown = details(trace, number_of(trace, "Qcur-0"))
    assert tensor_words.title(shown) == "MUL_MAT attn_q, layer 0"
    facts = {fact.name: fact for fact in tensor_words.what(shown)}
    assert (facts["shape"].value, facts["strides"].value) == ("[64]", "[4] B")
    facts = {fact.name: fact for fact in tensor_words.memory(shown)}
    assert (facts["buffer"].value, facts["offset"].value) == ("compute, CPU", "512 B into it")
    assert facts["last read"].value == "node 5, Qcur-0 (view)"
    facts = {fact.name: fact for fact in tensor_words.times(shown)}
    assert (facts["count"].value, facts["median"].value) == ("3", "12.0 µs")
    assert facts["floor"].more.startswith("= ")
    table = dict(tensor_words.flat(shown))
    assert table["times.median_s"] == shown["times"]["median_s"]
    assert table["sources"] == "blk.0.attn_q.weight, attn_norm-0"
    weight = details(trace, number_of(trace, "token_embd.weight"))
    facts = {fact.name: fact for fact in tensor_words.memory(weight)}
    assert (facts["buffer"].value, facts["written"].value) == ("not known", "before the first node")


# --- a layer as arrays ---


@pytest.fixture
def scene(trace: Trace) -> Scene:
    return Scene(layer_layout(trace, 0, 1, 0))


def box_of(scene: Scene, name: str) -> int:
    return next(i for i, node in enumerate(scene.nodes) if node["name"] == name)


def test_who_reads_whom(scene: Scene) -> None:
    product = box_of(scene, "Qcur-0")
    reads, readers = scene.joined([product])
    assert {scene.nodes[box]["name"] for box in reads} == {"blk.0.attn_q.weight", "attn_norm-0"}
    assert {scene.nodes[box]["name"] for box in readers} == {"Qrope-0"}
    assert scene.edges_of([product]).sum() == 3
    assert not scene.edges_of([]).any()


def test_a_node_is_found_by_its_number(scene: Scene) -> None:
    for name, numbers in (("attn_norm-0", (1, 2)), ("Qcur-0", (3,))):
        for number in numbers:
            assert scene.of_node(number) == [box_of(scene, name)]
    # A tensor stands above each that reads it.
    tensor = scene.nodes[box_of(scene, "inp_pos")]["tensor"]
    assert {scene.nodes[box]["name"] for box in scene.of_node(tensor)} == {"inp_pos"}
    assert len(scene.of_node(tensor)) == 2
    assert scene.of_node(999) == []


def test_only_what_is_in_the_frame_is_seen(scene: Scene) -> None:
    everything = (0.0, 0.0, scene.width, scene.height)
    assert len(scene.visible_boxes(*everything)) == len(scene.nodes)
    assert len(scene.visible_lines(*everything)) == len(scene.lines)
    assert not len(scene.visible_boxes(-500, -500, -10, -10))
    assert not len(scene.visible_lines(-500, -500, -10, -10))
    left, top, right, bottom = scene.boxes[box_of(scene, "Qcur-0")].tolist()
    assert box_of(scene, "Qcur-0") in scene.visible_boxes(left + 1, top + 1, left + 2, top + 2)
    assert scene.at((left + right) / 2, (top + bottom) / 2) == box_of(scene, "Qcur-0")
    assert scene.at(-5, -5) is None


def test_arrows_lead_to_the_nearest(scene: Scene) -> None:
    here = scene.first_inside()
    assert here is not None
    assert not scene.outside[here]
    seen = [here]
    while (following := scene.next(seen[-1], "right")) is not None:
        assert scene.boxes[following, 0] > scene.boxes[seen[-1], 0]
        seen.append(following)
    assert len(seen) > 3
    product = box_of(scene, "Qcur-0")
    assert scene.next(product, "up") == box_of(scene, "blk.0.attn_q.weight")


def test_a_layer_without_edges_is_one_too() -> None:
    empty = Scene({"width": 10, "height": 10, "nodes": [], "edges": [], "left_out": 0})
    assert empty.first_inside() is None
    assert not len(empty.visible_lines(0, 0, 10, 10))
    assert empty.at(1, 1) is None


def test_a_box_says_what_the_web_says(scene: Scene, trace: Trace) -> None:
    product = scene.nodes[box_of(scene, "Qcur-0")]
    assert words.box_lines(product) == ("MUL_MAT", "Qcur-0", "64 q4_1")
    assert words.node_title(product) == "MUL_MAT attn_q"
    facts = dict(words.node_facts(product, 1.0, ["a", "b"], []))
    assert facts["took, on average"] == "12.0 µs"
    assert facts["executions"] == f"{RUNS}, 36.0 µs in all"
    assert facts["reads"] == "a, b"
    assert "is read by" not in facts
    weight = scene.nodes[box_of(scene, "blk.0.attn_q.weight")]
    assert words.box_lines(weight)[0] == ""
    assert words.node_title(weight) == "From outside"
    layer: Any = layers_of(trace, 0, 1)["layers"][0]
    assert words.layer_line(layer, RUNS).startswith("10 nodes · 108 µs a run, 69 %")


# --- the camera ---


def test_zooming_keeps_what_is_under_the_pointer() -> None:
    camera = Camera(1.0, 30.0, -20.0)
    for factor in (1.2, 0.1, 7.0, 1e-9, 1e9):
        zoomed = camera.zoomed(factor, 200.0, 100.0)
        for before, after, at in ((camera.left, zoomed.left, 200.0), (camera.top, zoomed.top, 100.0)):
            assert (after + at) / zoomed.scale == pytest.approx((before + at) / camera.scale)
    assert camera.zoomed(1e9, 0, 0).scale < 10
    assert camera.panned(5, 7) == Camera(1.0, 25.0, -27.0)


def test_all_of_it_fits() -> None:
    camera = fitted(2000, 500, 1000, 800, 1.5)
    assert camera.scale == pytest.approx(0.5)
    assert camera.left == pytest.approx(0)
    assert camera.top == pytest.approx(-275)
    assert fitted(10, 10, 1000, 800, 1.5).scale == 1.5
    # What has no room for legible text begins at the left.
    camera = legible(2000, 500, 1000, 800, 0.9)
    assert (camera.scale, camera.left) == (0.9, 0.0)


def test_a_box_is_brought_into_the_frame_and_the_sheet_is_not_lost() -> None:
    camera = Camera(1.0, 0.0, 0.0)
    assert camera.showing((10, 10, 50, 50), 100, 100, 5) == camera
    moved = camera.showing((300, 10, 350, 50), 100, 100, 5)
    assert (moved.left, moved.top) == (255, 0)
    far = Camera(1.0, 1e6, -1e6).kept_on(500, 400, 100, 100)
    assert far.left < 500
    assert far.top > -100
    assert camera.kept_on(500, 400, 100, 100) == camera


# --- comparing ---


def test_a_comparison_is_said_as_diff_says_it() -> None:
    change = {
        "phase": "decode", "op": "MUL_MAT", "role": "ffn_up", "verdict": "slower", "a_s": 1e-3, "b_s": 2e-3,
        "share": 0.1, "ratio": 2.0, "ratio_low": 1.9, "ratio_high": 2.1, "shapes_differ": False,
    }  # fmt: skip
    same = change | {"op": "ADD", "role": "", "verdict": "same", "share": -0.2}
    outside = {"part": "between graphs", "a_s": 0.0, "b_s": -1e-6, "change_s": -1e-6, "share": 0.15}
    phase = {
        "phase": "decode", "verdict": "same", "per": "token", "ratio": 1.25, "ratio_low": 1.0, "ratio_high": 1.6,
        "change_s": 5e-3, "outside": [outside],
    }  # fmt: skip
    diff = {"operations": [change, same], "phases": [phase], "findings": []}
    assert diff_words.shown_phase(diff, None) is phase
    assert [row.name for row in diff_words.rows_of(diff, phase, "operations")] == [
        "ADD",
        "between graphs",
        "MUL_MAT ffn_up",
    ]
    assert diff_words.VERDICTS["same"] == "cannot be told apart"
    assert diff_words.phase_title(phase) == "decode: +5.00 ms (+25.0 %) a token, perhaps by chance"
    assert diff_words.interval(phase) == "−37.5 % … 0.0 %"
    assert diff_words.ratio(change) == "×2.00  1.90 … 2.10"
    assert (diff_words.time(0), diff_words.time(-1e-6)) == ("none", "−1.00 µs")
    assert [diff_words.chance(p) for p in (None, 1e-4, 0.05, 0.5)] == ["", "<0.001", "0.050", "0.50"]
    assert np.isclose(sum(row.share for row in diff_words.rows_of(diff, phase, "operations")), 0.05)
