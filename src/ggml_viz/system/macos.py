"""What only macOS does so: the dynamic linker's variables, sysctl, kqueue. Built and tried on other systems only."""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import select
import stat
import subprocess
from collections.abc import Mapping
from pathlib import Path

from ggml_viz.errors import UserError
from ggml_viz.system import posix
from ggml_viz.system.posix import (
    BINARY,
    ENDING,
    LEAVING,
    LISTENING,
    Terminal,
    apart,
    bare_environment,
    death,
    hold,
    limit_process,
    load,
    native_file,
    new_private_file,
    others_may_read,
    read_at,
    send,
    settle_output,
    signals_passed_on,
    start,
    trim_memory,
)
from ggml_viz.system.process import Process

__all__ = [
    "BINARY",
    "ENDING",
    "FOLLOWS_CHILDREN",
    "FOREIGN_FOLDER",
    "GLFW",
    "LEAVING",
    "LIBRARY",
    "LISTENING",
    "NEEDS",
    "OF_THE_SYSTEM",
    "RUNS_MACHO",
    "RUNS_PE",
    "TO_EXECUTE",
    "UNANSWERED",
    "ProcessEnd",
    "Terminal",
    "apart",
    "attach_obstacle",
    "available_bytes",
    "bare_environment",
    "cache_folder",
    "can_drop_names",
    "config_folder",
    "cpu_name",
    "death",
    "description",
    "end_as",
    "gained_rights",
    "give_way",
    "has_display",
    "has_file_dialogs",
    "hold",
    "inject",
    "is_library",
    "largest_cache_bytes",
    "limit_process",
    "load",
    "look_at",
    "machine_identity",
    "name_of",
    "name_of_open",
    "native_file",
    "new_private_file",
    "others_may_read",
    "own_processes",
    "preloadable",
    "preloading",
    "read_at",
    "send",
    "settle_output",
    "signals_passed_on",
    "start",
    "state_folder",
    "trim_memory",
    "usable_cpus",
    "written_by",
]

LIBRARY = "libggml_viz_{}.dylib"
NEEDS = "It needs macOS 11 or newer."
UNANSWERED = "Is there room on the disk of $TMPDIR?"
FOREIGN_FOLDER = "The folder for segments belongs to somebody else, or is open to others: see $TMPDIR."
FOLLOWS_CHILDREN = True
TO_EXECUTE = "chmod +x {}"
RUNS_MACHO = True
RUNS_PE = False
GLFW = "libglfw.3.dylib"
OF_THE_SYSTEM = ("/usr/lib/", "/System/")

_QOS_CLASS_UTILITY = 0x11
_NO_ATTACHING = "macOS lets no program into another that runs"


# --- folders ---


def cache_folder(_environment: Mapping[str, str] = os.environ) -> Path:
    """Where files lie that can be made again."""
    return Path.home() / "Library" / "Caches" / "ggml-viz"


def config_folder(_environment: Mapping[str, str] = os.environ) -> Path:
    """Where the user's settings lie.

    Raises:
        RuntimeError: The user has no home.
    """
    return Path.home() / "Library" / "Application Support" / "ggml-viz"


def state_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """Where it is kept how things were left."""
    return config_folder(environment)


# --- files ---


def is_library(name: str) -> bool:
    """Whether a file so called is a library that programs load."""
    return name.endswith((".dylib", ".so"))


def can_drop_names() -> bool:
    """Whether a file can lose its name while it is open, and still be opened by `name_of_open`."""
    return False


def name_of_open(_descriptor: int, path: str) -> str:
    """A name under which any process of this user can open a file that this one has open.

    Args:
        _descriptor: By which it is open here.
        path: By which it was opened.
    """
    return path


# --- this machine ---


def _told(name: str) -> bytes:
    """What sysctl says; empty: nothing."""
    value = ctypes.create_string_buffer(256)
    size = ctypes.c_size_t(len(value))
    if posix.c_library().sysctlbyname(name.encode(), value, ctypes.byref(size), None, ctypes.c_size_t(0)) != 0:
        return b""
    return value.raw[: size.value]


def description() -> tuple[str, str]:
    """The system with its release, and the C library with its version; empty, for it is the system's."""
    return f"macOS {platform.mac_ver()[0]}", ""


def machine_identity() -> str:
    """What tells this machine from others."""
    identity = ctypes.create_string_buffer(16)
    wait = (ctypes.c_long * 2)(0, 0)
    if posix.c_library().gethostuuid(identity, wait) != 0:
        return platform.node()
    return identity.raw.hex()


def cpu_name() -> str:
    """What the CPU calls itself."""
    return _told("machdep.cpu.brand_string").rstrip(b"\0").decode(errors="replace") or platform.machine()


def usable_cpus() -> int:
    """How many CPUs this process may use."""
    return os.cpu_count() or 1


