"""Who writes a live process's records into a file, and the recorders that the desktop started itself."""

from __future__ import annotations

import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ggml_viz import native, system
from ggml_viz.desktop.capture.child import Child

_MAGIC = b"GGMLVIZ"
# Writing the rest of a trace takes a moment.
_END_S = 10.0


@dataclass(frozen=True)
class Recorded:
    """A process that is being recorded.

    Attributes:
        recorder: The process that writes.
        path: Into what; None: it does not show.
        bytes: How large that is.
    """

    recorder: int
    path: Path | None
    bytes: int


def recorded(segment: Path) -> Recorded | None:
    """Who records the process of a segment; None: nobody does."""
    try:
        recorder = native.segment_describe(segment).recorder
    except OSError:
        return None
    if not recorder:
        return None
    path = written_by(recorder)
    try:
        return Recorded(recorder, path, path.stat().st_size if path is not None else 0)
    except OSError:
        return Recorded(recorder, None, 0)


def written_by(pid: int) -> Path | None:
    """The newest trace that a process has open for writing; None: it shows none."""
    found: list[tuple[float, Path]] = []
    for path in system.written_by(pid):
        with suppress(OSError):
            if path.is_file() and _is_trace(path):
                found.append((path.stat().st_mtime, path))
    return max(found)[1] if found else None


def _is_trace(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_MAGIC)) == _MAGIC


class Attached:
    """A process that the desktop has attached to, and the recorder that it started for that.

    Args:
        pid: The process.
        path: The trace.
        changed: Called in a thread when there is something new of it.

    Attributes:
        pid: The same.
        path: The same.
        child: The recorder.
        is_asked_to_end: Whether it ends because it was told to.

    Raises:
        UserError: The recorder cannot be started.
    """

    def __init__(self, pid: int, path: Path, changed: Callable[[], None]) -> None:
        self.pid = pid
        self.path = path
        self.is_asked_to_end = False
        self.child = Child(["attach", str(pid), "-q", "-o", str(path)], changed)

    def ask_to_end(self) -> None:
        """Asks the recorder to end."""
        if not self.is_asked_to_end:
            self.is_asked_to_end = True
            self.child.send(signal.SIGINT)

    def end(self) -> None:
        """Ends the recording, and waits for that; the process runs on."""
        self.ask_to_end()
        self.child.wait(_END_S)
