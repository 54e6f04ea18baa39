"""`ggml-viz view`: traces and running processes in a window."""

from __future__ import annotations

import argparse
import gc
import importlib
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from ggml_viz import system
from ggml_viz.desktop import INSTEAD
from ggml_viz.errors import UserError, need_extra
from ggml_viz.settings import Settings, add_ui_arguments

if TYPE_CHECKING:
    from ggml_viz.desktop.application import Application

NAME = "view"
HELP = "show traces and running processes in a window"
_LIBRARIES = "Install that library (Debian, Ubuntu: libx11-6 and libgl1)."
EXAMPLES = """\
Without files: an empty window, from which traces are opened, processes
attached to and programs started. `ggml-viz run.ggmlviz` is short for
`ggml-viz view run.ggmlviz`.

Over ssh, or without a screen: ggml-viz serve (in a browser) or ggml-viz top.

examples:
  ggml-viz view run.ggmlviz
  ggml-viz view before.ggmlviz after.ggmlviz   compare two
  ggml-viz view --live                         whatever is watched now
  ggml-viz view --live 4711                    one process
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `view`."""
    parser.add_argument("files", metavar="FILE", nargs="*", type=Path, help="traces (.ggmlviz)")
    parser.add_argument(
        "--live", metavar="PID", nargs="?", type=int, const=0, help="a process that is watched; without PID, all"
    )
    add_ui_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Shows the window until it is closed."""
    gc.disable()  # what is imported stays, and is much: searching it for what can go takes a tenth of the start
    try:
        application = _made(args)
    finally:
        gc.enable()
    try:
        application.run()
    except RuntimeError:
        # Drivers that promise OpenGL, but not enough of it, are found out only by imgui-bundle itself.
        if application.window.first_frame is not None:
            raise
        from ggml_viz.desktop.windowing import no_opengl

        raise no_opengl("its driver can do too little") from None
    finally:
        application.close()
    return 0


def _made(args: argparse.Namespace) -> Application:
    from ggml_viz.sources.traces import check_trace

    settings: Settings = args.settings
    for path in args.files:
        check_trace(path)
    if args.live is not None:
        from ggml_viz.sources.processes import check_watched

        check_watched([args.live] if args.live else [])
    need_desktop()
    from ggml_viz.desktop.application import Application
    from ggml_viz.desktop.preferences import default_folder

    return Application(args.files, args.live, settings, default_folder())


def need_desktop() -> None:
    """Refuses where no window can be shown.

    Raises:
        UserError: With what to install, or what to use instead.
    """
    if not system.has_display():
        raise UserError("there is no display for a window", INSTEAD)
    try:
        importlib.import_module("imgui_bundle")
    except ModuleNotFoundError:
        need_extra("imgui_bundle", "desktop")
    except ImportError as error:
        # It is there, but not what it is made of: libX11, say.
        raise UserError(f"imgui_bundle cannot be loaded: {error}", f"{_LIBRARIES} {INSTEAD}") from None
    from ggml_viz.desktop.windowing import check_window

    # While the system makes a window for that, Python has time to import the rest.
    ahead = threading.Thread(target=importlib.import_module, args=("ggml_viz.desktop.application",))
    ahead.start()
    try:
        check_window()
    finally:
        ahead.join()
