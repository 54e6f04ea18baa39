"""The file that a recording writes: what it is called, never over what is no trace, and no empty one left behind."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

from ggml_viz.errors import UserError


def default_path(program: str, now: time.struct_time | None = None, folder: Path = Path()) -> Path:
    """A name for a trace that does not exist yet.

    Args:
        program: The program, as it was called.
        now: The local time; None: now.
        folder: Where the trace is to lie.
    """
    name = re.sub(r"\.exe$", "", os.path.basename(program), flags=re.IGNORECASE)
    stem = re.sub(r"[^\w.+-]+", "_", name).strip("-_") or "program"
    stem = f"{stem}-{time.strftime('%Y%m%d-%H%M%S', now or time.localtime())}"
    path, n = folder / f"{stem}.ggmlviz", 1
    while path.exists():
        n += 1
        path = folder / f"{stem}-{n}.ggmlviz"
    return path


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
