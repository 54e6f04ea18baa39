"""Asks before the window closes while a program runs that was started from it."""

from __future__ import annotations

from collections.abc import Callable

from imgui_bundle import imgui

from ggml_viz.desktop.capturing import Capturing

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
        if self._wanted:
            self._wanted = False
            imgui.open_popup(TITLE)
        view = imgui.get_main_viewport()
        imgui.set_next_window_pos(view.get_center(), imgui.Cond_.appearing, (0.5, 0.5))
        imgui.set_next_window_size((min(_WIDTH_EM * imgui.get_font_size(), view.size.x), 0))
        if not imgui.begin_popup_modal(TITLE, None, imgui.WindowFlags_.no_saved_settings)[0]:
            return
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
        imgui.end_popup()
