"""Memory: what the buffers take over time, and how the tensors of a graph share one."""

from __future__ import annotations

from typing import Any

from imgui_bundle import imgui

from ggml_viz.desktop import draw
from ggml_viz.desktop.memory.arena import ArenaMap
from ggml_viz.desktop.memory.over_time import OverTime
from ggml_viz.desktop.panel import Panel, Rows
from ggml_viz.desktop.workspace import Workspace
from ggml_viz.numbers import plural, size

_MEANING = (
    "How a graph’s tensors share a compute buffer. Across: where in the buffer. Down: the graph’s nodes in order. "
    "A tensor is a bar from the node that writes it to the last that reads it; bars below each other reuse the same "
    "memory."
)
_ROOM_FOR_WORDS = 40
_EVENT_COLUMNS = ["at_s", "usage", "backend", "by_bytes", "bytes", "total_bytes"]
_TENSOR_COLUMNS = ["name", "op", "kind", "offset", "bytes", "born", "dies", "node", "reuses"]


class Memory(Panel):
    """Buffers over time, and an arena."""

    title = "Memory"
    picture = "memory"

    def __init__(self, space: Workspace) -> None:
        super().__init__(space)
        self._memory = space.question()
        self._report = space.question()
        self._arena = space.question()
        self.over_time = OverTime(space)
        self.map = ArenaMap(space)
        self.shows_arena = False
        self._wanted: tuple[int, ...] | None = None

    def draw(self) -> None:
        """Draws it."""
        space, source = self.space, self.space.source
        assert source is not None
        moment = space.moment()
        memory = self._memory.ask(moment, source.memory)
        if draw.refusal(space, self._memory):
            return
        if memory is None:
            draw.waiting()
            return
        if not memory["changes"]:
            imgui.text("No buffer was seen")
            name = space.described.get("name", "")
            draw.faint(
                space,
                f"{name} has not allocated anything since it is watched. A model that is loaded later appears here."
                if space.is_live
                else "The program allocated nothing while this was recorded, and computed nothing in a buffer.",
            )
            return
        if not imgui.begin_tab_bar("memory-tabs"):
            return
        if imgui.begin_tab_item("Over time")[0]:
            self.shows_arena = False
            self.over_time.draw(memory, self._report.ask(moment, source.report))
            imgui.end_tab_item()
        if imgui.begin_tab_item("Arena")[0]:
            self.shows_arena = True
            self._draw_arena(memory["arenas"])
            imgui.end_tab_item()
        imgui.end_tab_bar()

    def rows(self) -> Rows | None:
        """What came and went; of an arena its tensors."""
        if self.shows_arena:
            return Rows(_TENSOR_COLUMNS, [[row[name] for name in _TENSOR_COLUMNS] for row in self.map.rows()])
        events = self.over_time.events
        order = self.over_time.order if len(self.over_time.order) == len(events) else range(len(events))
        return Rows(_EVENT_COLUMNS, [[getattr(events[index], name) for name in _EVENT_COLUMNS] for index in order])

    def _draw_arena(self, arenas: list[dict[str, Any]]) -> None:
        source = self.space.source
        assert source is not None
        if imgui.get_content_region_avail().y > imgui.get_font_size() * _ROOM_FOR_WORDS:
            draw.faint(self.space, _MEANING)
        row = self._chosen(arenas)
        if row is None:
            imgui.text_disabled("No graph that was seen computes in a buffer of its own.")
            return
        key = _key(row)
        arena = self._arena.ask(key, lambda: source.arena(*key))
        if draw.refusal(self.space, self._arena):
            return
        if arena is None or self._arena.key != key:
            draw.waiting()
            return
        self.map.draw(arena, row)

    def _chosen(self, arenas: list[dict[str, Any]]) -> dict[str, Any] | None:
        """The arena that is shown: that which was chosen, else one of the graph that is shown elsewhere."""
        row = next((row for row in arenas if _key(row) == self._wanted), None)
        if row is None:
            row = next((row for row in arenas if (row["process"], row["graph"]) == self.space.graph), None)
        if row is None and arenas:
            row = arenas[0]
        if row is None:
            return None
        imgui.set_next_item_width(min(imgui.get_font_size() * 28, imgui.get_content_region_avail().x))
        if imgui.begin_combo("##arena", _name(row)):
            for each in arenas:
                if imgui.selectable(f"{_name(each)}##{_key(each)}", each is row)[0]:
                    self._wanted = _key(each)
                    row = each
            imgui.end_combo()
        else:
            draw.hint(_MEANING)
        return row


def _key(row: dict[str, Any]) -> tuple[int, int, int, int]:
    return row["process"], row["graph"], row["placement"], row["buffer"]


def _name(row: dict[str, Any]) -> str:
    tokens = f", {plural(row['tokens'], 'token')}" if row["tokens"] else ""
    return f"{row['phase']}{tokens} · {row['backend']}, {size(row['bytes'])} · graph {row['graph']}"