def largest_cache_bytes() -> int:
    """How large the largest cache of the fastest CPUs is; 0: unknown."""
    names = ("hw.l3cachesize", "hw.perflevel0.l2cachesize", "hw.l2cachesize")
    return max(int.from_bytes(_told(name), "little") for name in names)


def available_bytes() -> int | None:
    """Memory that can be had without swapping, a page cache giving way; None: unknown."""
    try:
        said = subprocess.run(["/usr/bin/vm_stat"], capture_output=True, text=True, check=True).stdout
        pages = dict(line.split(":") for line in said.splitlines()[1:] if ":" in line)
        free = sum(int(pages[f"Pages {kind}"].strip().rstrip(".")) for kind in ("free", "inactive", "speculative"))
        return free * os.sysconf("SC_PAGE_SIZE")
    except (OSError, subprocess.SubprocessError, KeyError, ValueError):
        return None


def give_way() -> None:
    """Lowers the priority of the calling thread."""
    posix.c_library().pthread_set_qos_class_self_np(_QOS_CLASS_UTILITY, 0)


# --- windows ---


def has_display() -> bool:
    """Whether there is something to show a window on; not where this was logged in to from elsewhere."""
    return "SSH_CONNECTION" not in os.environ


def has_file_dialogs() -> bool:
    """Whether the system has a dialog for files."""
    return True


# --- starting a program with the agent in it ---


def preloadable(agent: Path, _version: str) -> Path:
    """The agent, by a path that DYLD_INSERT_LIBRARIES can hold.

    Args:
        agent: Its library.
        _version: Needed on other systems.

    Raises:
        UserError: There is no such path.
    """
    if ":" in str(agent):
        raise UserError(
            f"DYLD_INSERT_LIBRARIES cannot hold a path with a colon: {agent}", "Install ggml-viz in another folder."
        )
    return agent


def gained_rights(path: Path) -> str | None:
    """How a program gains rights when it starts, which keeps the agent out of it; None: it does not."""
    mode = path.stat().st_mode
    return "setuid" if mode & stat.S_ISUID else "setgid" if mode & stat.S_ISGID else None


def preloading(environment: Mapping[str, str], agent: Path) -> dict[str, str]:
    """The environment that brings the agent into a program, as far as that is what brings it."""
    others = environment.get("DYLD_INSERT_LIBRARIES")
    return {**environment, "DYLD_INSERT_LIBRARIES": f"{agent}:{others}" if others else str(agent)}


def end_as(exit_code: int) -> int:
    """Ends this process as the watched program did: dies of its signal, or returns the status to exit with.

    Args:
        exit_code: As `subprocess.Popen` has it.
    """
    return posix.end_as(exit_code, lambda: resource.setrlimit(resource.RLIMIT_CORE, (0, 0)))


# --- other processes ---


class ProcessEnd:
    """The end of a process, which can be waited for.

    Args:
        pid: The process.

    Raises:
        ProcessLookupError: It has ended.
    """

    def __init__(self, pid: int) -> None:
        self._queue = select.kqueue()
        self._has_come = False
        end = select.kevent(pid, select.KQ_FILTER_PROC, select.KQ_EV_ADD, select.KQ_NOTE_EXIT)
        try:
            self._queue.control([end], 0)
        except ProcessLookupError:
            try:
                os.kill(pid, 0)
            except ProcessLookupError:
                self._queue.close()
                raise
            self._has_come = True  # a child that this process has still to notice

    @property
    def waitable(self) -> int:
        """What the recorder in the native library waits for."""
        return self._queue.fileno()

    def has_come(self) -> bool:
        """Whether the process has ended."""
        self._has_come = self._has_come or bool(self._queue.control(None, 1, 0))
        return self._has_come

    def close(self) -> None:
        """Waits no longer."""
        self._queue.close()


def own_processes() -> list[Process]:
    """The processes of this user that can be attached to: none."""
    return []


def look_at(pid: int) -> Process:
    """Looks at a process before anything is done to it, which is not possible here.

    Raises:
        UserError: Always.
    """
    raise UserError(f"process {pid} cannot be attached to: {_NO_ATTACHING}", "Start it with: ggml-viz run -- COMMAND")


def name_of(pid: int) -> str | None:
    """What a process's program is called; None: it has ended."""
    said = subprocess.run(["/bin/ps", "-o", "comm=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return os.path.basename(said.stdout.strip()) or None


def written_by(_pid: int) -> list[Path]:
    """The files that a process has open for writing; macOS does not show them without more rights."""
    return []


# --- attaching ---


def inject(pid: int, _agent: Path) -> None:
    """Loads the agent into a process, which is not possible here.

    Raises:
        UserError: Always.
    """
    look_at(pid)


def attach_obstacle() -> str | None:
    """What keeps this user from attaching to processes of their own."""
    return _NO_ATTACHING
