"""`ggml-viz probe`: measures what this machine can do at most."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, replace

from ggml_viz import system
from ggml_viz.errors import UserError
from ggml_viz.machine import Machine, measure, peaks_path, remember, this_machine, thread_counts
from ggml_viz.settings import add_ui_arguments
from ggml_viz.terminal.probe import print_probe, progress

NAME = "probe"
HELP = "measure this machine's peaks, against which reports hold what was reached"
EXAMPLES = """\
Memory bandwidth (a triad as STREAM has it, and plain reading), operations on
floats (fused multiply-adds) and on 8-bit integers (dot products), with one
thread, two, and so on up to all. That takes a second for each, and nothing else
should compute meanwhile. The result is kept, and goes into every trace that is
recorded on this machine from then on; reports of older ones use it too.

examples:
  ggml-viz probe
  ggml-viz probe --fresh        measure again
  ggml-viz probe --json | jq '.peaks[-1]'
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `probe`."""
    parser.add_argument("--fresh", action="store_true", help="measure, even if that was done before")
    parser.add_argument("--json", action="store_true", help="print JSON")
    add_ui_arguments(parser, "color", "width")


def run(args: argparse.Namespace) -> int:
    """Measures, or tells what was measured before."""
    machine = this_machine()
    measured_now = args.fresh or not machine.peaks
    if measured_now:
        machine = probe(machine)
    if args.json:
        print(json.dumps({"schema": 1, **asdict(machine)}, indent=2))
    else:
        print_probe(machine, peaks_path(machine.identity), measured_now, sys.stdout, args.settings.ui)
    return 0


def probe(machine: Machine) -> Machine:
    """Measures a machine and remembers the result.

    Raises:
        UserError: It cannot be measured, or the result not be kept.
    """
    counts = thread_counts(machine.cpus)
    load = system.load()
    if load > 0.25 * machine.cpus:
        print(f"ggml-viz: other programs compute (load {load:.1f}): peaks may come out too low", file=sys.stderr)
    try:
        peaks = tuple(measure(threads) for threads in progress(counts, "measuring this machine"))
    except OSError as error:
        raise UserError(f"this machine cannot be measured: {error.strerror}") from None
    measured = replace(machine, peaks=peaks)
    try:
        remember(measured)
    except OSError as error:
        raise UserError(f"the result cannot be kept: {peaks_path(machine.identity)}: {error.strerror}") from None
    return measured
