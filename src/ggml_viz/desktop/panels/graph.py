"""A graph: its layers by heat, and one of them opened into its nodes."""

from __future__ import annotations

from typing import Any

from imgui_bundle import imgui

from ggml_viz.desktop import draw
from ggml_viz.desktop.graph import words
from ggml_viz.desktop.graph.colours import MEASURES, TIME, Painted
from ggml_viz.desktop.graph.column import Column
from ggml_viz.desktop.graph.going import Going
from ggml_viz.desktop.graph.scene import Scene
from ggml_viz.desktop.graph.sheet import Hit, Sheet
from ggml_viz.desktop.panel import Panel, Rows
from ggml_viz.desktop.theme import packed, vec4
from ggml_viz.desktop.workspace import Chosen, Workspace
from ggml_viz.sources.source import Source

_LIVE_S = 2.0
_MEASURE_WORDS = {
    "op kind": "by op kind",
    "time": "by time",
    "backend": "by backend",
    "bytes": "by bytes",
}


class Graph(Panel):
    """A column of layers, and the nodes of the opened one.

    Args:
        space: What all panels share.

    Attributes:
        measure: What colours say: one of colours.MEASURES.
        is_open: Whether a layer is opened.
        scene: The layer that is drawn; None: there is none yet.
        sheet: Where it is drawn.
    """

    title = "Graph"
    place = "main"
    picture = "layer"

    def __init__(self, space: Workspace) -> None:
        super().__init__(space)
        self._graphs = space.question()
        self._layers = space.question()
        self._layer = space.question()
        self._where = space.question()
        self._going = Going(space)
        self._column = Column(space)
        self.sheet = Sheet(space)
        self._source: Source | None = None
        self._reset()

    def _reset(self) -> None:
        self.measure = getattr(self, "measure", TIME)
        self.is_open = False
        self.scene: Scene | None = None
        self._drawn: Any = None
        self._drawn_of: tuple[int, int, int | None] | None = None
        self._seen_layer = self.space.layer
        self._own: Chosen | None = None
        self._followed: Chosen | None = None
        self._boxes: tuple[Any, list[int]] = (None, [])
        self._reveal = False
        self._was_focused = False
        self._entering = False

    def draw(self) -> None:
        """Draws it."""
        space, source = self.space, self.space.source
        assert source is not None
        if source is not self._source:
            self._source = source
            self._reset()
        self._going.look()
        graphs = self._graphs.ask(space.moment(_LIVE_S), source.graphs)
        if draw.refusal(space, self._graphs):
            return
        if graphs is None:
            draw.waiting()
            return
        rows = graphs["graphs"]
        if not rows:
            self._nothing()
            return
        graph = next((row for row in rows if (row["process"], row["graph"]) == space.graph), rows[0])
        process, number = graph["process"], graph["graph"]
        self._follow(source)
        answer = self._layers.ask(
            (process, number, space.moment(_LIVE_S)), lambda: (process, number, source.layers(process, number))
        )
        layers = answer[2]["layers"] if answer is not None and answer[:2] == (process, number) else None
        # Where names tell of no layers, there is nothing to choose from.
        is_single = layers is not None and len(layers) == 1 and layers[0]["layer"] is None
        opened = self._opened(layers, is_single)
        self._head(rows, graph, layers, opened, is_single)
        if draw.refusal(space, self._layers):
            return
        if answer is None or layers is None:
            draw.waiting()
            return
        runs = max(answer[2]["runs"], 1)
        self._keys(layers, opened, is_single)
        if opened is None:
            self._overview(layers, runs)
        else:
            self._both(source, (process, number), layers, runs, opened, is_single)

    def rows(self) -> Rows | None:
        """The nodes of the opened layer, or the layers."""
        if self.is_open and self.scene is not None:
            columns = ["name", "op", "role", "shape", "type", "backend", "executions", "seconds", "bytes", "outside"]
            return Rows(columns, [[node[name] for name in columns] for node in self.scene.nodes])
        if self._layers.answer is None:
            return None
        columns = ["layer", "nodes", "seconds", "share", "bytes"]
        return Rows(columns, [[layer[name] for name in columns] for layer in self._layers.answer[2]["layers"]])

    # --- what is shown ---

    def _nothing(self) -> None:
        name = self.space.described.get("name", "")
        if self.space.is_live:
            imgui.text("No graph was run yet")
            imgui.text_wrapped(
                f"{name} has computed nothing since it is watched. Send it a prompt, and its layers appear here by "
                "themselves."
            )
        else:
            imgui.text("No graph was run")
            imgui.text_wrapped("The program computed nothing while this was recorded. Record it while it works:")
            imgui.text_wrapped("ggml-viz run -o run.ggmlviz -- llama-bench -m model.gguf")

    def _opened(self, layers: list[dict[str, Any]] | None, is_single: bool) -> int | None:
        """The row of the opened layer; None: none is."""
        space = self.space
        if space.layer != self._seen_layer:
            self._seen_layer, self.is_open = space.layer, True
        if layers is None:
            return None
        if is_single:
            self.is_open = True
            space.layer = self._seen_layer = None
            return 0
        if not self.is_open:
            return None
        return next((row for row, layer in enumerate(layers) if layer["layer"] == space.layer), None)

    def _open(self, layer: int | None) -> None:
        self.space.layer = self._seen_layer = layer
        # Keys lead through its nodes at once, but not from layer to layer.
        self._entering |= not self.is_open
        self.is_open = True

    def _follow(self, source: Source) -> None:
        """Opens the layer of a node that was chosen elsewhere."""
        chosen = self.space.chosen
        if chosen is None or chosen == self._own:
            return
        where = self._where.ask(chosen, lambda: (chosen, source.tensor(chosen.process, chosen.graph, chosen.node)))
        if where is not None and where[0] == chosen and self._followed != chosen:
            self._followed = chosen
            self._reveal = True
            self._open(where[1]["layer"])

    def _head(
        self, rows: list[dict[str, Any]], graph: dict[str, Any], layers: Any, opened: int | None, is_single: bool
    ) -> None:
        em = imgui.get_font_size()
        imgui.set_next_item_width(min(34 * em, max(imgui.get_content_region_avail().x - 11 * em, 8 * em)))
        if imgui.begin_combo("##graph", words.graph_name(graph), imgui.ComboFlags_.height_large):
            clipper = imgui.ListClipper()
            clipper.begin(len(rows))
            while clipper.step():
                for row in rows[clipper.display_start : clipper.display_end]:
                    name = f"{words.graph_name(row)}##{row['process']}.{row['graph']}"
                    if imgui.selectable(name, row is graph)[0]:
                        self.space.graph = row["process"], row["graph"]
                        self.space.chosen = None
            clipper.end()
            imgui.end_combo()
        draw.hint("The graph that is shown: what it does, how often it was run, what that took; most time first.")
        imgui.same_line()
        imgui.set_next_item_width(9 * em)
        if imgui.begin_combo("##measure", _MEASURE_WORDS[self.measure]):
            for measure in MEASURES:
                if imgui.selectable(_MEASURE_WORDS[measure], measure == self.measure)[0]:
                    self.measure = measure
            imgui.end_combo()
        draw.hint("What the colours of nodes and the bars of layers say.")

    def _overview(self, layers: list[dict[str, Any]], runs: int) -> None:
        imgui.text_disabled("Choose a layer to see its nodes: with the mouse, or with the arrow keys and Enter.")
        self._enter()
        if imgui.begin_child("layers alone", (0, 0), 0, imgui.WindowFlags_.no_nav_inputs):
            self._open_row(self._column.draw(layers, runs, self.measure, None), layers)
        imgui.end_child()

    def _enter(self) -> None:
        """Gives the next part the keys, if the panel has them."""
        if self._entering and not imgui.is_any_mouse_down():
            self._entering = False
            if self._was_focused:
                imgui.set_next_window_focus()

    def _open_row(self, row: int | None, layers: list[dict[str, Any]]) -> None:
        if row is None:
            return
        if layers[row]["layer"] != self.space.layer:
            self._forget_choice()
        self._open(layers[row]["layer"])

    def _forget_choice(self) -> None:
        """The chosen node is in another layer; if it was chosen here, it is not any more."""
        if self.space.chosen is not None and self.space.chosen == self._own:
            self.space.choose(None)

    def _both(
        self, source: Source, graph: tuple[int, int], layers: list[dict[str, Any]], runs: int, opened: int,
        is_single: bool,
    ) -> None:  # fmt: skip
        em = imgui.get_font_size()
        room = imgui.get_content_region_avail().x
        if not is_single and room > 34 * em:
            flags = imgui.ChildFlags_.resize_x
            if imgui.begin_child(
                "column", (min(17 * em, max(0.3 * room, 13.5 * em)), 0), flags, imgui.WindowFlags_.no_nav_inputs
            ):
                self._open_row(self._column.draw(layers, runs, self.measure, opened), layers)
            imgui.end_child()
            imgui.same_line()
        if imgui.begin_child("opened"):
            self._sheet_head(layers, runs, opened, is_single)
            self._nodes(source, graph, layers[opened])
        imgui.end_child()

    def _sheet_head(self, layers: list[dict[str, Any]], runs: int, opened: int, is_single: bool) -> None:
        layer = layers[opened]
        if not is_single:
            if imgui.button("All layers"):
                self.is_open, self._entering = False, True
                self._column.go_to(opened)
            draw.hint("Esc")
            imgui.same_line()
            imgui.begin_disabled(opened == 0)
            if imgui.arrow_button("##previous", imgui.Dir.up):
                self._open_row(opened - 1, layers)
            imgui.end_disabled()
            draw.hint("The layer before")
            imgui.same_line(0, 2)
            imgui.begin_disabled(opened + 1 >= len(layers))
            if imgui.arrow_button("##next", imgui.Dir.down):
                self._open_row(opened + 1, layers)
            imgui.end_disabled()
            draw.hint("The layer behind")
            imgui.same_line()
        if imgui.button("Fit"):
            self.sheet.fit()
        draw.hint("Shows all of it. Key: F. The wheel zooms, dragging moves it.")
        imgui.same_line()
        imgui.align_text_to_frame_padding()
        imgui.text("the whole graph" if is_single else layer["name"])
        imgui.same_line()
        imgui.text_disabled(words.layer_line(layer, runs))
        draw.hint(words.layer_line(layer, runs))
        if is_single:
            imgui.push_text_wrap_pos(0.0)
            imgui.text_disabled("The names of this graph's tensors do not tell layers, so all its nodes are here.")
            imgui.pop_text_wrap_pos()

    # --- the opened layer ---

    def _nodes(self, source: Source, graph: tuple[int, int], layer: dict[str, Any]) -> None:
        space = self.space
        of = (*graph, layer["layer"])
        answer = self._layer.ask((of, space.moment(_LIVE_S)), lambda: (of, Scene(source.layer(*of))))
        if draw.refusal(space, self._layer):
            return
        if answer is None or answer[0] != of:
            draw.waiting()
            return
        if answer is not self._drawn:
            self._drawn, self.scene = answer, answer[1]
            self.sheet.show(answer[1], of != self._drawn_of)
            if of != self._drawn_of:
                self._reveal = True
            self._drawn_of = of
        scene = answer[1]
        chosen = self._chosen_boxes(scene, graph)
        painted = self.sheet.painted(self.measure)
        below = imgui.get_text_line_height_with_spacing() * (2 if scene.left_out else 1)
        room = imgui.get_content_region_avail()
        frame = imgui.WindowFlags_.no_scrollbar | imgui.WindowFlags_.no_scroll_with_mouse
        self._enter()
        if imgui.begin_child("frame", (0, max(room.y - below, 1)), 0, frame | imgui.WindowFlags_.no_nav_inputs):
            hit = self.sheet.draw(self.measure, chosen, (room.x, max(room.y - below, 1)))
            if self._reveal and self.sheet.camera is not None:
                self._reveal = False
                if chosen:
                    self.sheet.reveal(chosen[0])
            if hit is not None:
                self._hit(scene, graph, hit)
            if self.sheet.pointed is not None and not imgui.is_mouse_down(0):
                self._card(scene, self.sheet.pointed, layer)
        imgui.end_child()
        self._legend(painted)
        if scene.left_out:
            imgui.text_disabled(
                f"The first nodes of the layer; {scene.left_out} more are not shown. "
                "The table nodes on the SQL panel has them all."
            )

    def _chosen_boxes(self, scene: Scene, graph: tuple[int, int]) -> list[int]:
        key = (scene, self.space.chosen, graph)
        if self._boxes[0] != key:
            chosen = self.space.chosen
            is_here = chosen is not None and (chosen.process, chosen.graph) == graph
            self._boxes = key, scene.of_node(chosen.node) if chosen is not None and is_here else []
        return self._boxes[1]

    def _hit(self, scene: Scene, graph: tuple[int, int], hit: Hit) -> None:
        node = scene.nodes[hit.box]
        number = node["tensor"] if node["node"] is None else node["node"]
        before = self.space.chosen
        if before is None or (before.process, before.graph, before.node) != (*graph, number):
            before = Chosen(*graph, number)
        self._own = before
        self.space.choose(before)
        if hit.is_double and node["node"] is not None:
            self._going.go(before)

    def _card(self, scene: Scene, box: int, layer: dict[str, Any]) -> None:
        node = scene.nodes[box]
        reads, readers = (
            [scene.nodes[other]["name"] or scene.nodes[other]["op"] for other in others]
            for others in scene.joined([box])
        )
        # Other boxes are beneath it.
        imgui.set_next_window_bg_alpha(1.0)
        if not imgui.begin_tooltip():
            return
        imgui.push_text_wrap_pos(imgui.get_font_size() * 30)
        imgui.text_unformatted(words.node_title(node))
        if imgui.begin_table("facts", 2, imgui.TableFlags_.sizing_fixed_fit):
            for name, value in words.node_facts(node, layer["seconds"], reads, readers):
                imgui.table_next_column()
                imgui.text_disabled(name)
                imgui.table_next_column()
                imgui.text_unformatted(value)
            imgui.end_table()
        if node["bytes"] is not None and node["node"] is not None:
            imgui.text_disabled(words.BYTES_FORMULA)
        imgui.text_disabled(
            "Click: choose it. Double click: its next execution in the timeline."
            if node["node"] is not None
            else "Click: choose it."
        )
        imgui.pop_text_wrap_pos()
        imgui.end_tooltip()

    def _legend(self, painted: Painted) -> None:
        lines = imgui.get_window_draw_list()
        at, height = imgui.get_cursor_screen_pos(), imgui.get_text_line_height()
        if painted.is_scale:
            (cold, low), (hot, high) = painted.legend
            imgui.text_disabled(low)
            imgui.same_line()
            at, width = imgui.get_cursor_screen_pos(), 8 * imgui.get_font_size()
            left, right = packed(cold), packed(hot)
            box = (at.x, at.y + 0.2 * height), (at.x + width, at.y + 0.85 * height)
            lines.add_rect_filled_multi_color(*box, left, right, right, left)
            lines.add_rect(*box, packed(self.space.theme.line))
            imgui.dummy((width, height))
            imgui.same_line()
            imgui.text_disabled(high)
            draw.hint(
                "Of the nodes that are computed in this layer, the one with most is hottest: its mean over all "
                "executions."
                if self.measure == TIME
                else words.BYTES_FORMULA
            )
        else:
            for number, (colour, name) in enumerate(painted.legend):
                if number:
                    imgui.same_line(0, imgui.get_font_size())
                at = imgui.get_cursor_screen_pos()
                lines.add_rect_filled(
                    (at.x, at.y + 0.2 * height), (at.x + 0.65 * height, at.y + 0.85 * height), packed(colour)
                )
                imgui.dummy((0.65 * height, height))
                imgui.same_line()
                imgui.push_style_color(imgui.Col_.text, vec4(self.space.theme.faint))
                imgui.text_unformatted(name)
                imgui.pop_style_color()
        imgui.same_line(0, 2 * imgui.get_font_size())
        more = "grey: from outside the layer · arrows and Enter choose, F fits, Esc goes back"
        if imgui.calc_text_size(more).x < imgui.get_content_region_avail().x:
            imgui.text_disabled(more)
        else:
            imgui.new_line()

    def _keys(self, layers: list[dict[str, Any]], opened: int | None, is_single: bool) -> None:
        """Esc leads out by one level: from the node to the layer, from that to all layers."""
        focused = imgui.is_window_focused(imgui.FocusedFlags_.root_and_child_windows)
        if (
            focused
            and not self._was_focused
            and not imgui.is_window_hovered(imgui.HoveredFlags_.root_and_child_windows)
        ):
            self._entering = True  # by its tab or a key, not by a click on a part of it
        # What closes a popup is not for us.
        ours = focused and self._was_focused and not imgui.get_io().want_text_input
        self._was_focused = focused
        if not ours or opened is None or not imgui.is_key_pressed(imgui.Key.escape, False):
            return
        if self.space.chosen is not None:
            self.space.choose(None)
            self._own = self._followed = None
        elif not is_single:
            self.is_open, self._entering = False, True
            self._column.go_to(opened)
