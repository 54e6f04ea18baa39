"""All that is known of the chosen node: what it is, what it reads, where it lies, what it took."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from imgui_bundle import imgui

from ggml_viz.desktop import draw
from ggml_viz.desktop.graph.going import Going
from ggml_viz.desktop.panel import Panel, Rows
from ggml_viz.desktop.tensor import words
from ggml_viz.desktop.theme import packed, vec4
from ggml_viz.desktop.workspace import Chosen, Workspace
from ggml_viz.numbers import duration, percent
from ggml_viz.sources.source import Source
from ggml_viz.views.timeline import FIRST_WORKER, LANES_PER_PROCESS

_LIVE_S = 1.0
# A tensor may be read by any number of others.
_MOST_SHOWN = 12


class Tensor(Panel):
    """The inspector."""

    title = "Tensor"
    place = "right"

    def __init__(self, space: Workspace) -> None:
        super().__init__(space)
        self._details = space.question()
        self._span = space.question()
        self._going = Going(space)

    def draw(self) -> None:
        """Draws it."""
        space, source = self.space, self.space.source
        assert source is not None
        self._going.look()
        chosen = space.chosen
        if chosen is None:
            imgui.text("No node is chosen")
            imgui.text_wrapped("Click a node in the timeline or in the graph, and all that is known of it is here.")
            return
        of = (chosen.process, chosen.graph, chosen.node)
        answer = self._details.ask((of, space.moment(_LIVE_S)), lambda: (of, source.tensor(*of)))
        span = self._ask_span(source, chosen)
        if draw.refusal(space, self._details):
            return
        if answer is None or answer[0] != of:
            draw.waiting()
            return
        details = answer[1]
        self._head(details)
        self._facts("what", words.what(details))
        self._buttons(details, chosen)
        self._others("sources", "reads", details["sources"], 0, details)
        self._others("users", "is read by", details["users"], details["more_users"], details)
        draw.heading("Memory")
        self._facts("memory", words.memory(details))
        if details["computed"]:
            draw.heading("All executions")
            self._facts("times", words.times(details))
            draw.heading("This execution")
            self._execution(chosen, span)

    def rows(self) -> Rows | None:
        """All that is known, unrounded: names and values."""
        answer = self._details.answer
        if self.space.chosen is None or answer is None:
            return None
        return Rows(["field", "value"], [[name, value] for name, value in words.flat(answer[1])])

    def _ask_span(self, source: Source, chosen: Chosen) -> dict[str, Any] | None:
        """What is known of the chosen execution; None: none is chosen, or it is on its way."""
        run, begin_s = chosen.run, chosen.begin_s
        if run is None or begin_s is None:
            return None
        lane = chosen.lane
        if lane is None or lane % LANES_PER_PROCESS < FIRST_WORKER:
            lane = chosen.process * LANES_PER_PROCESS + FIRST_WORKER
        key = (chosen.process, run, chosen.node)
        answer = self._span.ask(key, lambda: (key, source.span(lane, run, chosen.node, begin_s)))
        return answer[1] if answer is not None and answer[0] == key else None

    def _head(self, details: dict[str, Any]) -> None:
        theme = self.space.theme
        if details["computed"]:
            at, height = imgui.get_cursor_screen_pos(), imgui.get_text_line_height()
            radius = height * 0.3
            colour = packed(theme.kinds[details["kind"]])
            imgui.get_window_draw_list().add_circle_filled((at.x + radius, at.y + height / 2), radius, colour)
            imgui.dummy((2 * radius, height))
            imgui.same_line()
        imgui.push_text_wrap_pos(0.0)
        imgui.text_unformatted(words.title(details))
        imgui.text_disabled(details["name"] or "without a name")
        imgui.pop_text_wrap_pos()

    def _facts(self, name: str, facts: list[words.Fact]) -> None:
        if not facts or not imgui.begin_table(name, 2, imgui.TableFlags_.sizing_fixed_fit):
            return
        imgui.table_setup_column("name", imgui.TableColumnFlags_.width_fixed, 6.5 * imgui.get_font_size())
        imgui.table_setup_column("value", imgui.TableColumnFlags_.width_stretch)
        for fact in facts:
            imgui.table_next_column()
            imgui.text_disabled(fact.name)
            draw.hint(fact.hint)
            imgui.table_next_column()
            imgui.push_text_wrap_pos(0.0)
            imgui.text_unformatted(fact.value)
            draw.hint(fact.hint)
            if fact.more:
                imgui.text_disabled(fact.more)
                draw.hint(fact.hint)
            imgui.pop_text_wrap_pos()
        imgui.end_table()

    def _buttons(self, details: dict[str, Any], chosen: Chosen) -> None:
        if details["computed"]:
            if imgui.button("Show in the timeline" if chosen.run is None else "Next in the timeline"):
                self._going.go(replace(chosen, node=details["node"]))
            draw.hint("Goes to its next execution.")
            self._same_line_if_room("Show in the graph")
        if imgui.button("Show in the graph"):
            self.space.to_front.append("Graph")
        draw.hint("Its layer is opened there.")

    def _others(self, name: str, title: str, rows: list[dict[str, Any]], more: int, details: dict[str, Any]) -> None:
        if not rows:
            return
        draw.heading(title)
        imgui.push_id(name)
        for number, row in enumerate(rows[:_MOST_SHOWN]):
            if imgui.text_link(f"{row['name'] or row['op']}##{number}"):
                self.space.choose(Chosen(details["process"], details["graph"], row["node"]))
            op = "" if row["op"] == "NONE" else f"{row['op']} "
            self._beside(f"{op}{row['type']} {row['shape']}")
        left = max(len(rows) - _MOST_SHOWN, 0) + more
        if left:
            imgui.text_disabled(f"and {left} more")
            draw.hint("\n".join(row["name"] or row["op"] for row in rows[_MOST_SHOWN:]))
        imgui.pop_id()

    def _beside(self, text: str) -> None:
        """What explains the last item, beneath it where there is no room beside it."""
        if self._same_line_if_room(text):
            imgui.text_disabled(text)
            return
        imgui.indent()
        imgui.text_disabled(text)
        imgui.unindent()

    def _same_line_if_room(self, text: str) -> bool:
        style = imgui.get_style()
        right = imgui.get_item_rect_max().x + style.item_spacing.x + 2 * style.frame_padding.x
        edge = imgui.get_cursor_screen_pos().x + imgui.get_content_region_avail().x
        has_room = right + imgui.calc_text_size(text).x <= edge
        if has_room:
            imgui.same_line()
        return bool(has_room)

    def _execution(self, chosen: Chosen, span: dict[str, Any] | None) -> None:
        if chosen.run is None:
            imgui.text_disabled("None is chosen: click one in the timeline.")
            return
        if self._span.error is not None:
            draw.refusal(self.space, self._span)
            return
        if span is None:
            draw.waiting()
            return
        self._facts("execution", words.execution(span))
        self._workers(span)

    def _workers(self, span: dict[str, Any]) -> None:
        workers = span["workers"]
        if not workers or not imgui.begin_table("workers", 4, imgui.TableFlags_.sizing_fixed_fit):
            return
        theme = self.space.theme
        imgui.table_setup_column("worker")
        imgui.table_setup_column("work")
        imgui.table_setup_column("wait")
        imgui.table_setup_column("##bar", imgui.TableColumnFlags_.width_stretch)
        imgui.table_headers_row()
        longest = max(max(words.worked(worker) for worker in workers), 1e-12)
        work, wait = packed(theme.kinds[span["kind"]]), packed(theme.waits[span["kind"]])
        for worker in workers:
            all_s = words.worked(worker)
            waits = (worker["inner_s"] + worker["wait_s"]) / all_s if all_s else 0.0
            imgui.table_next_row()
            draw.cell(str(worker["worker"]))
            draw.number(duration(worker["work_s"]))
            draw.number(duration(worker["inner_s"] + worker["wait_s"]))
            imgui.table_next_column()
            draw.bar(all_s / longest, waits, work, wait, percent(waits))
            draw.hint("Strong: work; pale: waiting at barriers inside the node and at its end, whose share is written.")
        imgui.end_table()
        if len(workers) < 2:
            return
        imgui.push_style_color(imgui.Col_.text, vec4(theme.faint))
        imgui.text_wrapped("Work strong, waiting pale; the share is that of waiting.")
        imgui.pop_style_color()
