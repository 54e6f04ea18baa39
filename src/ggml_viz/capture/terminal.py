"""Shares one terminal between a program that is recorded and a dashboard that shows it.

What the program writes to the terminal goes to a file without a name, and from there to the terminal whenever the
dashboard is not there: before it comes, and after it has left. The dashboard is a process of its own, so that whatever
becomes of it, the program and its recording go on.
"""

from __future__ import annotations

import logging
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

from ggml_viz import system
from ggml_viz.capture.segments import live_segments

_LOG = logging.getLogger(__name__)

INTERRUPTED = 130
"""The exit status of a dashboard that was left by Ctrl-C, which is then the program's."""

_OUTPUTS = (1, 2)
_PIECE = 1 << 16
_LOOK_S = 0.05
# A dashboard that was killed leaves behind: keys reported otherwise, the other screen, no cursor, no wrapping, and
# reports of the focus, of pasting and of the size.
_RESET = b"\x1b[<u\x1b[?1049l\x1b[?25h\x1b[?7h\x1b[?1004l\x1b[?2004l\x1b[?2048l\x1b[0m"


class SharedTerminal:
    """The terminal.

    Args:
        dashboard: The command that shows a process, by its number.
        folder: Where the segments lie.
        token: What the names of the program's segments begin with.

    Attributes:
        stdin: What the program is to read; None: what this process reads.
        stdout: Where it is to write; None: where this process writes.
        stderr: The same for errors.

    Raises:
        UserError: There is no terminal.
    """

    def __init__(self, dashboard: Callable[[int], Sequence[str]], folder: Path, token: str) -> None:
        self._terminal = system.Terminal()
        self._command = dashboard
        self._folder = folder
        self._token = token
        self._dashboard: subprocess.Popen[bytes] | None = None
        self._shown = self._ending = False
        self._written = 0
        to_terminal = [number for number in _OUTPUTS if os.isatty(number)]
        self._kept: IO[bytes] | None = None
        if to_terminal:
            self._kept = tempfile.TemporaryFile(prefix="ggml-viz-")  # noqa: SIM115, it lives as long as this
        self._kept_for = to_terminal[0] if to_terminal else -1
        # The keys are the dashboard's.
        self.stdin: int | None = subprocess.DEVNULL if os.isatty(0) else None
        self.stdout = self._kept if 1 in to_terminal else None
        self.stderr = self._kept if 2 in to_terminal else None

    def turn(self) -> None:
        """Does what there is to do; to be called some times a second while the program runs."""
        if self._dashboard is not None:
            self._look_after(self._dashboard)
        elif not self._shown and (pid := self._computing()) is not None:
            self._shown = True
            self._start(pid)
        if self._dashboard is None:
            self._pass_on()

    def signalled(self, number: int) -> None:
        """Takes notice of a signal that was meant for the program: if it asks for an end, nobody waits for a key."""
        self._ending = self._ending or number in system.LEAVING

    def finish(self) -> None:
        """When the program has ended: waits until the dashboard is left, and shows what was kept."""
        while self._dashboard is not None:
            if self._ending:
                self._dashboard.terminate()
            time.sleep(_LOOK_S)
            self._look_after(self._dashboard, over=True)
        self.close()

    def close(self) -> None:
        """Shows what was kept, and gives the terminal back."""
        if self._dashboard is not None:
            self._dashboard.terminate()
            self._dashboard.wait()
            self._dashboard = None
            self._terminal.restore(_RESET)
        self._pass_on()
        if self._kept is not None:
            self._kept.close()
            self._kept = None
        self._terminal.close()

    def _computing(self) -> int | None:
        """A process of the program that has begun to use ggml."""
        segments = live_segments(self._folder)
        return next((pid for pid, path in segments.items() if path.name.partition(".")[0] == self._token), None)

    def _start(self, pid: int) -> None:
        self._pass_on()
        try:
            self._dashboard = subprocess.Popen(
                self._command(pid),
                stdin=self._terminal.descriptor,
                stdout=self._terminal.descriptor,
                stderr=self._terminal.descriptor,
                # What lies in this folder is not meant to be imported.
                env={**os.environ, "PYTHONSAFEPATH": "1"},
            )
        except OSError as error:
            _LOG.warning("no dashboard: %s; recording goes on", error)

    def _look_after(self, dashboard: subprocess.Popen[bytes], over: bool = False) -> None:
        status = dashboard.poll()
        if status is None:
            return
        self._dashboard = None
        if status == INTERRUPTED:
            if not over:  # as the terminal would have done, if the dashboard had not read the key
                self._terminal.interrupt()
        elif status:
            self._terminal.restore(_RESET)
            if not self._ending:
                _LOG.warning("the dashboard failed (status %d)%s", status, "" if over else "; recording goes on")

    def _pass_on(self) -> None:
        """Copies to the terminal what has been kept since the last time."""
        if self._kept is None:
            return
        try:
            while piece := system.read_at(self._kept, self._written, _PIECE):
                self._written += os.write(self._kept_for, piece)
        except OSError:  # the terminal is gone; the program is told so by a signal
            return
