"""What is known of a running process, in the same words on every system."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class Process:
    """A running process of this user.

    Attributes:
        pid: Its number.
        arguments: Its command line.
        program: A path by which its program can be read.
        mapped: The files that are loaded into it, in order; with code in them, others as the system has it.
    """

    pid: int
    arguments: tuple[str, ...]
    program: Path
    mapped: tuple[str, ...]


class End(Protocol):
    """The end of a process, which can be waited for."""

    @property
    def waitable(self) -> int:
        """What the recorder in the native library waits for; -1: nothing that it could wait for."""

    def has_come(self) -> bool:
        """Whether the process has ended."""

    def close(self) -> None:
        """Waits no longer."""
