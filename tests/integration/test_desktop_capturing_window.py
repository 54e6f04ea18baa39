"""Live processes in a real window: started, attached to, controlled and recorded as a user does it."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.integration.conftest import report
from tests.support import segment
from tests.support.desktop import application, display, drive, wait_until
from tests.support.tiny import Tiny

from ggml_viz.desktop.status import state_words
from ggml_viz.desktop.welcome import COMMAND
from ggml_viz.trace.definitions import DETAIL_NAMES

if TYPE_CHECKING:
    from ggml_viz.desktop.application import Application

# Pictures are drawn in software here.
SIZE = 900, 600


@pytest.fixture(scope="module", autouse=True)
def screen() -> Iterator[str]:
    with display() as name:
        yield name


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@contextmanager
def running(command: list[str]) -> Iterator[subprocess.Popen[str]]:
    """A program that computes, until this ends."""
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def shown() -> Iterator[Application]:
    """An application with nothing in it yet."""
    with application() as made:
        made.window.params.app_window_params.window_geometry.size = SIZE
        yield made


def act(ctx: Any, app: Application, name: str) -> None:
    """Does what stands in a menu, once it can be done."""

    def possible() -> Any:
        return next((each for each in app.capturing.actions() if each.name == name and each.is_possible), None)

    wait_until(ctx, possible).run()
    ctx.yield_(2)


def test_nothing_is_open_and_the_command_is_copied() -> None:
    def use(ctx: Any) -> None:
        from imgui_bundle import imgui

        ctx.yield_(4)
        ctx.item_click("**/copy##run")
        ctx.yield_(2)
        assert imgui.get_clipboard_text() == COMMAND
        ctx.item_click("**/Attach to a process…")
        ctx.yield_(2)
        ctx.item_click("//Attach to a process/Cancel")
        ctx.yield_(2)

    with shown() as app:
        drive(app, use)


def test_program_is_started_seen_and_its_trace_opened(tiny: Tiny, folder: Path) -> None:
    # It stays for a while: a process that is gone at once need not be seen live.
    script = f"echo from $WHERE; sleep 5 | {shlex.join(tiny('load', 'run:2', 'wait'))}; exit 3"

    def use(ctx: Any) -> None:
        ctx.yield_(3)
        ctx.item_click("**/Start a program…")
        ctx.yield_(3)
        dialog = app.capturing.start_dialog
        ctx.item_click("//Start a program/##command")
        ctx.key_chars("sh -c 'echo")
        ctx.item_click("//Start a program/Start")
        ctx.yield_(2)
        assert dialog._error is not None
        assert "quotation" in dialog._error.message
        assert not app.capturing.programs
        dialog._command, dialog._variables = shlex.join(["sh", "-c", script]), "WHERE=here"
        ctx.item_click("//Start a program/Start")
        ctx.yield_(2)
        (window,) = app.capturing.programs
        assert app.capturing.is_busy
        assert "sh still runs" in app.capturing.busy_text
        wait_until(ctx, lambda: app.space.is_live and app.space.described.get("records"))
        wait_until(ctx, lambda: not app.capturing.is_busy)
        program = window.program
        assert program.state() == "It failed: exit status 3."
        assert program.child.lines()[0] == "from here"
        assert "computed by" in program.child.lines()[-1]
        assert program.plan.path.parent == folder
        ctx.yield_(3)
        ctx.item_click(f"//###program {program.token}/Open the trace")
        wait_until(ctx, lambda: not app.space.is_live and app.space.is_ready)
        assert app.space.described["records"] == Tiny.records(2)
        assert report(program.plan.path)["graphs"]["runs"] == 2

    with shown() as app:
        drive(app, use)


def test_running_process_is_attached_to_controlled_and_recorded(tiny: Tiny, folder: Path) -> None:
    with running(tiny("load", "paced:100")) as process, shown() as app:

        def use(ctx: Any) -> None:
            ctx.yield_(3)
            act(ctx, app, "Attach to a process …")
            dialog = app.capturing.attach_dialog
            wait_until(ctx, lambda: any(each.pid == process.pid for each in dialog.listed))
            ctx.item_click(f"**/{process.pid}##row")
            ctx.item_click("//Attach to a process/###do")
            wait_until(ctx, lambda: app.space.is_live and app.space.described.get("records"))
            (attached,) = app.capturing.attached
            assert attached.path.parent == folder

            with segment.opened(segment.find(process.pid)) as seen:
                act(ctx, app, "Pause")
                wait_until(ctx, lambda: seen.control & segment.PAUSED)
                wait_until(ctx, lambda: state_words(app.space.described, True) == "paused")
                act(ctx, app, "Resume")
                wait_until(ctx, lambda: not seen.control & segment.PAUSED)
                act(ctx, app, "Detail: graphs only")
                wait_until(ctx, lambda: DETAIL_NAMES[seen.control & 3] == "graph")
                act(ctx, app, "Detail: every thread")
                wait_until(ctx, lambda: DETAIL_NAMES[seen.control & 3] == "thread")

                # The recorder that attaching has started ends, and it is watched on.
                act(ctx, app, "Stop recording")
                wait_until(ctx, lambda: not attached.child.is_running)
                assert attached.child.exit_code == 0
                wait_until(ctx, lambda: not seen.control & segment.STOPPED)
                assert report(attached.path)["graphs"]["runs"]

                act(ctx, app, "Record to a file")
                wait_until(ctx, lambda: app.space.described.get("recording"))
                path = Path(app.space.described["recording"]["path"]).absolute()
                assert state_words(app.space.described, False) == "recording"
                before = app.space.described["records"]
                wait_until(ctx, lambda: app.space.described["records"] > before + 500)
                act(ctx, app, "Stop recording")
                wait_until(ctx, lambda: not app.space.described.get("recording"))
                assert path != attached.path
                assert report(path)["graphs"]["runs"] > 2
                assert str(path) in app.space.preferences.recent

                act(ctx, app, "Stop watching it")
                wait_until(ctx, lambda: seen.control & segment.STOPPED)
                wait_until(ctx, lambda: state_words(app.space.described, False) == "stopped")

        drive(app, use)
        assert process.poll() is None


def test_closing_ends_the_recorder_and_not_the_process(tiny: Tiny) -> None:
    with running(tiny("load", "paced:100")) as process:
        with shown() as app:

            def use(ctx: Any) -> None:
                app.capturing.attach(process.pid, Path("a.ggmlviz").absolute())
                wait_until(ctx, lambda: app.space.is_live and app.space.described.get("records"))

            drive(app, use)
        (attached,) = app.capturing.attached
        assert attached.child.exit_code == 0
        assert report(attached.path)["graphs"]["runs"]
        assert process.poll() is None


def test_idle_program_is_said_to_be_waited_for_and_refusals_are_said(tiny: Tiny) -> None:
    # It computes nothing at all at so low a pace.
    with running(tiny("load", "paced:1")) as process, shown() as app:

        def use(ctx: Any) -> None:
            from imgui_bundle import imgui

            app.capturing.attach(process.pid, Path("a.ggmlviz").absolute())
            wait_until(ctx, lambda: app.space.is_live and app.space.described.get("pid") == process.pid)
            ctx.yield_(2)
            assert state_words(app.space.described, True) == "waiting for ggml"
            doctor = f"ggml-viz doctor -- {shlex.join(tiny('load', 'paced:1'))}"
            ctx.item_click("**/copy##doctor")
            assert imgui.get_clipboard_text() == doctor

            app.capturing.attach(999_999_999, Path("b.ggmlviz").absolute())
            notice = wait_until(ctx, lambda: (said := app.space.notice) and said.is_error and said)
            assert "there is no process 999999999" in notice.text

        drive(app, use)


def test_started_program_outlives_the_window(tiny: Tiny) -> None:
    with shown() as app:

        def use(ctx: Any) -> None:
            from ggml_viz.desktop.capture.program import plan_of

            app.capturing.start(plan_of(shlex.join(tiny("load", "forever")), "", "", ""))
            wait_until(ctx, lambda: app.space.is_live and app.space.described.get("records"))
            ctx.menu_click("//##MainMenuBar/File/Quit")
            ctx.yield_(3)
            ctx.item_click("//A program runs/Stay")
            ctx.yield_(3)
            assert not app.window.params.app_shall_exit

        drive(app, use)
    assert app.capturing.is_busy
    app.capturing.end_programs()
    (window,) = app.capturing.programs
    assert window.program.child.wait(20)
    assert window.program.child.exit_code == -signal.SIGTERM
    deadline = time.monotonic() + 5
    while not os.path.getsize(window.program.plan.path) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert report(window.program.plan.path)["graphs"]["runs"]
