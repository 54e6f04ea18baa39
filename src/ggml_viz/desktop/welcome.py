"""What stands where there is nothing to see yet: how to begin, or what is waited for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from imgui_bundle import imgui

from ggml_viz.desktop import draw
from ggml_viz.desktop.theme import vec4
from ggml_viz.desktop.workspace import Workspace
from ggml_viz.numbers import duration

COMMAND = "ggml-viz run -- llama-cli -m model.gguf -p Hello"
_WIDTH_EM = 40.0
_MOST_RECENT = 8
# The frame in which nothing_yet was drawn last.
_TOLD_IN = [-1]


class Welcome:
    """What is shown when there is no source at all.

    Args:
        space: What panels share.
        open: Asks which trace to open.
        start: Asks which program to start.
        attach: Asks which process to attach to.
    """

    def __init__(
        self,
        space: Workspace,
        open: Callable[[], None],
        start: Callable[[], None],
        attach: Callable[[], None],
    ) -> None:
        self._space = space
        self._open = open
        self._start = start
        self._attach = attach
        self._drawn_in = -1
        # Whether files are there is not asked for each frame.
        self._existing = space.question()

    def draw(self) -> None:
        """Draws it in the first panel that asks for it in a frame; the others stay empty."""
        frame = imgui.get_frame_count()
        if frame == self._drawn_in:
            return
        self._drawn_in = frame
        space, em = self._space, imgui.get_font_size()
        recent = tuple(space.preferences.recent)
        existing = self._existing.ask(
            recent, lambda: [path for path in map(Path, recent) if path.is_file()][:_MOST_RECENT]
        )
        _begin_column("welcome")
        _title("Nothing to look at yet")
        imgui.text_wrapped(
            "ggml-viz shows where the time and the memory of llama.cpp, whisper.cpp and other programs that use ggml "
            "go: while they run, and afterwards from a trace."
        )
        imgui.spacing()
        for name, does in (
            ("Open a trace…", self._open),
            ("Start a program…", self._start),
            ("Attach to a process…", self._attach),
        ):
            if imgui.button(name):
                does()
            # As many in a row as there is room for.
            imgui.same_line()
            if imgui.get_content_region_avail().x < 12 * em:
                imgui.new_line()
        imgui.new_line()
        if existing:
            draw.heading("Recent")
            for path in existing:
                if imgui.text_link(f"{path.name}##{path}"):
                    space.open(path)
                draw.hint(str(path))
                imgui.same_line()
                imgui.text_disabled(str(path.parent))
        draw.heading("Record a program in a terminal")
        command(space, COMMAND, "run")
        draw.faint(space, "Then open the file that it names here, or drop it onto this window.")
        imgui.end_child()


def nothing_yet(space: Workspace) -> bool:
    """Says of a live source that it has computed no graph yet, and what to do about it.

    The first panel that asks for it in a frame says all of it.

    Returns:
        Whether that is so; otherwise nothing was drawn.
    """
    described = space.described
    if not space.is_live or not described or described.get("records") or described.get("error"):
        return False
    if _is_told(imgui.get_frame_count()):
        imgui.text_disabled("Nothing was computed yet.")
        return True
    state = described["state"]
    _begin_column("nothing yet")
    _title("Nothing was computed yet")
    since = duration(space.duration_s).strip()
    if state == "ended":
        imgui.text_wrapped(f"The program ended after {since} and computed no graph meanwhile.")
    elif state == "paused":
        imgui.text_wrapped("Recording is paused: what it computes is not seen. Capture › Resume.")
    elif state == "idle":
        imgui.text_wrapped("It is not watched any more. Capture › Resume watches it again.")
    else:
        imgui.text_wrapped(
            "The program is watched; as soon as it computes something (a prompt comes in, say), it is shown here."
        )
        imgui.text_disabled(f"It waits for ggml's first graph, for {since} now.")
    imgui.spacing()
    draw.faint(space, "If it should have computed something, this says what is in the way:")
    command(space, doctor_command(str(described.get("command", ""))), "doctor")
    imgui.end_child()
    return True


def _is_told(frame: int) -> bool:
    """Whether it was said in this frame already: of panels that have nothing to show, one says why."""
    is_told, _TOLD_IN[0] = _TOLD_IN[0] == frame, frame
    return is_told


def doctor_command(command_line: str) -> str:
    """What finds out why nothing is seen of a program."""
    return f"ggml-viz doctor -- {command_line or 'PROGRAM'}"


def command(space: Workspace, text: str, name: str) -> None:
    """A command that one may want to run, over as many lines as it takes, with a button that copies it."""
    imgui.push_style_color(imgui.Col_.text, vec4(space.theme.ink))
    imgui.push_text_wrap_pos(imgui.get_cursor_pos_x() + imgui.get_content_region_avail().x - 4 * imgui.get_font_size())
    imgui.text_unformatted(text)
    imgui.pop_text_wrap_pos()
    imgui.pop_style_color()
    imgui.same_line()
    if imgui.small_button(f"copy##{name}"):
        imgui.set_clipboard_text(text)
        space.say("Copied.")


def _begin_column(name: str) -> None:
    """A column in the middle, as wide as is read well; to be ended by end_child."""
    em, room = imgui.get_font_size(), imgui.get_content_region_avail()
    width = min(_WIDTH_EM * em, room.x)
    imgui.set_cursor_pos((imgui.get_cursor_pos_x() + (room.x - width) / 2, imgui.get_cursor_pos_y() + room.y * 0.08))
    imgui.begin_child(name, (width, 0), imgui.ChildFlags_.auto_resize_y)


def _title(text: str) -> None:
    imgui.push_font(None, imgui.get_style().font_size_base * 1.4)
    imgui.text_unformatted(text)
    imgui.pop_font()
    imgui.spacing()
