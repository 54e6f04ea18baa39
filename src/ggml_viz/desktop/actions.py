"""Everything that can be done by menu, key or name: one list, from which menus, shortcuts and the palette are made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from imgui_bundle import imgui

_WHILE_TYPING = int(imgui.Key.mod_ctrl) | int(imgui.Key.mod_alt)
_MODS = int(imgui.Key.mod_mask_)
_FIRST_FUNCTION_KEY, _LAST_FUNCTION_KEY = int(imgui.Key.f1), int(imgui.Key.f12)
MENUS = ("File", "View", "Go", "Capture", "Help")


@dataclass(frozen=True)
class Action:
    """Something that can be done.

    Attributes:
        menu: In which menu it stands; `File/Recent` is a menu in a menu.
        name: What it is called there and in the palette.
        run: Does it.
        keys: Its shortcut, an ImGuiKeyChord; None: it has none.
        is_possible: Whether it can be done now.
        is_on: Of what is on or off, which; None: it is neither.
        begins_group: Whether a line stands above it.
        hint: More about it, for the palette.
    """

    menu: str
    name: str
    run: Callable[[], None]
    keys: int | None = None
    is_possible: bool = True
    is_on: bool | None = None
    begins_group: bool = False
    hint: str = ""

    @property
    def keys_text(self) -> str:
        """Its shortcut in words."""
        return key_chord_text(self.keys) if self.keys is not None else ""


def draw_menus(actions: Sequence[Action]) -> None:
    """Draws the menu bar's menus."""
    for menu in MENUS:
        if imgui.begin_menu(menu):
            _draw_menu(menu, actions)
            imgui.end_menu()


def _draw_menu(menu: str, actions: Sequence[Action]) -> None:
    opened = {menu}
    for action in actions:
        if action.menu == menu:
            if action.begins_group:
                imgui.separator()
            if imgui.menu_item(action.name, action.keys_text, bool(action.is_on), action.is_possible)[0]:
                action.run()
        elif action.menu.startswith(f"{menu}/") and action.menu not in opened:
            opened.add(action.menu)
            if imgui.begin_menu(action.menu.rpartition("/")[2]):
                _draw_menu(action.menu, actions)
                imgui.end_menu()


def run_shortcuts(actions: Sequence[Action]) -> None:
    """Does what keys that were pressed ask for; while somebody types, only what has Ctrl or Alt, or is F1 to F12."""
    typing = imgui.get_io().want_text_input
    for action in actions:
        if action.keys is None or not action.is_possible:
            continue
        if typing and not (action.keys & _WHILE_TYPING or _is_function_key(action.keys)):
            continue
        if imgui.is_key_chord_pressed(action.keys):
            action.run()


def key_chord_text(keys: int) -> str:
    """A shortcut as people write it: `Ctrl+Shift+P`."""
    mods = ((imgui.Key.mod_ctrl, "Ctrl"), (imgui.Key.mod_shift, "Shift"), (imgui.Key.mod_alt, "Alt"))
    names = [name for mod, name in mods if keys & mod]
    name = imgui.get_key_name(imgui.Key(keys & ~_MODS))
    symbols = {"Comma": ",", "Equal": "+", "Minus": "-", "Slash": "/", "LeftArrow": "Left", "RightArrow": "Right"}
    return "+".join([*names, symbols.get(name, name)])


def _is_function_key(keys: int) -> bool:
    return _FIRST_FUNCTION_KEY <= keys & ~_MODS <= _LAST_FUNCTION_KEY
