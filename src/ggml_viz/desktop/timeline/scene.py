"""What is drawn of lanes: rectangles, pictures and names, in pixels. Nothing that a pixel cannot show is drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ggml_viz.desktop.timeline.lanes import Row
from ggml_viz.desktop.timeline.plate import DENSE_PIXELS, Plate, spans_of
from ggml_viz.desktop.timeline.view import View

# Spans end so far beyond the edge, so that it does not look like their end.
_EDGE = 4.0
_FAINTEST = 0.25
MOST_NAMES = 160


class Area(NamedTuple):
    """Where lanes are drawn, in pixels of the screen.

    Attributes:
        left: Where the view begins.
        right: Where it ends.
        top: Where the first lane would begin if nothing were scrolled away.
        highest: From where on something can be seen.
        lowest: Until where.
    """

    left: float
    right: float
    top: float
    highest: float
    lowest: float


class Picture(NamedTuple):
    """A part of the plate's image: where it is drawn (left, top, right, bottom), and which part, 0 to 1."""

    box: tuple[float, float, float, float]
    part: tuple[float, float, float, float]


class Name(NamedTuple):
    """A text in a bar: where it begins, its middle, how much room there is, its colour, and the label's index."""

    x: float
    y: float
    room: float
    ink: int
    label: int


class Drawn(NamedTuple):
    """What is drawn: boxes [n, 4] of colours [n], above them pictures, above them names."""

    boxes: npt.NDArray[np.float32]
    colours: npt.NDArray[np.uint32]
    pictures: list[Picture]
    names: list[Name]


def visible(rows: Sequence[Row], area: Area) -> list[Row]:
    """The rows of which something can be seen."""
    return [row for row in rows if area.top + row.y + row.height > area.highest and area.top + row.y < area.lowest]


def compose(
    plate: Plate, rows: Sequence[Row], view: View, area: Area, part: tuple[float, float], named: float, low: float
) -> Drawn:
    """What a plate shows of a view.

    Args:
        plate: A tile made ready.
        rows: Those that can be seen.
        view: From when until when.
        area: Where that is drawn.
        part: From which to which x it is drawn; elsewhere another plate is.
        named: Bars as wide as this have names.
        low: Lanes lower than this have none.
    """
    tile, width = plate.tile, area.right - area.left
    scale = tile.view.width / view.width * width
    shift = area.left + view.to_x(tile.view.begin, width)
    begin, end = (part[0] - shift) / scale, (part[1] - shift) / scale
    pictures: list[Picture] = []
    slices: list[slice] = []
    lines: list[tuple[float, float, float]] = []
    counts: list[int] = []
    for row in rows:
        top = area.top + row.y
        spans = spans_of(plate, row.lane.id)
        place = plate.pictures.get(row.lane.id)
        first, last = spans.reaching(begin, end) if spans is not None else (0, 0)
        if place is not None and (spans is None or (last - first) * DENSE_PIXELS > part[1] - part[0]):
            picture = _picture(plate, place, (shift, scale), part, (top, top + row.height))
            if picture is not None:
                pictures.append(picture)
        elif last > first and row.lane.id in plate.first:  # not: a lane that came while the tile was on its way
            at = plate.first[row.lane.id]
            slices.append(slice(at + first, at + last))
            counts.append(last - first)
            has_names = not row.small and row.height >= low
            lines.append((top, top + row.height, float(has_names)))
    if not slices:
        return Drawn(np.empty((0, 4), np.float32), np.empty(0, np.uint32), pictures, [])
    # In double precision: deep in a trace a pixel is a billionth of the whole.
    times = np.concatenate([plate.times[:, each] for each in slices], axis=1).astype(np.float64) * scale + shift
    colours = np.concatenate([plate.colours[:, each] for each in slices], axis=1)
    rows_of = np.repeat(np.array(lines, np.float32), counts, axis=0)
    shown = (times[2] >= part[0]) & (times[0] < part[1])
    if not shown.all():
        times, colours, rows_of = times[:, shown], colours[:, shown], rows_of[shown]
    x = np.clip(times, max(part[0], area.left - _EDGE), min(part[1], area.right + _EDGE))
    wide = x[2] - x[0] >= 1
    covered = np.maximum(x[2] - x[0], _FAINTEST)
    x = np.where(wide, np.rint(x), np.floor(x[0]))
    edge = np.where(times[1] < times[2], x[1], x[2])
    until = np.where(wide, np.maximum(x[2], x[0] + 1), x[0] + 1)
    edge = np.where(wide, np.where(edge >= x[2], until, edge), until)
    until -= (until - x[0] > 4) & (rows_of[:, 1] - rows_of[:, 0] > 6)
    edge = np.minimum(edge, until)
    colours[0] = np.where(wide, colours[0], _fainter(colours[0], covered))
    names = _names(plate, slices, shown, np.stack([x[0], edge, until]), rows_of, (area.left, area.right), named)
    works, waits = edge > x[0], until > edge
    boxes = np.empty((int(works.sum()) + int(waits.sum()), 4), np.float32)
    cut = int(works.sum())
    boxes[:cut, 0], boxes[:cut, 2] = x[0][works], edge[works]
    boxes[cut:, 0], boxes[cut:, 2] = edge[waits], until[waits]
    boxes[:cut, 1::2], boxes[cut:, 1::2] = rows_of[works, :2], rows_of[waits, :2]
    return Drawn(boxes, np.concatenate([colours[0][works], colours[1][waits]]), pictures, names)


