"""The desktop's ops, threads and memory in a real window: what they show is what `report --json` says."""

from __future__ import annotations

import math
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.integration.conftest import GGML_VIZ, Recorded, Sessions
from tests.support.desktop import application, display, drive, wait_until
from tests.support.generating import generating

if TYPE_CHECKING:
    from ggml_viz.desktop.application import Application


@pytest.fixture(scope="module", autouse=True)
def screen() -> Iterator[str]:
    with display() as name:
        yield name


@pytest.fixture(scope="module")
def recorded(recordings: Sessions) -> Recorded:
    return recordings("xllamacpp")


def settle(ctx: Any) -> None:
    """Lets frames pass until what was done is seen."""
    ctx.yield_(4)


def shown(ctx: Any, app: Application, title: str) -> Any:
    """A panel, once it shows rows."""
    wait_until(ctx, lambda: app.space.is_ready)
    ctx.yield_(5)
    app.window.bring_to_front(title)
    panel = app.panels[title]
    wait_until(ctx, lambda: (rows := panel.rows()) is not None and rows.rows)
    settle(ctx)
    return panel


def test_ops_are_the_reports_and_can_be_sorted_filtered_and_found(recorded: Recorded) -> None:
    report = recorded.report
    by_op = {row["op"]: row for row in report["ops"]}

    def column(panel: Any, name: str) -> list[Any]:
        columns, rows = panel.rows()
        return [row[columns.index(name)] for row in rows]

    def use(ctx: Any) -> None:
        ops = shown(ctx, app, "Ops")
        columns, rows = ops.rows()
        assert {row[0] for row in rows} == set(by_op)
        for row in rows:
            known = by_op[row[0]]
            for name in set(columns) & set(known):
                assert row[columns.index(name)] == pytest.approx(known[name]), (row[0], name)
            assert row[columns.index("wait")] == pytest.approx(known["wait_s"] / (known["work_s"] + known["wait_s"]))
        assert column(ops, "seconds") == sorted(column(ops, "seconds"), reverse=True)

        ctx.item_click("//Ops/**/calls")
        settle(ctx)
        assert column(ops, "count") == sorted(column(ops, "count"), reverse=True)
        ctx.item_click("//Ops/**/calls")
        settle(ctx)
        assert column(ops, "count") == sorted(column(ops, "count"))

        # A click shows where it is; another ends that, as does the button.
        most = max(by_op, key=lambda op: by_op[op]["seconds"])
        index = next(i for i, part in enumerate(ops._parts) if part.key == most)
        ctx.item_click(f"//Ops/**/{most}##{index}")
        assert app.space.filter_text == most
        settle(ctx)
        ctx.item_click("//Ops/Show all##timeline")
        assert app.space.filter_text == ""

        # The points stand where the report says, and one under the pointer is told.
        plot = ops.roofline
        assert {point.part.key for point in plot.points} == {
            op for op, row in by_op.items() if row["flops"] and row["bytes"] and row["gflops"]
        }
        for point in plot.points:
            assert point.rate == by_op[point.part.key]["gflops"]
            assert math.isclose(point.intensity, by_op[point.part.key]["flops"] / by_op[point.part.key]["bytes"])
        ctx.mouse_move_to_pos(plot.dots[0][:2])
        settle(ctx)
        assert plot.pointed == plot.points[0].part.key
        machine = report["roofline"]["machine"]
        assert (plot.roofs is not None) == bool(machine and machine["peaks"])

        ctx.item_click("//Ops/##filter")
        ctx.key_chars("rms norm")
        settle(ctx)
        assert column(ops, "op") == [op for op in column(ops, "op") if "RMS_NORM" in op]
        assert ops.rows().rows
        ctx.item_click("//Ops/×##filter")
        settle(ctx)

        for by in ("role", "layer"):
            ctx.item_click(f"//Ops/{by}##by")
            settle(ctx)
            for phase in {row["phase"] for row in report[f"{by}s"]}:
                ctx.item_click(f"//Ops/{phase}##phase")
                settle(ctx)
                wanted = {row[by]: row["seconds"] for row in report[f"{by}s"] if row["phase"] == phase}
                assert dict(zip(column(ops, by), column(ops, "seconds"), strict=True)) == pytest.approx(wanted)

        # A range has the figures of that range.
        app.space.selected = (0.0, app.space.duration_s / 2)
        assert app.space.source is not None
        part = app.space.source.report(*app.space.selected)
        ctx.item_click("//Ops/op##by")
        wanted = {row["op"]: row["count"] for row in part["ops"]}
        wait_until(ctx, lambda: dict(zip(column(ops, "op"), column(ops, "count"), strict=True)) == wanted)
        settle(ctx)
        ctx.item_click("//Ops/Whole recording")
        assert app.space.selected is None

    with application([recorded.trace]) as app:
        drive(app, use)


def test_threads_are_the_reports(recorded: Recorded) -> None:
    def use(ctx: Any) -> None:
        threads = shown(ctx, app, "Threads")
        columns, rows = threads.rows()
        wanted = {row["op"]: row for row in recorded.report["thread_use"]["ops"]}
        assert {row[0] for row in rows} == set(wanted)
        for row in rows:
            for name, value in zip(columns, row, strict=True):
                expected = wanted[row[0]][name]
                assert value == (pytest.approx(expected) if isinstance(value, float) else expected)
        waited = [row[columns.index("wait_s")] + row[columns.index("inner_s")] for row in rows]
        assert waited == sorted(waited, reverse=True)
        ctx.item_click("//Threads/**/at its end")
        settle(ctx)
        at_end = [row[columns.index("wait_s")] for row in threads.rows().rows]
        assert at_end == sorted(at_end, reverse=True)

    with application([recorded.trace]) as app:
        drive(app, use)


