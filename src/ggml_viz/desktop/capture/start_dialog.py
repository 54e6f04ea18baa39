"""The dialog that starts a program."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable

from imgui_bundle import imgui

from ggml_viz.desktop.capture.program import Plan, plan_of
from ggml_viz.desktop.dialog import label, modal
from ggml_viz.desktop.draw import said
from ggml_viz.desktop.workspace import Workspace
from ggml_viz.errors import UserError

TITLE = "Start a program"
_EXAMPLE = "llama-cli -m model.gguf -p Hello"
_VARIABLES_EM = 4.5


class StartDialog:
    """Asks what to run.

    Args:
        space: What panels share.
        start: Runs it; raises UserError if that fails.
    """

    def __init__(self, space: Workspace, start: Callable[[Plan], None]) -> None:
        self._space = space
        self._start = start
        self._wanted = False
        self._command = self._folder = self._variables = self._path = ""
        self._error: UserError | None = None

    def open(self) -> None:
        """Opens it in the next frame."""
        self._wanted, self._error = True, None

    def draw(self) -> None:
        """Draws it, if it is open."""
        opens, self._wanted = self._wanted, False
        with modal(TITLE, opens, 44) as is_open:
            if is_open:
                self._draw()

    def _draw(self) -> None:
        em = imgui.get_font_size()
        label("Command line, as in a shell")
        if imgui.is_window_appearing():
            imgui.set_keyboard_focus_here()
        enter = imgui.InputTextFlags_.enter_returns_true
        entered, self._command = imgui.input_text_with_hint("##command", _EXAMPLE, self._command, enter)
        label("Working folder")
        self._folder = imgui.input_text_with_hint("##folder", os.getcwd(), self._folder)[1]
        label("Environment: NAME=value, one a line")
        room = (-1, _VARIABLES_EM * em)
        self._variables = imgui.input_text_multiline("##environment", self._variables, room)[1]
        label("Recorded to")
        self._path = imgui.input_text_with_hint("##path", self._usual_path(), self._path)[1]
        said(self._space, self._error)
        imgui.spacing()
        imgui.begin_disabled(not self._command.strip())
        if imgui.button("Start") or (entered and self._command.strip()):
            self._try()
        imgui.end_disabled()
        imgui.same_line()
        if imgui.button("Cancel") or imgui.is_key_pressed(imgui.Key.escape):
            imgui.close_current_popup()
        imgui.same_line()
        imgui.text_disabled("It runs as ever, and finds nothing to read on its standard input.")

    def _usual_path(self) -> str:
        try:
            words = shlex.split(self._command)
        except ValueError:
            words = []
        program = words[0].rpartition("/")[2] if words else "PROGRAM"
        return f"{program}-DATE-TIME.ggmlviz in the working folder"

    def _try(self) -> None:
        try:
            self._start(plan_of(self._command, self._folder, self._variables, self._path))
        except UserError as error:
            self._error = error
        else:
            self._error = None
            imgui.close_current_popup()
