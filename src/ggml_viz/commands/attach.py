"""`ggml-viz attach`: records a program that is running already."""

from __future__ import annotations

import argparse
import sys

from ggml_viz import system
from ggml_viz.capture.attaching import Attachment, attach
from ggml_viz.capture.files import default_path
from ggml_viz.commands.run import print_recorded
from ggml_viz.errors import UserError
from ggml_viz.settings import Settings, add_capture_arguments, add_output_arguments, add_ui_arguments

NAME = "attach"
HELP = "record a program that is running already"
EXAMPLES = """\
Brings the agent into the process, records until the time is over, Ctrl-C, or
the process's end, and reports. The program runs on: the agent stays in it and
idles, and it may be attached to again. What was allocated before is unknown;
buffers are listed as far as the tensors seen lie in them.

It takes the right to trace the process: your own processes, unless the system
restricts that (the error then names the setting).

examples:
  ggml-viz attach 4711                           until Ctrl-C
  ggml-viz attach $(pgrep llama-server) --duration 10
  ggml-viz attach 4711 -o slow.ggmlviz --detail graph
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `attach`."""
    parser.add_argument("pid", metavar="PID", type=int, help="the process")
    parser.add_argument("--duration", metavar="S", type=_seconds, help="record for so many seconds")
    add_output_arguments(parser)
    add_capture_arguments(parser)
    add_ui_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Attaches, records, reports."""
    settings: Settings = args.settings
    path = settings.output.file or default_path(system.name_of(args.pid) or "program")

    def begun() -> None:
        if settings.output.report:
            print(f"recording process {args.pid}, Ctrl-C ends that", file=sys.stderr)

    attachment = attach(args.pid, path, settings, args.duration, begun)
    if attachment.path is None:
        raise UserError(*_why_nothing(attachment))
    print_recorded(attachment.path, attachment.status, settings)
    if settings.output.report:
        what = "has ended" if attachment.ended else "runs on, unwatched"
        print(f"process {args.pid} {what}", file=sys.stderr)
    return 0


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value < 1e9:
        raise ValueError
    return value


_seconds.__name__ = "number of seconds"


def _why_nothing(attachment: Attachment) -> tuple[str, str | None]:
    what = f"nothing was recorded: process {attachment.target.pid}"
    if not attachment.target.has_ggml:
        return f"{what} has no ggml in it, as far as its files tell", f"It is: {attachment.target.command}"
    if attachment.ended:
        return f"{what} ended before it computed a graph", None
    return (
        f"{what} computed no graph meanwhile",
        "Is it idle? Attach for longer, or give it something to do. If its ggml is stripped and statically linked, its "
        "calls cannot be seen.",
    )
