"""What of a tile is at a place: for the pointer, and for those who go on from there."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ggml_viz.desktop.timeline.lanes import Lane
from ggml_viz.desktop.timeline.tile import Shares, Spans, Tile
from ggml_viz.desktop.timeline.view import View


class Span(NamedTuple):
    """A span, in seconds.

    Attributes:
        lane: Where it is.
        begin: When it began.
        end: When it ended.
        wait: How much of its end was waiting.
        run: Number of its run.
        node: As in the tile.
        label: Index in the timeline's labels.
    """

    lane: Lane
    begin: float
    end: float
    wait: float
    run: int
    node: int
    label: int

    @property
    def view(self) -> View:
        """From when until when."""
        return View(self.begin, max(self.end, self.begin))


class Column(NamedTuple):
    """A column of shares: work and wait of each kind, 0 to 1, from when until when."""

    lane: Lane
    begin: float
    end: float
    shares: list[list[float]]


def span_at(tile: Tile, lane: Lane, seconds: float, tolerance: float) -> Span | None:
    """The span that is drawn at a moment; of those that are less than `tolerance` seconds away, the nearest."""
    spans = tile.lanes.get(lane.id)
    if not isinstance(spans, Spans):
        return None
    at, near = (seconds - tile.view.begin) / tile.view.width, tolerance / tile.view.width
    first, last = spans.reaching(at - near, at + near)
    if first == last:
        return None
    begin = spans.begin[first:last].astype(np.float64)
    duration = spans.duration[first:last].astype(np.float64)
    distance = np.maximum(np.maximum(begin - at, at - begin - duration), 0.0)
    # Of those that lie there the shortest: what lies inside of another is the more special of the two.
    best = int(np.lexsort((duration, distance))[0])
    return span_of(tile, spans, lane, first + best) if distance[best] <= near else None


def span_of(tile: Tile, spans: Spans, lane: Lane, index: int) -> Span:
    """One of a lane's spans."""
    width = tile.view.width
    begin = tile.view.begin + float(spans.begin[index]) * width
    end = begin + float(spans.duration[index]) * width
    run, node, label = int(spans.run[index]), int(spans.node[index]), int(spans.label[index])
    return Span(lane, begin, end, float(spans.wait[index]) * width, run, node, label)


def execution_in(tile: Tile, lane: Lane, run: int, node: int) -> Span | None:
    """The span of a node of a run, if the tile has it."""
    spans = tile.lanes.get(lane.id)
    if not isinstance(spans, Spans):
        return None
    found = np.flatnonzero((spans.run == np.uint32(run)) & (spans.node == np.uint32(node)))
    return span_of(tile, spans, lane, int(found[0])) if len(found) else None


def column_at(tile: Tile, lane: Lane, seconds: float, width: float) -> Column | None:
    """The shares of a lane over about a width around a moment."""
    shares = tile.lanes.get(lane.id)
    if not isinstance(shares, Shares) or not len(shares.shares):
        return None
    count = len(shares.shares)
    column = tile.view.width / count
    begin = min(max(int((seconds - width / 2 - tile.view.begin) // column), 0), count - 1)
    end = min(max(begin + 1, round(begin + width / column)), count)
    means = shares.shares[begin:end].mean(axis=0) / 255
    return Column(lane, tile.view.begin + begin * column, tile.view.begin + end * column, means.tolist())
