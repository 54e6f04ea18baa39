"""A running process that is to be watched: whether the agent can be brought into it, and whether ggml is in it."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path

from ggml_viz import system
from ggml_viz.capture.elf import ElfError, read_elf
from ggml_viz.capture.inspect import GGML_TEXT, contains_any, own_machine
from ggml_viz.capture.pe import PeError, is_pe, read_pe
from ggml_viz.errors import UserError
from ggml_viz.system.process import Process

_GGML_IN_NAME = "ggml"


@dataclass(frozen=True)
class Target:
    """A running process.

    Attributes:
        pid: Its number.
        command: Its command line, arguments separated by spaces.
        has_ggml: Something of ggml is in it, as far as its files tell: a library so called, or ggml's names in one of
            its files.
    """

    pid: int
    command: str
    has_ggml: bool


def find_target(pid: int) -> Target:
    """Looks at a process before anything is done to it.

    Raises:
        UserError: There is no such process, it is another user's, or the agent cannot be loaded into it.
    """
    process = system.look_at(pid)
    try:
        _check_program(pid, process.program)
    except OSError:
        raise UserError(f"process {pid} has just ended") from None
    except (ElfError, PeError) as error:
        raise UserError(f"the program of process {pid} cannot be read: {error}") from None
    return Target(pid, " ".join(process.arguments), _has_ggml(process))


def _check_program(pid: int, path: Path) -> None:
    """Refuses a program that the agent cannot be loaded into."""
    if is_pe(path):
        if (machine := read_pe(path).machine) != own_machine():
            raise UserError(f"process {pid} is a program for {machine}; the agent is for {own_machine()}")
        return
    elf = read_elf(path)
    if elf.bits != 64 or elf.machine != platform.machine():
        raise UserError(f"process {pid} is a {elf.bits}-bit program for {elf.machine}; the agent is not")
    if elf.interpreter is None:
        raise UserError(
            f"process {pid} is linked fully statically: nothing can be loaded into it",
            "Use a build that loads the C library dynamically; ggml itself may be linked statically.",
        )
    if elf.uses_musl:
        raise UserError(
            f"process {pid} uses the C library musl, which loads the agent only when a program starts",
            "Start it with the agent: ggml-viz run -- PROGRAM …",
        )


def _has_ggml(process: Process) -> bool:
    if any(_GGML_IN_NAME in os.path.basename(path) for path in process.mapped):
        return True
    return any(
        contains_any(path, b"ggml_graph_compute", GGML_TEXT) for path in (process.program, *map(Path, process.mapped))
    )
