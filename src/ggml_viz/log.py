"""What ggml-viz says of its own work: the standard library's logging, to stderr and, if wanted, to a file.

Loggers are `ggml_viz` and, for what the agent in a watched program says, `ggml_viz.agent`.
"""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ggml_viz.errors import UserError, printable
from ggml_viz.settings.model import Logging

_LOGGER = logging.getLogger("ggml_viz")
_AGENT = logging.getLogger("ggml_viz.agent")
_LOGGER.addHandler(logging.NullHandler())

# enum gv_note: something to know, something that is not seen, something that distorts.
_AGENT_LEVELS = (logging.INFO, logging.INFO, logging.WARNING)
_PRINTED = "printed"


def set_up(settings: Logging, warnings: Iterable[str] = (), file: Path | None = None) -> None:
    """Sends messages where the settings say; what was set up before is undone.

    Args:
        settings: What goes where.
        warnings: What there was to say before that was known.
        file: The file of settings that was read.

    Raises:
        UserError: With exit status 2 if the log file cannot be written.
    """
    for old in _LOGGER.handlers[:]:
        _LOGGER.removeHandler(old)
        old.close()
    _LOGGER.setLevel(settings.level.upper())
    _LOGGER.propagate = False
    logging.raiseExceptions = False  # a full disk is no reason to stop, or for a stack trace
    _AGENT.disabled = not settings.agent

    terminal = logging.StreamHandler(sys.stderr)
    terminal.setFormatter(logging.Formatter("ggml-viz: %(message)s"))
    terminal.addFilter(lambda record: not hasattr(record, _PRINTED))
    _LOGGER.addHandler(terminal)
    if settings.file:
        try:
            handler = logging.FileHandler(settings.file, encoding="utf-8")
        except OSError as error:
            message = f"the log cannot be written: {settings.file}: {error.strerror}"
            raise UserError(message, exit_status=2) from None
        form = logging.Formatter("%(asctime)s.%(msecs)03d %(levelname)s %(message)s", "%Y-%m-%d %H:%M:%S")
        handler.setFormatter(form)
        _LOGGER.addHandler(handler)
    if file:
        _LOGGER.info("settings from %s", file)
    for warning in warnings:
        _LOGGER.warning("%s", warning)


@contextmanager
def held_back() -> Iterator[None]:
    """While this lasts, messages for the terminal wait, because something else is drawn there."""
    terminals = [handler for handler in _LOGGER.handlers if type(handler) is logging.StreamHandler]
    waiting = io.StringIO()
    streams = [handler.setStream(waiting) for handler in terminals]
    try:
        yield
    finally:
        for handler, stream in zip(terminals, streams, strict=True):
            handler.setStream(stream)
        sys.stderr.write(waiting.getvalue())


def already_printed(message: str) -> None:
    """Adds to the log file what has been printed otherwise."""
    _LOGGER.error("%s", message, extra={_PRINTED: True})


def agent_message(level: int, text: str, pid: int) -> None:
    """Logs what the agent said.

    Args:
        level: 0: something to know, 1: something is not seen, 2: something distorts.
        text: Its words.
        pid: The process that it is in.
    """
    known = _AGENT_LEVELS[level] if 0 <= level < len(_AGENT_LEVELS) else logging.WARNING
    _AGENT.log(known, "pid %d: %s", pid, printable(text))


def agent_messages(messages: Iterable[tuple[int, int, str]]) -> None:
    """Logs what agents said: process, level, words."""
    for pid, level, text in messages:
        agent_message(level, text, pid)
