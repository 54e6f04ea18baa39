"""What only Linux does so: /proc, the dynamic linker's variables, the kernel's interface for debuggers."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import signal
import stat
import threading
from collections.abc import Mapping
from contextlib import suppress
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

LIBRARY = "libggml_viz_{}.so"
"""What the files of the native libraries are called."""

NEEDS = "It needs Linux with glibc 2.17 or newer."
"""What the native libraries need."""

UNANSWERED = (
    "Is there room in /dev/shm? (df /dev/shm)  Does the process live in a container of its own? Then "
    "run ggml-viz inside it."
)
"""What to look for where an agent was loaded and does not answer."""

FOREIGN_FOLDER = "The folder for shared memory belongs to somebody else, or is open to others: see /dev/shm."
"""What is wrong where segments may not be put."""

FOLLOWS_CHILDREN = True
"""Whether the agent comes into what a recorded program starts as well."""

TO_EXECUTE = "chmod +x {}"
"""What to do with a file that is not executed."""

RUNS_MACHO = False
"""Whether programs of macOS run here."""

RUNS_PE = False
"""Whether programs of Windows run here."""

GLFW = "libglfw.so.3"
"""The library by which imgui-bundle makes windows."""

OF_THE_SYSTEM = ("/usr/lib/", "/lib/", "/usr/lib64/", "/lib64/")
"""Where the system's own libraries lie, in which there is no ggml."""

_NICENESS = 10
_PR_SET_DUMPABLE = 4
_PTRACE_SCOPE = Path("/proc/sys/kernel/yama/ptrace_scope")
_NOT_PERMITTED = -8  # of the injector


# --- folders ---


def _folder(variable: str, otherwise: str, environment: Mapping[str, str]) -> Path:
    base = environment.get(variable, "")
    return (Path(base) if os.path.isabs(base) else Path.home() / otherwise) / "ggml-viz"


def cache_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """Where files lie that can be made again."""
    return _folder("XDG_CACHE_HOME", ".cache", environment)


def config_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """Where the user's settings lie.

    Raises:
        RuntimeError: The user has no home.
    """
    return _folder("XDG_CONFIG_HOME", ".config", environment)


def state_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """Where it is kept how things were left."""
    return _folder("XDG_STATE_HOME", ".local/state", environment)


# --- files ---


def is_library(name: str) -> bool:
    """Whether a file so called is a library that programs load."""
    return ".so" in name


def can_drop_names() -> bool:
    """Whether a file can lose its name while it is open, and still be opened by `name_of_open`."""
    return True


def name_of_open(descriptor: int, _path: str) -> str:
    """A name under which any process of this user can open a file that this one has open.

    Args:
        descriptor: By which it is open here.
        _path: By which it was opened.
    """
    return f"/proc/{os.getpid()}/fd/{descriptor}"


# --- this machine ---


def description() -> tuple[str, str]:
    """The system with its release, and the C library with its version; empty if unknown."""
    return f"{platform.system()} {platform.release()}", " ".join(platform.libc_ver()).strip()


def machine_identity() -> str:
    """What tells this machine from others."""
    try:
        return Path("/etc/machine-id").read_text().strip()
    except OSError:
        return platform.node()


def cpu_name() -> str:
    """What the CPU calls itself."""
    try:
        with open("/proc/cpuinfo") as lines:
            named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
            return next(named, platform.machine())
    except OSError:
        return platform.processor() or platform.machine()


def usable_cpus() -> int:
    """How many CPUs this process may use."""
    return len(os.sched_getaffinity(0))


def largest_cache_bytes() -> int:
    """How large the largest cache of the first CPU is; 0: unknown."""
    largest = 0
    for cache in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size"):
        try:
            largest = max(largest, int(cache.read_text().strip().removesuffix("K")) << 10)
        except (OSError, ValueError):
            continue
    return largest


def available_bytes() -> int | None:
    """Memory that can be had without swapping, a page cache giving way; None: unknown."""
    try:
        with open("/proc/meminfo") as lines:
            said = next(line for line in lines if line.startswith("MemAvailable:"))
            return int(said.split()[1]) << 10
    except (OSError, StopIteration, ValueError, IndexError):
        return None


def give_way() -> None:
    """Lowers the priority of the calling thread, and of those that it starts from now on."""
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)


# --- windows ---


