"""What all panels share: the source that is shown, the selected range, the chosen node, what is remembered."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ggml_viz.desktop.asking import Asker, Question
from ggml_viz.desktop.preferences import Preferences
from ggml_viz.desktop.theme import Theme
from ggml_viz.errors import UserError
from ggml_viz.sources.source import Catalog, Source
from ggml_viz.sources.traces import TraceFiles, TraceSource

NOTICE_S = 6.0
_LOOK_AGAIN_S = 0.5
_DESCRIBE_AGAIN_S = 0.2


@dataclass(frozen=True)
class Chosen:
    """A node that was clicked somewhere; every panel shows it.

    Attributes:
        process: Index of its process.
        graph: The process's number of its graph.
        node: Its index in the graph.
        run: The execution's run; None: no certain one.
        begin_s: When that began.
        lane: Where it was clicked in the timeline.
    """

    process: int
    graph: int
    node: int
    run: int | None = None
    begin_s: float | None = None
    lane: int | None = None


@dataclass(frozen=True)
class Notice:
    """Something that was done or could not be, said for a while in the status bar."""

    text: str
    hint: str | None
    is_error: bool
    until: float


class Workspace:
    """What all panels share.

    Args:
        catalog: What can be shown.
        traces: Where files that are opened go.
        preferences: What is remembered.
        wake: Has a frame drawn; may be called in any thread.

    Attributes:
        theme: Colours; set before each frame.
        source: What is shown; None: nothing.
        described: What the source says of itself, a moment ago; empty: nothing is shown.
        other: What it is compared with.
        selected: The selected range, in seconds; None: all.
        view: What the timeline shows, in seconds; None: all. Panels set it to have something shown.
        follow: Whether the timeline of a live source moves along.
        chosen: The node that was clicked.
        graph: Process and number of the graph that is shown; None: that which took most time.
        layer: Of that graph; None: those outside layers.
        filter_text: Only what has it in its name stands out in the timeline.
        hidden_kinds: Indices in KINDS that do not stand out.
        to_front: Titles of panels that are brought to the front in the next frame.
    """

    def __init__(
        self, catalog: Catalog, traces: TraceFiles, preferences: Preferences, wake: Callable[[], None]
    ) -> None:
        self.catalog = catalog
        self.traces = traces
        self.preferences = preferences
        self.wake = wake
        self.asker = Asker(wake)
        self.theme = Theme(is_dark=True)
        self.source: Source | None = None
        self.described: dict[str, Any] = {}
        self.other: Source | None = None
        self.to_front: list[str] = []
        self.sources: list[Source] = []
        self._looked_at = self._described_at = float("-inf")
        self._notices: list[Notice] = []
        self._questions: weakref.WeakSet[Question[Any]] = weakref.WeakSet()
        self._description = self.question()
        self._stop_listening: Callable[[], None] | None = None
        self._reset()

    def _reset(self) -> None:
        self.selected: tuple[float, float] | None = None
        self.view: tuple[float, float] | None = None
        self.follow = True
        self.chosen: Chosen | None = None
        self.graph: tuple[int, int] | None = None
        self.layer: int | None = 0
        self.filter_text = ""
        self.hidden_kinds: frozenset[int] = frozenset()

    # --- what is shown ---

    def show(self, source: Source | None) -> None:
        """Shows another source."""
        if source is self.source:
            return
        if self._stop_listening is not None:
            self._stop_listening()
            self._stop_listening = None
        self.source, self.described = source, {}
        self._described_at = float("-inf")
        self._reset()
        for question in list(self._questions):
            question.forget()
        if source is not None:
            source.opened()
            if source.is_live:
                self._stop_listening = source.listen(self.wake)
            elif isinstance(source, TraceSource):
                self.preferences.opened(source.path)

    def open(self, path: Path) -> None:
        """Opens a trace and shows it; what is none is said."""
        try:
            self.show(self.traces.add(path))
        except UserError as error:
            self.say_error(error)
        self.look_again()

    def look(self) -> None:
        """Before each frame: what there is to show, and how that stands which is shown."""
        now = time.monotonic()
        if now - self._looked_at > _LOOK_AGAIN_S:
            self._looked_at = now
            self.sources = self.catalog.sources()
            if self.source is not None and self.source not in self.sources:
                # A file that was written anew is another source of the same name.
                self.show(next((source for source in self.sources if source.id == self.source.id), None))
            if self.source is None and self.sources:
                self.show(self.sources[0])
        if self.source is not None and now - self._described_at > _DESCRIBE_AGAIN_S:
            self._described_at = now
            source = self.source
            known = self._description.ask(now, source.describe) if self.described else source.describe()
            self.described = known or self.described

    def look_again(self) -> None:
        """Looks for sources before the next frame, not only now and then."""
        self._looked_at = float("-inf")

    @property
    def is_ready(self) -> bool:
        """Whether there is a source of which something can be asked."""
        return self.described.get("state") not in (None, "idle", "loading", "failed") or self.is_live

    @property
    def is_live(self) -> bool:
        """Whether what is shown is a process, running or ended."""
        return self.source is not None and self.source.is_live

    @property
    def duration_s(self) -> float:
        """How long what is shown has lasted so far."""
        if self.source is None:
            return 0.0
        return self.source.duration_s if self.is_live else float(self.described.get("duration_s", 0.0))

    # --- asking ---

    def question(self) -> Question[Any]:
        """A new question to whatever is shown; its answer is forgotten when that changes."""
        question: Question[Any] = Question(self.asker)
        self._questions.add(question)
        return question

    def moment(self, every_s: float = 1.0) -> int:
        """A number that changes when there may be something new, so often at the most; of a trace it never does."""
        if self.source is None or not self.is_live:
            return -1
        if self.described.get("state") == "ended":
            # What came last may be taken in a moment later.
            return -1 - self.source.steps
        return int(time.monotonic() / every_s)

    # --- the chosen node ---

    def choose(self, chosen: Chosen | None) -> None:
        """Has every panel show a node."""
        self.chosen = chosen
        if chosen is not None:
            self.graph = chosen.process, chosen.graph

    def show_span(self, begin_s: float, end_s: float) -> None:
        """Has the timeline show an interval with some room around it."""
        room = max(end_s - begin_s, 1e-7) * 2
        self.view, self.follow = (max(begin_s - room, 0.0), end_s + room), False
        self.to_front.append("Timeline")

    # --- bookmarks ---

    @property
    def bookmarks(self) -> list[float]:
        """Those of the shown trace, in seconds."""
        return self.preferences.bookmarks.get(self._name(), [])

    def toggle_bookmark(self, at_s: float, near_s: float) -> None:
        """Sets a bookmark, or takes away those nearby."""
        kept = [mark for mark in self.bookmarks if abs(mark - at_s) > near_s]
        self.preferences.bookmark(self._name(), kept if len(kept) < len(self.bookmarks) else [*kept, at_s])

    def _name(self) -> str:
        if isinstance(self.source, TraceSource):
            return str(self.source.path)
        return self.source.id if self.source is not None else ""

    # --- saying things ---

    def say(self, text: str, hint: str | None = None) -> None:
        """Says that something was done. May be called in any thread."""
        self._notice(Notice(text, hint, False, time.monotonic() + NOTICE_S))

    def say_error(self, error: UserError) -> None:
        """Says why something could not be done. May be called in any thread."""
        self._notice(Notice(error.message, error.hint, True, time.monotonic() + 2 * NOTICE_S))

    def _notice(self, notice: Notice) -> None:
        self._notices.append(notice)
        self.wake()
        # Nothing else may ask for a frame in which it is gone.
        gone = threading.Timer(notice.until - time.monotonic() + 0.1, self.wake)
        gone.daemon = True
        gone.start()

    @property
    def notice(self) -> Notice | None:
        """What is to be said now."""
        self._notices = [notice for notice in self._notices if notice.until > time.monotonic()]
        return self._notices[-1] if self._notices else None

    def dismiss(self) -> None:
        """Says it no more."""
        self._notices = [replace(notice, until=0.0) for notice in self._notices]

    def do(self, work: Callable[[], None]) -> None:
        """Does something that may take a while or fail, in a thread; a failure is said."""

        def run() -> None:
            try:
                work()
            except UserError as error:
                self.say_error(error)

        self.asker.submit(run)

    def close(self) -> None:
        """Ends what was started."""
        if self._stop_listening is not None:
            self._stop_listening()
        self.asker.close()
