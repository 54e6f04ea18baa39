"""`ggml-viz ctl`: pauses, resumes, stops a process's agent, or changes how much it records."""

from __future__ import annotations

import argparse
from pathlib import Path

from ggml_viz import native
from ggml_viz.capture.segments import segment_of
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
    path = _segment(args.pid)
    try:
        said = _detail(path, args.level) if args.level else _ACTIONS[args.action](path, args.pid)
    except OSError:
        raise _not_watched(args.pid) from None  # it has ended meanwhile
    print(f"process {args.pid} {said}")
    return 0


def _segment(pid: int) -> Path:
    try:
        segment = segment_of(native.segments_folder(), pid)
    except OSError as error:
        raise UserError(f"no folder for shared memory: {error.strerror}") from None
    if segment is None:
        raise _not_watched(pid)
    return segment


def _not_watched(pid: int) -> UserError:
    return UserError(f"process {pid} is not watched", "Which are? ggml-viz ps")


def _pause(path: Path, _pid: int) -> str:
    before, _ = native.segment_control(path, 0, native.CONTROL_PAUSED)
    if before & native.CONTROL_STOPPED:
        return "is stopped already"
    return "was paused already" if before & native.CONTROL_PAUSED else "is paused"


def _resume(path: Path, pid: int) -> str:
    if not native.segment_describe(path).recorder:
        raise UserError(f"nobody records process {pid}", f"Record it with: ggml-viz attach {pid}")
    before, _ = native.segment_control(path, native.CONTROL_PAUSED, 0)
    if before & native.CONTROL_STOPPED:
        raise UserError(
            f"the recording of process {pid} was stopped for good",
            f"When its recorder has ended: ggml-viz attach {pid}",
        )
    return "is recorded again" if before & native.CONTROL_PAUSED else "was being recorded already"


def _stop(path: Path, _pid: int) -> str:
    before, _ = native.segment_control(path, 0, native.CONTROL_STOPPED)
    return "was stopped already" if before & native.CONTROL_STOPPED else "is stopped: it runs on, unwatched"


def _detail(path: Path, level: str) -> str:
    before, _ = native.segment_control(path, native.CONTROL_DETAIL_MASK, DETAIL_NAMES.index(level))
    old = DETAIL_NAMES[min(before & native.CONTROL_DETAIL_MASK, len(DETAIL_NAMES) - 1)]
    return f"records detail {level} already" if old == level else f"records detail {level} (before: {old})"


_ACTIONS = {PAUSE: _pause, RESUME: _resume, STOP: _stop}
