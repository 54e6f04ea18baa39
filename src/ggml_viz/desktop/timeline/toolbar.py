"""The row above the lanes: what is shown in full strength, which is the legend, and buttons for those without keys."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from imgui_bundle import imgui

from ggml_viz.desktop import draw
from ggml_viz.desktop.theme import packed
from ggml_viz.desktop.timeline.axis import moment
from ggml_viz.desktop.timeline.cards import took
from ggml_viz.desktop.timeline.stage import Stage
from ggml_viz.desktop.timeline.view import View
from ggml_viz.desktop.workspace import Workspace
from ggml_viz.model.kinds import KINDS

_BUTTONS = (
    ("All", "all", "Show all"),
    ("Frame", "frame", "Frame the selection (f)"),
    ("<", "previous", "Previous execution of the same node (p)"),
    (">", "next", "Next execution of the same node (n)"),
    ("Longest", "longest", "Its longest execution, then the next longest (l)"),
)


def toolbar(space: Workspace, stage: Stage, commands: Mapping[str, Callable[[], None]]) -> None:
    """Draws it, behind the search field that stands there already."""
    right = imgui.get_window_pos().x + imgui.get_window_size().x - imgui.get_style().window_padding.x
    for text, name, hint in _BUTTONS:
        _beside(text, right)
        if imgui.button(f"{text}##{name}"):
            commands[name]()
        draw.hint(hint)
    if space.is_live:
        _beside("follow", right, 2.0)
        changed, _ = imgui.checkbox("follow", stage.is_following)
        if changed:
            commands["follow"]()
        draw.hint("The newest stays at the right edge (End)")
    _beside("Bookmarks (10)", right)
    _bookmarks(space, stage)
    for kind, name in enumerate(KINDS):
        _beside(name, right, 1.0)
        _kind(space, kind)
    width = f"{took(stage.view.width)} wide"
    text_width = imgui.calc_text_size(width).x
    imgui.same_line()
    room = imgui.get_content_region_avail().x
    if room >= text_width:
        imgui.set_cursor_pos_x(imgui.get_cursor_pos_x() + room - text_width)
        imgui.align_text_to_frame_padding()
        imgui.text_disabled(width)
        draw.hint(f"{moment(stage.view.begin, stage.view)} to {moment(stage.view.end, stage.view)}")
    else:
        imgui.new_line()


def _beside(text: str, right: float, more: float = 0.0) -> None:
    """What comes next stands beside the last item if there is room for it, else in a new line."""
    style = imgui.get_style()
    width = imgui.calc_text_size(text).x + 2 * style.frame_padding.x + more * imgui.get_font_size()
    if imgui.get_item_rect_max().x + style.item_spacing.x + width <= right:
        imgui.same_line()


def _bookmarks(space: Workspace, stage: Stage) -> None:
    marks = sorted(space.bookmarks)
    if imgui.button(f"Bookmarks{f' ({len(marks)})' if marks else ''}###bookmarks"):
        imgui.open_popup("##marks")
    draw.hint("Places to come back to; m sets one at the pointer, or takes it away")
    if not imgui.begin_popup("##marks"):
        return
    if imgui.menu_item("Set one in the middle", "", False)[0]:
        space.toggle_bookmark((stage.view.begin + stage.view.end) / 2, 0.0)
    if marks:
        imgui.separator()
    for i, mark in enumerate(marks):
        if imgui.menu_item(f"{moment(mark, stage.view)}##mark{i}", "", False)[0]:
            half = stage.view.width / 2
            stage.glide(View(mark - half, mark + half), time.monotonic())
    if marks:
        imgui.separator()
        if imgui.menu_item("Take all away", "", False)[0]:
            for mark in marks:
                space.toggle_bookmark(mark, 0.0)
    imgui.end_popup()


def _kind(space: Workspace, kind: int) -> None:
    """A kind of work: its colour and name; a click dims it, or shows it again."""
    hidden, theme = kind in space.hidden_kinds, space.theme
    at, em = imgui.get_cursor_screen_pos(), imgui.get_font_size()
    width = imgui.calc_text_size(KINDS[kind]).x + em
    height = imgui.get_frame_height()
    if imgui.invisible_button(f"##kind{kind}", (width, height)):
        space.hidden_kinds ^= {kind}
    lines = imgui.get_window_draw_list()
    y = at.y + (height - 0.6 * em) / 2
    swatch = theme.mixed(theme.kinds[kind], 0.25) if hidden else theme.kinds[kind]
    lines.add_rect_filled((at.x, y), (at.x + 0.6 * em, y + 0.6 * em), packed(swatch))
    ink, middle = theme.faint if hidden else theme.ink, at.y + height / 2
    lines.add_text((at.x + 0.85 * em, round(middle - em / 2)), packed(ink), KINDS[kind])
    if hidden:
        lines.add_line((at.x + 0.85 * em, middle), (at.x + width, middle), packed(ink))
    draw.hint("Click to dim it, or to show it again. A third of its strength is waiting.")
