"""The layers of a graph, one below the other: how hot each is, and in which roles."""

from __future__ import annotations

from typing import Any

import numpy as np
from imgui_bundle import imgui

from ggml_viz.desktop import draw
from ggml_viz.desktop.graph import words
from ggml_viz.desktop.graph.colours import BYTES, TIME
from ggml_viz.desktop.theme import packed, vec4
from ggml_viz.desktop.workspace import Workspace
from ggml_viz.numbers import duration, percent
from ggml_viz.views.palette import HEAT

_MOST_ROLES = 16
# What a role takes of the width, and all that is not one.
_ROLE_EM, _OTHERS_EM = 2.3, 24


class Column:
    """The layers.

    Args:
        space: For its colours.

    Attributes:
        current: The row that keys start from.
    """

    def __init__(self, space: Workspace) -> None:
        self._space = space
        self._of: Any = None
        self._roles: list[str] = []
        self._cells: Any = None
        self._scroll_to: int | None = None
        self.current = 0

    def draw(self, layers: list[dict[str, Any]], runs: int, measure: str, opened: int | None) -> int | None:
        """Draws them into the current window, and returns the one that was clicked or gone to by a key.

        Args:
            layers: As Source.layers answers them.
            runs: Of their graph.
            measure: What heat is of; by backend and kind it is of time.
            opened: The row of the opened one; None: none, and there is room for the roles.
        """
        measure = BYTES if measure == BYTES else TIME
        self._look_at(layers)
        is_timed = any(layer["seconds"] > 0 for layer in layers)
        if not is_timed:
            imgui.push_text_wrap_pos(0.0)
            imgui.text_disabled(
                "No node of this graph was timed, so there is no heat by time: only whole graphs were recorded, or "
                "its nodes were left out on request."
            )
            imgui.pop_text_wrap_pos()
        # What stands outside of layers takes as much as many of them: its bar goes beyond.
        inner = [layer for layer in layers if layer["layer"] is not None] or layers
        most = max((words.layer_amount(layer, measure) for layer in inner), default=0.0) or 1e-12
        em = imgui.get_font_size()
        room = imgui.get_content_region_avail().x
        roles = self._roles[: max(int((room - _OTHERS_EM * em) / (_ROLE_EM * em)), 0)]
        shows_roles = opened is None and measure == TIME and len(roles) > 1
        if opened is not None:
            self.current = opened
        self.current = min(self.current, max(len(layers) - 1, 0))
        chosen = self._keys(len(layers), opened)
        # Their names lean over what is at the right of them.
        columns = 3 + (len(roles) + 1 if shows_roles else 0)
        flags = imgui.TableFlags_.scroll_y | imgui.TableFlags_.sizing_fixed_fit | imgui.TableFlags_.pad_outer_x
        if shows_roles:
            flags |= imgui.TableFlags_.highlight_hovered_column
        # Its columns differ with what is shown, so that each has widths of its own.
        if not imgui.begin_table(f"layers {columns}", columns, flags, (0, imgui.get_content_region_avail().y)):
            return chosen
        imgui.table_setup_column("layer", imgui.TableColumnFlags_.width_fixed, 4.4 * em)
        imgui.table_setup_column("##bar", imgui.TableColumnFlags_.width_stretch)
        imgui.table_setup_column("a run", imgui.TableColumnFlags_.width_fixed, 4.4 * em)
        for role in roles if shows_roles else ():
            angled = imgui.TableColumnFlags_.angled_header | imgui.TableColumnFlags_.no_header_label
            imgui.table_setup_column(role, imgui.TableColumnFlags_.width_fixed | angled, 1.4 * em)
        if shows_roles:
            imgui.table_setup_column("##lean", imgui.TableColumnFlags_.width_fixed, 4 * em)
        imgui.table_setup_scroll_freeze(0, 2 if shows_roles else 1)
        if shows_roles:
            imgui.table_angled_headers_row()
        imgui.table_headers_row()
        clipper = imgui.ListClipper()
        clipper.begin(len(layers))
        if self._scroll_to is not None:
            clipper.include_item_by_index(self._scroll_to)
        while clipper.step():
            for row in range(clipper.display_start, clipper.display_end):
                if self._row(
                    layers[row], row, (runs, measure, is_timed, most, opened, len(roles) if shows_roles else 0)
                ):
                    chosen = row
        clipper.end()
        imgui.end_table()
        if chosen is not None:
            self.current = chosen
        return chosen

    def go_to(self, row: int) -> None:
        """Has a row be seen, and keys start from there."""
        self.current = self._scroll_to = row

    def _keys(self, count: int, opened: int | None) -> int | None:
        """The row that a key opens; where none is opened yet, up and down only lead through them."""
        if not imgui.is_window_focused(imgui.FocusedFlags_.child_windows) or imgui.get_io().want_text_input:
            return None
        to = self.current
        for key, row in (
            (imgui.Key.down_arrow, to + 1), (imgui.Key.up_arrow, to - 1),
            (imgui.Key.home, 0), (imgui.Key.end, count - 1),
        ):  # fmt: skip
            if imgui.is_key_pressed(key):
                to = min(max(row, 0), count - 1)
        if to != self.current:
            self.go_to(to)
            return to if opened is not None else None
        opening = (imgui.Key.enter, imgui.Key.keypad_enter, imgui.Key.right_arrow)
        return to if opened is None and count and any(imgui.is_key_pressed(key, False) for key in opening) else None

    def _row(self, layer: dict[str, Any], row: int, how: tuple[int, str, bool, float, int | None, int]) -> bool:
        runs, measure, is_timed, most, opened, role_count = how
        theme = self._space.theme
        imgui.table_next_row()
        imgui.table_next_column()
        name = "outside" if layer["layer"] is None else layer["name"]
        is_marked = row == (self.current if opened is None else opened)
        flags = imgui.SelectableFlags_.span_all_columns | imgui.SelectableFlags_.allow_overlap
        # The heat of its cells is to be seen through the mark.
        for which, strength in ((imgui.Col_.header, 0.16), (imgui.Col_.header_hovered, 0.1)):
            imgui.push_style_color(which, vec4(theme.ink, strength))
        clicked = imgui.selectable(f"{name}##{row}", is_marked, flags)[0]
        imgui.pop_style_color(2)
        over = imgui.table_get_hovered_column() if imgui.is_item_hovered() else -1
        if self._scroll_to == row:
            imgui.set_scroll_here_y(0.5)
            self._scroll_to = None
        if over >= 0:
            draw.hint(self._told(layer, runs, is_timed, self._roles[over - 3] if 2 < over < 3 + role_count else None))
        imgui.table_next_column()
        self._bar(words.layer_amount(layer, measure) / most)
        draw.number(words.layer_told(layer, measure, runs, is_timed))
        for place, share in enumerate(self._cells[row, :role_count].tolist()):
            imgui.table_set_bg_color(imgui.TableBgTarget_.cell_bg, packed(theme.heat(share)), 3 + place)
        return clicked

    def _bar(self, share: float) -> None:
        at, room = imgui.get_cursor_screen_pos(), imgui.get_content_region_avail().x
        height = imgui.get_text_line_height()
        lines, theme = imgui.get_window_draw_list(), self._space.theme
        top, bottom = at.y + 0.2 * height, at.y + 0.9 * height
        right = at.x + max(room * min(share, 1.0), 1.0)
        lines.add_rect_filled((at.x, top), (right, bottom), packed(theme.rgb(HEAT)), 2.0)
        for gap in range(2) if share > 1.0 else ():
            x = right - (0.5 + 0.4 * gap) * height
            lines.add_line((x, bottom), (x + 0.3 * height, top), packed(theme.background), 2.0)

    def _told(self, layer: dict[str, Any], runs: int, is_timed: bool, role: str | None) -> str:
        """What a row or a cell of it says when it is asked."""
        if role is not None:
            seconds = next((row["seconds"] for row in layer["roles"] if row["role"] == role), 0.0)
            return f"{layer['name']}, {role}: " + (
                f"{duration(seconds / runs).strip()} a run" if seconds else "nothing"
            )
        if not is_timed:
            return ""
        shares = [f"{row['role']} {percent(row['seconds'] / (layer['seconds'] or 1))}" for row in layer["roles"][:3]]
        most = f"; most in {', '.join(shares)}" if shares else ""
        return f"{layer['name']}: {words.layer_line(layer, runs)}, mean of {runs} runs{most}"

    def _look_at(self, layers: list[dict[str, Any]]) -> None:
        """Finds the roles that take most of all layers, and their shares of what the hottest takes in one."""
        if layers is self._of:
            return
        self._of = layers
        total: dict[str, float] = {}
        for layer in layers:
            for row in layer["roles"] if layer["layer"] is not None else ():
                total[row["role"]] = total.get(row["role"], 0.0) + row["seconds"]
        self._roles = sorted(total, key=lambda role: -total[role])[:_MOST_ROLES]
        cells = np.zeros((len(layers), len(self._roles)))
        for place, layer in enumerate(layers):
            seconds = {row["role"]: row["seconds"] for row in layer["roles"]}
            cells[place] = [seconds.get(role, 0.0) for role in self._roles]
        self._cells = cells / max(cells.max(initial=0.0), 1e-12)
