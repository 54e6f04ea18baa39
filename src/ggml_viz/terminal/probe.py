"""Draws what a machine can do at most."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TextIO

from ggml_viz.machine import Machine
from ggml_viz.settings.model import Ui
from ggml_viz.terminal.text import BOLD, DIM, Page, plural, printable, significant


def print_probe(machine: Machine, kept_in: Path, measured_now: bool, file: TextIO, ui: Ui | None = None) -> None:
    """Prints the peaks of a machine.

    Args:
        machine: The machine.
        kept_in: Where they are remembered.
        measured_now: Whether they were measured just now, not before.
        file: Where to.
        ui: How it is to look.
    """
    page = Page(file, ui or Ui())
    head = f"{'threads':>7}{'triad GB/s':>13}{'read GB/s':>12}{'GFLOP/s':>10}{'int8 GOP/s':>13}"
    lines = [page.paint(f"{printable(machine.cpu)} · {plural(machine.cpus, 'CPU')}", BOLD), "", page.paint(head, DIM)]
    for peaks in machine.peaks:
        triad, read, floats, integers = (
            significant(rate * 1e-9)
            for rate in (peaks.triad_bytes_per_s, peaks.read_bytes_per_s, peaks.flops_per_s, peaks.int8_ops_per_s)
        )
        lines.append(f"{peaks.threads:>7}{triad:>13}{read:>12}{floats:>10}{integers:>13}")
    when = "kept in" if measured_now else "measured before (--fresh measures again), kept in"
    page.print([*lines, "", page.paint(f"{when} {kept_in}", DIM)])


def progress(counts: Sequence[int], what: str) -> Iterator[int]:
    """Yields each count of threads, and shows on stderr how far it is, where that is a terminal."""
    from rich.console import Console
    from rich.progress import track

    yield from track(counts, what, console=Console(file=sys.stderr), transient=True, disable=not sys.stderr.isatty())
