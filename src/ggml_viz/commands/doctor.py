"""`ggml-viz doctor`: says what can be captured before anything is run."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from pathlib import Path

from ggml_viz.capture.inspect import find_program, inspect_program
from ggml_viz.capture.machine import inspect_machine
from ggml_viz.terminal.doctor import print_doctor

NAME = "doctor"
HELP = "say what can be recorded on this machine and from a program, and what cannot"
TAKES_COMMAND = True
EXAMPLES = """\
The program is not run: its files are read. The exit status is 1 if nothing can
be recorded, 127 if there is no such program.

examples:
  ggml-viz doctor
  ggml-viz doctor -- llama-server
  ggml-viz doctor --json -- ./build/bin/llama-cli
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `doctor`."""
    parser.usage = "%(prog)s [--json] [-- COMMAND …]"
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("command", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)


def run(args: argparse.Namespace) -> int:
    """Prints what can be captured; returns 1 if nothing can."""
    machine = inspect_machine()
    program = inspect_program(find_program(args.command[0])) if args.command else None
    capturable = machine.usable and not (program and program.obstacle)
    if args.json:
        found = {
            "schema": 1,
            "capturable": capturable,
            "machine": dataclasses.asdict(machine),
            "program": dataclasses.asdict(program) if program else None,
        }
        print(json.dumps(found, default=_plain, indent=2))
    else:
        print_doctor(machine, program, args.command, sys.stdout)
    return 0 if capturable else 1


def _plain(value: object) -> str:
    if isinstance(value, Path):
        return str(value)
    raise TypeError(type(value))
