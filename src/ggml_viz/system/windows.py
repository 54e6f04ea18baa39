"""What only Windows does so; what Python's library has no function for stands in `windows_api`."""

from __future__ import annotations

import ctypes
import io
import logging
import msvcrt
import os
import platform
import signal
import socket
import subprocess
import sys
import winreg
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from ctypes import byref, sizeof
from ctypes.wintypes import DWORD
from pathlib import Path
from types import FrameType
from typing import IO, Any, BinaryIO

from ggml_viz.errors import UserError
from ggml_viz.system import windows_api as api
from ggml_viz.system.process import Process
from ggml_viz.system.windows_api import Handle, kernel32
from ggml_viz.system.windows_injection import InjectionError, bring_in

assert sys.platform == "win32"

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

_LOG = logging.getLogger("ggml_viz")

LIBRARY = "ggml_viz_{}.dll"
NEEDS = "It needs Windows 10 or newer on an x86-64 CPU."
UNANSWERED = "Is there room on the disk of %LOCALAPPDATA%?"
FOREIGN_FOLDER = "The folder for segments may not be written: see %LOCALAPPDATA%\\ggml-viz."
FOLLOWS_CHILDREN = False
TO_EXECUTE = "Name the program that runs it, for example: ggml-viz run -- python {}"
RUNS_MACHO = False
RUNS_PE = True
GLFW = "glfw3.dll"
OF_THE_SYSTEM = (os.environ.get("SYSTEMROOT", "C:\\Windows") + "\\",)
BINARY = os.O_BINARY
LISTENING = socket.SO_EXCLUSIVEADDRUSE

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGBREAK)
LEAVING = (signal.SIGTERM, signal.SIGBREAK)

# The byte of a file that is locked by who uses it; the native library has the same.
_LOCKED_BYTE = 0x7FFF_FFFF << 32

_DEATHS = {
    0x8000_0003: "a breakpoint",
    0xC000_0005: "an access violation",
    0xC000_0006: "a page that could not be read",
    0xC000_0017: "lack of memory",
    0xC000_001D: "an illegal instruction",
    0xC000_007B: "a library that is not for this kind of program",
    0xC000_0094: "a division by zero",
    0xC000_00FD: "a stack overflow",
    0xC000_0135: "a missing library",
    0xC000_0138: "a function that its library does not have",
    0xC000_0139: "a function that its library does not have",
    0xC000_013A: "Ctrl-C",
    0xC000_0142: "a library that does not start",
    0xC000_0374: "a damaged heap",
    0xC000_0409: "an abort or a damaged stack",
    0xC000_0420: "a failed assertion",
    0xE06D_7363: "a C++ exception that nobody caught",
}
_ERROR_STATUS = 0x8000_0000


# --- folders ---


def _local(environment: Mapping[str, str]) -> Path:
    base = environment.get("LOCALAPPDATA", "")
    return (Path(base) if os.path.isabs(base) else Path.home() / "AppData" / "Local") / "ggml-viz"


def cache_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """Where files lie that can be made again."""
    return _local(environment) / "cache"


def config_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """Where the user's settings lie.

    Raises:
        RuntimeError: The user has no home.
    """
    base = environment.get("APPDATA", "")
    return (Path(base) if os.path.isabs(base) else Path.home() / "AppData" / "Roaming") / "ggml-viz"


def state_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """Where it is kept how things were left."""
    return _local(environment) / "state"


# --- output ---


def settle_output() -> None:
    """Has everything that is printed come out as it is meant, also in a file or pipe: in UTF-8."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="replace")


# --- files ---


def is_library(name: str) -> bool:
    """Whether a file so called is a library that programs load."""
    return name.lower().endswith((".dll", ".pyd", ".node"))


def can_drop_names() -> bool:
    """Whether a file can lose its name while it is open, and still be opened by `name_of_open`."""
    return False


def name_of_open(_descriptor: int, path: str) -> str:
    """A name under which any process of this user can open a file that this one has open."""
    return path


def native_file(descriptor: int) -> int:
    """An open file as the native library takes it: there a handle."""
    return msvcrt.get_osfhandle(descriptor)


def new_private_file(path: Path) -> BinaryIO:
    """Makes a file that only this user can read, as anything in that folder, and opens it for writing, unbuffered.

    It may be renamed and removed while it is open.

    Raises:
        OSError: It is there already, or cannot be made.
    """
    handle = kernel32.CreateFileW(str(path), api.GENERIC_WRITE, api.SHARE_ALL, None, api.CREATE_NEW, 0x80, None)
    descriptor = msvcrt.open_osfhandle(Handle(handle).value, os.O_BINARY)
    return open(descriptor, "wb", buffering=0)


def hold(file: BinaryIO) -> None:
    """Keeps an open file of the segments' folder from being swept, until it is closed."""
    place = api.Overlapped(Offset=_LOCKED_BYTE)
    if not kernel32.LockFileEx(msvcrt.get_osfhandle(file.fileno()), api.LOCK_AT_ONCE, 0, 1, 0, byref(place)):
        raise api.failure()


