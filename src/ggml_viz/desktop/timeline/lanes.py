"""Where each lane is drawn: from top to bottom, in groups that can be collapsed, filling the height that there is."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import groupby
from typing import Any, NamedTuple


class Lane(NamedTuple):
    """A lane, as a Source's timeline has it.

    Attributes:
        id: Its number.
        group: `phases`, `graphs`, `splits`, `copies` or `ops`.
        name: What it shows.
        pid: Of its process.
    """

    id: int
    group: str
    name: str
    pid: int

    @property
    def in_phases(self) -> bool:
        """Whether its colours are those of phases."""
        return self.group in ("phases", "graphs")

    @property
    def is_filtered(self) -> bool:
        """Whether what is not meant is dimmed in it."""
        return self.group in ("ops", "copies")

    @property
    def process(self) -> int:
        """Index of its process."""
        return self.id // _LANES_PER_PROCESS


class Row(NamedTuple):
    """Where a lane is drawn; a small one is of a collapsed group, and too low for names."""

    lane: Lane
    y: float
    height: float
    small: bool


class Heading(NamedTuple):
    """The line above a group of several lanes."""

    key: str
    name: str
    y: float
    height: float
    collapsed: bool


class Layout(NamedTuple):
    """All of them."""

    rows: list[Row]
    headings: list[Heading]
    height: float


NOTHING = Layout([], [], 0.0)

_LANES_PER_PROCESS = 4096
# In lines of text.
_HEIGHTS = {"phases": 1.15, "graphs": 1.4, "splits": 1.4, "ops": 2.0, "copies": 1.15}
_TALLEST = 7.5
_HEADING = 1.5
_GAP = 0.2
_COLLAPSED = 1.7


def lanes_of(timeline: dict[str, Any]) -> list[Lane]:
    """Lanes of what `Source.timeline` answers."""
    return [Lane(lane["id"], lane["group"], lane["name"], lane["pid"]) for lane in timeline["lanes"]]


def name_of(lane: Lane, lanes: Sequence[Lane]) -> str:
    """A lane's name; where several processes are shown it says of which."""
    return f"{lane.name} · {lane.pid}" if any(other.pid != lane.pid for other in lanes) else lane.name


def lay_out(lanes: Sequence[Lane], collapsed: Collection[str], available: float, line: float) -> Layout:
    """Lays lanes out; those of workers fill this height, within reason.

    Args:
        lanes: In the order in which they stand one below the other.
        collapsed: Keys of headings.
        available: Pixels.
        line: How high a line of text is, in pixels.
    """
    needed = _place(lanes, collapsed, _HEIGHTS["ops"] * line, line)
    workers = sum(row.lane.group == "ops" and not row.small for row in needed.rows)
    spare = (available - needed.height) // max(workers, 1)
    if spare <= 0 or not workers:
        return needed
    return _place(lanes, collapsed, min(_TALLEST * line, _HEIGHTS["ops"] * line + spare), line)


def row_at(layout: Layout, y: float, line: float) -> Row | None:
    """The lane at this height, or the nearest where it is between two."""
    half = _GAP * line / 2
    return next((row for row in layout.rows if row.y - half <= y < row.y + row.height + half), None)


def _place(lanes: Sequence[Lane], collapsed: Collection[str], ops: float, line: float) -> Layout:
    rows: list[Row] = []
    headings: list[Heading] = []
    gap = max(round(_GAP * line), 1)
    y = float(gap)
    for (pid, name), members in groupby(lanes, lambda lane: (lane.pid, lane.group)):
        group = list(members)
        key = f"{pid}/{name}"
        closed = len(group) > 1 and key in collapsed
        if len(group) > 1:
            height = round(_HEADING * line)
            title = name_of(group[0]._replace(name=name), lanes)
            headings.append(Heading(key, f"{title} ({len(group)})", y, height, closed))
            if closed:
                each = max(1.0, _COLLAPSED * line // len(group))
                rows += [Row(lane, y + i * each, max(1.0, each - 1), True) for i, lane in enumerate(group)]
                y = max(y + len(group) * each, y + height) + gap
                continue
            y += height
        for lane in group:
            height = round(ops if name == "ops" else _HEIGHTS.get(name, 1.4) * line)
            rows.append(Row(lane, y, height, False))
            y += height + gap
    return Layout(rows, headings, y)
