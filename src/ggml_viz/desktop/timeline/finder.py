"""Searches for nodes by name, op, role or layer: a field, and beneath it what was found."""

from __future__ import annotations

from typing import Any

from imgui_bundle import imgui

from ggml_viz.desktop.timeline.cards import took
from ggml_viz.desktop.workspace import Workspace
from ggml_viz.numbers import count, plural

_MOST = 50
_LINES = 12
_WIDTH = 38
_FIELD = 15


class Finder:
    """The field and its list.

    Args:
        space: What all panels share.

    Attributes:
        is_open: Whether the list can be seen.
        is_hovered: Whether the pointer is on the list.
    """

    def __init__(self, space: Workspace) -> None:
        self._space = space
        self._matches = space.question()
        self._wants_focus = False
        self._at = 0
        self._below = (0.0, 0.0)
        self._is_active = False
        self.is_open = False
        self.is_hovered = False

    def focus(self) -> None:
        """The next letters are typed into the field."""
        self._wants_focus = True

    def close(self) -> None:
        """Hides the list."""
        self.is_open = False

    def field(self) -> dict[str, Any] | None:
        """Draws the field; returns the match that Enter chose."""
        space = self._space
        imgui.set_next_item_width(imgui.get_font_size() * _FIELD)
        if self._wants_focus:
            self._wants_focus = False
            imgui.set_keyboard_focus_here()
            self.is_open = True
        at = imgui.get_cursor_screen_pos()
        flags = imgui.InputTextFlags_.enter_returns_true | imgui.InputTextFlags_.escape_clears_all
        entered, text = imgui.input_text_with_hint(
            "##search", "Search: name, op, role, layer", space.filter_text, flags
        )
        self._below = at.x, imgui.get_item_rect_max().y + 2
        self._is_active = imgui.is_item_active()
        if imgui.is_item_activated():
            self.is_open = True
        if text != space.filter_text:
            space.filter_text, self._at, self.is_open = text, 0, True
        if imgui.is_item_deactivated() and imgui.is_key_pressed(imgui.Key.escape, False):
            space.filter_text = ""
            self.close()
        matches = self._search()
        if self._is_active and matches:
            step = imgui.is_key_pressed(imgui.Key.down_arrow) - imgui.is_key_pressed(imgui.Key.up_arrow)
            self._at = (self._at + step) % len(matches)
        if entered and matches:
            self.close()
            chosen: dict[str, Any] = matches[min(self._at, len(matches) - 1)]
            return chosen
        return None

    def found(self, lowest: float) -> dict[str, Any] | None:
        """Draws what was found over what is there already; returns the match that was clicked."""
        self.is_hovered = False
        if not self.is_open or not self._space.filter_text.strip():
            return None
        em = imgui.get_font_size()
        line = imgui.get_text_line_height_with_spacing()
        matches, answer = self._search(), self._matches.answer
        total = answer["total"] if answer is not None else 0
        height = min((min(len(matches), _LINES) + 1.6) * line, max(lowest - self._below[1], 3 * line))
        imgui.set_cursor_screen_pos(self._below)
        imgui.push_style_color(imgui.Col_.child_bg, imgui.get_style_color_vec4(imgui.Col_.popup_bg))
        chosen = None
        if imgui.begin_child("##matches", (em * _WIDTH, height), imgui.ChildFlags_.borders):
            if answer is None:
                imgui.text_disabled("…")
            else:
                said = plural(total, "node") if total else "Nothing has such a name, op, role or layer."
                more = f"; the first {len(matches)} are shown" if total > len(matches) else ""
                imgui.text_disabled(said + more)
                chosen = self._lines(matches)
        self.is_hovered = imgui.is_window_hovered()
        if imgui.is_mouse_clicked(0) and not self.is_hovered and not self._is_active:
            self.close()
        imgui.end_child()
        imgui.pop_style_color()
        if chosen is not None:
            self.close()
        return chosen

    def _lines(self, matches: list[dict[str, Any]]) -> dict[str, Any] | None:
        chosen = None
        right = imgui.get_cursor_pos_x() + imgui.get_content_region_avail().x
        clipper = imgui.ListClipper()
        clipper.begin(len(matches))
        while clipper.step():
            for i in range(clipper.display_start, clipper.display_end):
                match = matches[i]
                if imgui.selectable(f"{match['name'] or match['op']}##match{i}", i == self._at)[0]:
                    chosen = match
                layer = f"layer {match['layer']}" if match["layer"] is not None else ""
                parts = (match["op"], match["role"], layer, match["phase"])
                imgui.same_line()
                imgui.text_disabled(" · ".join(part for part in parts if part))
                numbers = f"{count(match['count'])} × · {took(match['seconds'])}"
                imgui.same_line(right - imgui.calc_text_size(numbers).x)
                imgui.text_disabled(numbers)
        return chosen

    def _search(self) -> list[dict[str, Any]]:
        source, text = self._space.source, self._space.filter_text.strip()
        if source is None or not text:
            return []
        answer = self._matches.ask((text, self._space.moment(2.0)), lambda: source.search(text, _MOST))
        matches: list[dict[str, Any]] = answer["matches"] if answer is not None else []
        return matches
