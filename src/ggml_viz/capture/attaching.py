"""Records a program that is running already, for a while or to its end."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from ggml_viz import native, system
from ggml_viz.capture.files import remove_trace, spare_other_files
from ggml_viz.capture.handover import handed_over
from ggml_viz.capture.segments import open_recorder, segment_of, swept_folder
from ggml_viz.capture.target import Target, find_target
from ggml_viz.errors import UserError
from ggml_viz.log import agent_messages
from ggml_viz.settings.model import Settings

_TURN_MS = 50
# How long the agent may take to answer: far longer than it ever does, on a machine that has other things to do.
_ANSWER_S = 10.0


@dataclass(frozen=True)
class Attachment:
    """How the recording of a running program ended.

    Attributes:
        target: The program.
        path: The trace; None: nothing was recorded and there is no file.
        status: What the recorder saw.
        ended: The program ended; otherwise it runs on, unwatched.
    """

    target: Target
    path: Path | None
    status: native.RecorderStatus
    ended: bool


def attach(
    pid: int,
    path: Path,
    settings: Settings,
    duration_s: float | None = None,
    begun: Callable[[], None] = lambda: None,
) -> Attachment:
    """Brings the agent into a running process, or wakes the one that is there, and records what it sees.

    Ends after the duration, by a signal that asks for it, or with the process. The agent then idles: the process runs
    on as it did before, and may be attached to again.

    Args:
        pid: The process.
        path: The trace; overwritten. Removed again if nothing was computed.
        settings: What is to be recorded, and how large the trace may grow.
        duration_s: How long to record, from the moment that the agent has answered; None: until something else ends it.
        begun: Called once the agent has answered.

    Raises:
        UserError: The process cannot be attached to, is being recorded already, or the trace cannot be written.
    """
    target = find_target(pid)
    spare_other_files(path)
    folder = swept_folder()
    segment = segment_of(folder, pid)
    token = segment.name.partition(".")[0] if segment else f"at{pid}"
    name = segment.name if segment else token
    since = native.SINCE_NOW if segment else native.SINCE_START
    recorder = open_recorder(folder, name, path, settings.output.max_size, since)
    status = None
    try:
        with handed_over(settings, folder, token):
            if not segment:
                system.inject(pid, native.agent_path())
            with _end_on_signal() as asked_to_end:
                ended = _record(recorder, pid, duration_s, asked_to_end, begun)
                status = recorder.close()
    finally:
        if status is None:
            recorder.close()
            remove_trace(path)
    if not status.records:
        remove_trace(path)
    return Attachment(target, path if status.records else None, status, ended)


def _record(
    recorder: native.Recorder,
    pid: int,
    duration_s: float | None,
    asked_to_end: list[int],
    begun: Callable[[], None],
) -> bool:
    """Records until there is a reason to end; returns whether the process has ended."""
    try:
        end = system.ProcessEnd(pid)
    except ProcessLookupError:
        return True
    try:
        started = time.monotonic()
        answered: float | None = None
        while not asked_to_end:
            status = recorder.drain(end.waitable, _TURN_MS)
            agent_messages(recorder.messages())
            now = time.monotonic()
            if end.has_come():
                return True
            if answered is None and status.refused:
                whose = "itself" if status.refused == pid else f"process {status.refused}"
                raise UserError(f"process {pid} is being recorded already, by {whose}", "See: ggml-viz ps")
            if answered is None and status.processes:
                answered = now
                begun()
            if answered is None and now - started > _ANSWER_S:
                raise UserError(
                    f"the agent was loaded into process {pid}, but did not answer within {_ANSWER_S:.0f} s",
                    system.UNANSWERED,
                )
            if answered is not None and duration_s is not None and now - answered >= duration_s:
                break
        return False
    finally:
        end.close()


@contextmanager
def _end_on_signal() -> Iterator[list[int]]:
    """While this lasts, the signals that ask a program to end are collected instead."""
    seen: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        seen.append(number)

    before = {number: signal.signal(number, note) for number in system.ENDING}
    try:
        yield seen
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