def read_at(file: IO[bytes], offset: int, count: int) -> bytes:
    """Reads from a file without moving the place at which others who share it write."""
    own = kernel32.ReOpenFile(msvcrt.get_osfhandle(file.fileno()), api.GENERIC_READ, api.SHARE_ALL, 0)
    with Handle(own) as again:
        data, got = ctypes.create_string_buffer(count), DWORD()
        if not kernel32.ReadFile(again, data, count, byref(got), byref(api.Overlapped(Offset=offset))):
            return b""
    return data.raw[: got.value]


def others_may_read(_path: Path) -> bool:
    """Whether other users may read a file: who that is, its folder's rights decide here, and are not looked at."""
    return False


# --- this machine ---


def _registered(key: str, name: str) -> str:
    try:
        with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, key) as opened:
            return str(winreg.QueryValueEx(opened, name)[0]).strip()
    except OSError:
        return ""


def description() -> tuple[str, str]:
    """The system with its release, and the C library with its version; empty if unknown."""
    version = sys.getwindowsversion()
    return f"Windows {version.major}.{version.minor}.{version.build}", ""


def machine_identity() -> str:
    """What tells this machine from others."""
    return _registered(r"SOFTWARE\Microsoft\Cryptography", "MachineGuid") or platform.node()


def cpu_name() -> str:
    """What the CPU calls itself."""
    name = _registered(r"HARDWARE\DESCRIPTION\System\CentralProcessor\0", "ProcessorNameString")
    return name or platform.processor() or platform.machine()


def usable_cpus() -> int:
    """How many CPUs this process may use."""
    own, whole = ctypes.c_size_t(), ctypes.c_size_t()
    if kernel32.GetProcessAffinityMask(kernel32.GetCurrentProcess(), byref(own), byref(whole)) and own.value:
        return bin(own.value).count("1")
    return os.cpu_count() or 1


