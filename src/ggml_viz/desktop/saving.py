"""Asking where something is to be saved: by the system's dialog, or by a path where it has none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from imgui_bundle import hello_imgui, imgui, portable_file_dialogs

from ggml_viz.desktop.dialog import modal
from ggml_viz.desktop.opening import has_system_dialogs

TITLE = "Save"


class Saving:
    """What asks.

    Attributes:
        folder: Where things were saved last.
    """

    def __init__(self) -> None:
        self.folder = Path.cwd()
        self._save: Callable[[Path], None] = lambda path: None
        self._suffix = ""
        self._dialog: Any = None
        self._path = ""
        self._wanted = self._is_there = False

    def ask(self, what: str, name: str, save: Callable[[Path], None]) -> None:
        """Asks where to.

        Args:
            what: What is saved, as `PNG`.
            name: The name that the file has unless another is chosen.
            save: Called with the path that was chosen.
        """
        if self._dialog is not None:
            self._dialog.kill()
        self._save, self._suffix, self._dialog = save, Path(name).suffix, None
        self._path, self._is_there = str(self.folder / name), False
        if has_system_dialogs():
            filters = [what, f"*{self._suffix}", "All files", "*"]
            self._dialog = portable_file_dialogs.save_file(f"{TITLE} {what}", self._path, filters)
        else:
            self._wanted = True

    def draw(self) -> None:
        """Looks whether the system's dialog has an answer, or draws ours."""
        if self._dialog is not None:
            if self._dialog.ready(0):
                chosen, self._dialog = self._dialog.result(), None
                if chosen:
                    # It has asked before it overwrites that, but not what we make of a name without an ending.
                    self._choose(chosen, asked=bool(Path(chosen).suffix))
            else:
                hello_imgui.request_refresh()
        opens, self._wanted = self._wanted, False
        with modal(TITLE, opens) as is_open:
            if is_open and self._is_there:
                self._draw_question()
            elif is_open:
                self._draw_path()

    def _draw_path(self) -> None:
        if imgui.is_window_appearing():
            imgui.set_keyboard_focus_here()
        imgui.set_next_item_width(36 * imgui.get_font_size())
        flags = imgui.InputTextFlags_.enter_returns_true | imgui.InputTextFlags_.auto_select_all
        entered, self._path = imgui.input_text("##path", self._path, flags)
        imgui.begin_disabled(not self._path.strip())
        pressed = imgui.button("Save")
        imgui.end_disabled()
        imgui.same_line()
        is_done = imgui.button("Cancel") or imgui.is_key_pressed(imgui.Key.escape)
        if not is_done and (pressed or entered) and self._path.strip():
            is_done = self._choose(self._path.strip())
        if is_done:
            imgui.close_current_popup()

    def _draw_question(self) -> None:
        imgui.push_text_wrap_pos(36 * imgui.get_font_size())
        imgui.text_wrapped(f"{self._path} is there already.")
        imgui.pop_text_wrap_pos()
        if imgui.button("Overwrite"):
            self._choose(self._path, asked=True)
            imgui.close_current_popup()
        imgui.same_line()
        if imgui.button("Another name") or imgui.is_key_pressed(imgui.Key.escape):
            self._is_there = False

    def _choose(self, chosen: str, asked: bool = False) -> bool:
        """Saves it, or asks before it overwrites something. Returns whether it saved."""
        path = ended(chosen, self._suffix)
        self._path = str(path)
        if not asked and path.is_file():
            self._wanted = not imgui.is_popup_open(TITLE)
            self._is_there = True
            return False
        self._is_there = False
        self.folder = path.parent
        self._save(path)
        return True


def ended(chosen: str, suffix: str) -> Path:
    """The path that somebody means; one without an ending gets one."""
    path = Path(chosen).expanduser()
    return path.with_name(path.name + suffix) if path.name and not path.suffix else path
