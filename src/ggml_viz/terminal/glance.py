"""What the terminal dashboard shows of a running process at one moment, asked for no more often than it is worth."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from ggml_viz import native
from ggml_viz.analysis.summary import Summary
from ggml_viz.live.watch import Instant
from ggml_viz.model.trace import Trace
from ggml_viz.views.series import over_time

# How far back the sparklines go.
SERIES_S = 120
# Adding all up anew takes the longer the more graphs there are; it may take this share of a core.
_SUMMARY_SHARE = 0.02
_SUMMARY_S = 1.0


class Watched(Protocol):
    """What is asked of a watched process: `live.watch.Watch` has it all."""

    @property
    def trace(self) -> Trace:
        """What is known of it."""

    @property
    def lock(self) -> threading.RLock:
        """Held while records are taken in."""

    @property
    def ended(self) -> bool:
        """Whether it is over."""

    @property
    def error(self) -> int:
        """Whether something went wrong in watching it, which then may be what ended."""

    @property
    def duration_s(self) -> float:
        """How long it has been watched."""

    def summary(self) -> Summary:
        """Its report so far."""

    def instant(self) -> Instant:
        """What it does this instant."""

    def state(self) -> native.SegmentState | None:
        """What its segment says; None: it has ended."""


@dataclass(frozen=True, slots=True)
class Glance:
    """A running process at one moment.

    Attributes:
        summary: Its report so far, some seconds old at the most.
        instant: What it does.
        state: What its segment says; None: it has ended.
        ended: Whether that is all that there will be of it.
        failed: Whether that is because it could not be followed on.
        speed: Tokens per second of each phase in each whole second of the last SERIES_S and some more, the newest last.
        until_s: When the last of these seconds ends, since watching began.
    """

    summary: Summary
    instant: Instant
    state: native.SegmentState | None
    ended: bool
    failed: bool
    speed: dict[str, Sequence[float]]
    until_s: int


class Observer:
    """Looks at a watched process.

    Args:
        watched: The process.
    """

    def __init__(self, watched: Watched) -> None:
        self._watched = watched
        self._summary: Summary | None = None
        self._due = 0.0

    def look(self) -> Glance:
        """The process at this moment."""
        watched = self._watched
        ended = watched.ended
        summary = self._summary
        if summary is None or ended or time.monotonic() >= self._due:
            before = time.thread_time()
            summary = self._summary = watched.summary()
            took = time.thread_time() - before
            self._due = time.monotonic() + max(_SUMMARY_S, took / _SUMMARY_SHARE)
        until_s = max(math.floor(watched.duration_s), 1)
        with watched.lock:
            # A group of seconds is not begun in the middle: see `screen.sparkline`.
            series = over_time(watched.trace, until_s - 2 * SERIES_S, until_s, 2 * SERIES_S)
        speed = {row["phase"]: row["tokens_per_second"] for row in series["phases"]}
        state = None if ended else watched.state()
        return Glance(summary, watched.instant(), state, ended, ended and bool(watched.error), speed, until_s)