def has_display() -> bool:
    """Whether there is something to show a window on."""
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def has_file_dialogs() -> bool:
    """Whether the system has a dialog for files; here it is a program."""
    return any(map(shutil.which, ("zenity", "qarma", "matedialog", "kdialog", "yad")))


# --- starting a program with the agent in it ---


def preloadable(agent: Path, version: str) -> Path:
    """The agent, by a path that LD_PRELOAD can hold: it takes spaces and colons for separators.

    Args:
        agent: Its library.
        version: Names the link that is made where the path cannot be held.

    Raises:
        UserError: There is no such path.
    """
    if not _breaks_preload(agent):
        return agent
    cache = cache_folder()
    link = cache / f"agent-{version}.so"
    if _breaks_preload(link):
        raise UserError(
            f"LD_PRELOAD cannot hold a path with a space or colon: {agent}",
            "Set XDG_CACHE_HOME to a folder whose path has none; a link to the agent is made there.",
        )
    cache.mkdir(parents=True, exist_ok=True)
    fresh = link.with_suffix(f".{os.getpid()}")
    fresh.symlink_to(agent)
    fresh.replace(link)
    return link


def _breaks_preload(path: Path) -> bool:
    return not {" ", ":"}.isdisjoint(str(path))


def gained_rights(path: Path) -> str | None:
    """How a program gains rights when it starts, which keeps the agent out of it; None: it does not."""
    status = path.stat()
    if status.st_mode & stat.S_ISUID and status.st_uid != os.getuid():
        return "setuid"
    if status.st_mode & stat.S_ISGID and status.st_gid not in (os.getgid(), *os.getgroups()):
        return "setgid"
    if os.getuid() != 0 and _has_capabilities(path):
        return "given capabilities (setcap)"
    return None


def _has_capabilities(path: Path) -> bool:
    try:
        return bool(os.getxattr(path, "security.capability"))
    except OSError:
        return False


def preloading(environment: Mapping[str, str], agent: Path) -> dict[str, str]:
    """The environment that brings the agent into a program, as far as that is what brings it."""
    others = environment.get("LD_PRELOAD")
    return {**environment, "LD_PRELOAD": f"{agent}:{others}" if others else str(agent)}


def end_as(exit_code: int) -> int:
    """Ends this process as the watched program did: dies of its signal, or returns the status to exit with.

    Args:
        exit_code: As `subprocess.Popen` has it.
    """
    return posix.end_as(exit_code, lambda: posix.c_library().prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0))


# --- other processes ---


class ProcessEnd:
    """The end of a process, which can be waited for.

    Args:
        pid: The process.

    Raises:
        ProcessLookupError: It has ended.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        try:
            self.waitable = os.pidfd_open(pid)
        except ProcessLookupError:
            raise
        except OSError:  # Linux before 5.3, and some sandboxes
            self.waitable = -1

    def has_come(self) -> bool:
        """Whether the process has ended."""
        try:
            if self.waitable < 0:
                os.kill(self._pid, 0)
            else:
                signal.pidfd_send_signal(self.waitable, 0)
        except ProcessLookupError:
            return True
        return False

    def close(self) -> None:
        """Waits no longer."""
        if self.waitable >= 0:
            os.close(self.waitable)


def own_processes() -> list[Process]:
    """The processes of this user that can be looked at, as far as code is mapped into them."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdigit() and folder.stat().st_uid == os.geteuid():
                found.append(Process(int(folder.name), _arguments(folder), folder / "exe", _mapped(folder, code=True)))
        except OSError:
            continue  # it has ended, or has more rights than we
    return found


def look_at(pid: int) -> Process:
    """Looks at a process before anything is done to it.

    Raises:
        UserError: There is no such process, it is this one or another user's, or may not be looked at.
    """
    folder = Path("/proc") / str(pid)
    try:
        owner = folder.stat().st_uid
        arguments = _arguments(folder)
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
    program = folder / "exe"
    try:
        program.open("rb").close()
        mapped = _mapped(folder, code=False)
    except (FileNotFoundError, ProcessLookupError):
        raise UserError(f"process {pid} is a thread of the kernel, or has just ended") from None
    except PermissionError:
        raise UserError(
            f"process {pid} may not be inspected: it runs with more rights than you", f"sudo ggml-viz attach {pid}"
        ) from None
    return Process(pid, arguments, program, mapped)


def name_of(pid: int) -> str | None:
    """What a process's program is called; None: it has ended."""
    try:
        return (Path("/proc") / str(pid) / "comm").read_text().strip()
    except OSError:
        return None


