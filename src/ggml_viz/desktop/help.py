"""All keys, and what this is."""

from __future__ import annotations

from collections.abc import Sequence

from imgui_bundle import imgui

from ggml_viz import __version__
from ggml_viz.desktop.actions import Action
from ggml_viz.desktop.dialog import modal

TITLE = "Keys"
# Those of panels, which hold where the pointer is.
PANEL_KEYS = (
    ("Timeline", "w s", "zoom in and out (also: wheel)"),
    ("Timeline", "a d", "pan (also: Shift or the middle button and drag)"),
    ("Timeline", "drag", "select a range and see its statistics"),
    ("Timeline", "f", "frame the selection"),
    ("Timeline", "m", "set or take away a bookmark"),
    ("Timeline", "n p", "next and previous execution of the chosen node"),
    ("Timeline", "l", "its next longest execution"),
    ("Timeline", "/", "search"),
    ("Timeline", "Home End", "go to the beginning, to the end"),
    ("Timeline", "Esc", "out one level"),
    ("Graph", "wheel, drag", "zoom and pan"),
    ("Graph", "Up Down", "the layer above or below"),
    ("Memory", "wheel, drag", "zoom and pan the arena; with Shift, its offsets"),
)


class Help:
    """The page of all keys."""

    def __init__(self) -> None:
        self._wanted = False

    def open(self) -> None:
        """Opens it in the next frame."""
        self._wanted = True

    def draw(self, actions: Sequence[Action]) -> None:
        """Draws it, if it is open."""
        opens, self._wanted = self._wanted, False
        with modal(TITLE, opens) as is_open:
            if is_open:
                self._draw_keys(actions)

    def _draw_keys(self, actions: Sequence[Action]) -> None:
        imgui.text_disabled(f"ggml-viz {__version__}: where a ggml runtime's time and memory go")
        rows = [(action.menu.partition("/")[0], action.keys_text, action.name) for action in actions if action.keys]
        if imgui.begin_table("keys", 3, imgui.TableFlags_.row_bg | imgui.TableFlags_.sizing_fixed_fit):
            before = ""
            for place, keys, what in (*rows, *PANEL_KEYS):
                imgui.table_next_row()
                for text, faint in ((place if place != before else "", True), (keys, False), (what, False)):
                    imgui.table_next_column()
                    (imgui.text_disabled if faint else imgui.text_unformatted)(text)
                before = place
            imgui.end_table()
        if imgui.button("Close") or imgui.is_key_pressed(imgui.Key.escape):
            imgui.close_current_popup()