def test_memory_is_the_sources_and_its_map_tells_of_each_tensor(recorded: Recorded) -> None:
    def use(ctx: Any) -> None:
        memory = shown(ctx, app, "Memory")
        source = app.space.source
        assert source is not None
        told = source.memory()
        columns, rows = memory.rows()
        assert [row[columns.index("total_bytes")] for row in rows] == [
            change["total_bytes"] for change in told["changes"]
        ]
        assert max(row[columns.index("total_bytes")] for row in rows) == recorded.report["memory"]["peak_bytes"]
        at_peak = {(usage, backend): size for usage, backend, size in memory.over_time._buffers}
        buffers = recorded.report["memory"]["buffers"]
        assert at_peak == {(row["usage"], row["backend"]): row["bytes"] for row in buffers}

        # A click on a change shows that moment in the timeline.
        # One of the first, which stand in sight.
        change = told["changes"][1]
        name = {"kv": "KV cache"}.get(change["usage"], change["usage"])
        ctx.item_click(f"//Memory/**/{name}##1")
        # It glides there.
        view = wait_until(ctx, lambda: app.space.view)
        assert view[0] < change["at_s"] < view[1]

        ctx.item_click("//Memory/memory-tabs/Arena")
        arena_map = memory.map
        wait_until(ctx, lambda: len(arena_map.boxes))
        settle(ctx)
        chosen = told["arenas"][0]
        arena = source.arena(*(chosen[key] for key in ("process", "graph", "placement", "buffer")))
        assert len(arena_map.boxes) == len(arena["tensors"])
        columns, rows = memory.rows()
        assert [dict(zip(columns, row, strict=True)) for row in rows] == arena["tensors"]
        assert arena_map.tensors.alive.max() == chosen["bytes"]

        largest = max(range(len(rows)), key=lambda i: (arena["tensors"][i]["bytes"], arena["tensors"][i]["dies"]))
        left, top, right, bottom = arena_map.boxes[largest].tolist()
        ctx.mouse_move_to_pos(((left + right) / 2, (top + bottom) / 2))
        settle(ctx)
        assert arena_map.pointed == largest
        tensor = arena["tensors"][largest]
        text = "\n".join(arena_map._described(largest))
        assert tensor["name"] in text
        assert f"node {tensor['node']}" in text
        ctx.mouse_click(0)
        settle(ctx)
        assert arena_map.chosen == largest
        assert app.space.chosen is not None
        assert (app.space.chosen.graph, app.space.chosen.node) == (chosen["graph"], tensor["node"])

        before = arena_map.view
        ctx.mouse_wheel_y(3)
        settle(ctx)
        assert arena_map.view.last - arena_map.view.first < before.last - before.first
        assert before.first <= arena_map.view.first <= tensor["born"] <= arena_map.view.last
        left, top, right, bottom = arena_map.boxes[largest].tolist()
        assert bottom - top > 0

        # A node that is chosen elsewhere is found.
        from ggml_viz.desktop.workspace import Chosen

        other = next(i for i, each in enumerate(arena["tensors"]) if each["node"] is not None and i != largest)
        app.space.choose(Chosen(chosen["process"], chosen["graph"], arena["tensors"][other]["node"]))
        wait_until(ctx, lambda: arena_map.chosen == other)

        # The timeline shows an execution of it.
        app.space.view = None
        settle(ctx)
        ctx.item_click("//Memory/**/Show in the timeline")
        view = wait_until(ctx, lambda: app.space.view)
        node = arena["tensors"][other]["node"]
        seen = source.occurrence(chosen["process"], chosen["graph"], node, None, None)
        assert view[0] < seen["begin_s"] < seen["end_s"] < view[1]

        # Another arena, if there is one.
        if len(told["arenas"]) > 1:
            memory._wanted = tuple(told["arenas"][1][key] for key in ("process", "graph", "placement", "buffer"))
            wanted = source.arena(*memory._wanted)
            wait_until(ctx, lambda: memory.rows().rows and len(memory.rows().rows) == len(wanted["tensors"]))

    with application([recorded.trace]) as app:
        drive(app, use)


def test_a_live_process_shows_what_each_thread_does(tmp_path: Path) -> None:
    words = [GGML_VIZ, "run", "--quiet", "-o", tmp_path / "t.ggmlviz", "--", *generating()]
    process = subprocess.Popen(words, stdin=subprocess.PIPE)
    try:

        def use(ctx: Any) -> None:
            wait_until(ctx, lambda: app.space.source is not None and app.space.described.get("state") == "running")
            threads = shown(ctx, app, "Threads")
            does: set[str] = set()

            def looked() -> bool:
                does.update(row["state"] for row in (threads._does() or {}).values())
                return "work" in does

            wait_until(ctx, looked)
            memory = shown(ctx, app, "Memory")
            assert memory.rows().rows
            ops = shown(ctx, app, "Ops")
            counts = sum(row[3] for row in ops.rows().rows)
            wait_until(ctx, lambda: sum(row[3] for row in ops.rows().rows) > counts)

        with application(live=0) as app:
            drive(app, use)
    finally:
        process.communicate(timeout=60)
