"""`ggml-viz ps`: the processes that are watched now."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys

from ggml_viz import native
from ggml_viz.analysis.registry import watched_processes
from ggml_viz.errors import UserError
from ggml_viz.settings import add_ui_arguments
from ggml_viz.terminal.registry import print_watched

NAME = "ps"
HELP = "list the processes that are watched now, and what they do"
EXAMPLES = """\
Lists this user's processes that have an agent in them: since when, how many
records they made, what they compute (phase, tokens in the last whole second),
and who records them. An idle one is watched again with: ggml-viz attach PID

examples:
  ggml-viz ps
  ggml-viz ps --json
  watch ggml-viz ps
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `ps`."""
    parser.add_argument("--json", action="store_true", help="print JSON")
    add_ui_arguments(parser, "color", "width")


def run(args: argparse.Namespace) -> int:
    """Lists them."""
    try:
        processes = watched_processes(native.segments_folder())
    except OSError as error:
        raise UserError(f"no folder for shared memory: {error.strerror}") from None
    if args.json:
        listed = [dataclasses.asdict(process) for process in processes]
        print(json.dumps({"schema": 1, "processes": listed}, indent=2))
    else:
        print_watched(processes, sys.stdout, args.settings.ui)
    return 0
