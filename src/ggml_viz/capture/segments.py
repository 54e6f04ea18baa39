"""The segments that agents of this user's processes have made."""

from __future__ import annotations

from pathlib import Path

from ggml_viz import native
from ggml_viz.errors import UserError
from ggml_viz.machine import this_machine


def live_segments(folder: Path) -> dict[int, Path]:
    """The segment of each living process that has one, by process id.

    A process that became another program leaves its old segment to whoever records it: the newest counts.
    """
    found: dict[int, tuple[int, Path]] = {}
    for path in folder.iterdir():
        if path.name.startswith("."):
            continue
        try:
            state = native.segment_describe(path)
        except OSError:
            continue  # gone, or not ready yet
        if state.alive and state.start_wall_ns >= found.get(state.pid, (0, path))[0]:
            found[state.pid] = state.start_wall_ns, path
    return {pid: path for pid, (_, path) in found.items()}


def segment_of(folder: Path, pid: int) -> Path | None:
    """The segment that an agent in this process has made, if there is one."""
    return live_segments(folder).get(pid)


def swept_folder() -> Path:
    """The folder of segments, without those that nobody holds.

    Raises:
        UserError: With exit status 125 if there can be none.
    """
    try:
        folder = native.segments_folder()
        native.segments_sweep(folder)
    except OSError as error:
        raise UserError(f"no folder for shared memory: {error.strerror}", exit_status=125) from None
    return folder


def open_recorder(
    folder: Path, name: str, path: Path, max_bytes: int | None, since: int = native.SINCE_START
) -> native.Recorder:
    """A recorder of the segments that are so named, as `native.Recorder` has it.

    Raises:
        UserError: With exit status 125 if the trace cannot be written.
    """
    try:
        return native.Recorder(folder, name, path, max_bytes, since, this_machine().to_json())
    except OSError as error:
        raise UserError(f"the trace cannot be written: {path}: {error.strerror}", exit_status=125) from None
