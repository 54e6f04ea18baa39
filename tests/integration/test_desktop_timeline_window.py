"""The timeline in a window, used as somebody would: wheel, keys, dragging, clicking, searching."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from tests.support.desktop import application, display, drive, wait_until
from tests.support.tracefile import write_large_trace

from ggml_viz.desktop.timeline.pick import span_at
from ggml_viz.desktop.timeline.view import View


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("timeline") / "large.ggmlviz"
    write_large_trace(path, 60_000)
    return path


class Used:
    """The panel, and how somebody uses it."""

    def __init__(self, app: Any, ctx: Any) -> None:
        self.app, self.ctx, self.space = app, ctx, app.space
        self.panel = app.panels["Timeline"]
        wait_until(ctx, lambda: app.space.is_ready)
        wait_until(ctx, lambda: self.panel._plates.plate is not None)
        self.rest()

    def rest(self) -> None:
        """Lets everything come to rest."""

        def is_still() -> bool:
            panel = self.panel
            return (
                not panel.stage.is_moving and panel.stage.is_resting(time.monotonic()) and not panel._plates.is_pending
            )

        for _ in range(3):
            self.ctx.yield_()
        wait_until(self.ctx, is_still)
        self.ctx.yield_()

    def at(self, share: float, lane: int = -2) -> tuple[float, float]:
        """A place of a lane."""
        area, row = self.panel.area, self.panel.layout.rows[lane]
        return area.left + (area.right - area.left) * share, area.top + row.y + row.height / 2

    def press(self, key: Any) -> None:
        self.ctx.key_press(key)
        self.rest()

    @property
    def view(self) -> View:
        return self.panel.stage.view


def test_going_about(trace: Path) -> None:
    from imgui_bundle import imgui

    def use(ctx: Any) -> None:
        used = Used(app, ctx)
        limits = used.panel.stage.limits
        assert used.view == limits
        assert used.space.view is None
        # The wheel zooms, and what is under the pointer stays there.
        ctx.mouse_move_to_pos(used.at(0.3))
        before = used.panel._pointed
        for _ in range(20):
            ctx.mouse_wheel_y(1)
        used.rest()
        assert used.view.width < limits.width / 30
        assert used.panel._pointed == pytest.approx(before, abs=used.view.width * 2e-3)
        assert used.space.view == tuple(used.view)
        # The tile that was asked for meanwhile shows it in full.
        tile = used.panel._plates.plate.tile
        assert tile.view.begin <= used.view.begin
        assert tile.view.end >= used.view.end
        assert tile.columns * used.view.width / tile.view.width > 900
        # Held keys pan and zoom.
        begin, width = used.view.begin, used.view.width
        for key, has_moved in (
            (imgui.Key.d, lambda: used.view.begin > begin + width / 10),
            (imgui.Key.s, lambda: used.view.width > width * 1.2),
        ):
            ctx.key_down(key)
            wait_until(ctx, has_moved)
            ctx.key_up(key)
            used.rest()
        # Shift and dragging takes along what was under the pointer.
        begin, width = used.view.begin, used.view.width
        ctx.mouse_move_to_pos(used.at(0.6))
        ctx.key_down(imgui.Key.mod_shift)
        ctx.mouse_down(0)
        ctx.mouse_move_to_pos(used.at(0.4))
        ctx.mouse_up(0)
        ctx.key_up(imgui.Key.mod_shift)
        used.rest()
        assert used.view.begin == pytest.approx(begin + 0.2 * width, abs=0.01 * width)
        assert used.space.selected is None
        # Another panel sends it somewhere; Esc goes back, then shows all.
        was = used.view
        used.space.show_span(0.1, 0.11)
        used.rest()
        assert used.view == pytest.approx(View(0.08, 0.13), abs=1e-6)
        used.press(imgui.Key.escape)
        assert used.view == pytest.approx(was)
        used.press(imgui.Key.home)
        assert used.view.begin == 0
        while used.view != limits:
            used.press(imgui.Key.escape)
        assert used.space.view is None

    with display(), application([trace]) as app:
        drive(app, use)


def test_selecting_a_range(trace: Path) -> None:
    from imgui_bundle import imgui

    def use(ctx: Any) -> None:
        used = Used(app, ctx)
        ctx.mouse_move_to_pos(used.at(0.2))
        begin = used.panel._pointed
        ctx.mouse_down(0)
        ctx.mouse_move_to_pos(used.at(0.4))
        end = used.panel._pointed or used.view.to_time(0.4, 1.0)
        ctx.mouse_up(0)
        used.rest()
        assert used.space.selected == pytest.approx((begin, end), abs=used.view.width / 500)
        # Its statistics are those of `report --json` of that range.
        report = wait_until(ctx, lambda: used.panel._report.answer)
        source = used.space.source
        assert report == source.report(*used.space.selected)
        whole = source.report()
        assert 0 < report["graphs"]["runs"] < whole["graphs"]["runs"] / 2
        # m sets a mark at the pointer, and takes it away.
        ctx.mouse_move_to_pos(used.at(0.35))
        used.press(imgui.Key.m)
        assert used.space.bookmarks == [pytest.approx(used.panel._pointed)]
        used.press(imgui.Key.m)
        assert used.space.bookmarks == []
        used.press(imgui.Key.f)
        selected = View(*used.space.selected)
        assert used.view.width == pytest.approx(selected.width / 0.8)
        used.press(imgui.Key.escape)
        assert used.space.selected is None

    with display(), application([trace]) as app:
        drive(app, use)


def test_finding_nodes(trace: Path) -> None:
    from imgui_bundle import imgui

    def use(ctx: Any) -> None:
        used = Used(app, ctx)
        space, source = used.space, used.space.source
        # Zoom to single nodes and click one.
        used.panel.stage.jump(View(0.05, 0.0503), time.monotonic())
        used.rest()
        ctx.mouse_move_to_pos(used.at(0.5))
        lane = used.panel.layout.rows[-2].lane
        span = span_at(used.panel._plates.plate.tile, lane, used.panel._pointed, 0.0)
        assert span is not None
        ctx.mouse_click(0)
        chosen = wait_until(ctx, lambda: space.chosen)
        assert (chosen.run, chosen.node, chosen.lane) == (span.run, span.node, lane.id)
        assert chosen.begin_s == pytest.approx(span.begin, abs=2e-7)
        assert space.graph == (0, chosen.graph)
        # What the card says is what the source says.
        card = wait_until(ctx, lambda: used.panel._details.answer)
        assert (card["run"], card["node"], card["graph"]) == (chosen.run, chosen.node, chosen.graph)
        # n and p go to the same node of the next and of the last run.
        used.press(imgui.Key.n)
        wait_until(ctx, lambda: space.chosen.run == chosen.run + 1)
        assert space.chosen.node == chosen.node
        used.press(imgui.Key.p)
        wait_until(ctx, lambda: space.chosen.run == chosen.run)
        # l goes to the longest, then to the next longest.
        begins = []
        for rank in range(3):
            longest = source.longest(0, chosen.graph, chosen.node, rank)
            used.press(imgui.Key.l)
            wait_until(ctx, lambda longest=longest: space.chosen.run == longest["run"])
            used.rest()
            begins.append(longest["end_s"] - longest["begin_s"])
            assert used.view.begin <= longest["begin_s"]
            assert used.view.end >= longest["end_s"]
        assert begins == sorted(begins, reverse=True)
        # A search finds what source.search does; Enter goes there.
        used.press(imgui.Key.slash)
        ctx.key_chars("get_rows")
        wait_until(ctx, lambda: used.panel._finder._matches.answer)
        used.rest()
        (match,) = source.search("get_rows", 50)["matches"]
        assert space.filter_text == "get_rows"
        used.press(imgui.Key.enter)
        wait_until(ctx, lambda: space.chosen.node == match["node"])
        plate = used.panel._plates.plate
        assert plate.look.text == "get_rows"
        # A kind in the legend is dimmed by a click, and shown again by Esc.
        ctx.item_click("**/##kind0")
        assert space.hidden_kinds == {0}
        ctx.mouse_move_to_pos(used.at(0.5))
        used.press(imgui.Key.escape)
        used.press(imgui.Key.escape)
        assert (space.chosen, space.filter_text, space.hidden_kinds) == (None, "", frozenset())
        table = used.panel.rows()
        assert table.rows
        assert len(table.columns) == len(table.rows[0])

    with display(), application([trace]) as app:
        drive(app, use)
