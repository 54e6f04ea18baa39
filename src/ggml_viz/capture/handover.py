"""Hands the capture settings to the agent: a small hidden file beside the segments, named after the recording's token.

Variables would do too, but a program's children inherit them, and theirs.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from ggml_viz import system
from ggml_viz.errors import UserError
from ggml_viz.settings.model import Settings, entries


def capture_lines(settings: Settings) -> str:
    """The capture settings in the agent's words, one `key=value` a line; what is not set is left out."""
    lines = []
    for entry in entries():
        if entry.section == "capture":
            value = entry.of(settings)
            text = str(int(value)) if isinstance(value, bool) else entry.text(value)
            if text:
                lines.append(f"{entry.key}={text}\n")
    return "".join(lines)


@contextmanager
def handed_over(settings: Settings, folder: Path, token: str) -> Iterator[Path]:
    """While this lasts, the agents of a recording find their settings.

    Args:
        settings: The settings.
        folder: The folder of segments.
        token: Names the recording's segments.

    Raises:
        UserError: With exit status 125 if the file cannot be written.
    """
    path = folder / f".{token}.settings"
    unfinished = folder / f".{token}.{secrets.token_hex(4)}.unfinished"
    with ExitStack() as stack:
        try:
            file = stack.enter_context(system.new_private_file(unfinished))
            stack.callback(_remove, unfinished)
            # What nobody holds is swept from the folder by the next recording that starts.
            system.hold(file)
            file.write(capture_lines(settings).encode())
            unfinished.replace(path)
            stack.callback(_remove, path)
        except OSError as error:
            message = f"the agent's settings cannot be written: {path}: {error.strerror}"
            raise UserError(message, exit_status=125) from None
        yield path


def _remove(path: Path) -> None:
    with suppress(OSError):
        path.unlink()