def largest_cache_bytes() -> int:
    """How large the largest cache is; 0: unknown."""
    room = DWORD()
    kernel32.GetLogicalProcessorInformation(None, byref(room))
    parts = (api.ProcessorInformation * (room.value // sizeof(api.ProcessorInformation)))()
    if not kernel32.GetLogicalProcessorInformation(parts, byref(room)):
        return 0
    return max((int(part.Size) for part in parts if part.Relationship == api.RELATION_CACHE), default=0)


def available_bytes() -> int | None:
    """Memory that can be had without swapping; None: unknown."""
    status = api.MemoryStatus(dwLength=sizeof(api.MemoryStatus))
    return int(status.AvailPhys) if kernel32.GlobalMemoryStatusEx(byref(status)) else None


def load() -> float:
    """How many threads want to compute, which Windows does not count: 0."""
    return 0.0


def give_way() -> None:
    """Lowers the priority of the calling thread."""
    kernel32.SetThreadPriority(kernel32.GetCurrentThread(), api.THREAD_PRIORITY_BELOW_NORMAL)


def trim_memory() -> None:
    """Gives memory back that was freed: here it has been."""


# --- windows ---


def has_display() -> bool:
    """Whether there is something to show a window on."""
    return True


def has_file_dialogs() -> bool:
    """Whether the system has a dialog for files."""
    return True


class Terminal:
    """A terminal that is shared with a dashboard: Windows' consoles are not.

    Raises:
        UserError: With exit status 125, always.
    """

    descriptor: int

    def __init__(self) -> None:
        raise UserError(
            "on Windows a program and a dashboard cannot share a terminal",
            "Record without --live, and look from another terminal: ggml-viz top",
            exit_status=125,
        )

    def restore(self, reset: bytes) -> None:
        """Makes the terminal as it was when this was made."""

    def interrupt(self) -> None:
        """Does what the terminal does at Ctrl-C."""

    def close(self) -> None:
        """Lets go of it."""


# --- starting a program with the agent in it ---


def preloadable(agent: Path, _version: str) -> Path:
    """The agent, by a path that the system can be told to load into a program."""
    return agent


def gained_rights(_path: Path) -> str | None:
    """How a program gains rights when it starts, which keeps the agent out of it; None: it does not."""
    return None


def preloading(environment: Mapping[str, str], _agent: Path) -> dict[str, str]:
    """The environment that brings the agent into a program; here `start` does."""
    return dict(environment)


def start(
    path: Path,
    command: Sequence[str],
    environment: Mapping[str, str],
    agent: Path,
    stdin: int | None = None,
    stdout: IO[bytes] | None = None,
    stderr: IO[bytes] | None = None,
) -> subprocess.Popen[bytes]:
    """Starts a program with this process's files, console and working folder, and with the agent in it.

    Args:
        path: The file of the program `command[0]`.
        command: The program's name, as it is to see it itself, and its arguments.
        environment: Its environment.
        agent: The agent's library.
        stdin: What it reads, if not what this process reads.
        stdout: Where it writes, if not where this process does.
        stderr: The same for errors.

    Raises:
        UserError: With exit status 126 if it cannot be executed.
    """
    if path.suffix.lower() in (".bat", ".cmd"):
        raise UserError(
            f"{path} is a script of the command prompt, and what it starts is not recorded",
            "Name the program that it starts.",
            exit_status=126,
        )
    path, environment = _without_redirector(path, environment)
    try:
        process = subprocess.Popen(
            command,
            executable=str(path),
            env=environment,
            close_fds=False,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            creationflags=api.CREATE_SUSPENDED,
        )
    except OSError as error:
        raise _not_executed(path, error) from None
    try:
        # Another one runs as well, without the agent: what it is, is said when nothing was recorded.
        if api.machine_of(_handle(process)) == api.machine_of(kernel32.GetCurrentProcess()):
            bring_in(_handle(process), agent, at_start=True)
    except (InjectionError, OSError) as error:
        _LOG.warning("the agent is not in %s: %s; it runs without", command[0], error)
    finally:
        api.ntdll.NtResumeProcess(_handle(process))
    return process


def _handle(process: subprocess.Popen[bytes]) -> int:
    return int(process._handle)  # type: ignore[attr-defined]


def _not_executed(path: Path, error: OSError) -> UserError:
    hint = None
    if error.winerror == api.ERROR_BAD_EXE_FORMAT:
        reason = "it is no program for this Windows"
        hint = f"For a script name its interpreter: ggml-viz run -- python {path}" if path.suffix == ".py" else None
    elif error.winerror == api.ERROR_ELEVATION_REQUIRED:
        reason = "it asks for an administrator's rights"
        hint = "Use a command prompt that was started as administrator."
    else:
        reason = error.strerror or str(error)
    return UserError(f"{path} cannot be executed: {reason}", hint, exit_status=126)


def _without_redirector(path: Path, environment: Mapping[str, str]) -> tuple[Path, Mapping[str, str]]:
    """Python itself, where a program is the one of a virtual environment, which only starts the former.

    Python then takes itself for the environment's, as it does for `multiprocessing`.
    """
    if not path.name.lower().startswith("python"):
        return path, environment
    for folder in (path.parent, path.parent.parent):
        try:
            lines = (folder / "pyvenv.cfg").read_text(encoding="utf-8").splitlines()
        except (OSError, ValueError):
            continue
        told = {name.strip().lower(): value.strip() for name, _, value in (line.partition("=") for line in lines)}
        if "home" in told and (own := Path(told["home"]) / path.name).is_file():
            return own, {**environment, "__PYVENV_LAUNCHER__": os.path.abspath(path)}
    return path, environment


def apart() -> dict[str, Any]:
    """What `subprocess.Popen` is told of a process that Ctrl-C in this console is not meant for."""
    return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}


def send(process: subprocess.Popen[bytes], number: int) -> None:
    """Asks a process that was started `apart`, and all that it started, to end; if it has ended, nothing happens.

    Args:
        process: The process.
        number: One of ENDING; whichever, it is Ctrl-Break that comes to processes there.
    """
    assert number in ENDING
    with suppress(OSError):
        process.send_signal(signal.CTRL_BREAK_EVENT)


@contextmanager
def signals_passed_on(_send: Callable[[int], None]) -> Iterator[None]:
    """While this lasts, Ctrl-C and Ctrl-Break are the watched program's, which the console sends them to as well."""

    def leave(_number: int, _frame: FrameType | None) -> None:
        pass

    before = {number: signal.signal(number, leave) for number in (signal.SIGINT, signal.SIGBREAK)}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


# --- ending ---


def death(exit_code: int) -> str | None:
    """How a process died that did not end by itself, in words after its name; None: it ended by itself.

    Args:
        exit_code: As `subprocess.Popen` has it.
    """
    status = exit_code & 0xFFFF_FFFF
    if status < _ERROR_STATUS or (status not in _DEATHS and status >> 28 != 0xC):
        return None
    return f"died of {_DEATHS.get(status, 'an exception')} (0x{status:08X})"


def end_as(exit_code: int) -> int:
    """The status to exit with, so that this process ends as the watched program did.

    Args:
        exit_code: As `subprocess.Popen` has it.
    """
    # `sys.exit` takes what fits a signed number of 32 bits.
    return exit_code - (1 << 32) if exit_code >= 1 << 31 else exit_code


def limit_process(memory_bytes: int) -> None:
    """Takes from this process much memory, and precedence; files to write Windows does not limit."""
    kernel32.SetPriorityClass(kernel32.GetCurrentProcess(), api.BELOW_NORMAL_PRIORITY_CLASS)
    job = kernel32.CreateJobObjectW(None, None)  # it lasts as long as the process in it
    limits = api.JobLimits(LimitFlags=api.JOB_LIMIT_PROCESS_MEMORY, ProcessMemoryLimit=memory_bytes)
    kernel32.SetInformationJobObject(job, api.JOB_EXTENDED_LIMITS, byref(limits), sizeof(limits))
    kernel32.AssignProcessToJobObject(job, kernel32.GetCurrentProcess())


def bare_environment() -> dict[str, str]:
    """The least that a process needs in its environment."""
    return {name: os.environ[name] for name in ("PATH", "SYSTEMROOT") if name in os.environ}


# --- other processes ---


class ProcessEnd:
    """The end of a process, which can be waited for.

    Args:
        pid: The process.

    Raises:
        ProcessLookupError: It has ended.
    """

    def __init__(self, pid: int) -> None:
        try:
            self._handle = api.open_process(pid, api.SYNCHRONIZE)
        except OSError as error:
            raise ProcessLookupError(error.errno, error.strerror) from None

    @property
    def waitable(self) -> int:
        """What the recorder in the native library waits for."""
        return self._handle.value

    def has_come(self) -> bool:
        """Whether the process has ended."""
        return bool(kernel32.WaitForSingleObject(self._handle.value, 0) == api.WAIT_OBJECT_0)

    def close(self) -> None:
        """Waits no longer."""
        self._handle.close()


def own_processes() -> list[Process]:
    """The processes of this user that can be looked at."""
    found = []
    for pid in api.processes():
        with suppress(OSError), api.open_process(pid, api.PROCESS_READ) as process:
            if api.is_own(process):
                found.append(_seen(pid, process))
    return found


def look_at(pid: int) -> Process:
    """Looks at a process before anything is done to it.

    Raises:
        UserError: There is no such process, it is this one, another user's, the system's own, or of another kind.
    """
    if pid == os.getpid():
        raise UserError("this is ggml-viz itself")
    hint = "From a command prompt that was started as administrator more can be attached to."
    try:
        with api.open_process(pid, api.PROCESS_QUERY_LIMITED_INFORMATION | api.SYNCHRONIZE) as process:
            if kernel32.WaitForSingleObject(process, 0) == api.WAIT_OBJECT_0:
                raise UserError(f"process {pid} has ended")
            if not api.is_own(process):
                raise UserError(f"process {pid} belongs to another user", hint)
        with api.open_process(pid, api.PROCESS_INJECT) as process:
            return _seen(pid, process)
    except OSError as error:
        if error.winerror == api.ERROR_INVALID_PARAMETER:
            raise UserError(f"there is no process {pid}", "Those that there are: tasklist") from None
        if error.winerror == api.ERROR_ACCESS_DENIED:
            raise UserError(
                f"process {pid} may not be attached to: it has more rights than you, or is protected", hint
            ) from None
        raise UserError(f"process {pid} cannot be inspected: {error.strerror}") from None


def _seen(pid: int, process: int) -> Process:
    program = api.program_of(process)
    return Process(pid, api.arguments_of(process) or (program,), Path(program), tuple(sorted(api.modules_of(process))))


def name_of(pid: int) -> str | None:
    """What a process's program is called; None: it has ended."""
    with suppress(OSError), api.open_process(pid, api.PROCESS_QUERY_LIMITED_INFORMATION) as process:
        return Path(api.program_of(process)).stem
    return None


def written_by(_pid: int) -> list[Path]:
    """The files that a process has open for writing; Windows does not show them."""
    return []


# --- attaching ---


def inject(pid: int, agent: Path) -> None:
    """Loads the agent into a process; it does the rest on a thread of its own.

    Raises:
        UserError: It cannot be loaded.
    """
    try:
        with api.open_process(pid, api.PROCESS_INJECT) as process:
            bring_in(process, agent, at_start=False)
    except OSError as error:
        raise UserError(f"process {pid} may not be attached to: {error.strerror}") from None
    except InjectionError as error:
        raise UserError(f"the agent could not be loaded into process {pid}: {error}") from None


def attach_obstacle() -> str | None:
    """What keeps this user from attaching to processes of their own, as far as the system says; None: nothing."""
    return None
