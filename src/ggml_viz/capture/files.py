"""The file that a recording writes: never over what is no trace, and no empty one left behind."""

from __future__ import annotations

from pathlib import Path

from ggml_viz.errors import UserError


def spare_other_files(path: Path) -> None:
    """Refuses to write over what is no trace: `-o model.gguf` was meant otherwise.

    Raises:
        UserError: There is such a file.
    """
    if not path.is_file():  # new, or a device
        return
    try:
        with path.open("rb") as file:
            begin = file.read(7)
    except OSError:
        return  # the recorder will say why it cannot be written either
    if begin and begin != b"GGMLVIZ":
        raise UserError(f"{path} exists and is not a trace", "Choose another file with -o.", exit_status=125)


def remove_trace(path: Path) -> None:
    """Removes a trace in which nothing was recorded."""
    if path.is_file():  # and not, say, /dev/null
        path.unlink()
