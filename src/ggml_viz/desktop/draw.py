"""Small things that panels are made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from imgui_bundle import imgui

from ggml_viz.desktop.asking import Question
from ggml_viz.desktop.theme import packed, vec4
from ggml_viz.desktop.workspace import Workspace
from ggml_viz.errors import UserError

RGB = tuple[int, int, int]


def heading(text: str) -> None:
    """A line above a part of a panel."""
    imgui.separator_text(text)


def hint(text: str) -> None:
    """What is said when the pointer rests on the last item."""
    if text and imgui.is_item_hovered(imgui.HoveredFlags_.for_tooltip):
        imgui.begin_tooltip()
        imgui.push_text_wrap_pos(imgui.get_font_size() * 32)
        imgui.text_unformatted(text)
        imgui.pop_text_wrap_pos()
        imgui.end_tooltip()


def waiting() -> None:
    """Stands where an answer will be."""
    imgui.text_disabled("…")


def refusal(space: Workspace, question: Question[Any]) -> bool:
    """Says why there is no answer, if there is none for a reason."""
    said(space, question.error)
    return question.error is not None


def said(space: Workspace, error: UserError | None) -> None:
    """Says why something could not be done, if it could not."""
    if error is None:
        return
    imgui.push_style_color(imgui.Col_.text, vec4(space.theme.finding))
    imgui.text_wrapped(error.message)
    imgui.pop_style_color()
    if error.hint:
        imgui.text_wrapped(error.hint)


def header(*names: str) -> None:
    """The first row of a table; the first column is of text, the others of numbers."""
    for name in names:
        imgui.table_setup_column(name)
    imgui.table_headers_row()


def cell(text: str, dot: RGB | None = None) -> None:
    """A cell of text, with a dot of a colour before it."""
    imgui.table_next_column()
    if dot is not None:
        at, height = imgui.get_cursor_screen_pos(), imgui.get_text_line_height()
        radius = height * 0.3
        imgui.get_window_draw_list().add_circle_filled((at.x + radius, at.y + height / 2), radius, packed(dot))
        imgui.dummy((2 * radius, height))
        imgui.same_line()
    imgui.text_unformatted(text)


def number(text: str) -> None:
    """A cell whose text stands at its right."""
    imgui.table_next_column()
    width = imgui.calc_text_size(text).x
    imgui.set_cursor_pos_x(imgui.get_cursor_pos_x() + max(imgui.get_content_region_avail().x - width, 0.0))
    imgui.text_unformatted(text)


def bar(share: float, waits: float, work_colour: int, wait_colour: int, text: str) -> None:
    """A bar as wide as what is left, of which a part is filled: work first, then waiting.

    Args:
        share: Of the whole width, 0 to 1.
        waits: What part of that was waiting.
        work_colour: Packed.
        wait_colour: Packed.
        text: Stands behind it.
    """
    at = imgui.get_cursor_screen_pos()
    height = imgui.get_text_line_height()
    room = imgui.get_content_region_avail().x
    text_room = imgui.calc_text_size("100 %").x + imgui.get_style().item_inner_spacing.x
    whole = max(room - text_room, 1.0) * min(max(share, 0.0), 1.0)
    work = whole * (1 - waits)
    lines = imgui.get_window_draw_list()
    lines.add_rect_filled((at.x, at.y + 2), (at.x + work, at.y + height - 1), work_colour)
    lines.add_rect_filled((at.x + work, at.y + 2), (at.x + whole, at.y + height - 1), wait_colour)
    imgui.set_cursor_screen_pos((at.x + whole + imgui.get_style().item_inner_spacing.x, at.y))
    imgui.text_unformatted(text)


def selected_range(space: Workspace) -> None:
    """Says which range is selected, if one is, with a button that ends that."""
    if space.selected is None:
        return
    begin, end = space.selected
    imgui.align_text_to_frame_padding()
    imgui.text(f"Selected: {begin:.3f} to {end:.3f} s")
    imgui.same_line()
    if imgui.button("Whole recording"):
        space.selected = None


def choice(name: str, options: Sequence[str], chosen: str) -> str:
    """A row of words of which one is chosen; returns which."""
    for index, option in enumerate(options):
        if index:
            imgui.same_line(0, imgui.get_font_size() * 0.15)
        is_chosen = option == chosen
        if is_chosen:
            imgui.push_style_color(imgui.Col_.button, imgui.get_style_color_vec4(imgui.Col_.button_active))
        if imgui.button(f"{option}##{name}"):
            chosen = option
        if is_chosen:
            imgui.pop_style_color()
    return chosen


def command(text: str) -> None:
    """A command that one may want to run, with a button that copies it."""
    imgui.align_text_to_frame_padding()
    imgui.text_unformatted(text)
    imgui.same_line()
    if imgui.small_button(f"copy##{text}"):
        imgui.set_clipboard_text(text)


def faint(space: Workspace, text: str) -> None:
    """Text that explains, over as many lines as it takes."""
    imgui.push_style_color(imgui.Col_.text, vec4(space.theme.faint))
    imgui.text_wrapped(text)
    imgui.pop_style_color()


def tooltip(text: str) -> None:
    """Says something at the pointer, now."""
    imgui.begin_tooltip()
    imgui.push_text_wrap_pos(imgui.get_font_size() * 32)
    imgui.text_unformatted(text)
    imgui.pop_text_wrap_pos()
    imgui.end_tooltip()
