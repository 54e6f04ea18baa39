"""What dialogs have in common."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from imgui_bundle import imgui


@contextmanager
def modal(title: str, opens: bool, width_em: float | None = None) -> Iterator[bool]:
    """A dialog that stands before all else; gives whether it is open.

    Args:
        title: Its title.
        opens: It opens now.
        width_em: How wide it is, where there is room; None: as wide as what is in it.
    """
    if opens:
        imgui.open_popup(title)
    viewport, em = imgui.get_main_viewport(), imgui.get_font_size()
    imgui.set_next_window_pos(viewport.get_center(), imgui.Cond_.appearing, (0.5, 0.5))
    flags = int(imgui.WindowFlags_.no_saved_settings)
    if width_em is None:
        flags |= imgui.WindowFlags_.always_auto_resize
    else:
        imgui.set_next_window_size((min(width_em * em, viewport.work_size.x - 2 * em), 0))
    is_open = imgui.begin_popup_modal(title, None, flags)[0]
    try:
        yield is_open
    finally:
        if is_open:
            imgui.end_popup()


def label(text: str) -> None:
    """What a field is for, above it."""
    imgui.spacing()
    imgui.text_disabled(text)
    imgui.set_next_item_width(-1)
