"""`ggml-viz run`: runs a program as it is, records it, prints the short report."""

from __future__ import annotations

import argparse
import os
import re
import shlex
import signal
import sys
import time
from pathlib import Path

from ggml_viz.capture.inspect import find_program, inspect_program
from ggml_viz.capture.launch import die_of
from ggml_viz.capture.recording import Recording, record
from ggml_viz.errors import UserError, print_error
from ggml_viz.native import RecorderStatus

NAME = "run"
HELP = "run a program and record what its ggml does"
TAKES_COMMAND = True
EXAMPLES = """\
levels of detail:
  thread   every node on every thread (default)
  op       every node, as the first thread saw it
  graph    graph runs, splits, copies and memory only

The program runs as if started without ggml-viz: same input and output, same
signals, same exit status. What it starts is recorded into the same trace. The
report goes to stderr. Everything after -- is the program's.

examples:
  ggml-viz run -- llama-cli -m model.gguf -p Hello
  ggml-viz run -o slow.ggmlviz -- python transcribe.py talk.wav
  ggml-viz run --quiet --detail graph -- llama-server -m model.gguf
"""

DETAILS = ("thread", "op", "graph")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `run`."""
    parser.usage = "%(prog)s [-o FILE] [--detail LEVEL] [--quiet] -- COMMAND …"
    parser.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        type=Path,
        help="the trace to write, overwritten if it exists (default: PROGRAM-YYYYMMDD-HHMMSS.ggmlviz in this folder)",
    )
    parser.add_argument(
        "--detail",
        metavar="LEVEL",
        choices=DETAILS,
        help="how much to record: thread, op or graph",
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="print no report, only what went wrong")
    parser.add_argument("command", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)


def run(args: argparse.Namespace) -> int:
    """Runs the command and returns its exit status, or dies of the signal that it died of."""
    if not args.command:
        raise UserError("no program to run", "For example: ggml-viz run -- llama-cli -m model.gguf", exit_status=2)
    path = args.output or default_path(args.command[0])
    recording = record(args.command, path, args.detail)
    try:
        describe(recording, args.command, args.quiet)
    except UserError as error:
        # The program's exit status comes first.
        print_error(error.message, error.hint)
    if recording.exit_code < 0:
        sys.stderr.flush()
        die_of(-recording.exit_code)
        return 128 - recording.exit_code
    return recording.exit_code


def default_path(program: str, now: time.struct_time | None = None, folder: Path = Path()) -> Path:
    """A name for a trace that does not exist yet.

    Args:
        program: The program, as it was called.
        now: The local time; None: now.
        folder: Where the trace is to lie.
    """
    stem = re.sub(r"[^\w.+-]+", "_", os.path.basename(program)).strip("-_") or "program"
    stem = f"{stem}-{time.strftime('%Y%m%d-%H%M%S', now or time.localtime())}"
    path, n = folder / f"{stem}.ggmlviz", 1
    while path.exists():
        n += 1
        path = folder / f"{stem}-{n}.ggmlviz"
    return path


def describe(recording: Recording, command: list[str], quiet: bool) -> None:
    """Says on stderr what was recorded, or why nothing was."""
    status = recording.status
    if recording.path is None:
        reason, hint = _why_nothing(recording, command)
        print_error(f"nothing was recorded: {reason}", hint)
        return
    note = f"{status.alive} of the recorded processes ran on when {command[0]} ended; recording stopped there."
    print_recorded(recording.path, status, quiet, note if status.alive else None)


def print_recorded(path: Path, status: RecorderStatus, quiet: bool, note: str | None = None) -> None:
    """Prints on stderr the report of a trace that was just made.

    Args:
        path: The trace.
        status: How its recording ended.
        quiet: Print only what went wrong.
        note: What else is to be known, for below the report.
    """
    if status.error:
        print_error(f"the trace ends early: {os.strerror(status.error)}", f"{path} can be read up to there.")
    if quiet or not path.is_file():  # `-o /dev/stdout`: it cannot be read again
        return
    from ggml_viz.analysis.summary import summarize
    from ggml_viz.model.trace import Trace
    from ggml_viz.terminal.report import print_report

    print_report(summarize(Trace.open(path)), file=sys.stderr)
    if note:
        print_error(note)
    print(f"\n{status.bytes / 1e6:.1f} MB · ggml-viz report {shlex.quote(str(path))}", file=sys.stderr)


def _why_nothing(recording: Recording, command: list[str]) -> tuple[str, str | None]:
    if os.environ.get("GGML_VIZ_DISABLE") == "1":
        return "GGML_VIZ_DISABLE=1 is set.", "Unset it."
    program = inspect_program(find_program(command[0]))
    if program.obstacle:
        return program.obstacle.message, program.obstacle.hint
    if recording.exit_code > 0:
        return f"{command[0]} failed (exit status {recording.exit_code}) before it called ggml.", None
    if recording.exit_code < 0:
        name = signal.strsignal(-recording.exit_code)
        return f"{command[0]} was ended by a signal ({name}) before it called ggml.", None
    return (
        f"neither {command[0]} nor what it started called ggml in a way that can be seen.",
        "If it starts a program that computes, ask about that one: ggml-viz doctor -- PROGRAM",
    )
