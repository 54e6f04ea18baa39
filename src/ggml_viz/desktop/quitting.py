"""Asks before the window closes while a program runs that was started from it."""

from __future__ import annotations

from collections.abc import Callable

from imgui_bundle import imgui

from ggml_viz.desktop.capturing import Capturing
from ggml_viz.desktop.dialog import modal

TITLE = "A program runs"
_WIDTH_EM = 34


class Quitting:
    """Closes the window, after a question where there is one.

    Args:
        capturing: Knows which programs were started.
        close: Closes the window.
    """

    def __init__(self, capturing: Capturing, close: Callable[[], None]) -> None:
        self._capturing = capturing
        self._close = close
        self._wanted = False

    def ask(self) -> None:
        """Closes it, or asks first."""
        if self.may_close():
            self._close()

    def may_close(self) -> bool:
        """Whether it may be closed at once; if not, it is asked."""
        self._wanted = self._capturing.is_busy
        return not self._wanted

    def draw(self) -> None:
        """Draws the question, if it is asked."""
        opens, self._wanted = self._wanted, False
        with modal(TITLE, opens, _WIDTH_EM) as is_open:
            if is_open:
                self._ask()

    def _ask(self) -> None:
        imgui.text_wrapped(self._capturing.busy_text if self._capturing.is_busy else "It has ended.")
        if imgui.button("Quit"):
            self._close()
        imgui.same_line()
        if imgui.button("End it and quit"):
            self._capturing.end_programs()
            self._close()
        imgui.same_line()
        if imgui.button("Stay") or imgui.is_key_pressed(imgui.Key.escape):
            imgui.close_current_popup()
