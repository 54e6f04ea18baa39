"""This user's processes that can be watched: those that are, and those that have ggml loaded."""

from __future__ import annotations

import functools
import os
import shlex
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ggml_viz import native, system
from ggml_viz.analysis.registry import WatchedProcess, watched_processes
from ggml_viz.capture.inspect import GGML_TEXT, contains_any
from ggml_viz.numbers import count
from ggml_viz.system.process import Process

_NAMES = ("ggml", "llama", "whisper", "stable-diffusion")
_OWN = system.LIBRARY.partition("{")[0]
_SMALLEST = 256 << 10


@dataclass(frozen=True)
class Listed:
    """A process that can be watched.

    Attributes:
        pid: Its number.
        command: Its command line.
        known: What is known of it, in words.
        is_watched: An agent is in it.
    """

    pid: int
    command: str
    known: str
    is_watched: bool


def listed_processes() -> list[Listed]:
    """Those that there are: the watched ones, then the newest of the others. Takes a while when it is first asked."""
    watched: list[WatchedProcess] = []
    with suppress(OSError):
        watched = watched_processes(native.segments_folder())
    taken = {process.pid for process in watched} | {os.getpid()}
    others = []
    for process in system.own_processes():
        if process.pid not in taken and (library := _ggml_in(process)):
            others.append(Listed(process.pid, shlex.join(process.arguments), f"ggml in {library}", False))
    return [
        *(Listed(process.pid, process.command, known_of_watched(process), True) for process in watched),
        *sorted(others, key=lambda process: -process.pid),
    ]


def known_of_watched(process: WatchedProcess) -> str:
    """What a watched process does, in words."""
    versions = ", ".join(sorted({version for version, _ in process.ggml} - {""}))
    states = {"nobody records": "watched", "idle": "stopped"}
    now = process.now
    parts = [
        states.get(process.state, process.state),
        f"{now.phase}, {count(now.tokens_per_second)} t/s" if now.phase and now.tokens_per_second else now.phase or "",
        f"ggml {versions}" if versions else "",
    ]
    return " · ".join(part for part in parts if part)


def matching_processes(processes: Sequence[Listed], text: str) -> list[Listed]:
    """Those that have all words of a text in their command line, number, or what is known of them."""
    words = text.lower().split()
    return [
        process
        for process in processes
        if all(word in f"{process.pid} {process.command} {process.known}".lower() for word in words)
    ]


def _ggml_in(process: Process) -> str | None:
    """The file of a process that ggml is in."""
    names = sorted(os.path.basename(path) for path in process.mapped)
    named = [name for name in names if any(part in name for part in _NAMES) and not name.startswith(_OWN)]
    libraries = [name for name in named if system.is_library(name)]
    if libraries:
        return next((name for name in libraries if name.removeprefix("lib").startswith("ggml-cpu")), libraries[0])
    # Libraries of the system are known by their names; others are looked into, as ggml may be linked into them.
    for path in (str(process.program), *process.mapped):
        own = os.path.basename(path).startswith(_OWN)
        if not own and not path.startswith(system.OF_THE_SYSTEM) and _holds_ggml(path):
            return os.path.basename(os.path.realpath(path))
    return None


def _holds_ggml(path: str) -> bool:
    try:
        status = os.stat(path)
    except OSError:
        return False
    return status.st_size >= _SMALLEST and _file_holds_ggml(path, status.st_dev, status.st_ino, status.st_mtime_ns)


@functools.lru_cache(4096)
def _file_holds_ggml(path: str, _device: int, _inode: int, _changed: int) -> bool:
    return contains_any(Path(path), b"ggml_graph_compute", GGML_TEXT)
