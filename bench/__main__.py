"""`python -m bench [--json] [QUESTION…]`: takes the figures and says whether the goals are reached."""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import json
import os
import platform
import sys
from pathlib import Path

from bench.figure import Figure

# One file each; the long ones are asked only by name.
LONG_QUESTIONS = ("soak", "desktop_soak")
QUESTIONS = (
    *("put", "recognise", "tokens", "attach", "trace_size", "segment_memory", "large_trace"),
    *("dashboard_large", "dashboard_live", "desktop"),
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument(
        "question",
        nargs="*",
        metavar="QUESTION",
        help=f"all but the last two, or some of: {', '.join((*QUESTIONS, *LONG_QUESTIONS))}",
    )
    args = parser.parse_args()
    unknown = set(args.question) - {*QUESTIONS, *LONG_QUESTIONS}
    if unknown:
        parser.error(f"no such question: {', '.join(sorted(unknown))}")
    if not args.json:
        print(f"{cpu_name()}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}\n")
        print(f"{'':34}{'figure':>11}  {'95 % interval':15}{'goal':>12}  verdict")
    figures = []
    for question in args.question or QUESTIONS:
        for figure in importlib.import_module(f"bench.{question}").measure():
            figures.append(figure)
            if not args.json:
                print(line(figure), flush=True)
    if args.json:
        described = [{**dataclasses.asdict(figure), "verdict": figure.verdict} for figure in figures]
        json.dump({"cpu": cpu_name(), "cpus": os.cpu_count(), "figures": described}, sys.stdout, indent=1)
        print()
    return 0


def cpu_name() -> str:
    """What the system calls this machine's CPU."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((text.partition(": ")[2] for text in lines if text.startswith("model name")), platform.machine())


def line(figure: Figure) -> str:
    """One figure, in a row of the table."""
    interval = f"{figure.low:.3g} … {figure.high:.3g}" if figure.low is not None else ""
    sign = "≥" if figure.higher_is_better else "≤"
    goal = f"{sign} {figure.goal:g} {figure.unit}".rstrip() if figure.goal is not None else ""
    value = f"{figure.value:.3g} {figure.unit}".rstrip()
    note = f"  ({figure.note})" if figure.note else ""
    return f"{figure.name:34}{value:>11}  {interval:15}{goal:>12}  {figure.verdict}{note}"


if __name__ == "__main__":
    sys.exit(main())
