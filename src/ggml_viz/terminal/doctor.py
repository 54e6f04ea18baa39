"""Draws what `doctor` found."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import TextIO

from ggml_viz.capture.inspect import Program
from ggml_viz.capture.machine import Machine

_CLOCKS = {"counter": "the CPU's counter (invariant)", "monotonic": "the monotonic clock: a little more overhead"}


def print_doctor(machine: Machine, program: Program | None, command: Sequence[str], file: TextIO) -> None:
    """Prints what can be captured, and what cannot and why."""
    rows = [
        (
            "machine",
            " · ".join(filter(None, (machine.system, machine.architecture, f"{machine.cpus} CPUs", machine.libc))),
        ),
        ("agent", str(machine.agent or "missing")),
        ("clock", _CLOCKS.get(machine.clock or "", "unknown")),
        ("memory", _memory(machine)),
        ("attach", machine.attach_obstacle or "running programs of this user can be attached to"),
    ]
    for name, text in rows:
        _row(file, name, text)
    for problem in machine.problems:
        _row(file, "!", problem)
    if not machine.usable:
        print("\nNothing can be recorded on this machine until that is solved.", file=file)
        return
    if program is None:
        print("\nPrograms can be recorded on this machine. To ask about one:", file=file)
        print("  ggml-viz doctor -- PROGRAM", file=file)
        return
    print(file=file)
    _print_program(program, command, file)


def _print_program(program: Program, command: Sequence[str], file: TextIO) -> None:
    _row(file, "program", f"{program.script} · run by {program.path}" if program.script else str(program.path))
    for number, part in enumerate(program.ggml):
        seen = [what for what, there in (("graph runs", part.graphs), ("nodes", part.nodes)) if there]
        what = " and ".join(seen) + " can be seen" if seen else "uses ggml"
        what += ", by its symbol table" if part.built_in else ""
        # What lies beside the program is known by its name.
        where = part.path.name if part.path.parent == program.path.parent else part.path
        _row(file, "" if number else "ggml", f"{where} · {what}")
    if program.missing:
        _row(file, "!", f"Libraries that were not found: {', '.join(program.missing)}")
    print(file=file)
    if program.obstacle:
        print(f"It cannot be recorded. {program.obstacle.message}\n  {program.obstacle.hint}", file=file)
        return
    if not program.ggml:
        print("It is not linked with ggml. If it loads ggml later, as Python and Node.js packages", file=file)
        print("do, that can be recorded:", file=file)
    elif any(part.nodes for part in program.ggml):
        print("Graph runs, nodes on every thread, copies and memory can be recorded:", file=file)
    elif any(part.graphs for part in program.ggml):
        print("Graph runs, copies and memory can be recorded, and nodes too if it loads ggml's CPU", file=file)
        print("backend from a library of its own:", file=file)
    else:
        print("It uses ggml; whether graph runs can be seen shows when it runs:", file=file)
    print(f"  ggml-viz run -- {shlex.join(command)}", file=file)


def _memory(machine: Machine) -> str:
    if not machine.folder:
        return "no folder"
    return f"{machine.folder} · {machine.folder_free_bytes / 1e9:.1f} of {machine.folder_size_bytes / 1e9:.1f} GB free"


def _row(file: TextIO, name: str, text: str) -> None:
    print(f"{name:<9}{text}", file=file)
