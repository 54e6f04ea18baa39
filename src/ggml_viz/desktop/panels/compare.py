"""What changed from one recording to another, and what explains it."""

from __future__ import annotations

from typing import Any

from imgui_bundle import imgui

from ggml_viz.desktop import draw
from ggml_viz.desktop.compare import words
from ggml_viz.desktop.panel import Panel, Rows
from ggml_viz.desktop.theme import packed, vec4
from ggml_viz.desktop.workspace import Workspace
from ggml_viz.model.kinds import kind_index
from ggml_viz.model.phases import PHASES
from ggml_viz.numbers import plural
from ggml_viz.sources.source import Source

_FEW = 12
# With less room, what hints say too is left out.
_WIDE_EM = 56
_BY = {"operations": "op and role", "ops": "op", "roles": "role"}


class Compare(Panel):
    """Two sources, before and after.

    Attributes:
        by: What rows are of: a key of _BY.
    """

    title = "Compare"
    place = "main"

    def __init__(self, space: Workspace) -> None:
        super().__init__(space)
        self._diff = space.question()
        self._source: Source | None = None
        self._source_is_before: bool | None = None
        self._again = 0
        self._phase: str | None = None
        self._all = False
        self._shown: tuple[Any, list[words.Row]] = (None, [])
        self.by = "operations"

    def draw(self) -> None:
        """Draws it."""
        space, source = self.space, self.space.source
        assert source is not None
        others = [each for each in space.sources if each is not source]
        if not others:
            self._only_one()
            return
        self._choose_other(source, others)
        before, after = self._pair(source)
        self._choosers(before, after)
        if before is after:
            imgui.text("Both are the same")
            imgui.text_wrapped(f"Choose another one to compare {_name(before)} with.")
            return
        states = [each.describe()["state"] for each in (before, after)]
        if "loading" in states or "idle" in states:
            for each in (before, after):
                if each.describe()["state"] == "idle":
                    each.opened()
            imgui.text_disabled("Comparing…")
            return
        key = (before.id, after.id, self._again)
        answer = self._diff.ask(key, lambda: (key, space.catalog.compare(before.id, after.id)))
        if self._diff.error is not None and not self._diff.is_pending:
            imgui.text("These two cannot be compared")
            draw.refusal(space, self._diff)
            return
        if answer is None or answer[0] != key:
            imgui.text_disabled("Comparing…")
            return
        if imgui.begin_child("compared"):
            self._answer(answer[1])
        imgui.end_child()

    def rows(self) -> Rows | None:
        """What explains the change of the shown phase."""
        answer = self._diff.answer
        if answer is None:
            return None
        columns = ["phase", "name", "verdict", "a_s", "b_s", "share", "ratio", "ratio_low", "ratio_high"]
        shown = words.shown_phase(answer[1], self._phase)
        found = words.rows_of(answer[1], shown, self.by) if shown is not None else []
        ends = ("ratio", "ratio_low", "ratio_high")
        return Rows(
            columns,
            [
                [
                    *(shown["phase"] if shown else "", row.name, row.verdict, row.a_s, row.b_s, row.share),
                    *(row.change[end] if row.change else None for end in ends),
                ]
                for row in found
            ],
        )

    # --- which two ---

    def _only_one(self) -> None:
        imgui.text("There is only one source here")
        imgui.text_wrapped(
            "Two recordings are needed: one from before a change, one from after it. Open another trace: with the menu "
            "File, by dropping it on the window, or both at once:"
        )
        _command("ggml-viz view before.ggmlviz after.ggmlviz")
        imgui.text_wrapped("Differences between two runs are known best from several recordings of each, made in turn:")
        _command("ggml-viz diff --a before/*.ggmlviz --b after/*.ggmlviz")

    def _choose_other(self, source: Source, others: list[Source]) -> None:
        """What the shown one is compared with, as long as nobody chose: what began earlier is taken for before."""
        space = self.space
        if space.other is source and self._source in others:
            # What was compared with it is shown now: the two stay, each where it was.
            space.other = self._source
            if self._source_is_before is not None:
                self._source_is_before = not self._source_is_before
        self._source = source
        if space.other not in space.sources:
            space.other, self._source_is_before = None, None
        if space.other is None:
            alike = [each for each in others if each.is_live == source.is_live]
            space.other = (alike or others)[0]
        if self._source_is_before is None:
            began, other = source.describe()["started"], space.other.describe()["started"]
            if not began or not other:
                return
            self._source_is_before = not other <= began

    def _pair(self, source: Source) -> tuple[Source, Source]:
        other = self.space.other
        assert other is not None
        return (source, other) if self._source_is_before else (other, source)

    def _choosers(self, before: Source, after: Source) -> None:
        em = imgui.get_font_size()
        width = min(20 * em, max((imgui.get_content_region_avail().x - 18 * em) / 2, 6 * em))
        self._chooser("before", before, width)
        imgui.same_line()
        if imgui.button("Swap"):
            self._source_is_before = not self._source_is_before
        draw.hint("Swaps before and after.")
        imgui.same_line()
        self._chooser("after", after, width)
        if any(each.is_live for each in (before, after)):
            imgui.same_line()
            if imgui.button("Compare again"):
                self._again += 1
            draw.hint("A process goes on: what is compared is what was kept of it when that was asked for.")

    def _chooser(self, label: str, current: Source, width: float) -> None:
        imgui.align_text_to_frame_padding()
        imgui.text_disabled(label)
        imgui.same_line()
        imgui.set_next_item_width(width)
        if not imgui.begin_combo(f"##{label}", _name(current)):
            draw.hint(str(current.describe()["command"]))
            return
        for each in self.space.sources:
            described = each.describe()
            is_failed = described["state"] == "failed"
            flags = imgui.SelectableFlags_.disabled if is_failed else 0
            if imgui.selectable(f"{described['name']}##{each.id}", each is current, flags)[0]:
                self._take(current, each)
        imgui.separator()
        imgui.text_disabled("Open another trace: File, or drop it on the window")
        imgui.end_combo()

    def _take(self, current: Source, chosen: Source) -> None:
        """Has another one in the place of one of the two. Of these, that which is shown is shown everywhere."""
        if chosen is current:
            return
        if current is self.space.source:
            self._source = chosen
            self.space.show(chosen)
        else:
            self.space.other = chosen

    # --- what came out ---

    def _answer(self, diff: dict[str, Any]) -> None:
        self._sides(diff)
        self._phases(diff)
        imgui.push_text_wrap_pos(0.0)
        for note in diff["notes"]:
            imgui.bullet()
            imgui.text_unformatted(note)
        imgui.pop_text_wrap_pos()
        if not diff["findings"]:
            imgui.text_disabled("Nothing in them differs by more than chance and 1 %.")
        phase = words.shown_phase(diff, self._phase)
        if phase is not None:
            self._explained(diff, phase)

    def _sides(self, diff: dict[str, Any]) -> None:
        if not imgui.begin_table("sides", 2, imgui.TableFlags_.sizing_fixed_fit):
            return
        for name, side in (("before", diff["a"]), ("after", diff["b"])):
            imgui.table_next_column()
            imgui.text_disabled(name)
            imgui.table_next_column()
            imgui.text_unformatted(words.side(side))
            draw.hint("\n".join(side["commands"] + side["files"]))
        imgui.end_table()

    def _phases(self, diff: dict[str, Any]) -> None:
        theme = self.space.theme
        flags = imgui.TableFlags_.row_bg | imgui.TableFlags_.sizing_fixed_fit
        if not imgui.begin_table("phases", 8, flags):
            return
        hints = {
            "change": "Of what is done in a second.",
            "95 %": "Where the change lies, but for one case in twenty.",
            "p": "How often chance alone would make such a difference.",
        }
        columns = ("phase", "##verdict", "before", "after", "##unit", "change", "95 %", "p")
        _header(columns, hints)
        for row in diff["phases"]:
            imgui.table_next_row()
            draw.cell(row["phase"], theme.phases[PHASES.index(row["phase"])])
            self._verdict(row["verdict"])
            for end in ("a", "b"):
                rate = row[f"{end}_per_second"]
                draw.number(words.rate(rate) if rate is not None else "")
                if row[f"{end}_s"] is not None:
                    draw.hint(f"{words.time(row[f'{end}_s'])} a {row['per']}, mean")
            imgui.table_next_column()
            imgui.text_disabled("graphs/s" if row["per"] == "graph" else "t/s")
            draw.number(words.signed(1 / row["ratio"] - 1) if row["ratio"] else "")
            draw.number(words.interval(row))
            draw.number(words.chance(row["p_corrected"]))
        imgui.end_table()

    def _explained(self, diff: dict[str, Any], phase: dict[str, Any]) -> None:
        draw.heading(words.phase_title(phase))
        phases = [row["phase"] for row in diff["phases"] if row["ratio"] is not None]
        imgui.push_style_var(imgui.StyleVar_.frame_border_size, 1.0)
        if len(phases) > 1:
            for name in phases:
                if imgui.radio_button(name, name == phase["phase"]):
                    self._phase = name
                imgui.same_line()
            imgui.text_disabled("·")
            imgui.same_line()
        imgui.text_disabled("by")
        for by, name in _BY.items():
            imgui.same_line()
            if imgui.radio_button(f"{name}##by", by == self.by):
                self.by = by
        imgui.pop_style_var()
        rows = self._rows(diff, phase)
        largest = max((abs(row.share) for row in rows), default=0.0) or 1e-12
        flags = imgui.TableFlags_.row_bg | imgui.TableFlags_.sizing_fixed_fit
        is_narrow = imgui.get_content_region_avail().x < _WIDE_EM * imgui.get_font_size()
        if imgui.begin_table("explained", 7, flags):
            names = ("what explains it", "##drawn", "change", "before", "after", "ratio", "##verdict")
            hints = {
                "change": f"Of the time of a {phase['per']} before.",
                "before": f"Time of a {phase['per']}, mean.",
                "after": f"Time of a {phase['per']}, mean.",
                "ratio": "Of medians, with the 95 % interval.",
            }
            _header(names, hints, stretched="##drawn")
            for row in rows if self._all else rows[:_FEW]:
                self._row(row, largest, is_narrow)
            imgui.end_table()
        if len(rows) > _FEW and imgui.small_button("Fewer" if self._all else plural(len(rows) - _FEW, "more", "more")):
            self._all = not self._all
        imgui.push_style_color(imgui.Col_.text, vec4(self.space.theme.faint))
        samples = "files" if diff["unit"] == "file" else "executions"
        imgui.text_wrapped(
            f"Changes add up to that of a {phase['per']}, by mean times; ratios are of medians. What differs by less "
            f"than 1 %, or no more than chance explains, cannot be told apart. Samples are {samples}."
        )
        imgui.pop_style_color()

    def _rows(self, diff: dict[str, Any], phase: dict[str, Any]) -> list[words.Row]:
        key = (id(diff), phase["phase"], self.by)
        if self._shown[0] != key:
            self._shown = key, words.rows_of(diff, phase, self.by)
        return self._shown[1]

    def _row(self, row: words.Row, largest: float, is_narrow: bool) -> None:
        theme = self.space.theme
        is_same = row.verdict == "same"
        imgui.table_next_row()
        imgui.table_next_column()
        imgui.push_style_color(imgui.Col_.text, vec4(theme.faint if is_same else theme.ink))
        imgui.text_unformatted(row.name)
        imgui.pop_style_color()
        if row.change is not None:
            draw.hint(words.row_hint(row.change))
        imgui.table_next_column()
        self._delta(row.share / largest, theme.kinds[kind_index(row.op)] if row.op else theme.faint)
        draw.number(words.signed(row.share))
        draw.number(words.time(row.a_s))
        draw.number(words.time(row.b_s))
        imgui.table_next_column()
        if row.change is not None:
            imgui.text_unformatted(words.ratio(row.change, with_interval=not is_narrow))
            draw.hint(words.row_hint(row.change))
            if row.change["shapes_differ"]:
                imgui.same_line()
                imgui.text_disabled("shapes?" if is_narrow else "other shapes")
                draw.hint("Its shapes are others on the two sides, so that more than the build differs.")
        if row.change is not None:
            self._verdict(row.verdict)

    def _verdict(self, verdict: str) -> None:
        theme = self.space.theme
        imgui.table_next_column()
        colour = {"slower": theme.finding, "same": theme.faint}.get(verdict, theme.ink)
        imgui.push_style_color(imgui.Col_.text, vec4(colour))
        imgui.text_unformatted(words.VERDICTS[verdict])
        imgui.pop_style_color()

    def _delta(self, share: float, colour: tuple[int, int, int]) -> None:
        """A bar to the right for more time, to the left for less."""
        at, height = imgui.get_cursor_screen_pos(), imgui.get_text_line_height()
        room = max(imgui.get_content_region_avail().x, 1.0)
        middle, half = at.x + room / 2, min(abs(share), 1.0) * room / 2
        lines = imgui.get_window_draw_list()
        lines.add_line((middle, at.y), (middle, at.y + height), packed(self.space.theme.line))
        left, right = (middle - half, middle) if share < 0 else (middle, middle + half)
        lines.add_rect_filled(
            (left, at.y + 0.15 * height), (max(right, left + 1), at.y + 0.95 * height), packed(colour), 2.0
        )
        imgui.dummy((room, height))


def _name(source: Source) -> str:
    return source.name


def _header(columns: tuple[str, ...], hints: dict[str, str], stretched: str = "") -> None:
    for name in columns:
        flags = imgui.TableColumnFlags_.width_stretch if name == stretched else 0
        imgui.table_setup_column(name, flags)
    imgui.table_next_row(imgui.TableRowFlags_.headers)
    for number, name in enumerate(columns):
        imgui.table_set_column_index(number)
        imgui.table_header(name)
        draw.hint(hints.get(name, ""))


def _command(text: str) -> None:
    """A command to copy."""
    imgui.push_id(text)
    if imgui.small_button("Copy"):
        imgui.set_clipboard_text(text)
    imgui.pop_id()
    imgui.same_line()
    imgui.text_unformatted(text)
