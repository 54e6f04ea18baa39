"""Graphs, tensors and comparisons in the window, of real recordings: what is shown is what the sources answer."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.integration.conftest import GGML_VIZ, Sessions
from tests.support.desktop import application, display, drive, wait_until

if TYPE_CHECKING:
    from ggml_viz.desktop.application import Application

SIZE = 1100, 700


def used(files: list[Path], use: Callable[[Any, Application], None]) -> None:
    """Opens the files and uses the application."""
    with display(), application(files) as app:
        app.window.params.app_window_params.window_geometry.size = SIZE

        def run(ctx: Any) -> None:
            wait_until(ctx, lambda: app.space.is_ready)
            use(ctx, app)

        drive(app, run)


def shown(ctx: Any, app: Application, title: str) -> Any:
    """A panel, brought to the front."""
    app.space.to_front.append(title)
    frames(ctx, 4)
    return app.panels[title]


def frames(ctx: Any, count: int) -> None:
    for _ in range(count):
        ctx.yield_()


def point_at(ctx: Any, graph: Any, box: int) -> None:
    left, top, right, bottom = graph.sheet.on_screen(box)
    ctx.mouse_move_to_pos(((left + right) / 2, (top + bottom) / 2))


@pytest.fixture(scope="module")
def recording(recordings: Sessions) -> Path:
    return recordings("llama-simple").trace


def test_a_node_is_the_same_in_graph_inspector_and_timeline(recording: Path) -> None:
    """A layer is opened, a node clicked, its weight, then it is followed into the timeline."""

    def use(ctx: Any, app: Application) -> None:
        from imgui_bundle import imgui

        space = app.space
        source = space.source
        assert source is not None
        graph = shown(ctx, app, "Graph")
        tensor: Any = app.panels["Tensor"]
        assert tensor.rows() is None
        # The graph that took most time, and its layers.
        first = source.graphs()["graphs"][0]
        of = first["process"], first["graph"]
        wait_until(ctx, graph.rows)
        layers = source.layers(*of)["layers"]
        assert [row[:3] for row in graph.rows().rows] == [[x["layer"], x["nodes"], x["seconds"]] for x in layers]
        # By keys, the second layer is opened.
        ctx.item_click("//Graph/##graph")
        ctx.key_press(imgui.Key.escape)
        shown(ctx, app, "Overview")
        shown(ctx, app, "Graph")
        ctx.mouse_move_to_pos((graph.box[0] + 5, graph.box[1] - 5))
        frames(ctx, 2)
        ctx.key_press(imgui.Key.down_arrow)
        ctx.key_press(imgui.Key.enter)
        wait_until(ctx, lambda: graph.scene is not None)
        assert space.layer == layers[1]["layer"] == 1
        frames(ctx, 3)
        # Keys lead through its nodes at once.
        start = graph.sheet.current
        ctx.key_press(imgui.Key.right_arrow)
        frames(ctx, 2)
        assert graph.sheet.current == graph.scene.next(start, "right")
        nodes = source.layer(*of, 1)["nodes"]
        columns, rows = graph.rows()
        assert [row[columns.index("name")] for row in rows] == [node["name"] for node in nodes]
        assert [row[columns.index("seconds")] for row in rows] == [node["seconds"] for node in nodes]

        # A node is clicked: the inspector's figures are the source's.
        box = next(i for i, node in enumerate(nodes) if "MUL_MAT" in node["op"] and not node["outside"])
        point_at(ctx, graph, box)
        frames(ctx, 2)
        assert graph.sheet.pointed == box
        ctx.mouse_click(0)
        assert space.chosen is not None
        assert (space.chosen.process, space.chosen.graph, space.chosen.node) == (*of, nodes[box]["node"])
        wait_until(ctx, tensor.rows)
        known = source.tensor(*of, nodes[box]["node"])
        table = dict(tensor.rows().rows)
        assert table["times.count"] == known["times"]["count"] == nodes[box]["executions"]
        assert table["times.median_s"] == known["times"]["median_s"]
        assert table["times.seconds"] == pytest.approx(nodes[box]["seconds"])
        assert table["layer"] == 1
        assert graph._chosen_boxes(graph.scene, of) == [box]

        # What it reads is chosen by its link, and is highlighted in the graph.
        weight = known["sources"][0]
        assert weight["op"] == "NONE"
        ctx.item_click(f"//Tensor/sources/{weight['name']}##0")
        assert space.chosen.node == weight["node"]
        wait_until(ctx, lambda: dict(tensor.rows().rows)["name"] == weight["name"])
        assert dict(tensor.rows().rows)["place.usage"] == "weights"
        frames(ctx, 2)
        assert {graph.scene.nodes[i]["name"] for i in graph._chosen_boxes(graph.scene, of)} == {weight["name"]}

        # Twice clicked, its execution is shown in the timeline, and known in the inspector.
        point_at(ctx, graph, box)
        frames(ctx, 2)
        # Frames may be long here, and then clicks are far apart.
        clicks = imgui.get_io()
        clicks.mouse_single_click_delay, clicks.mouse_double_click_time = 6.0, 5.0
        ctx.mouse_double_click(0)
        wait_until(ctx, lambda: space.chosen is not None and space.chosen.run is not None)
        execution = source.occurrence(*of, nodes[box]["node"], None, None)
        assert (space.chosen.run, space.chosen.begin_s) == (execution["run"], execution["begin_s"])
        assert space.view is not None
        assert space.view[0] < execution["begin_s"] < execution["end_s"] < space.view[1]
        wait_until(ctx, lambda: tensor._span.answer is not None)
        span = tensor._span.answer[1]
        assert (span["run"], span["tensor"]) == (execution["run"], nodes[box]["name"])
        assert span["wall_s"] == pytest.approx(execution["end_s"] - execution["begin_s"])

    used([recording], use)


def test_a_node_that_was_chosen_elsewhere_is_found(recording: Path) -> None:
    """Its layer is opened and its box brought into the frame; zooming, fitting and Esc do what they say."""

    def use(ctx: Any, app: Application) -> None:
        from imgui_bundle import imgui

        from ggml_viz.desktop.workspace import Chosen

        space = app.space
        source = space.source
        assert source is not None
        graph = shown(ctx, app, "Graph")
        match = next(found for found in source.search("ffn_down", 99)["matches"] if found["layer"] == 2)
        space.choose(Chosen(match["process"], match["graph"], match["node"]))
        of = match["process"], match["graph"]
        wait_until(ctx, lambda: graph.scene is not None)
        frames(ctx, 4)
        assert space.layer == match["layer"] == 2
        (box,) = graph._chosen_boxes(graph.scene, of)
        assert graph.scene.nodes[box]["name"] == match["name"]
        left, top, right, bottom = graph.sheet.on_screen(box)
        assert graph.box[0] < left < right < graph.box[2]
        assert graph.box[1] < top < bottom < graph.box[3]

        # The wheel magnifies what is under the pointer; all of it fits into the frame.
        point_at(ctx, graph, box)
        before = graph.sheet.camera.scale
        ctx.mouse_wheel_y(2)
        frames(ctx, 2)
        assert graph.sheet.camera.scale > before
        assert graph.sheet.pointed == box
        ctx.mouse_click(0)
        ctx.key_press(imgui.Key.f)
        frames(ctx, 2)
        seen = [graph.sheet.on_screen(i) for i in range(len(graph.scene.nodes))]
        assert min(left for left, _, _, _ in seen) >= graph.box[0]
        assert max(right for _, _, right, _ in seen) <= graph.box[2]

        # Esc leads out level by level.
        ctx.key_press(imgui.Key.escape)
        assert space.chosen is None
        assert graph.is_open
        ctx.key_press(imgui.Key.escape)
        assert not graph.is_open

        # Each measure paints what it says, and a legend tells it.
        graph._open(2)
        frames(ctx, 3)
        for measure in ("op kind", "backend", "bytes", "time"):
            graph.measure = measure
            frames(ctx, 2)
            painted = graph.sheet.painted(measure)
            assert len(painted.fills) == len(graph.scene.nodes)
            assert painted.legend
        graph.measure = "backend"
        assert [name for _, name in graph.sheet.painted("backend").legend] == ["CPU"]

    used([recording], use)


def test_two_recordings_are_compared_as_diff_does_it(recordings: Sessions, recording: Path) -> None:
    other = recordings("llama-simple-blas").trace

    def use(ctx: Any, app: Application) -> None:
        compare = shown(ctx, app, "Compare")
        wait_until(ctx, lambda: compare.rows() is not None)
        # What began earlier was before.
        assert app.space.source is not None
        assert app.space.other is not None
        assert (app.space.source.describe()["name"], app.space.other.describe()["name"]) == (recording.name, other.name)
        before, after = compare._pair(app.space.source)
        assert before.describe()["started"] <= after.describe()["started"]
        in_order = sorted([recording, other], key=lambda path: path.name != before.describe()["name"])
        assert compare._diff.answer[1] == as_diff_says(*in_order)
        rows = compare.rows()
        shares = [row[rows.columns.index("share")] for row in rows.rows]
        assert shares == sorted(shares, key=lambda share: -abs(share))

        # Swapped, it is the other way round.
        ctx.item_click("//Compare/Swap")
        wait_until(ctx, lambda: compare._diff.answer and compare._diff.answer[0][0] == after.id)
        assert compare._diff.answer[1] == as_diff_says(*in_order[::-1])
        # What is shown everywhere stays what it was.
        assert app.space.source.describe()["name"] == recording.name

    used([recording, other], use)


def as_diff_says(a: Path, b: Path) -> dict[str, Any]:
    words: list[str | Path] = [GGML_VIZ, "diff", "--a", a, "--b", b, "--json"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_one_recording_says_how_to_have_two(recording: Path) -> None:
    def use(ctx: Any, app: Application) -> None:
        compare = shown(ctx, app, "Compare")
        assert compare.rows() is None
        assert ctx.item_exists("//Compare/ggml-viz view before.ggmlviz after.ggmlviz/Copy")

    used([recording], use)
