"""The command palette: everything that can be done, found by typing a part of its name."""

from __future__ import annotations

from collections.abc import Sequence

from imgui_bundle import imgui

from ggml_viz.desktop.actions import Action

TITLE = "Commands"
_SHOWN = 14


class CommandPalette:
    """The palette; it is drawn above all else while it is open."""

    def __init__(self) -> None:
        self._text = ""
        self._row = 0
        self._wanted = False

    def open(self) -> None:
        """Opens it in the next frame."""
        self._wanted = True

    def draw(self, actions: Sequence[Action]) -> None:
        """Draws it, if it is open, and does what is chosen."""
        if self._wanted:
            self._wanted, self._text, self._row = False, "", 0
            imgui.open_popup(TITLE)
        em = imgui.get_font_size()
        viewport = imgui.get_main_viewport()
        imgui.set_next_window_pos((viewport.pos.x + viewport.size.x / 2, viewport.pos.y + 4 * em), pivot=(0.5, 0))
        imgui.set_next_window_size((min(40 * em, viewport.size.x), 0))
        if not imgui.begin_popup(TITLE):
            return
        if imgui.is_window_appearing():
            imgui.set_keyboard_focus_here()
        imgui.set_next_item_width(-1)
        changed, self._text = imgui.input_text_with_hint("##command", "What is to be done?", self._text)
        if changed:
            self._row = 0
        found = matching(actions, self._text)[:_SHOWN]
        chosen = self._choose(found)
        imgui.end_popup()
        if chosen is not None:
            chosen.run()

    def _choose(self, found: Sequence[Action]) -> Action | None:
        step = imgui.is_key_pressed(imgui.Key.down_arrow) - imgui.is_key_pressed(imgui.Key.up_arrow)
        self._row = min(max(self._row + step, 0), max(len(found) - 1, 0))
        if not found:
            imgui.text_disabled("Nothing is called so.")
        for row, action in enumerate(found):
            menu = action.menu.replace("/", " › ")
            pressed = imgui.selectable(f"{action.name}##{row}", row == self._row)[0]
            beside = "   ".join(part for part in (action.hint or menu, action.keys_text) if part)
            imgui.same_line(imgui.get_content_region_avail().x - imgui.calc_text_size(beside).x)
            imgui.text_disabled(beside)
            if pressed:
                return action
        if found and (imgui.is_key_pressed(imgui.Key.enter) or imgui.is_key_pressed(imgui.Key.keypad_enter)):
            imgui.close_current_popup()
            return found[self._row]
        return None


def matching(actions: Sequence[Action], text: str) -> list[Action]:
    """What can be done now and has all words in its name or menu; whose name begins with the text, first."""
    words = text.lower().split()
    found = [
        action
        for action in actions
        if action.is_possible and all(word in f"{action.name} {action.menu} {action.hint}".lower() for word in words)
    ]
    start = text.lower().strip()
    return sorted(found, key=lambda action: not action.name.lower().startswith(start)) if start else found
