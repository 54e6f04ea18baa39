"""What concerns live processes: starting programs, attaching to processes, and telling the agent in them."""

from __future__ import annotations

import os
import time
from functools import partial
from pathlib import Path

from ggml_viz.desktop.actions import Action
from ggml_viz.desktop.capture.attach_dialog import AttachDialog
from ggml_viz.desktop.capture.child import refusal_of
from ggml_viz.desktop.capture.following import Awaited, Following
from ggml_viz.desktop.capture.program import Plan, Program
from ggml_viz.desktop.capture.program_window import ProgramWindow
from ggml_viz.desktop.capture.recorder import Attached, Recorded, recorded
from ggml_viz.desktop.capture.start_dialog import StartDialog
from ggml_viz.desktop.workspace import Workspace
from ggml_viz.errors import UserError
from ggml_viz.numbers import size
from ggml_viz.sources.processes import LiveSource

MENU = "Capture"
DETAILS = (("thread", "every thread"), ("op", "ops"), ("graph", "graphs only"))
_SHOW_S = 5.0


class Capturing:
    """Starts, attaches, controls.

    Args:
        space: What panels share.
        naming: A file of naming rules.

    Attributes:
        programs: Those that were started, with their windows.
        attached: The recorders that were started for processes that were attached to.
        start_dialog: Asks what to run.
        attach_dialog: Asks what to attach to.
    """

    def __init__(self, space: Workspace, naming: Path | None) -> None:
        self._space = space
        self._following = Following(space, naming)
        self._recorded = space.question()
        self._said: set[Attached] = set()
        self.programs: list[ProgramWindow] = []
        self.attached: list[Attached] = []
        self.start_dialog = StartDialog(space, self.start)
        self.attach_dialog = AttachDialog(space, self.attach, self.show, self._failure)

    # --- what there is ---

    @property
    def is_busy(self) -> bool:
        """Whether a program that was started still runs."""
        return any(window.program.child.is_running for window in self.programs)

    @property
    def busy_text(self) -> str:
        """What is to be known before the window is closed while programs run."""
        running = [window.program for window in self.programs if window.program.child.is_running]
        if len(running) == 1:
            plan = running[0].plan
            return f"{plan.name} still runs. It runs on without this window, and is recorded to {plan.path}."
        names = ", ".join(program.plan.name for program in running)
        return f"{names} still run. They run on without this window, and are recorded to the end."

    def draw(self) -> None:
        """Draws its dialogs and windows, above all panels."""
        self._following.look()
        self.start_dialog.draw()
        self.attach_dialog.draw()
        for window in self.programs:
            window.draw()
        for attached in self.attached:
            if not attached.child.is_running and (error := self._failure(attached)):
                self._space.say_error(error)

    def end_programs(self) -> None:
        """Asks the programs that were started to end."""
        for window in self.programs:
            if window.program.child.is_running:
                window.program.interrupt()

    def close(self) -> None:
        """Ends the recordings of processes that were attached to; these run on, as do programs that were started."""
        self._following.close()
        running = [attached for attached in self.attached if attached.child.is_running]
        for attached in running:
            attached.ask_to_end()
        for attached in running:
            attached.end()

    # --- what can be done ---

    def actions(self) -> list[Action]:
        """What can be done now."""
        windows = [
            Action(f"{MENU}/Programs", window.title, partial(_open, window), is_on=window.is_open)
            for window in self.programs
        ]
        everything = self._following.takes_all
        return [
            Action(MENU, "Start a program …", self.start_dialog.open),
            Action(MENU, "Attach to a process …", self.attach_dialog.open),
            Action(MENU, "Watch all processes", self._following.everything, None, not everything, everything),
            *windows,
            *self._of_shown(),
        ]

    def _of_shown(self) -> list[Action]:
        space, source = self._space, self._space.source
        if not isinstance(source, LiveSource):
            return []
        described = space.described
        state, detail = described.get("state"), described.get("detail")
        runs = state in ("running", "paused", "idle")
        tell = partial(self._tell, source)
        if state in ("paused", "idle"):
            first = Action(MENU, "Resume", partial(tell, "resume", None, "goes on being recorded"), is_possible=runs)
        else:
            first = Action(MENU, "Pause", partial(tell, "pause", None, "is paused"), is_possible=runs)
        details = [
            Action(
                f"{MENU}/Detail",
                f"Detail: {words}",
                partial(tell, "detail", level, f"is recorded in detail: {words}"),
                is_possible=runs,
                is_on=level == detail,
            )
            for level, words in DETAILS
        ]
        return [
            Action(MENU, first.name, first.run, None, runs, begins_group=True, hint=str(described.get("name", ""))),
            *details,
            self._of_recording(source, runs),
            Action(
                MENU,
                "Stop watching it",
                partial(tell, "stop", None, "is not watched any more; it runs on as before"),
                is_possible=runs and state != "idle",
            ),
        ]

    def _of_recording(self, source: LiveSource, runs: bool) -> Action:
        own = self._own_recorder(source)
        if self._space.described.get("recording") or own is not None:
            return Action(MENU, "Stop recording", partial(self._stop_recording, source, own), is_possible=runs)
        other: Recorded | None = self._recorded.ask(
            (source.id, self._space.moment()), lambda: recorded(source.watch.segment)
        )
        hint = f"process {other.recorder} records it already" if other is not None else ""
        return Action(MENU, "Record to a file", partial(self._record, source), None, runs and other is None, hint=hint)

    def start(self, plan: Plan) -> None:
        """Runs a program, and shows it as soon as there is something of it.

        Raises:
            UserError: It cannot be started.
        """
        program = Program(plan, self._space.wake)
        same = sum(window.program.plan.name == plan.name for window in self.programs)
        self.programs.append(ProgramWindow(self._space, program, same + 1))
        self._following.token(program.token, lambda: not program.child.is_running)

    def attach(self, pid: int, path: Path) -> tuple[Attached, Awaited]:
        """Attaches to a process, and shows it as soon as the agent is in it.

        Raises:
            UserError: The recorder cannot be started.
        """
        attached = Attached(pid, path, self._space.wake)
        self.attached.append(attached)
        return attached, self._following.process(pid, lambda: not attached.child.is_running)

    def show(self, pid: int) -> None:
        """Shows a process that is watched already."""
        until = time.monotonic() + _SHOW_S
        self._following.process(pid, lambda: time.monotonic() > until)

    def _failure(self, attached: Attached) -> UserError | None:
        """Why a recorder has failed, said once."""
        if attached in self._said or not attached.child.exit_code or attached.is_asked_to_end:
            return None
        self._said.add(attached)
        return refusal_of(attached.child.lines())

    def _own_recorder(self, source: LiveSource) -> Attached | None:
        return next((each for each in self.attached if each.pid == source.watch.pid and each.child.is_running), None)

    def _tell(self, source: LiveSource, action: str, level: str | None, done: str) -> None:
        def work() -> None:
            source.control(action, level)
            self._space.say(f"Process {source.watch.pid} {done}.")
            self._space.look_again()

        self._space.do(work)

    def _record(self, source: LiveSource) -> None:
        def work() -> None:
            recording = source.control("record", None)["recording"]
            if recording:
                self._space.say(f"Recording into {os.path.abspath(recording['path'])}.")

        self._space.do(work)

    def _stop_recording(self, source: LiveSource, own: Attached | None) -> None:
        def work() -> None:
            if own is not None:
                own.end()
                path = own.path
                # Its end has told the agent to idle; it is still looked at.
                source.control("resume", None)
            else:
                recording = source.describe()["recording"]
                source.control("stop-recording", None)
                if not recording:
                    return
                path = Path(os.path.abspath(recording["path"]))
            if path.is_file():
                self._space.preferences.opened(path)
                self._space.say(f"Recorded {size(path.stat().st_size)} into {path}.", "It is among the recent files.")
            else:
                self._space.say("Nothing was recorded.")

        self._space.do(work)


def _open(window: ProgramWindow) -> None:
    window.is_open = True
