"""What ran when: lanes over time, from the whole down to single nodes."""

from __future__ import annotations

import time
from typing import Any

from imgui_bundle import hello_imgui, imgui

from ggml_viz.desktop import draw
from ggml_viz.desktop.panel import Panel, Rows
from ggml_viz.desktop.theme import packed
from ggml_viz.desktop.timeline.canvas import Canvas, Over, outline
from ggml_viz.desktop.timeline.cards import column_card, range_card, span_card, took
from ggml_viz.desktop.timeline.finder import Finder
from ggml_viz.desktop.timeline.gestures import Meant, Pointer, held_keys, pressed_commands
from ggml_viz.desktop.timeline.going import Going, lane_for
from ggml_viz.desktop.timeline.lanes import NOTHING, Lane, Layout, Row, lay_out, name_of, row_at
from ggml_viz.desktop.timeline.listing import rows_of
from ggml_viz.desktop.timeline.pick import Column, Span, column_at, execution_in, span_at
from ggml_viz.desktop.timeline.plates import Plates
from ggml_viz.desktop.timeline.scene import Area, visible
from ggml_viz.desktop.timeline.stage import FOLLOWED_S, RESTING_S, Stage
from ggml_viz.desktop.timeline.toolbar import toolbar
from ggml_viz.desktop.timeline.view import View
from ggml_viz.desktop.workspace import Chosen, Workspace

# In ems.
_WIDEST_NAMES = 14.0
_AXIS = 1.7
_STRIP = 0.8
_SIDE = 27.0
_NEAR = 0.25
# A card that is asked for at once would be of each span that the pointer crosses.
_HOVER_S = 0.07
_STEP = 0.7
_MOST_OUTLINES = 32

_BUTTONS = int(imgui.ButtonFlags_.mouse_button_left | imgui.ButtonFlags_.mouse_button_middle)
_FLAGS = int(imgui.WindowFlags_.no_scroll_with_mouse | imgui.WindowFlags_.no_nav_inputs)
_HOVERED = int(imgui.HoveredFlags_.root_and_child_windows | imgui.HoveredFlags_.allow_when_blocked_by_active_item)