def written_by(pid: int) -> list[Path]:
    """The files that a process has open for writing, as far as it shows them."""
    found = []
    with suppress(OSError):
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError, ValueError, IndexError):
                path = Path(os.readlink(entry))
                flags = (Path(f"/proc/{pid}/fdinfo") / entry.name).read_text().split("flags:")[1].split()[0]
                if int(flags, 8) & os.O_ACCMODE:
                    found.append(path)
    return found


def _state(folder: Path) -> str:
    """What a process or thread is at, by the letter that the kernel has for it."""
    return (folder / "stat").read_text().rpartition(")")[2].split()[0]


def _arguments(folder: Path) -> tuple[str, ...]:
    return tuple(os.fsdecode((folder / "cmdline").read_bytes()).rstrip("\0").split("\0"))


def _mapped(folder: Path, code: bool) -> tuple[str, ...]:
    files = set()
    for line in (folder / "maps").read_text(errors="replace").splitlines():
        parts = line.split(maxsplit=5)
        if len(parts) == 6 and parts[5].startswith("/") and (not code or "x" in parts[1]):
            files.add(parts[5].removesuffix(" (deleted)"))
    return tuple(sorted(files))


# --- attaching ---

_INSTALL_INJECTOR = "pip install pyinjector"
if platform.machine() != "x86_64":
    _INSTALL_INJECTOR += " (which needs a C compiler here)"


def inject(pid: int, agent: Path) -> None:
    """Loads the agent into a process; it does the rest on a thread of its own.

    Raises:
        UserError: It cannot be loaded; the message says which setting or right is missing.
    """
    try:
        from pyinjector import InjectorError
        from pyinjector import inject as load_library
    except ImportError:
        raise UserError("attaching needs the package pyinjector, which is not installed", _INSTALL_INJECTOR) from None
    try:
        load_library(quiet_thread(pid), str(agent))
    except InjectorError as error:
        if error.ret_val == _NOT_PERMITTED:
            raise UserError(f"process {pid} may not be attached to", _missing_right(pid)) from None
        detail = (error.error_str or f"error {error.ret_val}").strip()
        raise UserError(f"the agent could not be loaded into process {pid}: {detail}") from None


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


def attach_obstacle() -> str | None:
    """What keeps this user from attaching to processes of their own, as far as the system says; None: nothing."""
    if importlib.util.find_spec("pyinjector") is None:
        return f"the package pyinjector is missing: {_INSTALL_INJECTOR}"
    return None if _may_trace() else _SCOPES.get(_ptrace_scope())


def _missing_right(pid: int) -> str:
    """Which of the things that can forbid it does."""
    tracer = _status(str(pid), "TracerPid")
    if tracer not in ("", "0"):
        return f"Process {tracer} is tracing it (a debugger, strace); end that first."
    forbidden = _SCOPES.get(_ptrace_scope())
    if forbidden and not _may_trace():
        return f"{forbidden[0].upper()}{forbidden[1:]}."
    return (
        "The container or a security module forbids it: docker run --cap-add=SYS_PTRACE (and --security-opt "
        "seccomp=unconfined before Linux 4.8), or start it with: ggml-viz run -- COMMAND"
    )


_SCOPES = {
    1: "kernel.yama.ptrace_scope is 1: use sudo ggml-viz attach, or sudo sysctl kernel.yama.ptrace_scope=0",
    2: "kernel.yama.ptrace_scope is 2: it needs CAP_SYS_PTRACE, so use sudo ggml-viz attach",
    3: "kernel.yama.ptrace_scope is 3: attaching is off until a reboot; start programs with ggml-viz run -- COMMAND",
}
_CAP_SYS_PTRACE = 19


def _ptrace_scope() -> int:
    try:
        return int(_PTRACE_SCOPE.read_text())
    except (OSError, ValueError):
        return 0


def _may_trace() -> bool:
    """Whether this process has the capability that the restrictions do not apply to (all but the last)."""
    capabilities = int(_status("self", "CapEff") or "0", 16)
    return bool(capabilities >> _CAP_SYS_PTRACE & 1) and _ptrace_scope() < 3


def _status(process: str, key: str) -> str:
    try:
        for line in (Path("/proc") / process / "status").read_text().splitlines():
            name, _, value = line.partition(":")
            if name == key:
                return value.strip()
    except OSError:
        pass
    return ""
