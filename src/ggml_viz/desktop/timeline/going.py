"""Goes from execution to execution: the next of a node, the last before, the longest; asked in a thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from ggml_viz.desktop.timeline.lanes import Lane
from ggml_viz.desktop.timeline.pick import Span
from ggml_viz.desktop.timeline.view import View
from ggml_viz.desktop.workspace import Chosen, Workspace
from ggml_viz.errors import UserError
from ggml_viz.sources.source import Source


class Arrival(NamedTuple):
    """Where one has come to.

    Attributes:
        chosen: The execution.
        view: From when until when it ran; None: it is where one was.
        says: What is to be said of it.
    """

    chosen: Chosen
    view: View | None
    says: str = ""


class Going:
    """Finds executions, and says when one was found.

    Args:
        space: What all panels share.
    """

    def __init__(self, space: Workspace) -> None:
        self._space = space
        self._question = space.question()
        self._number = 0
        self._is_waiting = False
        self._ranked: tuple[Chosen, int] | None = None

    def choose(self, span: Span) -> None:
        """Finds out of which graph a span of a worker is."""
        source = self._space.source
        assert source is not None

        def make() -> Arrival:
            return Arrival(_chosen(source.span(span.lane.id, span.run, span.node, span.begin), span.lane.id), None)

        self._ask(make)

    def step(self, at: Chosen | Span, forward: bool) -> None:
        """The next execution of a node, or the last before."""
        source = self._space.source
        assert source is not None

        def make() -> Arrival:
            here = self._known(source, at)
            begin = here.begin_s or 0.0
            after, before = (begin, None) if forward else (None, begin)
            return _arrival(here, source.occurrence(here.process, here.graph, here.node, after, before))

        self._ask(make)

    def longest(self, at: Chosen | Span) -> None:
        """The longest execution of a node; from there the second longest, and so on."""
        source, ranked = self._space.source, self._ranked
        assert source is not None

        def make() -> Arrival:
            here = self._known(source, at)
            rank = ranked[1] + 1 if ranked is not None and _same(ranked[0], here) else 0
            where = here.process, here.graph, here.node
            try:
                found = source.longest(*where, rank)
            except UserError:
                if not rank:
                    raise
                # Behind the shortest comes the longest again.
                rank = 0
                found = source.longest(*where, rank)
            arrival = _arrival(here, found)
            self._ranked = arrival.chosen, rank
            return arrival._replace(says=f"{_ordinal(rank)}longest of {found['count']}")

        self._ask(make)

    def to_match(self, match: dict[str, Any], after_s: float, lane: int | None) -> None:
        """The next execution of a node that was searched for, else the last before."""
        source = self._space.source
        assert source is not None
        here = Chosen(match["process"], match["graph"], match["node"], lane=lane)

        def make() -> Arrival:
            where = here.process, here.graph, here.node
            try:
                found = source.occurrence(*where, after_s, None)
            except UserError:
                found = source.occurrence(*where, None, after_s)
            return _arrival(here, found)

        self._ask(make)

    def arrived(self) -> Arrival | None:
        """Where one has come to since the last call; what could not be found is said."""
        question = self._question
        if not self._is_waiting or question.is_pending:
            return None
        self._is_waiting = False
        if question.error is not None:
            self._space.say(question.error.message)
            return None
        arrival: Arrival | None = question.answer
        if arrival is not None and arrival.says:
            self._space.say(arrival.says)
        return arrival

    def _ask(self, make: Callable[[], Arrival]) -> None:
        self._number += 1
        self._is_waiting = True
        self._question.ask(self._number, make)

    @staticmethod
    def _known(source: Source, at: Chosen | Span) -> Chosen:
        if isinstance(at, Chosen):
            return at
        return _chosen(source.span(at.lane.id, at.run, at.node, at.begin), at.lane.id)


def lane_for(lanes: list[Lane], process: int, wanted: int | None) -> int | None:
    """Where a node of a process is shown: in the lane that was looked at, else in the first."""
    ops = [lane.id for lane in lanes if lane.group == "ops" and lane.process == process]
    return wanted if wanted in ops else next(iter(ops), None)


def _chosen(details: dict[str, Any], lane: int | None) -> Chosen:
    where = details["process"], details["graph"], details["node"]
    return Chosen(*where, details["run"], details["begin_s"], lane)


def _arrival(here: Chosen, found: dict[str, Any]) -> Arrival:
    chosen = Chosen(here.process, here.graph, here.node, found["run"], found["begin_s"], here.lane)
    return Arrival(chosen, View(found["begin_s"], max(found["end_s"], found["begin_s"])))


def _same(one: Chosen, other: Chosen) -> bool:
    return (one.process, one.graph, one.node, one.run) == (other.process, other.graph, other.node, other.run)


def _ordinal(rank: int) -> str:
    names = ["", "second ", "third "]
    return names[rank] if rank < len(names) else f"{rank + 1}th "
