"""A process of ggml-viz's own that does something beside the window, and what it writes."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ggml_viz import system
from ggml_viz.errors import UserError, printable

# Python puts the folder that it is started in before its own modules; what lies there may be called as one of them.
_BEGIN = "import sys; sys.path = [p for p in sys.path if p]; from ggml_viz.cli import main; sys.exit(main())"
_TAIL_BYTES = 8192
_LOOK_S = 0.25
_CONTROLS = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)|.)")


class Child:
    """Runs ggml-viz's command line as a process of its own, which outlives the window if need be.

    Args:
        words: What follows `ggml-viz` on its command line.
        changed: Called in a thread when it wrote something, and when it has ended.
        folder: Where it runs; None: here.
        environment: Its variables.

    Raises:
        UserError: It cannot be started.
    """

    def __init__(
        self,
        words: Sequence[str],
        changed: Callable[[], None],
        folder: Path | None = None,
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        self._changed = changed
        # No pipe: whoever writes into a pipe that nobody reads any more is killed.
        self._output = tempfile.TemporaryFile(prefix="ggml-viz-")  # noqa: SIM115
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _BEGIN, *words],
                cwd=folder,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                stderr=subprocess.STDOUT,
                # Ctrl-C in the terminal that the window was opened from is not meant for it.
                **system.apart(),
            )
        except (OSError, ValueError) as error:
            self._output.close()
            raise UserError(f"it cannot be started: {error}") from None
        self._tail: tuple[int, list[str]] = (0, [])
        self._reading = threading.Lock()
        self._waiter = threading.Thread(target=self._wait, name=f"wait for {self._process.pid}", daemon=True)
        self._waiter.start()

    @property
    def exit_code(self) -> int | None:
        """Its exit status, negative the signal that it died of; None: it runs."""
        return self._process.returncode

    @property
    def is_running(self) -> bool:
        """Whether it runs."""
        return self.exit_code is None

    def lines(self) -> list[str]:
        """The last lines that it, or what it runs, wrote."""
        with self._reading:
            if not self._output.closed:
                self._read()
            return self._tail[1]

    def send(self, number: signal.Signals) -> None:
        """Sends a signal to it; if it has ended, nothing happens."""
        system.send(self._process, number)

    def wait(self, timeout_s: float) -> bool:
        """Waits until it has ended, so long at the most; returns whether it has."""
        self._waiter.join(timeout_s)
        return not self._waiter.is_alive()

    def _read(self) -> int:
        size = os.fstat(self._output.fileno()).st_size
        if size != self._tail[0]:
            begin = max(size - _TAIL_BYTES, 0)
            text = system.read_at(self._output, begin, _TAIL_BYTES).decode(errors="replace")
            self._tail = size, plain_lines(text.partition("\n")[2] if begin and "\n" in text else text)
        return size

    def _wait(self) -> None:
        seen = 0
        while True:
            try:
                self._process.wait(_LOOK_S)
            except subprocess.TimeoutExpired:
                size = os.fstat(self._output.fileno()).st_size
                if size != seen:
                    seen = size
                    self._changed()
            else:
                with self._reading:
                    self._read()
                    self._output.close()
                self._changed()
                return


def plain_lines(text: str) -> list[str]:
    """Lines as a terminal would show them in the end: without colours, and of what was written over, the last."""
    lines = (_CONTROLS.sub("", line).rstrip("\r").rpartition("\r")[2] for line in text.split("\n"))
    shown = [printable(line.expandtabs()) for line in lines]
    while shown and not shown[-1].strip():
        shown.pop()
    return shown


def refusal_of(lines: Sequence[str]) -> UserError:
    """What ggml-viz printed when it refused: the message, and the hint below it."""
    begin = next((index for index, line in reversed(list(enumerate(lines))) if line.startswith("ggml-viz: ")), None)
    if begin is None:
        return UserError(lines[-1] if lines else "it failed, and did not say why")
    hint = " ".join(line.strip() for line in lines[begin + 1 :] if line.startswith("  "))
    return UserError(lines[begin].removeprefix("ggml-viz: "), hint or None)
