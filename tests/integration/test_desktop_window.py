"""The desktop's window: menus, keys, the palette, opening traces, what it remembers, and faults of a panel."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from imgui_bundle import imgui
from tests.integration.conftest import Sessions
from tests.support.desktop import application, display, drive, wait_until

from ggml_viz.desktop import opening

_CTRL = imgui.Key.mod_ctrl


@pytest.fixture(scope="module", autouse=True)
def screen() -> Iterator[str]:
    with display() as number:
        yield number


@pytest.fixture(scope="module")
def trace(recordings: Sessions) -> Path:
    return recordings("llama-simple").trace


@pytest.fixture(scope="module")
def other(recordings: Sessions) -> Path:
    return recordings("xllamacpp").trace


def test_what_can_be_done_is_done_by_menu_key_and_name(trace: Path) -> None:
    with application([trace]) as made:

        def use(ctx: Any) -> None:
            space, window = made.space, made.window
            wait_until(ctx, lambda: space.is_ready)
            ctx.menu_click("//##MainMenuBar/View/Theme/Light")
            wait_until(ctx, lambda: not space.theme.is_dark)
            ctx.key_press(_CTRL | imgui.Key.equal, 2)
            assert space.preferences.font_scale == pytest.approx(1.21)
            ctx.key_press(_CTRL | imgui.Key._0)
            assert space.preferences.font_scale == 1
            ctx.key_press(_CTRL | imgui.Key.p)
            ctx.yield_(3)
            ctx.key_chars("memo")
            ctx.key_press(imgui.Key.enter)
            wait_until(ctx, lambda: window.focused is made.panels["Memory"])
            ctx.key_press(_CTRL | imgui.Key._1)
            wait_until(ctx, lambda: window.focused is made.panels["Overview"])
            ctx.key_press(imgui.Key.f1)
            ctx.yield_(3)
            ctx.item_click("//Keys/Close")
            ctx.key_press(_CTRL | imgui.Key.w)
            wait_until(ctx, lambda: space.source is None)

        drive(made, use)


def test_traces_are_opened_by_path_and_by_dropping_them(
    trace: Path, other: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "has_system_dialogs", lambda: False)
    with application() as made:
        space = made.space

        def ask(ctx: Any, path: Path) -> None:
            ctx.key_press(_CTRL | imgui.Key.o)
            ctx.yield_(3)
            ctx.key_chars_replace_enter(str(path))
            ctx.yield_(3)

        def use(ctx: Any) -> None:
            ctx.yield_(5)
            assert space.source is None
            ask(ctx, tmp_path / "nothing.ggmlviz")
            assert space.notice is not None
            assert space.notice.is_error
            assert "nothing.ggmlviz" in space.notice.text
            ask(ctx, trace)
            wait_until(ctx, lambda: space.is_ready)
            assert space.described["name"] == trace.name
            paths = (ctypes.c_char_p * 1)(str(other).encode())
            made._dropping._call(None, 1, ctypes.cast(paths, ctypes.POINTER(ctypes.c_char_p)))
            wait_until(ctx, lambda: space.is_ready and space.described["name"] == other.name)
            assert space.preferences.recent == [str(other), str(trace)]
            ctx.key_press(_CTRL | imgui.Key.tab)
            wait_until(ctx, lambda: space.described.get("name") == trace.name)

        drive(made, use)


def test_what_was_arranged_is_remembered(trace: Path, tmp_path: Path) -> None:
    with application([trace], theme="light", folder=tmp_path) as made:

        def arrange(ctx: Any) -> None:
            wait_until(ctx, lambda: made.space.is_ready)
            made.space.toggle_bookmark(1.0, 0.1)
            made.window.params.docking_params.dockable_window_of_name("Threads").is_visible = False
            ctx.yield_(5)

        drive(made, arrange)
    with application([trace], theme="light", folder=tmp_path) as again:

        def look(ctx: Any) -> None:
            wait_until(ctx, lambda: again.space.is_ready)
            assert not again.window.is_shown("Threads")
            assert again.window.is_shown("Memory")
            assert again.space.bookmarks == [1.0]
            assert again.space.preferences.recent == [str(trace)]
            ctx.menu_click("//##MainMenuBar/View/Panels as at first")
            wait_until(ctx, lambda: again.window.is_shown("Threads"))

        drive(again, look)


def test_a_fault_in_one_panel_leaves_the_others(
    trace: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with application([trace]) as made:

        def fail() -> None:
            imgui.begin_table("unfinished", 2)
            raise RuntimeError("a fault for this test")

        def use(ctx: Any) -> None:
            wait_until(ctx, lambda: made.space.is_ready)
            monkeypatch.setattr(made.panels["Overview"], "draw", fail)
            ctx.yield_(10)
            made.space.to_front.append("Ops")
            wait_until(ctx, lambda: made.panels["Ops"].rows())

        drive(made, use)
    assert [record.message for record in caplog.records] == ["a part of the window failed"]
