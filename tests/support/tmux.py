"""A terminal that a test looks at and types into: tmux."""

from __future__ import annotations

import os
import shlex
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

PATIENCE_S = 120
EXITED = "the exit status is"


class Terminal:
    """A terminal of 80 columns that runs one command."""

    def __init__(self, folder: Path, command: list[str], lines: int = 24, **environment: str) -> None:
        self._socket = folder / "tmux"
        words = ["env", *(f"{name}={value}" for name, value in environment.items()), *command]
        script = folder / "script"
        script.write_text(f'trap : INT\n{shlex.join(words)}\necho "{EXITED} $?"\nexec sleep 1000\n')
        self._tmux(
            "-f", os.devnull, "new-session", "-d", "-x", "80", "-y", str(lines), f"sh {shlex.quote(str(script))}"
        )

    def _tmux(self, *arguments: str) -> str:
        done = subprocess.run(["tmux", "-S", self._socket, *arguments], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def lines(self) -> list[str]:
        """What is on it."""
        return [line.rstrip() for line in self._tmux("capture-pane", "-p").splitlines()]

    def styled(self) -> str:
        """The same with its colours."""
        return self._tmux("capture-pane", "-p", "-e")

    def scrolled_off(self) -> str:
        """What is on it, and what was."""
        return self._tmux("capture-pane", "-p", "-S", "-500")

    def press(self, *keys: str) -> None:
        """Presses keys."""
        self._tmux("send-keys", *keys)

    def resize(self, width: int, height: int) -> None:
        """Makes it another size."""
        self._tmux("resize-window", "-x", str(width), "-y", str(height))

    def until(self, holds: Callable[[list[str]], bool]) -> list[str]:
        """What is on it as soon as something holds."""
        deadline = time.monotonic() + PATIENCE_S
        while not holds(lines := self.lines()):
            assert time.monotonic() < deadline, "\n".join(lines)
            time.sleep(0.1)
        return lines

    def exit_status(self) -> int:
        """How the command ended."""
        lines = self.until(lambda lines: any(EXITED in line for line in lines))
        return int(next(line for line in lines if EXITED in line).split()[-1])

    def close(self) -> None:
        """Ends all that runs in it."""
        subprocess.run(["tmux", "-S", self._socket, "kill-server"], capture_output=True, check=False)
