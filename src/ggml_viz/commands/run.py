"""`ggml-viz run`: runs a program as it is, records it, prints the short report."""

from __future__ import annotations

import argparse
import errno
import os
import re
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from ggml_viz import log, system
from ggml_viz.capture.files import default_path
from ggml_viz.capture.inspect import find_program, inspect_program
from ggml_viz.capture.recording import Recording, new_token, record
from ggml_viz.capture.segments import swept_folder
from ggml_viz.capture.terminal import SharedTerminal
from ggml_viz.commands.serve import LOOPBACK, PORT, need_web
from ggml_viz.errors import UserError, need_extra, print_error
from ggml_viz.native import RecorderStatus
from ggml_viz.settings import Settings, add_capture_arguments, add_output_arguments, add_ui_arguments

NAME = "run"
HELP = "run a program and record what its ggml does"
TAKES_COMMAND = True
EXAMPLES = """\
The program runs as if started without ggml-viz: same input and output, same
signals, same exit status. What it starts is recorded into the same trace. The
report goes to stderr. Everything after -- is the program's. What is set here
can be set by variables and in a file too: ggml-viz config.

examples:
  ggml-viz run -- llama-cli -m model.gguf -p Hello
  ggml-viz run -o slow.ggmlviz -- python transcribe.py talk.wav
  ggml-viz run --quiet --detail graph -- llama-server -m model.gguf
  ggml-viz run --web -- llama-server -m model.gguf
  ggml-viz run --live -- python transcribe.py talk.wav

With --live, the dashboard comes when the first ggml is used, and goes with q.
Meanwhile the keys are its own: the program finds nothing to read on the
terminal, and what it writes there is kept in a temporary file and shown
afterwards; what goes to a file or a pipe goes there as ever. Ctrl-C leaves the
dashboard and interrupts the program. When the program ends, its last picture
stays until q; then the report comes.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `run`."""
    parser.usage = "%(prog)s [-o FILE] [--detail LEVEL] [--quiet] [OPTION …] -- COMMAND …"
    add_output_arguments(parser)
    add_capture_arguments(parser)
    add_ui_arguments(parser)
    parser.add_argument("--web", action="store_true", help="show it in a browser while it runs (ggml-viz serve)")
    parser.add_argument("--live", action="store_true", help="show it in this terminal while it runs (ggml-viz top)")
    # For who starts this and looks on: what the names of the segments are to begin with.
    parser.add_argument("--token", type=_token, help=argparse.SUPPRESS)
    parser.add_argument("command", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)


def run(args: argparse.Namespace) -> int:
    """Runs the command and returns its exit status, or dies of the signal that it died of."""
    if not args.command:
        raise UserError("no program to run", "For example: ggml-viz run -- llama-cli -m model.gguf", exit_status=2)
    settings: Settings = args.settings
    path = settings.output.file or default_path(args.command[0])
    token: str = args.token or new_token()
    with (
        _shown_in_browser(token, path.parent, settings) if args.web else nullcontext(),
        _shown_in_terminal(token, settings) if args.live else nullcontext() as terminal,
    ):
        recording = record(args.command, path, settings, token=token, terminal=terminal)
    try:
        describe(recording, args.command, settings)
    except UserError as error:
        # The program's exit status comes first.
        print_error(error.message, error.hint)
    return system.end_as(recording.exit_code)


def _token(text: str) -> str:
    if not re.fullmatch("[0-9a-f]{16}", text):
        raise ValueError
    return text


@contextmanager
def _shown_in_browser(token: str, folder: Path, settings: Settings) -> Iterator[None]:
    """While this lasts, the dashboard shows what is recorded under a token; its address is printed first."""
    need_web()
    from ggml_viz.server.running import address_of, listening_socket, served
    from ggml_viz.server.security import Security
    from ggml_viz.sources.processes import LiveProcesses
    from ggml_viz.sources.source import Catalog

    try:
        listening = listening_socket(LOOPBACK, PORT)
    except UserError:  # there is one already
        listening = listening_socket(LOOPBACK, 0)
    security = Security(LOOPBACK, listening.getsockname()[1])
    catalog = Catalog([LiveProcesses(None, folder, settings.ui.naming, token=token)])
    print(f"ggml-viz: {address_of(listening, security)}", file=sys.stderr, flush=True)
    try:
        with served(catalog, security, listening):
            yield
    finally:
        catalog.close()


@contextmanager
def _shown_in_terminal(token: str, settings: Settings) -> Iterator[SharedTerminal]:
    """The terminal, for the program and for a dashboard that shows what is recorded under a token."""
    need_extra("textual", "top")
    ui = ["--color", settings.ui.color]
    if settings.ui.naming:
        ui += ["--naming", str(settings.ui.naming)]
    terminal = SharedTerminal(
        lambda pid: [sys.executable, "-m", "ggml_viz", "top", *ui, str(pid)], swept_folder(), token
    )
    try:
        with log.held_back():
            yield terminal
    finally:
        terminal.close()


def describe(recording: Recording, command: list[str], settings: Settings) -> None:
    """Says on stderr what was recorded, or why nothing was."""
    status = recording.status
    if recording.path is None:
        reason, hint = _why_nothing(recording, command)
        print_error(f"nothing was recorded: {reason}", hint)
        return
    note = f"{status.alive} of the recorded processes ran on when {command[0]} ended; recording stopped there."
    print_recorded(recording.path, status, settings, note if status.alive else None)


def print_recorded(path: Path, status: RecorderStatus, settings: Settings, note: str | None = None) -> None:
    """Prints on stderr the report of a trace that was just made.

    Args:
        path: The trace.
        status: How its recording ended.
        settings: Whether a report is wanted, and how it is to look.
        note: What else is to be known, for below the report.
    """
    if status.error == errno.EFBIG and settings.output.max_size:
        print_error(
            "the trace ends early: what describes the graphs alone fills its limit of size",
            f"{path} can be read up to there. Give it more room with --max-size.",
        )
    elif status.error:
        print_error(f"the trace ends early: {os.strerror(status.error)}", f"{path} can be read up to there.")
    if not settings.output.report or not path.is_file():  # `-o /dev/stdout`: it cannot be read again
        return
    from ggml_viz.analysis.summary import summarize
    from ggml_viz.model.trace import Trace
    from ggml_viz.terminal.report import print_report

    print_report(summarize(Trace.open(path, settings.ui.naming)), sys.stderr, settings.ui)
    if note:
        print_error(note)
    print(f"\n{status.bytes / 1e6:.1f} MB · ggml-viz report {shlex.quote(str(path))}", file=sys.stderr)


def _why_nothing(recording: Recording, command: list[str]) -> tuple[str, str | None]:
    if os.environ.get("GGML_VIZ_DISABLE") == "1":
        return "GGML_VIZ_DISABLE=1 is set.", "Unset it."
    program = inspect_program(find_program(command[0]))
    if program.obstacle:
        return program.obstacle.message, program.obstacle.hint
    if death := system.death(recording.exit_code):
        return f"{command[0]} {death} before it called ggml.", None
    if recording.exit_code:
        return f"{command[0]} failed (exit status {recording.exit_code}) before it called ggml.", None
    return (
        f"neither {command[0]} nor what it started called ggml in a way that can be seen."
        if system.FOLLOWS_CHILDREN
        else f"{command[0]} called no ggml in a way that can be seen; what it starts is not seen on this system.",
        "If it starts a program that computes, ask about that one: ggml-viz doctor -- PROGRAM  If it loads a library "
        "that has ggml inside, attach when that is loaded: ggml-viz attach PID",
    )
