"""What a panel is: a title, a function that draws it, and what of it can be written as a table."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, NamedTuple

from ggml_viz.desktop.workspace import Workspace


class Rows(NamedTuple):
    """What a panel shows, as a table.

    Attributes:
        columns: Names with units, as `work_s`.
        rows: Values, unrounded.
    """

    columns: list[str]
    rows: list[list[Any]]


class Panel(ABC):
    """A panel.

    Args:
        space: What all panels share.

    Attributes:
        title: Of its tab; never changes.
        place: Where it stands at first: `main`, `right` or `bottom`.
        picture: What `ggml-viz export --picture` calls the same picture; None: it has none.
        box: Where it was drawn last: left, top, right, bottom, in pixels of the screen.
    """

    title: ClassVar[str]
    place: ClassVar[str] = "main"
    picture: ClassVar[str | None] = None

    def __init__(self, space: Workspace) -> None:
        self.space = space
        self.box = (0.0, 0.0, 0.0, 0.0)

    @abstractmethod
    def draw(self) -> None:
        """Draws it into the current window; called each frame while it can be seen and there is a source."""

    def rows(self) -> Rows | None:
        """What it shows as a table; None: there is nothing now."""
        return None
