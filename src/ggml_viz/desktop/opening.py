"""Opening traces: by the system's dialog, by a path where it has none, or by dropping files onto the window."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from imgui_bundle import hello_imgui, imgui, portable_file_dialogs

from ggml_viz import system
from ggml_viz.desktop.dialog import modal
from ggml_viz.desktop.windowing import glfw
from ggml_viz.desktop.workspace import Workspace

TITLE = "Open a trace"
_DROP = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int, ctypes.POINTER(ctypes.c_char_p))


class Opening:
    """What opens traces.

    Args:
        space: Where they are shown.
    """

    def __init__(self, space: Workspace) -> None:
        self._space = space
        self._dialog: Any = None
        self._path = ""
        self._wanted = False

    def ask(self) -> None:
        """Asks which trace to open."""
        if has_system_dialogs():
            filters = ["Traces", "*.ggmlviz", "All files", "*"]
            self._dialog = portable_file_dialogs.open_file(
                TITLE, os.getcwd(), filters, portable_file_dialogs.opt.multiselect
            )
        else:
            self._wanted = True

    def open(self, paths: Sequence[Path]) -> None:
        """Opens traces and shows the first."""
        for path in reversed(paths):
            self._space.open(path)

    def draw(self) -> None:
        """Looks whether the system's dialog has an answer, or draws ours."""
        if self._dialog is not None:
            if self._dialog.ready(0):
                chosen, self._dialog = self._dialog.result(), None
                self.open([Path(path) for path in chosen])
            else:
                hello_imgui.request_refresh()
        opens, self._wanted = self._wanted, False
        with modal(TITLE, opens) as is_open:
            if is_open:
                self._draw_path()

    def _draw_path(self) -> None:
        imgui.text_disabled("This system has no dialog for files: type the path, or drop the file onto the window.")
        if imgui.is_window_appearing():
            imgui.set_keyboard_focus_here()
        imgui.set_next_item_width(36 * imgui.get_font_size())
        flags = imgui.InputTextFlags_.enter_returns_true | imgui.InputTextFlags_.auto_select_all
        entered, self._path = imgui.input_text("##path", self._path, flags)
        if imgui.button("Open") or entered:
            imgui.close_current_popup()
            self.open([Path(self._path).expanduser()])
        imgui.same_line()
        if imgui.button("Cancel") or imgui.is_key_pressed(imgui.Key.escape):
            imgui.close_current_popup()


def has_system_dialogs() -> bool:
    """Whether the system has a dialog for files; on Linux it is a program."""
    return system.has_file_dialogs()


class Dropping:
    """Files that are dropped onto the window.

    Args:
        dropped: Called in the window's thread with what was dropped.
    """

    def __init__(self, dropped: Callable[[Sequence[Path]], None]) -> None:
        self._dropped = dropped
        self._call = _DROP(self._take)

    def listen(self) -> None:
        """Has the window tell; to be called once when there is one."""
        address = hello_imgui.get_glfw_window_address()  # type: ignore[attr-defined]
        if address:
            set_callback = glfw().glfwSetDropCallback
            set_callback.argtypes, set_callback.restype = (ctypes.c_void_p, _DROP), ctypes.c_void_p
            set_callback(address, self._call)

    def _take(self, window: int, count: int, paths: Any) -> None:
        self._dropped([Path(os.fsdecode(paths[index])) for index in range(count)])
        hello_imgui.request_refresh()
