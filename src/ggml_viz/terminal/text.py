"""How bars and lines are written on a terminal, and whether it has colours."""

from __future__ import annotations

import os
import re
import textwrap
from collections.abc import Iterable
from typing import TextIO

from ggml_viz.errors import printable as printable
from ggml_viz.numbers import count as count
from ggml_viz.numbers import duration as duration
from ggml_viz.numbers import percent as percent
from ggml_viz.numbers import plural as plural
from ggml_viz.numbers import significant as significant
from ggml_viz.numbers import size as size
from ggml_viz.settings.model import Ui

WARNING = "33"
DIM = "2"
BOLD = "1"

_MIN_WIDTH = 40
_NO_BREAK = "\N{NO-BREAK SPACE}"
_EIGHTHS = " ▏▎▍▌▋▊▉"


def ago(seconds: float) -> str:
    """How long ago something was, as people say it: `12 s`, `3 min`, `2 h`, `4 d`."""
    for scale, unit, limit in ((1, "s", 60), (60, "min", 60), (3600, "h", 48)):
        if seconds < scale * limit:
            return f"{int(seconds // scale)} {unit}"
    return f"{int(seconds // 86_400)} d"


def bar(share: float, hatched: float, width: int) -> str:
    """A bar of `width` columns at most.

    Args:
        share: How much of the width it takes, 0 to 1.
        hatched: How much of the bar, at its end, is hatched, 0 to 1.
        width: In columns.
    """
    full, eighths = divmod(round(max(0.0, min(share, 1.0)) * width * 8), 8)
    hatch = round(hatched * (full + eighths / 8))
    if hatch:
        cells = full + (eighths >= 4)
        return "█" * (cells - hatch) + "░" * hatch
    return "█" * full + (_EIGHTHS[eighths] if eighths else "")


class Page:
    """What text is laid out for: a terminal, or a file.

    Args:
        file: Where it goes.
        ui: How it is to look.

    Attributes:
        width: Columns: as many as asked for, or those of the terminal, or of COLUMNS, or 80.
        colour: Whether to use colours: as asked for, or on a terminal, unless NO_COLOR is set.
    """

    def __init__(self, file: TextIO, ui: Ui) -> None:
        self._file = file
        terminal = file.isatty()
        able = terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        self.colour = able if ui.color == "auto" else ui.color == "always"
        self.width = ui.width or max(_columns(file, terminal), _MIN_WIDTH)

    def paint(self, text: str, style: str) -> str:
        """The text in a style, the parameters of an SGR sequence, where there are colours."""
        return f"\x1b[{style}m{text}\x1b[0m" if self.colour and text and style else text

    def cut(self, text: str, room: int | None = None) -> str:
        """The text, cut to the width or so many columns."""
        room = self.width if room is None else room
        return text if len(text) <= room else text[: max(room - 1, 0)].rstrip() + "…"

    def wrap(self, label: str, text: str, style: str = "", indent: int = 10) -> list[str]:
        """A label and text beside it, on as many lines as it takes; a number stays with its unit."""
        first, rest = f"{label:<{indent}}", " " * indent
        text = re.sub(r"(?<=\d) ", _NO_BREAK, text)
        lines = textwrap.wrap(text, self.width, initial_indent=first, subsequent_indent=rest, break_on_hyphens=False)
        return [self.paint(line.replace(_NO_BREAK, " "), style) for line in lines]

    def print(self, lines: Iterable[str]) -> None:
        """Writes lines, in whatever characters the file can take."""
        encoding = self._file.encoding or "utf-8"
        for line in lines:
            print(line.rstrip().encode(encoding, "replace").decode(encoding), file=self._file)


def _columns(file: TextIO, terminal: bool) -> int:
    told = os.environ.get("COLUMNS", "")
    if told.isdigit() and int(told):
        return int(told)
    try:
        return os.get_terminal_size(file.fileno()).columns if terminal else 80
    except OSError:
        return 80
