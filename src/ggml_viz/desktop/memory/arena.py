"""Draws the tensors of a graph in a compute buffer: offsets across, nodes down, a tensor from birth to last use."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
import numpy.typing as npt
from imgui_bundle import imgui

from ggml_viz.desktop import bulk, draw
from ggml_viz.desktop.memory.bars import (
    Scale,
    Tensors,
    View,
    alive_boxes,
    boxes_of,
    hit,
    is_sparse,
    moved,
    nice_step,
    revealing,
    scale_of,
    tensors_of,
    widened,
    zoomed,
)
from ggml_viz.desktop.theme import ink_on, packed
from ggml_viz.desktop.workspace import Chosen, Workspace
from ggml_viz.model.kinds import KINDS
from ggml_viz.numbers import plural, size

_LARGEST = 10
_MOST_NAMES = 300
_DIMMED = 0x55


class ArenaMap:
    """A map of one arena.

    Args:
        space: What all panels share.

    Attributes:
        tensors: What it shows; None: nothing yet.
        boxes: Their bars as they were drawn last, in pixels of the screen: [n, 4].
        view: What is shown.
        pointed: Index of the tensor under the pointer; None: none.
        chosen: Index of the tensor that was clicked; None: none.
    """

    def __init__(self, space: Workspace) -> None:
        self._space = space
        self._arena: dict[str, Any] | None = None
        self._row: dict[str, Any] = {}
        self._closed: bool | None = None
        self._scale: Scale | None = None
        self._boxes_of: Hashable = None
        self._colours_of: Hashable = None
        self._colours: npt.NDArray[np.uint32] = np.zeros(0, np.uint32)
        self._alive: npt.NDArray[np.float32] = np.zeros((0, 4), np.float32)
        self._alive_colours: npt.NDArray[np.uint32] = np.zeros(0, np.uint32)
        self._largest: list[int] = []
        self._named: dict[int, str] = {}
        self._followed: Chosen | None = None
        self.tensors: Tensors | None = None
        self.boxes: npt.NDArray[np.float32] = np.zeros((0, 4), np.float32)
        self.view = View(0.0, 1.0, -1.0, 1.0)
        self.pointed: int | None = None
        self.chosen: int | None = None

    def draw(self, arena: dict[str, Any], row: dict[str, Any]) -> None:
        """Draws it.

        Args:
            arena: The source's Arena.
            row: Which it is, as Memory lists it.
        """
        if arena is not self._arena:
            self._take(arena, row)
        self._follow()
        self._tools()
        em, room = imgui.get_font_size(), imgui.get_content_region_avail()
        beside = min(em * 19, room.x * 0.35)
        width, height = room.x - beside - em, max(room.y - 2, em * 10)
        at = imgui.get_cursor_screen_pos()
        self._map((at.x, at.y), (width, height))
        imgui.same_line(0, em)
        if imgui.begin_child("told-tensor", (beside, height)):
            self._told()
        imgui.end_child()

    def name(self, index: int) -> str:
        """A tensor's name, or where it has none its op."""
        assert self._arena is not None
        row = self._arena["tensors"][index]
        return str(row["name"] or row["op"])

    def rows(self) -> list[dict[str, Any]]:
        """The tensors, as the source tells of them."""
        return list(self._arena["tensors"]) if self._arena is not None else []

    def choose(self, index: int | None) -> None:
        """Chooses a tensor, and its node everywhere."""
        self.chosen = index
        if index is None or self.tensors is None:
            return
        self.view = revealing(
            self.view, float(self.tensors.born[index]), float(self.tensors.dies[index]), self.tensors.whole
        )
        node = int(self.tensors.node[index])
        if node >= 0:
            self._followed = Chosen(self._row["process"], self._row["graph"], node)
            self._space.choose(self._followed)

    def _take(self, arena: dict[str, Any], row: dict[str, Any]) -> None:
        is_other = row != self._row
        self._arena, self._row = arena, row
        self.tensors = tensors_of(arena)
        self._largest = np.argsort(-self.tensors.bytes, kind="stable")[:_LARGEST].tolist()
        self._named = {each["node"]: each["name"] for each in arena["tensors"] if each["node"] is not None}
        self._scale = None
        self._boxes_of = self._colours_of = None
        self.pointed = None
        if is_other:
            self.view, self._closed, self.chosen = self.tensors.whole, None, None
            self._followed = None

    def _follow(self) -> None:
        """Chooses the tensor of a node that was chosen elsewhere."""
        chosen = self._space.chosen
        if chosen is self._followed or chosen is None or self.tensors is None:
            return
        self._followed = chosen
        if (chosen.process, chosen.graph) != (self._row["process"], self._row["graph"]):
            return
        there = np.flatnonzero(self.tensors.node == chosen.node)
        self.chosen = int(there[0]) if len(there) else None
        if self.chosen is not None:
            born, dies = self.tensors.born[self.chosen], self.tensors.dies[self.chosen]
            self.view = revealing(self.view, float(born), float(dies), self.tensors.whole)

    def _tools(self) -> None:
        tensors, em = self.tensors, imgui.get_font_size()
        assert tensors is not None
        assert self._arena is not None
        if self._closed is None:
            self._closed = is_sparse(tensors)
        wanted = draw.choice(
            "scale", ("true to scale", "gaps closed"), "gaps closed" if self._closed else "true to scale"
        )
        if (wanted == "gaps closed") != self._closed:
            self._closed, self._scale = not self._closed, None
        for text, what in (("Zoom in", 0.5), ("Zoom out", 2.0)):
            imgui.same_line(0, em if what == 0.5 else -1)
            if imgui.button(text):
                self.view = zoomed(self.view, what, self._around(), tensors.whole)
        imgui.same_line()
        imgui.begin_disabled(self.view == tensors.whole)
        if imgui.button("Show all##arena"):
            self.view = tensors.whole
        imgui.end_disabled()
        peak = tensors.peak
        draw.faint(
            self._space,
            f"{plural(len(tensors.offset), 'tensor')} in {plural(tensors.nodes, 'node')} · at most "
            f"{size(float(tensors.alive[peak]))} alive at once, at {self._node_name(peak)} · "
            f"buffer of {size(self._arena['bytes'])}",
        )

    def _around(self) -> float:
        """Where zooming is centred: at the chosen tensor, if it can be seen."""
        if self.chosen is None or self.tensors is None:
            return 0.5
        share = (float(self.tensors.born[self.chosen]) - self.view.first) / (self.view.last - self.view.first)
        return share if 0 <= share <= 1 else 0.5

    def _map(self, at: tuple[float, float], whole_size: tuple[float, float]) -> None:
        tensors, theme = self.tensors, self._space.theme
        assert tensors is not None
        if self._scale is None:
            self._scale = scale_of(tensors, bool(self._closed))
            self._boxes_of = None
        em = imgui.get_font_size()
        left, top, alive_wide = em * 3.2, em * 1.5, em * 6
        map_at = at[0] + left, at[1] + top
        map_size = max(whole_size[0] - left - em - alive_wide, em), max(whole_size[1] - top, em)
        alive_at = map_at[0] + map_size[0] + em
        imgui.invisible_button("arena-map", whole_size)
        is_over = imgui.is_item_hovered()
        # Or the panel would scroll with the wheel.
        imgui.set_item_key_owner(imgui.Key.mouse_wheel_y)
        self._gestures(is_over, imgui.is_item_active(), map_at, map_size)
        key = self.view, map_at, map_size, id(self._scale)
        if key != self._boxes_of:
            self._boxes_of = key
            self.boxes = boxes_of(tensors, self._scale, self.view, map_at, map_size)
            self._alive = alive_boxes(tensors, self.view, (alive_at, map_at[1]), (alive_wide, map_size[1]))
            self._alive_colours = np.full(len(self._alive), packed(theme.mixed(theme.faint, 0.55)), np.uint32)
        mouse = imgui.get_mouse_pos()
        inside = map_at[0] <= mouse.x <= map_at[0] + map_size[0] and mouse.y >= map_at[1]
        self.pointed = hit(self.boxes, mouse.x, mouse.y) if is_over and inside else None
        lines = imgui.get_window_draw_list()
        self._draw_ground(lines, map_at, map_size)
        lines.push_clip_rect(map_at, (at[0] + whole_size[0], map_at[1] + map_size[1]), True)
        bulk.rectangles(lines, self._alive, self._alive_colours)
        lines.pop_clip_rect()
        lines.push_clip_rect(map_at, (map_at[0] + map_size[0], map_at[1] + map_size[1]), True)
        self._draw_bars(lines, map_at, map_size)
        lines.pop_clip_rect()
        self._draw_axes(lines, map_at, map_size, alive_at, alive_wide)
        if is_over and imgui.is_mouse_released(imgui.MouseButton_.left) and not self._was_dragged():
            self.choose(self.pointed)
        if self.pointed is not None:
            draw.tooltip("\n".join(self._described(self.pointed)))

    @staticmethod
    def _was_dragged() -> bool:
        moved_by = imgui.get_mouse_drag_delta(imgui.MouseButton_.left, 0.0)
        return abs(moved_by.x) + abs(moved_by.y) > imgui.get_font_size() * 0.3

    def _gestures(
        self, is_over: bool, is_active: bool, map_at: tuple[float, float], map_size: tuple[float, float]
    ) -> None:
        """Zooms by wheel and keys, moves by dragging and keys."""
        tensors = self.tensors
        assert tensors is not None
        io, whole = imgui.get_io(), tensors.whole
        span = self.view.last - self.view.first
        if is_over and io.mouse_wheel:
            across = min(max((io.mouse_pos.x - map_at[0]) / map_size[0], 0.0), 1.0)
            down = min(max((io.mouse_pos.y - map_at[1]) / map_size[1], 0.0), 1.0)
            by = 0.8**io.mouse_wheel
            if not io.key_shift:
                self.view = zoomed(self.view, by, down, whole)
            if io.key_shift or io.key_ctrl:
                self.view = widened(self.view, by, across)
        if is_active and (io.mouse_delta.x or io.mouse_delta.y) and self._was_dragged():
            wide = self.view.right - self.view.left
            self.view = moved(
                self.view, -io.mouse_delta.x / map_size[0] * wide, -io.mouse_delta.y / map_size[1] * span, whole
            )
        if not is_over or io.want_text_input:
            return
        if imgui.is_mouse_double_clicked(imgui.MouseButton_.left) and self.pointed is None:
            self.view = whole
        for key, by in ((imgui.Key.down_arrow, 1), (imgui.Key.up_arrow, -1)):
            if imgui.is_key_pressed(key) and len(tensors.offset):
                self.choose(min(max((-1 if self.chosen is None else self.chosen) + by, 0), len(tensors.offset) - 1))

    def _draw_ground(self, lines: Any, map_at: tuple[float, float], map_size: tuple[float, float]) -> None:
        """The buffer, and what of it no tensor takes."""
        theme, scale = self._space.theme, self._scale
        assert scale is not None
        right, bottom = map_at[0] + map_size[0], map_at[1] + map_size[1]
        lines.add_rect_filled(map_at, (right, bottom), packed(theme.mixed(theme.line, 0.35)))
        if not self._closed:
            return
        across = map_size[0] / (self.view.right - self.view.left)
        for index in np.flatnonzero(~scale.used).tolist():
            begin = max(map_at[0] + (float(scale.places[index]) - self.view.left) * across, map_at[0])
            end = min(map_at[0] + (float(scale.places[index + 1]) - self.view.left) * across, right)
            if end <= begin:
                continue
            lines.add_rect_filled((begin, map_at[1]), (end, bottom), packed(theme.background))
            for edge in (begin, end - 1):
                lines.add_rect_filled((edge, map_at[1]), (edge + 1, bottom), packed(theme.line))

    def _draw_bars(self, lines: Any, map_at: tuple[float, float], map_size: tuple[float, float]) -> None:
        tensors, theme = self.tensors, self._space.theme
        assert tensors is not None
        told = self.pointed if self.pointed is not None else self.chosen
        key = told, theme, id(tensors)
        if key != self._colours_of:
            self._colours_of = key
            colours = theme.packed_kinds[0][tensors.kind]
            if told is not None:
                dimmed = (colours & np.uint32(0x00FFFFFF)) | np.uint32(_DIMMED << 24)
                colours = np.where(tensors.related(told), colours, dimmed)
            self._colours = colours.astype(np.uint32)
        right, bottom = map_at[0] + map_size[0], map_at[1] + map_size[1]
        boxes = self.boxes
        seen = (
            (boxes[:, 3] >= map_at[1]) & (boxes[:, 1] <= bottom) & (boxes[:, 2] >= map_at[0]) & (boxes[:, 0] <= right)
        )
        bulk.rectangles(lines, boxes[seen], self._colours[seen])
        em = imgui.get_font_size()
        wide = np.minimum(boxes[:, 2], right) - np.maximum(boxes[:, 0], map_at[0])
        high = np.minimum(boxes[:, 3], bottom) - np.maximum(boxes[:, 1], map_at[1])
        roomy = np.flatnonzero(seen & (wide > em * 4) & (high > em))[:_MOST_NAMES]
        for index in roomy.tolist():
            x, y = max(float(boxes[index, 0]), map_at[0]), max(float(boxes[index, 1]), map_at[1])
            colour = packed(ink_on(theme.kinds[int(tensors.kind[index])]))
            if told is not None and self._colours[index] >> 24 != 0xFF:
                colour = packed(theme.ink)
            lines.push_clip_rect((x, y), (min(float(boxes[index, 2]), right) - 3, bottom), True)
            lines.add_text((x + em * 0.25, y), colour, self.name(index))
            lines.pop_clip_rect()
        if told is not None:
            x, y, x2, y2 = boxes[told].tolist()
            lines.add_rect((x - 1, y - 1), (x2 + 1, y2 + 1), packed(theme.ink), 0.0, 2.0)

    def _draw_axes(
        self,
        lines: Any,
        map_at: tuple[float, float],
        map_size: tuple[float, float],
        alive_at: float,
        alive_wide: float,
    ) -> None:
        """Nodes down, offsets across, and at which node most is alive."""
        tensors, scale, theme, view = self.tensors, self._scale, self._space.theme, self.view
        assert tensors is not None
        assert scale is not None
        em, faint = imgui.get_font_size(), packed(theme.faint)
        down = map_size[1] / (view.last - view.first)
        step = nice_step(em * 1.7 / down)
        for node in range(int(np.ceil(max(view.first, 0.0) / step)) * step, int(np.ceil(view.last)), step):
            y, text = map_at[1] + (node - view.first) * down, str(node)
            if y + em > map_at[1] + map_size[1]:
                break
            lines.add_text((map_at[0] - em * 0.5 - imgui.calc_text_size(text).x, y - 1), faint, text)
            lines.add_rect_filled((map_at[0] - em * 0.3, y), (map_at[0], y + 1), faint)
        across = map_size[0] / (view.right - view.left)
        end = float("-inf")
        if self._closed:
            begins = np.flatnonzero(scale.used)
            marks = list(zip(scale.bytes[begins].tolist(), scale.places[begins].tolist(), strict=True))
        else:
            shares = [view.left + (view.right - view.left) * share for share in (0.0, 0.25, 0.5, 0.75)]
            marks = [(float(np.interp(share, scale.places, scale.bytes)), share) for share in shares]
        for offset, place in marks:
            x, text = map_at[0] + (place - view.left) * across, size(offset)
            wide = imgui.calc_text_size(text).x
            if x < max(end + em * 0.7, map_at[0] - 1) or x + wide > map_at[0] + map_size[0]:
                continue
            lines.add_text((x, map_at[1] - em * 1.45), faint, text)
            lines.add_rect_filled((x, map_at[1] - em * 0.35), (x + 1, map_at[1]), faint)
            end = x + wide
        lines.add_text((alive_at, map_at[1] - em * 1.45), faint, "alive")
        peak = tensors.peak
        if view.first <= peak < view.last:
            y, text = map_at[1] + (peak - view.first) * down, size(float(tensors.alive[peak]))
            ink, wide = packed(theme.ink), imgui.calc_text_size(text).x
            lines.add_rect_filled((alive_at, y), (alive_at + alive_wide, y + 1.5), ink)
            below = y + em * 1.2 < map_at[1] + map_size[1]
            lines.add_text((alive_at + alive_wide - wide, y + 2 if below else y - em * 1.1), ink, text)

    def _node_name(self, node: int) -> str:
        if node < 0:
            return "before the first node"
        return f"node {node} {self._named.get(node, '')}".strip()

    def _described(self, index: int) -> list[str]:
        """A tensor in a few lines."""
        assert self._arena is not None
        assert self.tensors is not None
        row = self._arena["tensors"][index]
        before = row["reuses"]
        after = np.flatnonzero(self.tensors.reuses == index)[:4].tolist()
        lines = [
            self.name(index),
            f"{size(row['bytes'])}, at {size(row['offset'])}",
            "written before the graph runs" if row["node"] is None else f"computed by {row['op']}, node {row['node']}",
            KINDS[row["kind"]],
            f"last read by {self._node_name(row['dies'])}",
            f"reuses {self.name(before)}" if before is not None else "in memory that nothing lay in before",
        ]
        if after:
            lines.append(f"reused by {', '.join(map(self.name, after))}")
        return lines

    def _told(self) -> None:
        assert self._arena is not None
        assert self.tensors is not None
        chosen, space = self._space.chosen, self._space
        if self.chosen is not None:
            row = self._arena["tensors"][self.chosen]
            for line in self._described(self.chosen):
                imgui.text_wrapped(line)
            if row["reuses"] is not None and imgui.small_button("To what lay there before"):
                self.choose(row["reuses"])
            if row["node"] is not None and imgui.small_button("Show in the timeline"):
                self._show_in_timeline(row["node"])
            imgui.spacing()
        elif chosen is not None and (chosen.process, chosen.graph) == (self._row["process"], self._row["graph"]):
            draw.faint(
                space,
                f"Node {chosen.node} is not in this buffer: weights, the KV cache and views lie elsewhere.",
            )
        else:
            draw.faint(space, "Point at a bar, or go from one to the next with the arrow keys, to see what lies there.")
        draw.heading("The largest")
        if imgui.begin_table("largest", 2, imgui.TableFlags_.sizing_stretch_prop):
            for index in self._largest:
                imgui.table_next_row()
                imgui.table_next_column()
                across = imgui.SelectableFlags_.span_all_columns
                if imgui.selectable(f"{self.name(index)}##{index}", index == self.chosen, across)[0]:
                    self.choose(index)
                draw.number(size(float(self.tensors.bytes[index])))
            imgui.end_table()

    def _show_in_timeline(self, node: int) -> None:
        space, source = self._space, self._space.source
        process, graph = self._row["process"], self._row["graph"]
        assert source is not None

        def find() -> None:
            seen = source.occurrence(process, graph, node, None, None)
            space.show_span(seen["begin_s"], seen["end_s"])

        space.do(find)
