"""Exports of the desktop in a real window, and what is said where no window can be shown."""

from __future__ import annotations

import csv
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import matplotlib.image
import numpy as np
import pytest
from tests.integration.conftest import GGML_VIZ, Recorded, Sessions
from tests.support.desktop import application, display, drive, picture, wait_until

if TYPE_CHECKING:
    from ggml_viz.desktop.application import Application

MENU = "//##MainMenuBar/File"
# Around a window, the test engine photographs so much of what is there.
AROUND = 16


@pytest.fixture(scope="module")
def screen() -> Iterator[str]:
    with display() as name:
        yield name


@pytest.fixture
def recorded(recordings: Sessions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recorded:
    monkeypatch.chdir(tmp_path)
    # Without one of the programs that show a dialog for files.
    monkeypatch.setattr("ggml_viz.desktop.saving.has_system_dialogs", lambda: False)
    return recordings("xllamacpp")


def ready(ctx: Any, app: Application, title: str) -> Any:
    wait_until(ctx, lambda: app.space.is_ready)
    ctx.yield_(5)
    app.window.bring_to_front(title)
    panel = app.panels[title]
    wait_until(ctx, lambda: (rows := panel.rows()) is not None and rows.rows)
    ctx.yield_(5)
    return panel


def export(ctx: Any, app: Application, item: str) -> Any:
    """Exports to the path that is offered; returns what is said then."""
    app.space.dismiss()
    ctx.menu_click(f"{MENU}/{item} …")
    ctx.yield_(8)
    ctx.item_click("//Save/Save")
    return wait_until(ctx, lambda: app.space.notice)


def test_a_panel_is_exported_as_it_is_seen(screen: str, recorded: Recorded, tmp_path: Path) -> None:
    written: list[Any] = []

    def use(ctx: Any) -> None:
        panel = ready(ctx, app, "Ops")
        # Rows under the cursor would be lit.
        ctx.mouse_move_to_pos((app.panels["Timeline"].box[2] - 20, app.panels["Timeline"].box[3] - 5))
        app.window.bring_to_front("Ops")
        picture(ctx, tmp_path / "seen.png", "Ops")
        next(action for action in app.actions() if action.name == "Export picture (PNG) …").run()
        ctx.yield_(10)
        ctx.item_click("//Save/Save")
        assert wait_until(ctx, lambda: app.space.notice).text.startswith("Written: ")
        assert export(ctx, app, "Export table (CSV)").text.startswith("Written: ")
        written.append(panel.rows())
        app.space.selected = 0.0, app.space.duration_s / 2
        assert export(ctx, app, "Export picture (SVG)").text.startswith("Written: ")

    with application([recorded.trace]) as app:
        # Drawn by the processor, a small window is quicker.
        app.window.params.app_window_params.window_geometry.size = 1000, 640
        drive(app, use)
    name = f"{recorded.trace.stem}-ops"
    seen, got = (
        np.round(matplotlib.image.imread(tmp_path / file) * 255)[..., :3] for file in ("seen.png", f"{name}.png")
    )
    height = min(len(got), len(seen) - AROUND)
    different = (seen[AROUND : AROUND + height, : got.shape[1]] != got[:height]).any(axis=2)
    # But for the cursor, which the test engine draws.
    assert got.shape[0] > 100
    assert different.sum() < 400
    columns, rows = written[0]
    with (tmp_path / f"{name}.csv").open(newline="", encoding="utf-8") as file:
        assert list(csv.reader(file)) == [columns, *([str(v) if v is not None else "" for v in row] for row in rows)]
    root = ElementTree.parse(tmp_path / f"{name}.svg").getroot()
    text = "".join(root.itertext())
    assert root.tag.endswith("svg")
    assert "MUL_MAT" in text
    assert "only runs that began from 0 ms to" in text


def test_overwrites_only_when_told_and_says_what_fails(screen: str, recorded: Recorded, tmp_path: Path) -> None:
    path = tmp_path / f"{recorded.trace.stem}-ops.csv"
    path.write_text("mine")

    def use(ctx: Any) -> None:
        ready(ctx, app, "Ops")
        ctx.menu_click(f"{MENU}/Export table (CSV) …")
        ctx.yield_(5)
        ctx.item_click("//Save/Save")
        ctx.yield_(5)
        assert path.read_text() == "mine"
        ctx.item_click("//Save/Another name")
        ctx.yield_(2)
        ctx.item_click("//Save/Save")
        ctx.yield_(2)
        ctx.item_click("//Save/Overwrite")
        assert not wait_until(ctx, lambda: app.space.notice).is_error
        assert path.read_text().startswith("op,")
        app.space.dismiss()
        ctx.menu_click(f"{MENU}/Export table (CSV) …")
        ctx.yield_(5)
        ctx.item_input_value("//Save/##path", str(tmp_path / "none" / "x.csv"))
        ctx.yield_(2)
        if ctx.item_exists("//Save/Save"):  # typing ends with Enter, which saves
            ctx.item_click("//Save/Save")
        notice = wait_until(ctx, lambda: app.space.notice)
        assert notice.is_error
        assert "x.csv: No such file or directory" in notice.text

    with application([recorded.trace]) as app:
        # Drawn by the processor, a small window is quicker.
        app.window.params.app_window_params.window_geometry.size = 1000, 640
        drive(app, use)


@pytest.mark.parametrize("name", ["timeline", "memory", "roofline", "layer"])
def test_pictures_of_a_range(name: str, recorded: Recorded, tmp_path: Path) -> None:
    from ggml_viz.model.trace import Trace
    from ggml_viz.sources.traces import TraceSource

    source = TraceSource("a", recorded.trace)
    until_s = Trace.open(recorded.trace).duration_s * 0.9
    with (tmp_path / "a.svg").open("wb") as out:
        source.picture("svg", name, out, 0.0, until_s, None, None if name == "layer" else 0)
    text = "".join(ElementTree.parse(tmp_path / "a.svg").getroot().itertext())
    assert "MUL_MAT" in text or name in ("memory", "timeline", "layer")
    if name == "layer":
        assert "Outside the layers of graph" in text


def told(*words: str, **environment: str | None) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name != "WAYLAND_DISPLAY"}
    for variable, value in environment.items():
        kept.pop(variable, None)
        if value is not None:
            kept[variable] = value
    done = subprocess.run([GGML_VIZ, *words], env=kept, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("ggml-viz: ")
    assert len(done.stderr.splitlines()) == 2
    return done


def test_says_what_is_missing_for_a_window(recordings: Sessions, tmp_path: Path) -> None:
    path = str(recordings("xllamacpp").trace)
    none = told("view", path, DISPLAY=None)
    assert "there is no display for a window" in none.stderr
    assert "ggml-viz serve" in none.stderr
    nowhere = told(path, DISPLAY=":7777")
    assert "no window can be shown: X11: Failed to open display :7777" in nowhere.stderr
    assert "ggml-viz top" in nowhere.stderr
    # A library that is no library stands before the system's.
    for library in ("libGLX.so.0", "libGL.so.1"):
        (tmp_path / library).write_text("none")
    with display() as name:
        lacking = told(path, DISPLAY=name, LD_LIBRARY_PATH=str(tmp_path))
        assert "there is no OpenGL for a window" in lacking.stderr
        assert "libgl1" in lacking.stderr
    with display("800x600x24", "-extension", "GLX") as name:
        lacking = told(path, DISPLAY=name)
        assert "there is no OpenGL for a window: GLX: GLX extension not found" in lacking.stderr
    (tmp_path / "libX11.so.6").write_text("none")
    lacking = told(path, DISPLAY=":7777", LD_LIBRARY_PATH=str(tmp_path))
    assert "imgui_bundle cannot be loaded: " in lacking.stderr
    assert "libX11.so.6" in lacking.stderr


def test_a_process_that_is_not_watched_is_told() -> None:
    assert "process 1 is not watched" in told("view", "--live", "1", DISPLAY=":7777").stderr
