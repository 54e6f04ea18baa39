"""A program that is started from the desktop: as it was typed, and as it runs."""

from __future__ import annotations

import os
import shlex
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from ggml_viz import system
from ggml_viz.capture.files import default_path, spare_other_files
from ggml_viz.capture.inspect import find_program
from ggml_viz.capture.recording import new_token
from ggml_viz.desktop.capture.child import Child
from ggml_viz.errors import UserError


@dataclass(frozen=True)
class Plan:
    """What is to be run.

    Attributes:
        words: The program and its arguments.
        folder: Where it runs.
        variables: Of its environment, besides or instead of those that there are.
        path: The trace.
    """

    words: list[str]
    folder: Path
    variables: dict[str, str] = field(default_factory=dict)
    path: Path = Path()

    @property
    def name(self) -> str:
        """The program, without its folder."""
        return os.path.basename(self.words[0])


def plan_of(command: str, folder: str, environment: str, path: str) -> Plan:
    """What was typed, understood.

    Args:
        command: A command line, quoted as for a shell; nothing in it is replaced but `~`.
        folder: Where to run it; empty: here.
        environment: Lines of `NAME=value`.
        path: The trace; empty: a new one in that folder, as `ggml-viz run` calls it.

    Raises:
        UserError: Something is wrong with it; the message says what.
    """
    words = words_of(command)
    where = Path(folder.strip() or ".").expanduser().absolute()
    if not where.is_dir():
        raise UserError(f"there is no folder {where}")
    variables = variables_of(environment)
    program = words[0] if os.sep not in words[0] else str(where / words[0])
    find_program(program, {**os.environ, **variables})
    trace = where / Path(path.strip()).expanduser() if path.strip() else default_path(words[0], folder=where)
    if trace.is_dir():
        trace = default_path(words[0], folder=trace)
    if not trace.parent.is_dir():
        raise UserError(f"there is no folder {trace.parent}")
    spare_other_files(trace)
    return Plan(words, where, variables, trace)


def words_of(command: str) -> list[str]:
    """The words of a command line.

    Raises:
        UserError: There are none, or a quotation does not end.
    """
    try:
        words = shlex.split(command)
    except ValueError as error:
        what = "a quotation is not closed" if "quotation" in str(error) else "it ends with a lone backslash"
        raise UserError(f"the command line: {what}", "Quote as in a shell: 'a word with spaces'.") from None
    if not words or not words[0]:
        raise UserError("no program to run", "For example: llama-cli -m model.gguf -p Hello")
    return [os.path.expanduser(word) for word in words]


def variables_of(text: str) -> dict[str, str]:
    """Variables of lines of `NAME=value`; empty lines do not count.

    Raises:
        UserError: A line is none.
    """
    variables = {}
    for number, line in enumerate(text.splitlines(), 1):
        name, equals, value = line.strip().partition("=")
        if not name and not equals:
            continue
        if not equals or not name or "\0" in line or any(character.isspace() for character in name):
            raise UserError(f"environment, line {number}: not NAME=value", "For example: OMP_NUM_THREADS=4")
        variables[name] = value
    return variables


class Program:
    """A program that was started, and is recorded.

    Args:
        plan: What it is.
        changed: Called in a thread when it wrote something, and when it has ended.

    Attributes:
        plan: The same.
        token: Names the segments of its processes.
        child: Who runs and records it.

    Raises:
        UserError: It cannot be started.
    """

    def __init__(self, plan: Plan, changed: Callable[[], None]) -> None:
        self.plan = plan
        self.token = new_token()
        words = ["run", "-q", "--token", self.token, "-o", str(plan.path), "--", *plan.words]
        self.child = Child(words, changed, plan.folder, {**os.environ, **plan.variables})

    @property
    def has_trace(self) -> bool:
        """Whether it has ended and was recorded."""
        return not self.child.is_running and self.plan.path.is_file()

    def interrupt(self) -> None:
        """Asks the program to end, as `kill` does."""
        self.child.send(signal.SIGTERM)

    def state(self) -> str:
        """How it stands, in words."""
        return state_in_words(self.child.exit_code, self.has_trace)


def state_in_words(exit_code: int | None, has_trace: bool) -> str:
    """How a program stands that was started.

    Args:
        exit_code: Its exit status, negative the signal that it died of; None: it runs.
        has_trace: Whether there is a trace of it.
    """
    if exit_code is None:
        return "It runs, and is recorded."
    if exit_code == 0:
        ended = "It has ended well"
    elif (death := system.death(exit_code)) is None:
        ended = f"It failed: exit status {exit_code}"
    else:
        ended = f"It {death}"
    return f"{ended}." if has_trace else f"{ended}; nothing was recorded."