def fitting(text: str, room: float, width_of: Callable[[str], float]) -> str:
    """As much of a text as there is room for; nothing rather than a letter or two."""
    width = width_of(text)
    if width <= room:
        return text
    # Letters differ in width: the first guess may be too long.
    for letters in range(int(len(text) * room / width), 2, -1):
        cut = text[:letters] + "…"
        if width_of(cut) <= room:
            return cut
    return ""


def _fainter(colours: npt.NDArray[np.uint32], share: npt.NDArray[np.float64]) -> npt.NDArray[np.uint32]:
    """What is narrower than a pixel is as faint as it is narrow."""
    alpha = np.rint(np.minimum(share, 1.0) * 255).astype(np.uint32) << np.uint32(24)
    faint: npt.NDArray[np.uint32] = colours & np.uint32(0x00FFFFFF) | alpha
    return faint


def _picture(
    plate: Plate,
    place: tuple[int, int],
    where: tuple[float, float],
    part: tuple[float, float],
    line: tuple[float, float],
) -> Picture | None:
    assert plate.image is not None
    shift, scale = where
    left, right = max(shift, part[0]), min(shift + scale, part[1])
    if right <= left:
        return None
    high = len(plate.image)
    # Stretched pixels are mixed with those beside them, which may belong to another lane.
    inset = 0.5 if place[1] - place[0] != round(line[1] - line[0]) else 0.0
    begin, end = (left - shift) / scale, (right - shift) / scale
    return Picture((left, line[0], right, line[1]), (begin, (place[0] + inset) / high, end, (place[1] - inset) / high))


def _names(
    plate: Plate,
    slices: Sequence[slice],
    shown: npt.NDArray[np.bool_],
    x: npt.NDArray[np.float32],
    rows: npt.NDArray[np.float32],
    bounds: tuple[float, float],
    named: float,
) -> list[Name]:
    """Names stand in what was work if there is room, else in what was waiting; what reaches out of sight keeps them."""
    inside = np.clip(x, *bounds)
    chosen = np.flatnonzero((inside[2] - inside[0] >= named) & (rows[:, 2] > 0))
    if len(chosen) > MOST_NAMES:
        widths = inside[2, chosen] - inside[0, chosen]
        chosen = chosen[np.argpartition(-widths, MOST_NAMES)[:MOST_NAMES]]
    if not len(chosen):
        return []
    at = chosen if shown.all() else np.flatnonzero(shown)[chosen]
    where = np.concatenate([np.arange(each.start, each.stop) for each in slices])[at]
    begin, edge, end = inside[:, chosen]
    in_work = edge - begin >= end - edge
    left = np.where(in_work, begin, edge)
    room = np.where(in_work, edge, end) - left
    inks = np.where(in_work, plate.inks[0, where], plate.inks[1, where])
    middle = (rows[chosen, 0] + rows[chosen, 1]) / 2
    return [
        Name(*each)
        for each in zip(
            left.tolist(), middle.tolist(), room.tolist(), inks.tolist(), plate.labels[where].tolist(),
            strict=True,
        )
    ]  # fmt: skip
