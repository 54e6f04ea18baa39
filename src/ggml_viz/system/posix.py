"""What Linux and macOS do alike."""

from __future__ import annotations

import ctypes
import fcntl
import os
import resource
import signal
import socket
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import IO, Any, BinaryIO

from ggml_viz.errors import UserError

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""The signals by which a program is asked to end."""

LEAVING = (signal.SIGTERM, signal.SIGHUP)
"""Those of them that no key sends."""

LISTENING = socket.SO_REUSEADDR
"""What is set on a socket that is to listen: a port may be had as soon as it is free, but not twice."""

BINARY = 0
"""What `os.open` is told in order not to change what is in a file."""

_FORWARDED = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
# The terminal sends these to the program itself, which decides what they mean.
_LEFT_TO_THE_PROGRAM = (signal.SIGINT, signal.SIGQUIT)


# --- output ---


def settle_output() -> None:
    """Has everything that is printed come out as it is meant; here it does."""


# --- files ---


def new_private_file(path: Path) -> BinaryIO:
    """Makes a file that only this user can read, and opens it for writing, without a buffer.

    Raises:
        OSError: It is there already, or cannot be made.
    """
    return open(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW, 0o600), "wb", buffering=0)


def native_file(descriptor: int) -> int:
    """An open file as the native library takes it."""
    return descriptor


def hold(file: BinaryIO) -> None:
    """Keeps an open file of the segments' folder from being swept, until it is closed."""
    fcntl.flock(file, fcntl.LOCK_SH)


def read_at(file: IO[bytes], offset: int, count: int) -> bytes:
    """Reads from a file without moving the place at which others who share it write."""
    return os.pread(file.fileno(), count, offset)


def others_may_read(path: Path) -> bool:
    """Whether other users may read a file."""
    return bool(path.stat().st_mode & (0o040 | 0o004))


# --- this machine ---


def load() -> float:
    """How many threads want to compute, on average over the last minute."""
    return os.getloadavg()[0]


# --- starting ---


def start(
    path: Path,
    command: Sequence[str],
    environment: Mapping[str, str],
    agent: Path,
    stdin: int | None = None,
    stdout: IO[bytes] | None = None,
    stderr: IO[bytes] | None = None,
) -> subprocess.Popen[bytes]:
    """Starts a program with this process's files, process group and working folder.

    Args:
        path: The file of the program `command[0]`.
        command: The program's name, as it is to see it itself, and its arguments.
        environment: Its environment, as `preloading` made it.
        agent: The agent's library; here the environment brings it.
        stdin: What it reads, if not what this process reads.
        stdout: Where it writes, if not where this process does.
        stderr: The same for errors.

    Raises:
        UserError: With exit status 126 if it cannot be executed.
    """
    # A name without a slash would be looked for again.
    executable = str(path) if os.sep in str(path) else os.path.join(os.curdir, path)
    # posix_spawn, which Python may use, leaves two signals ignored in the program.
    subprocess._USE_POSIX_SPAWN = False  # type: ignore[misc]
    try:
        # No file is closed that the shell has opened for the program (`3<data`).
        return subprocess.Popen(
            command,
            executable=executable,
            env=environment,
            close_fds=False,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
        )
    except FileNotFoundError:
        raise UserError(f"{path}: its interpreter does not exist", exit_status=126) from None
    except OSError as error:
        hint = f"For a script without a #! line: ggml-viz run -- sh {path}" if error.errno == 8 else None
        raise UserError(f"{path} cannot be executed: {error.strerror}", hint, exit_status=126) from None


def apart() -> dict[str, Any]:
    """What `subprocess.Popen` is told of a process that Ctrl-C in this terminal is not meant for."""
    return {"start_new_session": True}


def send(process: subprocess.Popen[bytes], number: int) -> None:
    """Sends a signal to a process that was started `apart`, or by `start`; if it has ended, nothing happens."""
    process.send_signal(number)


@contextmanager
def signals_passed_on(send: Callable[[int], None]) -> Iterator[None]:
    """While this lasts, signals are the watched program's: see `_FORWARDED` and `_LEFT_TO_THE_PROGRAM`.

    Signals that are ignored stay so, here and in the program. Handlers are installed rather than SIG_IGN because a
    program started meanwhile inherits the latter, but not the former.
    """

    def forward(number: int, _frame: FrameType | None) -> None:
        send(number)

    def leave(_number: int, _frame: FrameType | None) -> None:
        pass

    handlers = {**dict.fromkeys(_FORWARDED, forward), **dict.fromkeys(_LEFT_TO_THE_PROGRAM, leave)}
    before = {}
    for number, handler in handlers.items():
        if signal.getsignal(number) != signal.SIG_IGN:
            before[number] = signal.signal(number, handler)
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
    return f"was ended by a signal ({signal.strsignal(-exit_code) or -exit_code})" if exit_code < 0 else None


def end_as(exit_code: int, without_core: Callable[[], None]) -> int:
    """Ends this process as the watched program did: dies of its signal, or returns the status to exit with.

    Args:
        exit_code: As `subprocess.Popen` has it.
        without_core: Keeps the system from writing a core file of this process.
    """
    if exit_code >= 0:
        return exit_code
    sys.stdout.flush()
    sys.stderr.flush()
    without_core()
    number = -exit_code
    # Python's own handler would make a KeyboardInterrupt of SIGINT.
    if number not in (signal.SIGKILL, signal.SIGSTOP):
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    return 128 + number


def limit_process(memory_bytes: int) -> None:
    """Takes from this process much memory, files to write, and precedence."""
    os.nice(10)
    for limit, value in (
        (resource.RLIMIT_DATA, memory_bytes),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(limit, (value, value))


def bare_environment() -> dict[str, str]:
    """The least that a process needs in its environment."""
    return {"PATH": os.environ.get("PATH", ""), "HOME": "/nonexistent"}


# --- the terminal ---


class Terminal:
    """The terminal that this process was started from.

    Attributes:
        descriptor: To read and write it by.

    Raises:
        UserError: With exit status 125 if there is none.
    """

    def __init__(self) -> None:
        try:
            self.descriptor = os.open("/dev/tty", os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            raise UserError(
                "there is no terminal to show it on",
                "Record without --live, and look from a terminal: ggml-viz top",
                exit_status=125,
            ) from None
        self._attributes = termios.tcgetattr(self.descriptor)

    def restore(self, reset: bytes) -> None:
        """Makes the terminal as it was when this was made.

        Args:
            reset: What to write to it first.
        """
        with suppress(OSError, termios.error):
            os.write(self.descriptor, reset)
            termios.tcsetattr(self.descriptor, termios.TCSANOW, self._attributes)

    def interrupt(self) -> None:
        """Does what the terminal does at Ctrl-C."""
        os.killpg(os.getpgrp(), signal.SIGINT)

    def close(self) -> None:
        """Lets go of it; again does nothing."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


def c_library() -> ctypes.CDLL:
    """The C library of this process."""
    return ctypes.CDLL(None)


def trim_memory() -> None:
    """Gives memory back to the system that was freed between pieces which are still in use, where malloc keeps it."""
    with suppress(AttributeError):  # glibc alone has it
        c_library().malloc_trim(0)
