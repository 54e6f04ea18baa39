"""`ggml-viz diff`: what changed between two sets of recordings, as text, JSON, or an exit status."""

from __future__ import annotations

import argparse
import json
import math
import sys

from ggml_viz.analysis.diff import compare
from ggml_viz.errors import UserError
from ggml_viz.settings import add_ui_arguments
from ggml_viz.terminal.diff import print_diff

NAME = "diff"
HELP = "say what changed between two recordings or sets of them, beyond chance"
EXAMPLES = """\
Record each build at least five times, in turn, not one after the other:
how much two runs of the same build differ is known only then. What changed
is found by tests that call two sets of the same build the same in at least
19 of 20 cases (docs/diff.md). Below 1 % of a token's time nothing is called
a change.

exit status:
  0    fine
  1    with --fail-above: tokens per second fell by more than that
  2    the command line is wrong
  125  a trace cannot be read or compared; git bisect skips the commit

examples:
  ggml-viz diff before.ggmlviz after.ggmlviz
  ggml-viz diff --a old/*.ggmlviz --b new/*.ggmlviz
  ggml-viz diff --a old/*.ggmlviz --b new/*.ggmlviz --json | jq '.operations[0]'
  git bisect run ./bisect.sh

bisect.sh, where good/ holds five recordings of the good build:
  cmake --build build --target llama-bench || exit 125
  rm -rf new && mkdir new
  for i in 1 2 3 4 5; do
    ggml-viz run -q -o new/$i.ggmlviz -- build/bin/llama-bench -m model.gguf \\
      || exit 125
  done
  ggml-viz diff --a good/*.ggmlviz --b new/*.ggmlviz --fail-above 5
"""

# What `git bisect run` takes as "cannot be tested".
_SKIP = 125


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `diff`."""
    parser.add_argument("files", metavar="FILE", nargs="*", help="two traces (.ggmlviz): before and after")
    parser.add_argument("--a", metavar="FILE", nargs="+", help="the traces of the first set, instead")
    parser.add_argument("--b", metavar="FILE", nargs="+", help="the traces of the second set")
    parser.add_argument("--json", action="store_true", help="print JSON, schema 1 (docs/diff.md)")
    parser.add_argument(
        "--fail-above",
        metavar="PCT",
        type=_percent,
        help="exit with 1 if the tokens per second of a phase (where it has none: its graphs) fell by more than PCT "
        "percent, and not by chance",
    )
    add_ui_arguments(parser)
    parser.set_defaults(usage_error=parser.error)


def run(args: argparse.Namespace) -> int:
    """Compares; returns 1 if the second set is too slow."""
    if args.files and not (args.a or args.b) and len(args.files) == 2:
        a, b = args.files[:1], args.files[1:]
    elif args.a and args.b and not args.files:
        a, b = args.a, args.b
    else:
        args.usage_error("give two traces, or --a FILE … --b FILE …")
    try:
        diff = compare(a, b, args.settings.ui.naming)
        if args.fail_above is not None and not diff.can_tell:
            raise UserError(f"{diff.notes[0]}", "Record more, or compare one with one.")
    except UserError as error:
        raise UserError(error.message, error.hint, _SKIP) from error
    if args.json:
        print(json.dumps(diff.to_json(), indent=2))
    else:
        print_diff(diff, sys.stdout, args.settings.ui)
    if args.fail_above is None:
        return 0
    return int(any(phase.fell(args.fail_above) for phase in diff.phases))


def _percent(text: str) -> float:
    value = float(text.removesuffix("%"))
    if not (math.isfinite(value) and value >= 0):
        raise ValueError
    return value
