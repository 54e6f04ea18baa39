"""Starts the program to watch with the agent preloaded and everything else as the shell gave it."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import BinaryIO

from ggml_viz import __version__, native
from ggml_viz.errors import UserError
from ggml_viz.settings.model import entries

_FORWARDED = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
# The terminal sends these to the program itself, which decides what they mean.
_LEFT_TO_THE_PROGRAM = (signal.SIGINT, signal.SIGQUIT)

_PR_SET_DUMPABLE = 4


def preload_path() -> Path:
    """The agent, by a path that LD_PRELOAD can hold: it takes spaces and colons for separators."""
    path = native.agent_path()
    if not _breaks_preload(path):
        return path
    cache = cache_folder()
    link = cache / f"agent-{__version__}.so"
    if _breaks_preload(link):
        raise UserError(
            f"LD_PRELOAD cannot hold a path with a space or colon: {path}",
            "Set XDG_CACHE_HOME to a folder whose path has none; a link to the agent is made there.",
        )
    cache.mkdir(parents=True, exist_ok=True)
    fresh = link.with_suffix(f".{os.getpid()}")
    fresh.symlink_to(path)
    fresh.replace(link)
    return link


def _breaks_preload(path: Path) -> bool:
    return not {" ", ":"}.isdisjoint(str(path))


def cache_folder() -> Path:
    """Where files lie that can be made again."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "ggml-viz"


def agent_environment(base: Mapping[str, str], token: str) -> dict[str, str]:
    """The environment that brings the agent into a program and all that it starts.

    Settings are taken out of it: those of the recording reach the agent by a file (`capture.handover`), and are not
    meant for what the program may start later.

    Args:
        base: The environment to add to.
        token: Names this recording's segments.
    """
    settings = {entry.setting.variable for entry in entries()}
    environment = {name: value for name, value in base.items() if name not in settings}
    others = environment.get("LD_PRELOAD")
    environment["LD_PRELOAD"] = f"{preload_path()}:{others}" if others else str(preload_path())
    environment["GGML_VIZ_RUN"] = token
    return environment


def start(
    path: Path,
    command: Sequence[str],
    environment: Mapping[str, str],
    stdin: int | None = None,
    stdout: BinaryIO | None = None,
    stderr: BinaryIO | None = None,
) -> subprocess.Popen[bytes]:
    """Starts the program `path` with this process's files, process group and working folder.

    Args:
        path: What `find_program` found for `command[0]`.
        command: The program's name, as it is to see it itself, and its arguments.
        environment: Its environment.
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


def die_of(number: int) -> None:
    """Ends this process by a signal, as the watched program was, and without a core file of our own."""
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    # Python's own handler would make a KeyboardInterrupt of SIGINT.
    if number not in (signal.SIGKILL, signal.SIGSTOP):
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
