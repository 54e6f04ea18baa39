"""Draws the settings, and what is wrong in a file of settings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from ggml_viz.settings.files import Problem
from ggml_viz.settings.load import Loaded
from ggml_viz.settings.model import Ui, entries
from ggml_viz.terminal.text import BOLD, DIM, Page, printable

_MAX_VALUE_WIDTH = 40


def print_settings(loaded: Loaded, file: TextIO, ui: Ui) -> None:
    """Prints each setting, its value, and where it came from."""
    page = Page(file, ui)
    rows = []
    for entry in entries():
        value = printable(entry.text(entry.of(loaded.settings)))
        rows.append((entry, value or f"({entry.setting.unset})", loaded.origins[entry.name]))
    wide = max(len(entry.key) for entry, _, _ in rows)
    value_width = min(max(len(value) for _, value, _ in rows), _MAX_VALUE_WIDTH)
    lines = [f"file: {printable(str(loaded.file))}" if loaded.file else "file: none"]
    section = ""
    for entry, value, origin in rows:
        if entry.section != section:
            section = entry.section
            lines += ["", page.paint(f"[{section}]", BOLD)]
        style = DIM if origin.kind == "default" else ""
        lines.append(f"{entry.key:<{wide}}  " + page.paint(f"{value:<{value_width}}  {printable(origin.name)}", style))
    page.print(lines)


def print_problems(path: Path, problems: Sequence[Problem], file: TextIO) -> None:
    """Prints what is wrong in a file, one problem a line, or that it is good."""
    for problem in problems:
        print(printable(str(problem)), file=file)
    if not problems:
        print(f"{printable(str(path))} is good", file=file)
