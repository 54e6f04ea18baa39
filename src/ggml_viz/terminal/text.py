"""How numbers, bars and lines are written on a terminal, and whether it has colours."""

from __future__ import annotations

import os
import re
import textwrap
from collections.abc import Iterable, Sequence
from typing import TextIO

from ggml_viz.errors import printable as printable
from ggml_viz.settings.model import Ui

WARNING = "33"
DIM = "2"
BOLD = "1"

_MIN_WIDTH = 40
_NO_BREAK = "\N{NO-BREAK SPACE}"
_EIGHTHS = " ▏▎▍▌▋▊▉"


def significant(value: float) -> str:
    """Three significant digits, without an exponent."""
    if not value:
        return "0"
    for limit, decimals in ((0.995, 3), (9.995, 2), (99.95, 1)):
        if value < limit:
            return f"{value:.{decimals}f}"
    return f"{value:.0f}"


def _scaled(value: float, units: Sequence[tuple[float, str]]) -> tuple[str, str]:
    scale, unit = next((fit for fit in units if value < fit[0] * 999.5), units[-1])
    return significant(value / scale), unit


def duration(seconds: float) -> str:
    """A time with the unit that fits, 8 columns wide at most, its unit in the last two: `5.41 ms`, `2.05 s `."""
    number, unit = _scaled(seconds, ((1e-9, "ns"), (1e-6, "µs"), (1e-3, "ms"), (1.0, "s")))
    return f"{number} {unit:<2}"


def size(count: float) -> str:
    """Bytes in powers of ten: `98.1 MB`."""
    if count < 999.5:
        return f"{count:.0f} B"
    return " ".join(_scaled(count, ((1e3, "kB"), (1e6, "MB"), (1e9, "GB"), (1e12, "TB"))))


def count(number: int) -> str:
    """A count: all its digits up to 99999, then three: `412 k`."""
    if number < 100_000:
        return str(number)
    return " ".join(_scaled(number, ((1e3, "k"), (1e6, "M"), (1e9, "G"))))


def percent(share: float) -> str:
    """A share of one: `81 %`, `0.4 %`, `<0.1 %`."""
    if share and share < 0.00995:
        return f"{share * 100:.1f} %" if share >= 0.0005 else "<0.1 %"
    return f"{share * 100:.0f} %"


def plural(number: int, noun: str, nouns: str = "") -> str:
    """A count of things: `1 graph`, `2 graphs`."""
    return f"{count(number)} {noun if number == 1 else nouns or noun + 's'}"


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
