"""The one exception that a user is meant to read."""

from __future__ import annotations


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
