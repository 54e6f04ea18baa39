"""A table whose rows are sorted by a click on a column's name; long ones cost no more than short ones."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

from imgui_bundle import imgui

from ggml_viz.desktop import draw
from ggml_viz.desktop.sorting import in_order
from ggml_viz.desktop.theme import packed

_Row = TypeVar("_Row")
RGB = tuple[int, int, int]

_FLAGS = (
    imgui.TableFlags_.row_bg
    | imgui.TableFlags_.sortable
    | imgui.TableFlags_.resizable
    | imgui.TableFlags_.reorderable
    | imgui.TableFlags_.hideable
    | imgui.TableFlags_.scroll_x
    | imgui.TableFlags_.scroll_y
    | imgui.TableFlags_.sizing_fixed_fit
    | imgui.TableFlags_.no_saved_settings
)


class Bar(NamedTuple):
    """A bar in a cell.

    Attributes:
        share: Of the cell's width, 0 to 1.
        waits: What part of that was waiting.
        work: Colour.
        wait: Colour of waiting.
    """

    share: float
    waits: float
    work: RGB
    wait: RGB


@dataclass(frozen=True)
class Column(Generic[_Row]):
    """A column.

    Attributes:
        name: In the table's head.
        value: What a row is sorted by; None: not known.
        text: What stands there for a value that is known.
        meaning: Said when the pointer rests on the name.
        is_text: Whether it stands at the left and is sorted upwards first.
        up_first: Whether a first click sorts it upwards; texts always are.
        bar: Draws a bar before the text; None: there is none.
        ems: Width at first; 0: as wide as its texts.
    """

    name: str
    value: Callable[[_Row], Any]
    text: Callable[[Any], str]
    meaning: str = ""
    is_text: bool = False
    up_first: bool = False
    bar: Callable[[_Row], Bar] | None = None
    ems: float = 0.0


class Touched(NamedTuple):
    """What somebody did with a table in this frame.

    Attributes:
        pointed: Index of the row under the pointer; None: none.
        column: Index of the column there.
        clicked: Index of the row that was clicked; None: none.
    """

    pointed: int | None
    column: int | None
    clicked: int | None


class Grid(Generic[_Row]):
    """A table.

    Args:
        name: In ids.
        by: Index of the column by which it is sorted at first.
        descending: Whether downwards.

    Attributes:
        order: Indices of the rows as they are shown.
    """

    def __init__(self, name: str, by: int, descending: bool = True) -> None:
        self._name = name
        self._sorted_by = by, descending
        self._first = by
        self._stamp: Hashable = None
        self._texts: list[list[str]] = []
        self._widths: list[list[float]] = []
        self._bars: list[list[Bar] | None] = []
        self._known: list[bool] = []
        self.order: list[int] = []

    def draw(
        self,
        stamp: Hashable,
        columns: Sequence[Column[_Row]],
        rows: Sequence[_Row],
        height: float = 0.0,
        dots: Sequence[RGB | None] | None = None,
        picked: int | None = None,
    ) -> Touched:
        """Draws it.

        Args:
            stamp: Changes whenever what it shows does.
            columns: Its columns; the first is of texts. One of which nothing is known is left out.
            rows: Its rows.
            height: In pixels; 0: what is left; less than 0: so much less than what is left.
            dots: Of each row the colour of a dot before it.
            picked: Index of the row that stands out.
        """
        if not imgui.begin_table(f"##{self._name}", len(columns), _FLAGS, (0, height)):
            return Touched(None, None, None)
        self._prepare((stamp, imgui.get_font_size()), columns, rows)
        self._head(columns)
        touched = self._body(columns, rows, dots, picked)
        column = imgui.table_get_hovered_column() if touched.pointed is not None else -1
        imgui.end_table()
        return touched._replace(column=column if 0 <= column < len(columns) else None)

    def _prepare(self, stamp: Hashable, columns: Sequence[Column[_Row]], rows: Sequence[_Row]) -> None:
        if (stamp, self._sorted_by) == self._stamp:
            return
        self._stamp = stamp, self._sorted_by
        values = [[column.value(row) for row in rows] for column in columns]
        self._known = [any(value is not None for value in each) or not rows for each in values]
        self._texts = [
            ["" if value is None else column.text(value) for value in each]
            for column, each in zip(columns, values, strict=True)
        ]
        self._widths = [[imgui.calc_text_size(text).x for text in each] for each in self._texts]
        self._bars = [[column.bar(row) for row in rows] if column.bar else None for column in columns]
        by, descending = self._sorted_by
        self.order = in_order(values[by], descending)

    def _head(self, columns: Sequence[Column[_Row]]) -> None:
        em, padding = imgui.get_font_size(), imgui.get_style().cell_padding.x
        first = self._first
        for index, column in enumerate(columns):
            flags = imgui.TableColumnFlags_.width_fixed
            if not (column.is_text or column.up_first):
                flags |= imgui.TableColumnFlags_.prefer_sort_descending
            if index == first:
                flags |= imgui.TableColumnFlags_.default_sort
            if not self._known[index]:
                flags |= imgui.TableColumnFlags_.disabled
            if index == 0:
                flags |= imgui.TableColumnFlags_.no_hide
            # Room for the arrow of its order too, so that nothing moves when it is sorted.
            head = imgui.calc_text_size(column.name).x + em * 1.1
            wide = column.ems * em or max([head, *self._widths[index]]) + (em if index == 0 else 0.0)
            imgui.table_setup_column(column.name, flags, wide + padding * 0.5)
        imgui.table_setup_scroll_freeze(1, 1)
        imgui.table_next_row(imgui.TableRowFlags_.headers)
        for index, column in enumerate(columns):
            if imgui.table_set_column_index(index):
                imgui.table_header(column.name)
                draw.hint(column.meaning)
        specs = imgui.table_get_sort_specs()
        if specs is not None and specs.specs_count:
            spec = specs.get_specs(0)
            self._sorted_by = int(spec.column_index), spec.get_sort_direction() == imgui.SortDirection.descending

    def _body(
        self,
        columns: Sequence[Column[_Row]],
        rows: Sequence[_Row],
        dots: Sequence[RGB | None] | None,
        picked: int | None,
    ) -> Touched:
        pointed = clicked = None
        height = imgui.get_text_line_height()
        room: dict[int, float] = {}
        lines = imgui.get_window_draw_list()
        clipper = imgui.ListClipper()
        clipper.begin(len(rows))
        while clipper.step():
            for place in range(clipper.display_start, clipper.display_end):
                row = self.order[place]
                imgui.table_next_row()
                imgui.table_next_column()
                dot = dots[row] if dots is not None else None
                if dot is not None:
                    at = imgui.get_cursor_screen_pos()
                    radius = height * 0.3
                    lines.add_circle_filled((at.x + radius, at.y + height / 2), radius, packed(dot))
                    imgui.set_cursor_pos_x(imgui.get_cursor_pos_x() + height * 0.85)
                across = imgui.SelectableFlags_.span_all_columns
                if imgui.selectable(f"{self._texts[0][row]}##{row}", row == picked, across)[0]:
                    clicked = row
                if imgui.is_item_hovered():
                    pointed = row
                for index in range(1, len(columns)):
                    if not imgui.table_next_column():
                        continue
                    text = self._texts[index][row]
                    bars = self._bars[index]
                    if not columns[index].is_text:
                        if index not in room:
                            room[index] = imgui.get_content_region_avail().x
                        if bars is not None:
                            self._draw_bar(
                                lines, bars[row], room[index] - max(self._widths[index]) - height * 0.4, height
                            )
                        spare = room[index] - self._widths[index][row]
                        if spare > 0:
                            imgui.set_cursor_pos_x(imgui.get_cursor_pos_x() + spare)
                    imgui.text_unformatted(text)
        clipper.end()
        return Touched(pointed, None, clicked)

    @staticmethod
    def _draw_bar(lines: Any, bar: Bar, room: float, height: float) -> None:
        if room <= 0:
            return
        at = imgui.get_cursor_screen_pos()
        whole = max(room * min(max(bar.share, 0.0), 1.0), 1.0)
        work = at.x + whole * (1 - bar.waits)
        top, bottom = at.y + height * 0.12, at.y + height * 0.92
        lines.add_rect_filled((at.x, top), (work, bottom), packed(bar.work))
        lines.add_rect_filled((work, top), (at.x + whole, bottom), packed(bar.wait))
