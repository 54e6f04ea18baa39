"""Asks sources in threads, so that a frame never waits: a panel draws the newest answer that there is."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Generic, TypeVar

from ggml_viz.errors import UserError

_LOG = logging.getLogger("ggml_viz.desktop")
_Answer = TypeVar("_Answer")
_THREADS = 3


class Asker:
    """The threads that ask.

    Args:
        wake: Called, in any thread, when there is an answer.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="ask")
        self._closed = threading.Event()

    def submit(self, work: Callable[[], None]) -> None:
        """Has something done in a thread, then a frame drawn."""
        if self._closed.is_set():
            return

        def run() -> None:
            if not self._closed.is_set():
                work()
                self._wake()

        self._threads.submit(run)

    def close(self) -> None:
        """Asks nothing more; what is being asked is not waited for."""
        self._closed.set()
        self._threads.shutdown(wait=False, cancel_futures=True)


class Question(Generic[_Answer]):
    """Something that is asked over and over, for other things or because there is something new.

    One thread at a time asks; what was wanted meanwhile and is not wanted any more is skipped.

    Attributes:
        answer: The newest answer; None: there is none yet.
        key: What it answers; None: nothing.
        error: Why the last one could not be answered; None: it could.
    """

    def __init__(self, asker: Asker) -> None:
        self._asker = asker
        self._lock = threading.Lock()
        self._wanted: deque[tuple[Hashable, Callable[[], _Answer]]] = deque(maxlen=1)
        self._asked: Hashable = None
        self._busy = False
        self._generation = 0
        self.answer: _Answer | None = None
        self.key: Hashable = None
        self.error: UserError | None = None

    @property
    def is_pending(self) -> bool:
        """Whether an answer is on its way."""
        return self._busy

    def ask(self, key: Hashable, make: Callable[[], _Answer]) -> _Answer | None:
        """Asks, unless that was asked last, and returns the newest answer, which may be an older one.

        Args:
            key: What is asked; equal keys have equal answers.
            make: Finds the answer, in a thread. What it raises is kept as `error`.
        """
        if key != self._asked:
            with self._lock:
                self._asked = key
                self._wanted.append((key, make))
                if not self._busy:
                    self._busy = True
                    self._asker.submit(self._work)
        return self.answer

    def forget(self) -> None:
        """Has no answer any more, and takes none that is on its way: it was of something else."""
        with self._lock:
            self._generation += 1
            self._wanted.clear()
            self._asked = self.answer = self.key = self.error = None

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._wanted:
                    self._busy = False
                    return
                key, make = self._wanted.popleft()
                generation = self._generation
            answer: Any = None
            error: UserError | None = None
            try:
                answer = make()
            except UserError as refused:
                error = refused
            except Exception:  # a panel says so, and the others go on
                _LOG.exception("a question failed")
                error = UserError("this cannot be shown, by a fault of ggml-viz", "--log-level debug says more.")
            with self._lock:
                if generation == self._generation:
                    if error is None:
                        self.answer, self.key = answer, key
                    self.error = error
