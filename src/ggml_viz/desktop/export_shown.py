"""Exports what a panel shows: its pixels, the picture that `export` draws of the same, or its rows."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import BinaryIO

from imgui_bundle import hello_imgui, imgui

from ggml_viz.desktop.actions import Action
from ggml_viz.desktop.panel import Panel, Rows
from ggml_viz.desktop.pixels import read_pixels, write_png
from ggml_viz.desktop.saving import Saving
from ggml_viz.desktop.workspace import Workspace
from ggml_viz.errors import UserError
from ggml_viz.export.output import whole_file

_Write = Callable[[BinaryIO], None]

# Until a menu has closed, and the panel is before others, it takes a frame or two.
_FRAMES = 3


class Exports:
    """What exports.

    Args:
        space: What is shown.
        panels: All panels.

    Attributes:
        focused: The panel that had the focus last, which is exported; None: none yet.
    """

    def __init__(self, space: Workspace, panels: Sequence[Panel]) -> None:
        self._space = space
        self._panels = panels
        self.focused: Panel | None = None
        self._saving = Saving()
        self._pictured: Panel | None = None
        self._frames = 0

    def actions(self) -> list[Action]:
        """What can be exported now."""
        panel, is_ready = self._panel, self._space.is_ready
        title = panel.title if panel is not None else ""
        is_drawn = panel is not None and panel.picture is not None
        return [
            Action("File", "Export picture (PNG) …", self._png, None, is_ready, begins_group=True, hint=title),
            Action("File", "Export picture (SVG) …", self._svg, None, is_ready and is_drawn, hint=title),
            Action("File", "Export table (CSV) …", self._csv, None, is_ready, hint=title),
        ]

    def draw(self) -> None:
        """Draws the dialog, if there is one; each frame, above all panels."""
        if self._pictured is not None:
            # What is exported is the panel, not the menu above it.
            covered = imgui.is_popup_open("", imgui.PopupFlags_.any_popup_id | imgui.PopupFlags_.any_popup_level)
            if not covered:
                self._frames -= 1
            hello_imgui.request_refresh()
        self._saving.draw()

    def after_draw(self) -> None:
        """Takes the pixels, if a picture was asked for; when a frame was drawn and is not shown yet."""
        if self._pictured is None or self._frames > 0:
            return
        panel, self._pictured = self._pictured, None
        try:
            _check_in_window(panel)
            pixels = read_pixels(panel.box)
        except UserError as error:
            self._space.say_error(error)
            return
        self._ask(panel, "PNG", lambda out: write_png(out, pixels))

    @property
    def _panel(self) -> Panel | None:
        return self.focused or next(iter(self._panels), None)

    def _png(self) -> None:
        self._pictured, self._frames = self._panel, _FRAMES
        if self._pictured is not None:
            self._space.to_front.append(self._pictured.title)

    def _svg(self) -> None:
        space, panel = self._space, self._panel
        if panel is None or panel.picture is None or space.source is None:
            return
        from_s, until_s = space.selected or (None, None)
        source, picture, graph, layer = space.source, panel.picture, space.graph, space.layer
        self._ask(panel, "SVG", lambda out: source.picture("svg", picture, out, from_s, until_s, graph, layer))

    def _csv(self) -> None:
        panel = self._panel
        rows = panel.rows() if panel is not None else None
        if panel is None or rows is None:
            title = panel.title if panel is not None else "It"
            self._space.say_error(UserError(f"{title} shows nothing now that could be a table"))
            return
        self._ask(panel, "CSV", lambda out: write_csv(out, rows))

    def _ask(self, panel: Panel, form: str, write: _Write) -> None:
        source = self._space.source
        name = file_name(source.id if source is not None else "", panel.title, form.lower())
        self._saving.ask(form, name, lambda path: self._space.do(partial(self._write, path, write)))

    def _write(self, path: Path, write: _Write) -> None:
        with whole_file(path) as out:
            write(out)
        self._space.say(f"Written: {path}")


def write_csv(out: BinaryIO, rows: Rows) -> None:
    """Writes a table with a header; what is missing is empty."""
    text = io.TextIOWrapper(out, "utf-8", newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(rows.columns)
    writer.writerows(rows.rows)
    text.detach()


def file_name(source: str, panel: str, suffix: str) -> str:
    """How a file is called unless somebody calls it otherwise: `run-time-by-op.png`."""
    words = (re.sub(r"[^A-Za-z0-9._-]+", "-", word).strip("-.") for word in (source, panel.lower()))
    return f"{'-'.join(word for word in words if word)}.{suffix}"


def _check_in_window(panel: Panel) -> None:
    """Refuses what was dragged out into a window of its own."""
    window = imgui.internal.find_window_by_name(panel.title)
    # The main window's viewport is always the first.
    if window is None or window.viewport is None or window.viewport.idx != 0:
        raise UserError(f"{panel.title} is not in the main window", "Dock it there first, or export SVG or CSV.")
