"""`ggml-viz top`: shows in the terminal what a running process does."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from typing import TYPE_CHECKING

from ggml_viz import log, native
from ggml_viz.capture.control import watched_segment
from ggml_viz.capture.target import find_target
from ggml_viz.errors import UserError, need_extra
from ggml_viz.settings import Settings, add_ui_arguments

if TYPE_CHECKING:
    from ggml_viz.live.watch import Watch

NAME = "top"
HELP = "show live in the terminal what a running process does"
EXAMPLES = """\
Shows tokens per second by phase, where the time goes, what each thread does,
memory, and what stands out; ? tells the keys. Watching leaves whoever records
the process undisturbed; p and d change what is recorded for all who watch.
When the process ends, the last picture stays until q. Needs the extra: top.

examples:
  ggml-viz top
  ggml-viz top 4711
  ggml-viz top --once --wait 5 4711
  ggml-viz top --json 4711 | jq '.phases[].tokens_per_second'
"""

_WAIT_S = 2.0
_ONCE_LINES = 24
# What there was before watching began is taken in with the first step, and its nodes with the next.
_STEPS = 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `top`."""
    parser.add_argument(
        "pid", metavar="PID", type=int, nargs="?", help="the process (default: the one that is watched; or choose)"
    )
    parser.add_argument("--once", action="store_true", help="print one picture, for scripts; needs no extra")
    parser.add_argument("--json", action="store_true", help="print the report so far as JSON, as report --json does")
    parser.add_argument(
        "--wait", metavar="S", type=_seconds, default=_WAIT_S, help="watch so long for --once and --json (default: 2)"
    )
    add_ui_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Shows it."""
    printed = args.once or args.json
    if not printed:
        if not (sys.stdin.isatty() and sys.stdout.isatty()):
            raise UserError("this is not a terminal", "For one picture: ggml-viz top --once")
        need_extra("textual", "top")
    pid = args.pid if args.pid is not None else _choose(args.settings, printed)
    if pid is None:
        return 0
    try:
        path = watched_segment(pid)
    except UserError as error:
        find_target(pid)  # says so if there is no such process
        hint = f"Watch it with: ggml-viz attach {pid}   or start it with: ggml-viz run --live -- COMMAND"
        raise UserError(error.message, hint) from None
    from ggml_viz.live.watch import Watch

    naming = args.settings.ui.naming
    try:
        watch = Watch(path, (naming,) if naming else ())
    except OSError:
        raise UserError(f"process {pid} has just ended") from None
    try:
        if args.json:
            _watch_for(watch, args.wait)
            print(json.dumps(watch.summary().to_json(), indent=2))
            return 0
        if args.once:
            _watch_for(watch, args.wait)
            _print_once(watch, args.settings)
            return 0
        return _show(watch, args.settings)
    finally:
        watch.close()


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 <= value < 1e6:
        raise ValueError
    return value


_seconds.__name__ = "number of seconds"


def _choose(settings: Settings, printed: bool) -> int | None:
    """The process to watch; None: none was chosen."""
    from ggml_viz.analysis.registry import watched_processes

    try:
        processes = watched_processes(native.segments_folder())[::-1]
    except OSError as error:
        raise UserError(f"no folder for shared memory: {error.strerror}") from None
    if not processes:
        raise UserError(
            "no process is watched",
            "Start one with: ggml-viz run -- COMMAND   or watch one that runs: ggml-viz attach PID",
        )
    if len(processes) == 1:
        return processes[0].pid
    if printed or os.environ.get("TERM") == "dumb":
        listed = ", ".join(str(process.pid) for process in processes)
        raise UserError(f"several processes are watched: {listed}", "Say which: ggml-viz top PID")
    from ggml_viz.terminal.dashboard import Chooser
    from ggml_viz.terminal.text import Page

    entries = [(process.pid, process.now.phase or process.state, process.command) for process in processes]
    chooser = Chooser(Page(sys.stdout, settings.ui), entries)
    chooser.run(mouse=False)
    return chooser.chosen


def _watch_for(watch: Watch, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not watch.ended and (time.monotonic() < deadline or watch.steps < _STEPS):
        time.sleep(min(0.1, max(deadline - time.monotonic(), 0.01)))


def _print_once(watch: Watch, settings: Settings) -> None:
    from ggml_viz.terminal.glance import Observer
    from ggml_viz.terminal.screen import Choice, screen
    from ggml_viz.terminal.text import Page

    page = Page(sys.stdout, settings.ui)
    lines, _ = screen(page, Observer(watch).look(), Choice(), _ONCE_LINES, last=None)
    page.print(lines)
    sys.stdout.flush()


def _show(watch: Watch, settings: Settings) -> int:
    if os.environ.get("TERM") == "dumb":
        # It can only print on: a picture now and then, one below the other.
        while not watch.ended:
            _watch_for(watch, _WAIT_S)
            _print_once(watch, settings)
            print()
        return 0
    from ggml_viz.terminal.dashboard import Dashboard
    from ggml_viz.terminal.text import Page

    with log.held_back():
        dashboard = Dashboard(Page(sys.stdout, settings.ui), watch, watch.segment)
        dashboard.run(mouse=False)
    return dashboard.return_value or dashboard.return_code or 0