class Timeline(Panel):
    """Lanes over time.

    Attributes:
        stage: Which window is shown, and how it moves.
        area: Where lanes were drawn last.
        layout: Where each of them is.
        commands: What keys and buttons do, by name.
    """

    title = "Timeline"
    place = "bottom"
    picture = "timeline"

    def __init__(self, space: Workspace) -> None:
        super().__init__(space)
        self._plates = Plates(space)
        self._canvas, self._strip_canvas = Canvas(), Canvas()
        self._finder, self._going = Finder(space), Going(space)
        self._details, self._report = space.question(), space.question()
        self._pointer, self._axis_pointer = Pointer(), Pointer()
        self._collapsed: set[str] = set()
        self._source: Any = None
        self.area = Area(0.0, 1.0, 0.0, 0.0, 0.0)
        self.layout: Layout = NOTHING
        self._reset()
        self.commands = {
            "search": self._finder.focus,
            "frame": self._frame,
            "mark": self._mark,
            "next": lambda: self._step(True),
            "previous": lambda: self._step(False),
            "longest": self._longest,
            "out": self._out,
            "all": lambda: self.stage.glide(self.stage.limits, self._now),
            "begin": lambda: self.stage.to_edge(False, self._now),
            "end": self._to_end,
            "step-in": lambda: self.stage.zoom(_STEP, self._middle(), self._now),
            "step-out": lambda: self.stage.zoom(1 / _STEP, self._middle(), self._now),
            "follow": self._follow,
        }

    def _reset(self) -> None:
        self.stage = Stage()
        self._now = 0.0
        self._began = False
        self._wrote: tuple[float, float] | None = None
        self._wrote_follow = True
        self._draft: View | None = None
        self._pinned: Span | None = None
        self._pinned_chosen: Chosen | None = None
        self._hover: Span | Column | None = None
        self._hover_since = 0.0
        self._pointed: float | None = None
        self._outlined: tuple[Any, list[tuple[Row, tuple[float, float], bool]]] | None = None
        self._laid_out: Any = None
        self._gutter = 0.0
        self._scroll_to: float | None = None
        self._strip_held = False

    # --- drawing ---

    def draw(self) -> None:
        """Draws it."""
        space = self.space
        self._now = now = time.monotonic()
        self._plates.free()
        if space.source is not self._source:
            self._source = space.source
            self._plates.forget()
            self._reset()
            self._now = now
        info = self._plates.describe(now)
        if draw.refusal(space, self._plates.question):
            return
        if info is None:
            draw.waiting()
            return
        self._move(now)
        match = self._finder.field()
        toolbar(space, self.stage, self.commands)
        self._body(info.lanes)
        match = self._finder.found(self.box[3]) or match
        if match is not None:
            process = match["process"]
            self._going.to_match(match, self.stage.view.begin, lane_for(info.lanes, process, self._lane()))
        self._keys()
        self._arrive(info.lanes)
        self._tell()

    def rows(self) -> Rows | None:
        """What its tile shows of the shown window: spans one by one, or shares by kind."""
        info, plate = self._plates.info, self._plates.plate
        if info is None or plate is None:
            return None
        return rows_of(plate.tile, info.lanes, info.labels, self.stage.view)

    def _move(self, now: float) -> None:
        """Takes in how far there is something, and where others have sent it; goes on with what moves."""
        space, stage = self.space, self.stage
        stage.set_limits(View(0.0, max(space.duration_s, 1e-6)))
        if not self._began:
            self._began = True
            if space.view is not None:
                stage.jump(View(*space.view), now)
            elif space.is_live and space.follow:
                stage.follow(FOLLOWED_S)
        else:
            if space.view != self._wrote:
                stage.glide(View(*space.view) if space.view is not None else stage.limits, now)
            if space.follow != self._wrote_follow and space.is_live:
                self._follow() if space.follow else stage.stop_following()
        stage.step(now)
        plate = self._plates.plate
        is_going_on = stage.is_moving
        if stage.is_following and plate is not None:
            is_going_on |= stage.show_newest(plate.tile.latest, now - self._plates.made_at)
        if is_going_on or not stage.is_resting(now - RESTING_S):
            hello_imgui.request_refresh()

    def _tell(self) -> None:
        """Tells others what is shown."""
        stage, space = self.stage, self.space
        self._wrote = space.view = None if stage.is_whole else (stage.view.begin, stage.view.end)
        if space.is_live:
            space.follow = stage.is_following
        self._wrote_follow = space.follow

    def _body(self, lanes: list[Lane]) -> None:
        em = imgui.get_font_size()
        room = imgui.get_content_region_avail()
        # Not before the button is let go: the time beneath the pointer would move away.
        side = min(_SIDE * em, room.x * 0.4) if self.space.selected is not None else 0.0
        if room.x - side < 4 * em or room.y < 3 * em:
            return
        spacing = imgui.get_style().item_spacing.x
        top = imgui.get_cursor_screen_pos()
        if imgui.begin_child("##time", (room.x - side - (spacing if side else 0), room.y)):
            self._time(lanes)
        imgui.end_child()
        if side:
            imgui.set_cursor_screen_pos((top.x + room.x - side, top.y))
            bars = imgui.WindowFlags_.horizontal_scrollbar
            if imgui.begin_child("##range", (side, room.y), imgui.ChildFlags_.borders, bars):
                self._range()
            imgui.end_child()

    def _time(self, lanes: list[Lane]) -> None:
        em = imgui.get_font_size()
        room = imgui.get_content_region_avail()
        at = imgui.get_cursor_screen_pos()
        above = round((_AXIS + _STRIP) * em)
        self._lay_out(lanes, room.y - above)
        bar = imgui.get_style().scrollbar_size if self.layout.height > room.y - above else 0.0
        left, right = at.x + self._gutter, at.x + room.x - bar
        if right - left < 2 * em:
            return
        self._axis((left, at.y, right, at.y + above))
        imgui.set_cursor_screen_pos((at.x, at.y + above))
        if imgui.begin_child("##lanes", (room.x, room.y - above), 0, _FLAGS):
            self._lanes(lanes, left, right)
        imgui.end_child()
        self._above_all((left, at.y + round(_STRIP * em), right, at.y + above))

    def _lay_out(self, lanes: list[Lane], height: float) -> None:
        line = imgui.get_text_line_height()
        key = (tuple(lanes), frozenset(self._collapsed), height, line)
        if key == self._laid_out:
            return
        self._laid_out = key
        self.layout = lay_out(lanes, self._collapsed, height, line)
        texts = [name_of(lane, lanes) for lane in lanes] + [f"  {each.name}" for each in self.layout.headings]
        widest = max((imgui.calc_text_size(text).x for text in texts), default=0.0)
        self._names = {lane.id: name_of(lane, lanes) for lane in lanes}
        self._gutter = min(widest + line, _WIDEST_NAMES * line)

    def _lanes(self, lanes: list[Lane], left: float, right: float) -> None:
        space, stage, layout = self.space, self.stage, self.layout
        info, lines = self._plates.info, imgui.get_window_draw_list()
        assert info is not None
        window, size = imgui.get_window_pos(), imgui.get_window_size()
        at = imgui.get_cursor_screen_pos()
        if self._scroll_to is not None:
            imgui.set_scroll_y(self._scroll_to)
            self._scroll_to = None
        self.area = area = Area(left, right, at.y, window.y, window.y + size.y)
        shown = visible(layout.rows, area)
        self._plates.need(stage, layout.rows, shown, round(right - left), self._now)
        self._headings(lines, at.x, left)
        imgui.set_cursor_screen_pos((left, at.y))
        imgui.invisible_button("##canvas", (right - left, max(layout.height, size.y)), _BUTTONS)
        hovered = imgui.is_item_hovered() and not self._finder_covers()
        meant = self._pointer.use(stage, left, right - left, self._now) if not self._finder_covers() else Meant()
        if meant.scrolled:
            imgui.set_scroll_y(imgui.get_scroll_y() + meant.scrolled)
        mouse = imgui.get_mouse_pos()
        self._pointed = stage.view.to_time(mouse.x - left, right - left) if hovered else None
        self._names_beside(lines, shown, at.x, left)
        lines.push_clip_rect((left, window.y), (right, window.y + size.y), True)
        plates = self._plates.plate, self._plates.whole
        self._canvas.lanes(lines, plates, shown, info.labels, stage.view, area, space.theme, self._plates.texture)
        box = (left, window.y, right, window.y + size.y)
        self._canvas.draw_over(lines, self._over(), stage.view, box, space.theme, flags=False)
        self._hover_over(mouse.y - at.y if hovered and not self._pointer.is_busy else None)
        for row, span, strong in self._outlines(shown):
            outline(lines, row, span, stage.view, area, space.theme, strong)
        lines.pop_clip_rect()
        self._do(meant)

    def _headings(self, lines: Any, left: float, right: float) -> None:
        theme, em = self.space.theme, imgui.get_font_size()
        for heading in self.layout.headings:
            y = self.area.top + heading.y
            imgui.set_cursor_screen_pos((left, y))
            if imgui.invisible_button(f"##group {heading.key}", (max(right - left, 1.0), heading.height)):
                self._collapsed ^= {heading.key}
            ink = packed(theme.ink if imgui.is_item_hovered() else theme.faint)
            side, middle = em * 0.3, y + heading.height / 2
            if heading.collapsed:
                corners = (left, middle - side), (left + side, middle), (left, middle + side)
            else:
                corners = (
                    (left, middle - side / 2),
                    (left + 2 * side, middle - side / 2),
                    (left + side, middle + side / 2),
                )
            lines.add_triangle_filled(*corners, ink)
            lines.add_text((left + em, middle - em / 2), ink, heading.name)

    def _names_beside(self, lines: Any, shown: list[Row], left: float, right: float) -> None:
        em, ink = imgui.get_font_size(), packed(self.space.theme.ink)
        lines.push_clip_rect((left, self.area.highest), (right - em / 4, self.area.lowest), True)
        for row in shown:
            if not row.small:
                lines.add_text(
                    (left, round(self.area.top + row.y + (row.height - em) / 2)), ink, self._names[row.lane.id]
                )
        lines.pop_clip_rect()

    def _axis(self, box: tuple[float, float, float, float]) -> None:
        """The strip that shows where in the whole the view is, and beneath it the axis."""
        left, top, right, bottom = box
        stage, theme, em = self.stage, self.space.theme, imgui.get_font_size()
        lines = imgui.get_window_draw_list()
        middle = top + round(_STRIP * em)
        imgui.set_cursor_screen_pos((left, top))
        imgui.invisible_button("##strip", (right - left, middle - top))
        if imgui.is_item_active():
            at = stage.limits.to_time(imgui.get_mouse_pos().x - left, right - left)
            stage.stop_following()
            half = stage.view.width / 2
            stage.jump(View(at - half, at + half), self._now)
        self._strip((left, top, right, middle - 2), lines)
        imgui.set_cursor_screen_pos((left, middle))
        imgui.invisible_button("##axis", (right - left, bottom - middle), _BUTTONS)
        meant = self._axis_pointer.use(stage, left, right - left, self._now)
        self._do(Meant(selecting=meant.selecting, selected=meant.selected))
        self._canvas.draw_axis(lines, stage.view, (left, middle, right, bottom), theme)

    def _strip(self, box: tuple[float, float, float, float], lines: Any) -> None:
        left, top, right, bottom = box
        stage, theme, info = self.stage, self.space.theme, self._plates.info
        whole = self._plates.whole
        phases = next((row for row in self.layout.rows if row.lane.group == "phases"), None)
        lines.add_rect_filled((left, top), (right, bottom), packed(theme.mixed(theme.line, 0.25)))
        if phases is not None and whole is not None and info is not None:
            row = Row(phases.lane, 0.0, bottom - top, True)
            area = Area(left, right, top, top, bottom)
            self._strip_canvas.lanes(
                lines, (None, whole), [row], info.labels, stage.limits, area, theme, self._plates.texture, grid=False
            )
        begin, end = (left + stage.limits.to_x(at, right - left) for at in stage.view)
        begin, end = max(begin, left), min(end, right)
        if end - begin < 4:
            begin = min(begin, right - 4)
            end = begin + 4
        # What is not in view is covered, so that the view stands out whatever its colour.
        cover = packed(theme.background, 165)
        lines.add_rect_filled((left, top), (begin, bottom), cover)
        lines.add_rect_filled((end, top), (right, bottom), cover)
        lines.add_rect((begin, top), (end, bottom), packed(theme.ink))

    def _over(self) -> Over:
        space = self.space
        selection = self._draft or (View(*space.selected) if space.selected is not None else None)
        return Over(selection, space.bookmarks, self._pointed)

    def _above_all(self, box: tuple[float, float, float, float]) -> None:
        lines = imgui.get_window_draw_list()
        lines.push_clip_rect(box[:2], box[2:], True)
        self._canvas.draw_over(lines, self._over(), self.stage.view, box, self.space.theme, flags=True)
        lines.pop_clip_rect()

    # --- pointing ---

    def _do(self, meant: Meant) -> None:
        self._draft = meant.selecting or (None if not meant.selected else self._draft)
        if meant.selected is not None:
            self._draft = None
            self.space.selected = meant.selected.begin, meant.selected.end
        if meant.clicked and isinstance(self._hover, Span):
            self._pin(self._hover)
        if meant.framed and isinstance(self._hover, Span):
            self.stage.frame(self._hover.view, self._now)

    def _pin(self, span: Span) -> None:
        self._pinned, self._pinned_chosen = span, self.space.chosen
        if span.lane.group == "ops":
            self._going.choose(span)
        elif span.lane.group == "graphs" and span.node:
            self.space.graph = span.lane.process, span.node

    def _hover_over(self, y: float | None) -> None:
        """Finds what the pointer is at, and shows the card of it."""
        space, stage, plates, at = self.space, self.stage, self._plates, self._pointed
        # While it moves, a card would tell of something else each frame.
        is_still = (stage.is_following or stage.is_resting(self._now)) and not imgui.get_io().want_text_input
        row = row_at(self.layout, y, imgui.get_text_line_height()) if y is not None and is_still else None
        found: Span | Column | None = None
        if row is not None and at is not None:
            pixel = stage.view.width / (self.area.right - self.area.left)
            for plate in (plates.plate, plates.whole):
                if found is None and plate is not None and plate.tile.view.begin <= at <= plate.tile.view.end:
                    near = _NEAR * imgui.get_font_size() * pixel
                    found = span_at(plate.tile, row.lane, at, near) or column_at(plate.tile, row.lane, at, pixel)
        before, self._hover = self._hover, found
        if not isinstance(found, Span):
            if isinstance(found, Column):
                imgui.begin_tooltip()
                column_card(space, found, stage.view)
                imgui.end_tooltip()
            return
        key = found.lane.id, found.run, found.node, round(found.begin, 8)
        if not isinstance(before, Span) or before[0:1] + before[4:] != found[0:1] + found[4:]:
            self._hover_since = self._now
        source, info = space.source, plates.info
        if source is None or info is None:
            return
        details = self._details.answer if self._details.key == key else None
        if details is None and self._now - self._hover_since >= _HOVER_S:
            self._details.ask(key, lambda: source.span(found.lane.id, found.run, found.node, found.begin))
        elif details is None:
            hello_imgui.request_refresh()
        label = info.labels.texts[found.label] if found.label < len(info.labels) else "?"
        imgui.begin_tooltip()
        span_card(space, found, label, details, stage.view)
        imgui.end_tooltip()

    def _outlines(self, shown: list[Row]) -> list[tuple[Row, tuple[float, float], bool]]:
        """Which spans have a frame: that under the pointer, and those of the chosen node."""
        chosen, plate = self.space.chosen, self._plates.plate
        if self._pinned is not None and chosen is not self._pinned_chosen:
            # The node that was clicked is known by now, or another was chosen elsewhere.
            self._pinned = None
        found: list[tuple[Row, tuple[float, float], bool]] = []
        if isinstance(self._hover, Span):
            found += [(row, self._hover[1:3], False) for row in shown if row.lane.id == self._hover.lane.id]
        if self._pinned is not None:
            found += [(row, self._pinned[1:3], True) for row in shown if row.lane.id == self._pinned.lane.id]
        if chosen is not None and chosen.run is not None and plate is not None:
            key = chosen, plate, tuple(shown)
            if self._outlined is None or any(a is not b for a, b in zip(key[:2], self._outlined[0], strict=True)):
                rows = [row for row in shown if row.lane.group == "ops" and row.lane.process == chosen.process]
                spans = [(row, execution_in(plate.tile, row.lane, chosen.run, chosen.node)) for row in rows]
                mine = [(row, span[1:3], row.lane.id == chosen.lane) for row, span in spans if span is not None]
                self._outlined = key[:2], mine[:_MOST_OUTLINES]
            ids = {row.lane.id: row for row in shown}
            found += [(ids[row.lane.id], span, strong) for row, span, strong in self._outlined[1] if row.lane.id in ids]
        return found

    def _finder_covers(self) -> bool:
        return self._finder.is_hovered

    # --- the selected range ---

    def _range(self) -> None:
        space, source = self.space, self.space.source
        shown = self._draft or (View(*space.selected) if space.selected is not None else None)
        if shown is None or source is None:
            return
        right = imgui.get_cursor_pos_x() + imgui.get_content_region_avail().x
        imgui.set_cursor_pos_x(right - imgui.calc_text_size("show all").x - imgui.get_font_size() / 2)
        if imgui.small_button("show all"):
            space.selected = None
        imgui.set_cursor_pos_y(imgui.get_style().window_padding.y)
        if self._draft is not None:
            imgui.text_unformatted(f"{took(shown.width)} selected")
            imgui.text_disabled("Let go for its statistics.")
            return
        begin, end = shown
        key = (begin, end), space.moment(2.0)
        report = self._report.ask(key, lambda: source.report(begin, end))
        if draw.refusal(space, self._report):
            return
        known = self._report.key is not None and self._report.key[0] == (begin, end)  # type: ignore[index]
        range_card(space, report if known else None, shown, self.stage.view)

    # --- keys and buttons ---

    def _keys(self) -> None:
        focused = imgui.is_window_focused(imgui.FocusedFlags_.root_and_child_windows)
        is_meant = (imgui.is_window_hovered(_HOVERED) or focused) and not imgui.get_io().want_text_input
        io = imgui.get_io()
        panning, zooming = held_keys() if is_meant and not (io.key_ctrl or io.key_alt or io.key_super) else (0, 0)
        if panning or zooming or self.stage.is_moving:
            self.stage.held(panning, zooming, self._middle(), io.delta_time, self._now)
            hello_imgui.request_refresh()
        if is_meant:
            for name in pressed_commands():
                self.commands[name]()

    def _middle(self) -> float:
        """Zooming by keys goes where the pointer is, else to the middle."""
        view = self.stage.view
        return self._pointed if self._pointed is not None else (view.begin + view.end) / 2

    def _current(self) -> Chosen | Span | None:
        """The node that next and previous are of."""
        if self.space.chosen is not None:
            return self.space.chosen
        hover = self._hover
        return hover if isinstance(hover, Span) and hover.lane.group == "ops" else None

    def _lane(self) -> int | None:
        return self.space.chosen.lane if self.space.chosen is not None else None

    def _step(self, forward: bool) -> None:
        current = self._current()
        if current is None:
            self.space.say("Choose a node first: click one, or search.")
        else:
            self._going.step(current, forward)

    def _longest(self) -> None:
        current = self._current()
        if current is None:
            self.space.say("Choose a node first: click one, or search.")
        else:
            self._going.longest(current)

    def _arrive(self, lanes: list[Lane]) -> None:
        arrival = self._going.arrived()
        if arrival is None:
            return
        chosen = arrival.chosen
        lane = lane_for(lanes, chosen.process, chosen.lane)
        self.space.choose(Chosen(chosen.process, chosen.graph, chosen.node, chosen.run, chosen.begin_s, lane))
        if arrival.view is not None:
            self.stage.bring(arrival.view, self._now)
            self._reveal(lane)

    def _reveal(self, lane: int | None) -> None:
        """Scrolls the lanes as little as it takes to show one."""
        row = next((row for row in self.layout.rows if row.lane.id == lane), None)
        if row is None:
            return
        scroll, height = self.area.highest - self.area.top, self.area.lowest - self.area.highest
        if row.y < scroll:
            self._scroll_to = row.y - 4
        elif row.y + row.height > scroll + height:
            self._scroll_to = row.y + row.height + 4 - height

    def _frame(self) -> None:
        wanted = View(*self.space.selected) if self.space.selected is not None else None
        if wanted is None and self._pinned is not None:
            wanted = self._pinned.view
        if wanted is None and self._outlined is not None and self._outlined[1] and self.space.chosen is not None:
            wanted = View(*self._outlined[1][0][1])
        if wanted is None:
            self.space.say("Select a range first, by dragging, or click a span.")
        else:
            self.stage.frame(wanted, self._now)

    def _mark(self) -> None:
        pixel = self.stage.view.width / (self.area.right - self.area.left)
        self.space.toggle_bookmark(self._middle(), _NEAR * imgui.get_font_size() * pixel)

    def _to_end(self) -> None:
        if self.space.is_live:
            self._follow()
        else:
            self.stage.to_edge(True, self._now)

    def _follow(self) -> None:
        if self.stage.is_following:
            self.stage.stop_following()
        else:
            self.stage.follow(min(self.stage.view.width, 60.0))

    def _out(self) -> None:
        """Out one level: close, choose nothing, unselect, show all kinds, zoom back, show all."""
        space = self.space
        if self._finder.is_open and space.filter_text:
            self._finder.close()
        elif space.chosen is not None or self._pinned is not None:
            self._pinned = None
            space.choose(None)
        elif space.selected is not None:
            space.selected = None
        elif space.filter_text or space.hidden_kinds:
            space.filter_text, space.hidden_kinds = "", frozenset()
        else:
            self.stage.out(self._now)
