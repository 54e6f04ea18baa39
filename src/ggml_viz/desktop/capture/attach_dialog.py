"""The dialog that attaches to a running process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from imgui_bundle import imgui

from ggml_viz import system
from ggml_viz.capture.files import default_path, spare_other_files
from ggml_viz.desktop.asking import Question
from ggml_viz.desktop.capture.following import Awaited
from ggml_viz.desktop.capture.processes import Listed, listed_processes, matching_processes
from ggml_viz.desktop.capture.recorder import Attached
from ggml_viz.desktop.dialog import label, modal
from ggml_viz.desktop.draw import said
from ggml_viz.desktop.workspace import Workspace
from ggml_viz.errors import UserError

TITLE = "Attach to a process"
_ROWS = 12


class AttachDialog:
    """Lists processes of which one can be shown.

    Args:
        space: What panels share.
        attach: Attaches to a process, with a trace; raises UserError if that fails.
        show: Shows one that is watched already.
        failure: Says why attaching failed; None: it did not.
    """

    def __init__(
        self,
        space: Workspace,
        attach: Callable[[int, Path], tuple[Attached, Awaited]],
        show: Callable[[int], None],
        failure: Callable[[Attached], UserError | None],
    ) -> None:
        self._space = space
        self._attach = attach
        self._show = show
        self._failure = failure
        # Not a question to what is shown: a change of that would have it forgotten.
        self._question: Question[Sequence[Listed]] = Question(space.asker)
        self._asked = 0
        self._wanted = False
        self._filter = ""
        self._pid: int | None = None
        self._path = ""
        self._error: UserError | None = None
        self._under_way: tuple[Attached, Awaited] | None = None

    def open(self) -> None:
        """Opens it in the next frame."""
        self._wanted, self._error, self._pid, self._under_way = True, None, None, None
        self._asked += 1

    @property
    def listed(self) -> Sequence[Listed]:
        """What it lists."""
        return matching_processes(self._question.answer or (), self._filter)

    def draw(self) -> None:
        """Draws it, if it is open."""
        opens, self._wanted = self._wanted, False
        with modal(TITLE, opens, 60) as is_open:
            if is_open:
                self._draw()

    def _draw(self) -> None:
        answer = self._question.ask(self._asked, listed_processes)
        self._follow_up()
        imgui.set_next_item_width(-6 * imgui.get_font_size())
        if imgui.is_window_appearing():
            imgui.set_keyboard_focus_here()
        self._filter = imgui.input_text_with_hint("##filter", "Filter by command or number", self._filter)[1]
        imgui.same_line()
        imgui.begin_disabled(self._question.is_pending)
        if imgui.button("Refresh"):
            self._asked += 1
        imgui.end_disabled()
        listed = self.listed
        twice = self._table(listed, looking=answer is None)
        chosen = next((process for process in listed if process.pid == self._pid), None)
        if chosen is not None and not chosen.is_watched:
            label("Recorded to")
            self._path = imgui.input_text("##path", self._path)[1]
        said(self._space, self._error or self._question.error)
        imgui.spacing()
        self._buttons(chosen, twice)

    def _table(self, listed: Sequence[Listed], looking: bool) -> bool:
        flags = imgui.TableFlags_.row_bg | imgui.TableFlags_.scroll_y | imgui.TableFlags_.borders_outer
        height = imgui.get_text_line_height_with_spacing() * (_ROWS + 1)
        twice = False
        if not imgui.begin_table("processes", 3, flags, (0, height)):
            return False
        imgui.table_setup_scroll_freeze(0, 1)
        imgui.table_setup_column("pid", imgui.TableColumnFlags_.width_fixed, 4.5 * imgui.get_font_size())
        imgui.table_setup_column("command", imgui.TableColumnFlags_.width_stretch, 0.62)
        imgui.table_setup_column("what is known", imgui.TableColumnFlags_.width_stretch, 0.38)
        imgui.table_headers_row()
        span = imgui.SelectableFlags_.span_all_columns | imgui.SelectableFlags_.allow_double_click
        for process in listed:
            imgui.table_next_row()
            imgui.table_next_column()
            if imgui.selectable(f"{process.pid}##row", process.pid == self._pid, span)[0]:
                self._choose(process)
                twice |= imgui.is_mouse_double_clicked(imgui.MouseButton_.left)
            if imgui.is_item_hovered(imgui.HoveredFlags_.for_tooltip):
                imgui.set_tooltip(process.command[:2000])
            imgui.table_next_column()
            imgui.text_unformatted(process.command[:300])
            imgui.table_next_column()
            imgui.text_unformatted(process.known)
        imgui.end_table()
        if looking:
            imgui.text_disabled("Looking for processes that have ggml loaded …")
        elif not listed:
            none = "No process of yours is watched or has ggml loaded, as far as its files tell."
            imgui.text_disabled("None is called so." if self._filter else none)
        return twice

    def _choose(self, process: Listed) -> None:
        if process.pid != self._pid:
            self._pid, self._error = process.pid, None
            self._path = "" if process.is_watched else str(default_path(program_of(process.pid)).absolute())

    def _buttons(self, chosen: Listed | None, twice: bool) -> None:
        busy = self._under_way is not None
        imgui.begin_disabled(chosen is None or busy)
        name = "Attaching …" if busy else "Show" if chosen is not None and chosen.is_watched else "Attach"
        if (imgui.button(f"{name}###do") or twice) and chosen is not None and not busy:
            self._do(chosen)
        imgui.end_disabled()
        imgui.same_line()
        if imgui.button("Cancel") or imgui.is_key_pressed(imgui.Key.escape):
            imgui.close_current_popup()
        if chosen is not None and not chosen.is_watched:
            imgui.same_line()
            imgui.text_disabled("It runs on as ever, also when this window is closed.")

    def _do(self, chosen: Listed) -> None:
        self._error = None
        if chosen.is_watched:
            self._show(chosen.pid)
            imgui.close_current_popup()
            return
        try:
            path = Path(self._path).expanduser() if self._path.strip() else default_path(program_of(chosen.pid))
            spare_other_files(path)
            self._under_way = self._attach(chosen.pid, path.absolute())
        except UserError as error:
            self._error = error

    def _follow_up(self) -> None:
        """Closes when the process is shown; stays and says why if it cannot be."""
        if self._under_way is None:
            return
        attached, awaited = self._under_way
        if not attached.child.is_running:
            self._under_way, self._error = None, self._failure(attached)
            if self._error is None:
                imgui.close_current_popup()
        elif awaited.is_over.is_set():
            self._under_way = None
            imgui.close_current_popup()


def program_of(pid: int) -> str:
    """What a process's program is called, for the name of its trace."""
    return system.name_of(pid) or "program"
