"""The desktop application under Xvfb, driven by Dear ImGui's test engine."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ggml_viz.settings import Settings

if TYPE_CHECKING:
    from ggml_viz.desktop.application import Application

SCREEN = "1600x950x24"
PATIENCE_S = 30.0


@contextlib.contextmanager
def display(screen: str = SCREEN, *options: str) -> Iterator[str]:
    """A screen that nobody sees, with OpenGL in software; it is the environment's DISPLAY meanwhile."""
    reading, writing = os.pipe()
    words = ["Xvfb", "-displayfd", str(writing), "-screen", "0", screen, "-nolisten", "tcp", "-noreset", *options]
    process = subprocess.Popen(words, pass_fds=(writing,), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    os.close(writing)
    before = {name: os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY")}
    try:
        with os.fdopen(reading) as answer:
            number = answer.readline().strip()
        assert number, "Xvfb does not start"
        os.environ["DISPLAY"] = f":{number}"
        os.environ.pop("WAYLAND_DISPLAY", None)
        yield os.environ["DISPLAY"]
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        process.terminate()
        process.wait()


@contextlib.contextmanager
def application(
    files: Sequence[Path] = (), live: int | None = None, theme: str = "dark", folder: Path | None = None
) -> Iterator[Application]:
    """The application, not shown yet; it remembers nothing unless there is a folder."""
    from ggml_viz.desktop.application import Application

    made = Application(files, live, Settings(), folder)
    made.space.preferences.theme = theme
    try:
        yield made
    finally:
        made.close()


def drive(made: Application, use: Callable[[Any], None]) -> None:
    """Shows the application and uses it; `use` gets the test engine's context. What fails there fails here."""
    from imgui_bundle import hello_imgui, imgui
    from imgui_bundle.immapp import testing

    def be_patient() -> None:
        # Traces take their time on a machine that is busy; what hangs is ended by who waits.
        io = imgui.test_engine.get_io(hello_imgui.get_imgui_test_engine())
        io.config_watchdog_warning = io.config_watchdog_kill_test = 1e6

    made.window.params.callbacks.register_tests = be_patient
    # What the test engine does is no input of the window's: it would draw a few frames a second.
    made.window.params.fps_idling.enable_idling = False
    testing.run(test_function=use, runner_params=made.window.params, add_ons_params=made.window.add_ons())


def wait_until(ctx: Any, what: Callable[[], Any], patience_s: float = PATIENCE_S) -> Any:
    """Lets frames pass until something is true, and returns it."""
    deadline = time.monotonic() + patience_s
    while True:
        if found := what():
            return found
        assert time.monotonic() < deadline, "it does not come about"
        ctx.yield_()
        time.sleep(0.01)


def picture(ctx: Any, path: Path, window: str | None = None) -> None:
    """Photographs the window, or one panel of it."""
    from imgui_bundle.immapp import testing

    for _ in range(3):
        ctx.yield_()
    testing.capture(ctx, str(path), window=window)
