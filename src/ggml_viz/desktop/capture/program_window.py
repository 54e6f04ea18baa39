"""The small window of a program that was started: how it stands, what it writes, what can be done with it."""

from __future__ import annotations

import shlex

from imgui_bundle import imgui

from ggml_viz.desktop.capture.program import Program
from ggml_viz.desktop.theme import vec4
from ggml_viz.desktop.workspace import Workspace

_LINES = 12


class ProgramWindow:
    """Shows a program that was started.

    Args:
        space: What panels share.
        program: The program.
        number: Tells it from others of that name.

    Attributes:
        program: The same.
        is_open: Whether it is shown.
        title: Its title.
    """

    def __init__(self, space: Workspace, program: Program, number: int) -> None:
        self._space = space
        self._asked_to_end = False
        self._seen = -1
        self.program = program
        self.is_open = True
        self.title = program.plan.name if number == 1 else f"{program.plan.name} ({number})"

    def draw(self) -> None:
        """Draws it, if it is open."""
        if not self.is_open:
            return
        em, viewport = imgui.get_font_size(), imgui.get_main_viewport()
        width = min(44 * em, viewport.work_size.x - 2 * em)
        at = viewport.work_pos.x + viewport.work_size.x - em, viewport.work_pos.y + viewport.work_size.y - 3 * em
        imgui.set_next_window_pos(at, imgui.Cond_.appearing, (1, 1))
        imgui.set_next_window_size((width, 0), imgui.Cond_.appearing)
        flags = imgui.WindowFlags_.no_docking | imgui.WindowFlags_.no_saved_settings | imgui.WindowFlags_.no_collapse
        shown, still_open = imgui.begin(f"{self.title}###program {self.program.token}", True, flags)
        self.is_open = bool(still_open)
        if shown:
            self._draw()
        imgui.end()

    def _draw(self) -> None:
        space, program = self._space, self.program
        failed = program.child.exit_code not in (None, 0)
        imgui.push_style_color(imgui.Col_.text, vec4(space.theme.finding if failed else space.theme.ink))
        imgui.text_wrapped(program.state())
        imgui.pop_style_color()
        imgui.push_style_color(imgui.Col_.text, vec4(space.theme.faint))
        imgui.text_wrapped(shlex.join(program.plan.words))
        imgui.text_wrapped(f"Recorded to {program.plan.path}")
        imgui.pop_style_color()
        self._output()
        if program.child.is_running:
            imgui.begin_disabled(self._asked_to_end)
            if imgui.button("End the program"):
                self._asked_to_end = True
                program.interrupt()
            imgui.end_disabled()
        else:
            imgui.begin_disabled(not program.has_trace)
            if imgui.button("Open the trace"):
                space.open(program.plan.path)
                self.is_open = False
            imgui.end_disabled()
        imgui.same_line()
        if imgui.button("Hide" if program.child.is_running else "Close"):
            self.is_open = False

    def _output(self) -> None:
        lines = self.program.child.lines()
        height = imgui.get_text_line_height_with_spacing() * _LINES
        imgui.begin_child("output", (0, height), imgui.ChildFlags_.borders, imgui.WindowFlags_.horizontal_scrollbar)
        if not lines:
            imgui.text_disabled("It has written nothing yet." if self.program.child.is_running else "It wrote nothing.")
        for line in lines:
            imgui.text_unformatted(line)
        if len(lines) != self._seen:
            self._seen = len(lines)
            imgui.set_scroll_here_y(1.0)
        imgui.end_child()
