"""The one exception that a user is meant to read, and how it is printed."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType


class UserError(Exception):
    """Something that the user can understand and act on; the command line prints it without a stack trace.

    Args:
        message: What went wrong, in one sentence that names the thing (a path, a program, a value).
        hint: What to do about it.
        exit_status: The status that the command exits with.
    """

    def __init__(self, message: str, hint: str | None = None, exit_status: int = 1) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.exit_status = exit_status


def need_extra(module: str, extra: str) -> ModuleType:
    """A library that not every installation has.

    Args:
        module: Its name.
        extra: The extra of ggml-viz that brings it along.

    Raises:
        UserError: It is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError:
        raise UserError(f"{module} is not installed", f"Install it with: pip install 'ggml-viz[{extra}]'") from None


def printable(text: str) -> str:
    """Text from elsewhere without control characters, which could do anything to a terminal."""
    return "".join(character if character.isprintable() else "�" for character in text)


def print_error(message: str, hint: str | None = None) -> None:
    """Prints a message for the user, and below it what to do; a log file gets it too."""
    from ggml_viz import log

    log.already_printed(message)
    print(f"ggml-viz: {message}", file=sys.stderr)
    if hint:
        print(f"  {hint}", file=sys.stderr)
