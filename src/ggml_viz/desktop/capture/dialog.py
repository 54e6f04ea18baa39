"""What the dialogs of capturing have in common."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from imgui_bundle import imgui

from ggml_viz.desktop.theme import vec4
from ggml_viz.desktop.workspace import Workspace
from ggml_viz.errors import UserError


@contextmanager
def modal(title: str, opens: bool, width_em: float) -> Iterator[bool]:
    """A dialog that stands before all else; gives whether it is open.

    Args:
        title: Its title.
        opens: It opens now.
        width_em: How wide it is, where there is room.
    """
    if opens:
        imgui.open_popup(title)
    viewport, em = imgui.get_main_viewport(), imgui.get_font_size()
    width = min(width_em * em, viewport.work_size.x - 2 * em)
    imgui.set_next_window_pos(viewport.get_center(), imgui.Cond_.appearing, (0.5, 0.5))
    imgui.set_next_window_size((width, 0))
    is_open = imgui.begin_popup_modal(title, None, imgui.WindowFlags_.no_saved_settings)[0]
    try:
        yield is_open
    finally:
        if is_open:
            imgui.end_popup()


def said(space: Workspace, error: UserError | None) -> None:
    """Says in a dialog why something could not be done."""
    if error is None:
        return
    imgui.push_style_color(imgui.Col_.text, vec4(space.theme.finding))
    imgui.text_wrapped(error.message)
    imgui.pop_style_color()
    if error.hint:
        imgui.text_wrapped(error.hint)


def label(text: str) -> None:
    """What a field is for, above it."""
    imgui.spacing()
    imgui.text_disabled(text)
    imgui.set_next_item_width(-1)
