"""Steers the recording of a process that is watched: the one word that goes from viewers to the agent."""

from __future__ import annotations

from pathlib import Path

from ggml_viz import native
from ggml_viz.capture.segments import segment_of
from ggml_viz.errors import UserError
from ggml_viz.trace.definitions import DETAIL_NAMES


def watched_segment(pid: int) -> Path:
    """The segment of a watched process.

    Raises:
        UserError: It is not watched.
    """
    try:
        segment = segment_of(native.segments_folder(), pid)
    except OSError as error:
        raise UserError(f"no folder for shared memory: {error.strerror}") from None
    if segment is None:
        raise not_watched(pid)
    return segment


def not_watched(pid: int) -> UserError:
    """What to say of a process without an agent."""
    return UserError(
        f"process {pid} is not watched",
        f"Watch it with: ggml-viz attach {pid}   Those that are watched: ggml-viz ps",
    )


def pause(path: Path) -> str:
    """Has no records made until it is resumed. Returns, as all of these, what has become of the process by that."""
    before, _ = native.segment_control(path, 0, native.CONTROL_PAUSED)
    if before & native.CONTROL_STOPPED:
        return "is stopped already"
    return "was paused already" if before & native.CONTROL_PAUSED else "is paused"


def resume(path: Path) -> str:
    """Has records made again.

    Raises:
        UserError: Nobody is there to read them, or it was stopped for good.
    """
    state = native.segment_describe(path)
    pid = state.pid
    if not state.recorder:
        raise UserError(f"nobody records process {pid}", f"Record it with: ggml-viz attach {pid}")
    before, _ = native.segment_control(path, native.CONTROL_PAUSED, 0)
    if before & native.CONTROL_STOPPED:
        raise UserError(
            f"the recording of process {pid} was stopped for good",
            f"When its recorder has ended: ggml-viz attach {pid}",
        )
    return "is recorded again" if before & native.CONTROL_PAUSED else "was being recorded already"


def stop(path: Path) -> str:
    """Ends the recording; the process runs on."""
    before, _ = native.segment_control(path, 0, native.CONTROL_STOPPED)
    return "was stopped already" if before & native.CONTROL_STOPPED else "is stopped: it runs on, unwatched"


def set_detail(path: Path, level: str) -> str:
    """Changes how much is recorded."""
    before, _ = native.segment_control(path, native.CONTROL_DETAIL_MASK, DETAIL_NAMES.index(level))
    old = DETAIL_NAMES[min(before & native.CONTROL_DETAIL_MASK, len(DETAIL_NAMES) - 1)]
    return f"records detail {level} already" if old == level else f"records detail {level} (before: {old})"
