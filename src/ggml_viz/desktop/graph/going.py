"""Going from a node to one of its executions in the timeline."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ggml_viz.desktop.workspace import Chosen, Workspace
from ggml_viz.sources.source import NotThereError, Source


class Going:
    """Finds an execution in a thread, then shows it.

    Args:
        space: Whose timeline shows it.
    """

    def __init__(self, space: Workspace) -> None:
        self._space = space
        self._question = space.question()
        self._asked = 0
        self._done = 0
        self._wanted: Chosen | None = None

    def go(self, chosen: Chosen) -> None:
        """Begins to look for the execution after the chosen one; of none the first one in the timeline's view."""
        source = self._space.source
        assert source is not None
        self._asked += 1
        self._wanted = chosen
        after_s = chosen.begin_s
        if after_s is None and self._space.view is not None:
            after_s = self._space.view[0]
        self._question.ask((self._asked, chosen), lambda: (self._wanted, _found(source, chosen, after_s)))

    def look(self) -> None:
        """Before drawing: shows what was found, and says what was not."""
        if self._done == self._asked or self._question.is_pending:
            return
        self._done = self._asked
        if self._question.error is not None:
            self._space.say_error(self._question.error)
        elif self._question.answer is not None:
            chosen, seen = self._question.answer
            self._space.choose(replace(chosen, run=seen["run"], begin_s=seen["begin_s"]))
            self._space.show_span(seen["begin_s"], seen["end_s"])


def _found(source: Source, chosen: Chosen, after_s: float | None) -> dict[str, Any]:
    try:
        return source.occurrence(chosen.process, chosen.graph, chosen.node, after_s, None)
    except NotThereError:
        # Behind the last one it begins again with the first.
        return source.occurrence(chosen.process, chosen.graph, chosen.node, None, None)
