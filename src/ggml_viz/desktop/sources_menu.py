"""At the end of the menu bar: which trace or process is shown, and which others there are."""

from __future__ import annotations

from typing import Any

from imgui_bundle import imgui

from ggml_viz.desktop.theme import packed
from ggml_viz.desktop.workspace import Workspace

_WIDEST = 28
_STATES = {
    "running": "live",
    "paused": "paused",
    "ended": "ended",
    "loading": "being read",
    "failed": "cannot be read",
}


class SourcesMenu:
    """A list of sources to choose from.

    Args:
        space: Whose sources.
    """

    def __init__(self, space: Workspace) -> None:
        self._space = space

    def draw(self) -> None:
        """Draws it at the right of the menu bar."""
        space = self._space
        if space.source is None:
            return
        width = min(_WIDEST * imgui.get_font_size(), imgui.get_content_region_avail().x)
        imgui.set_cursor_pos_x(imgui.get_cursor_pos_x() + imgui.get_content_region_avail().x - width)
        imgui.set_next_item_width(width)
        if imgui.begin_combo("##source", words_of(space.described), imgui.ComboFlags_.height_large):
            for source in space.sources:
                if self._row(source.describe(), source is space.source):
                    space.show(source)
            imgui.end_combo()

    def _row(self, described: dict[str, Any], is_shown: bool) -> bool:
        at, height = imgui.get_cursor_screen_pos(), imgui.get_text_line_height()
        chosen = bool(imgui.selectable(f"    {words_of(described)}##{described['id']}", is_shown)[0])
        if described["state"] == "running":
            radius = height * 0.28
            colour = packed(self._space.theme.kinds[2])
            imgui.get_window_draw_list().add_circle_filled((at.x + radius, at.y + height / 2), radius, colour)
        return chosen


def words_of(described: dict[str, Any]) -> str:
    """A source in a line: its name, of a process what it runs, and how it stands."""
    if not described:
        return ""
    state = _STATES.get(described["state"], "")
    parts = [described["name"], described["command"] if described["kind"] == "live" else ""]
    return " · ".join(part for part in (*parts, state) if part)
