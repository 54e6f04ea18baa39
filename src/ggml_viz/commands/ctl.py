"""`ggml-viz ctl`: pauses, resumes, stops a process's agent, or changes how much it records."""

from __future__ import annotations

import argparse

from ggml_viz.capture.control import not_watched, pause, resume, set_detail, stop, watched_segment
from ggml_viz.errors import UserError
from ggml_viz.trace.definitions import DETAIL_NAMES

NAME = "ctl"
HELP = "pause, resume or stop the recording of a process, or change its detail"
EXAMPLES = """\
What is asked for takes effect at the process's next graph. A stopped process
is not recorded until it is attached to again; the recorder goes on
waiting for it, and ends as it would have ended.

examples:
  ggml-viz ctl 4711 pause
  ggml-viz ctl 4711 resume
  ggml-viz ctl 4711 detail op
  ggml-viz ctl $(pgrep llama-server) stop
"""

PAUSE, RESUME, STOP, DETAIL = ACTIONS = ("pause", "resume", "stop", "detail")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `ctl`."""
    parser.usage = "%(prog)s PID pause|resume|stop|detail LEVEL"
    parser.add_argument("pid", metavar="PID", type=int, help="the process")
    parser.add_argument("action", choices=ACTIONS, metavar="ACTION", help="pause, resume, stop or detail")
    parser.add_argument("level", nargs="?", choices=DETAIL_NAMES[::-1], metavar="LEVEL", help="thread, op or graph")


def run(args: argparse.Namespace) -> int:
    """Changes the control word and says what that did."""
    if (args.action == DETAIL) != (args.level is not None):
        example = f"ggml-viz ctl {args.pid} detail op"
        message = "detail takes a level: thread, op or graph" if args.action == DETAIL else "only detail takes a level"
        raise UserError(message, f"For example: {example}", exit_status=2)
    path = watched_segment(args.pid)
    try:
        said = set_detail(path, args.level) if args.level else _ACTIONS[args.action](path)
    except OSError:
        raise not_watched(args.pid) from None  # it has ended meanwhile
    print(f"process {args.pid} {said}")
    return 0


_ACTIONS = {PAUSE: pause, RESUME: resume, STOP: stop}
