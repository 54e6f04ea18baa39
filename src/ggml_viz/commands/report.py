"""`ggml-viz report`: what a trace amounts to, as text or JSON."""

from __future__ import annotations

import argparse
import json
import sys

from ggml_viz.analysis.summary import summarize
from ggml_viz.model.trace import Trace
from ggml_viz.settings import add_ui_arguments
from ggml_viz.terminal.report import print_report

NAME = "report"
HELP = "say what ran, how fast, and where the time went"
EXAMPLES = """\
t/s counts the time between the runs of a phase, but no pause longer than 0.1 s.
Ops are over all graphs; their share is of the time inside graphs, calls are
executed nodes (a fused pair is one), work and wait are shares of the threads'
time.

examples:
  ggml-viz report run.ggmlviz
  ggml-viz report run.ggmlviz --top 50
  ggml-viz report run.ggmlviz --json | jq '.phases[].tokens_per_second'
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `report`."""
    parser.add_argument("file", metavar="FILE", help="a trace (.ggmlviz)")
    parser.add_argument("--json", action="store_true", help="print JSON, schema 1, with everything that there is")
    add_ui_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Prints the report."""
    summary = summarize(Trace.open(args.file, args.settings.ui.naming))
    if args.json:
        print(json.dumps(summary.to_json(), indent=2))
    else:
        print_report(summary, sys.stdout, args.settings.ui)
    return 0
