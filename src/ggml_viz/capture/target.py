"""A running process that is to be watched: whether the agent can be brought into it, and by which of its threads."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path

from ggml_viz.capture.elf import ElfError, read_elf
from ggml_viz.capture.inspect import GGML_TEXT, contains_any
from ggml_viz.errors import UserError

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
    folder = Path("/proc") / str(pid)
    try:
        owner = folder.stat().st_uid
        command = (folder / "cmdline").read_bytes().rstrip(b"\0").replace(b"\0", b" ").decode(errors="replace")
        state = _state(folder)
    except (FileNotFoundError, ProcessLookupError):
        raise UserError(f"there is no process {pid}", "Those that can be watched: ps -e") from None
    if state in "ZX":
        raise UserError(f"process {pid} has ended and only waits to be noticed by its parent")
    if pid == os.getpid():
        raise UserError("this is ggml-viz itself")
    if owner != os.geteuid():
        raise UserError(
            f"process {pid} belongs to another user", f"Attach as that user: sudo -u '#{owner}' ggml-viz attach {pid}"
        )
    try:
        elf = read_elf(folder / "exe")
        mapped = _mapped_files(folder)
    except (FileNotFoundError, ProcessLookupError):
        raise UserError(f"process {pid} is a thread of the kernel, or has just ended") from None
    except PermissionError:
        raise UserError(
            f"process {pid} may not be inspected: it runs with more rights than you", f"sudo ggml-viz attach {pid}"
        ) from None
    except ElfError as error:
        raise UserError(f"the program of process {pid} cannot be read: {error}") from None
    if elf.bits != 64 or elf.machine != platform.machine():
        raise UserError(f"process {pid} is a {elf.bits}-bit program for {elf.machine}; the agent is not")
    if elf.interpreter is None:
        raise UserError(
            f"process {pid} is linked fully statically: nothing can be loaded into it",
            "Use a build that loads the C library dynamically; ggml itself may be linked statically.",
        )
    if "ld-musl" in elf.interpreter:
        raise UserError(f"process {pid} uses the C library musl; the agent needs glibc")
    return Target(pid, command, _has_ggml(folder / "exe", mapped))


def quiet_thread(pid: int) -> int:
    """The thread of a process through which a library is loaded with the least disturbance: one that sleeps.

    A sleeping thread neither computes nor holds a lock that loading needs. The last of them is taken: the first are
    more often the ones that compute. Where all are running, the process's first thread.
    """
    tasks = Path("/proc") / str(pid) / "task"
    for task in sorted((int(entry.name) for entry in tasks.iterdir()), reverse=True):
        try:
            state = _state(tasks / str(task))
            call = (tasks / str(task) / "syscall").read_text().split()
        except (OSError, IndexError):
            continue
        if state == "S" and call and call[0].isdigit():
            return task
    return pid


def _state(folder: Path) -> str:
    """What a process or thread is at, by the letter that the kernel has for it."""
    return (folder / "stat").read_text().rpartition(")")[2].split()[0]


def _mapped_files(folder: Path) -> set[str]:
    files = set()
    for line in (folder / "maps").read_text(errors="replace").splitlines():
        parts = line.split(maxsplit=5)
        if len(parts) == 6 and parts[5].startswith("/"):
            files.add(parts[5].removesuffix(" (deleted)"))
    return files


def _has_ggml(program: Path, mapped: set[str]) -> bool:
    if any(_GGML_IN_NAME in os.path.basename(path) for path in mapped):
        return True
    files = (program, *map(Path, sorted(mapped)))
    return any(contains_any(path, b"ggml_graph_compute", GGML_TEXT) for path in files)
