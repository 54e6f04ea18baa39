"""`ggml-viz info`: what lies in a trace file, and whether it is whole."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys

from ggml_viz.analysis.contents import describe
from ggml_viz.settings import add_ui_arguments
from ggml_viz.terminal.info import print_info
from ggml_viz.trace.reader import open_trace

NAME = "info"
HELP = "say what a trace file holds, and if and where it is cut"
EXAMPLES = """\
A file that is cut or damaged can be used up to its last whole chunk. With
--verify the exit status is 1 if it is.

examples:
  ggml-viz info run.ggmlviz
  ggml-viz info --verify run.ggmlviz
  ggml-viz info --json run.ggmlviz
"""

# Up to this size checking everything takes no time that anybody notices.
_CHECK_BYTES = 64 << 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `info`."""
    parser.add_argument("file", metavar="FILE", help="a trace (.ggmlviz)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--verify", action="store_true", help="check the checksums of a large file's records too")
    add_ui_arguments(parser, "color", "width")


def run(args: argparse.Namespace) -> int:
    """Prints what the file holds."""
    contents = describe(open_trace(args.file, check_records=args.verify or _is_small(args.file)))
    if args.json:
        print(json.dumps({"schema": 1, **dataclasses.asdict(contents)}, indent=2))
    else:
        print_info(contents, sys.stdout, args.settings.ui)
    return 1 if args.verify and contents.damage else 0


def _is_small(path: str) -> bool:
    try:
        return os.path.getsize(path) <= _CHECK_BYTES
    except (OSError, ValueError):
        return False  # opening it tells what is wrong
