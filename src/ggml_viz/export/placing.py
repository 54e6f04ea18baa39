"""Where the boxes and edges of a layer's picture go: levels from left to right, in as many bands as it takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ggml_viz.views.layer import Layer

# All in pixels, but the size of a font, in points; a character is about so many pixels wide for each point.
_GAP, _BAND_GAP, _ROW_GAP, _MARGIN = 26.0, 30.0, 8.0, 14.0
_MAX_WIDE, _MAX_HIGH = 170.0, 62.0
_LARGEST, _LEGIBLE, _SMALLEST = 8.5, 7.5, 5.0
_LINES, _PIXELS_PER_POINT, _CHARACTER, _CHARACTERS = 3, 100 / 72, 0.8, 23
_MOST_COLUMNS = 10


@dataclass(frozen=True, slots=True)
class Box:
    """Where a node goes, in pixels from the top left.

    Attributes:
        x: Its left side.
        y: Its top.
        level: From the left, over all bands.
        band: From the top.
    """

    x: float
    y: float
    level: int
    band: int


@dataclass(frozen=True, slots=True)
class Placing:
    """A layer laid out.

    Attributes:
        boxes: One for each node.
        wide: Of each box.
        high: Of each box.
        font: In points.
        characters: How many fit on a line of a box.
        lines: The corners of each edge's line.
    """

    boxes: list[Box]
    wide: float
    high: float
    font: float
    characters: int
    lines: list[list[tuple[float, float]]]


def place(layer: Layer, wide: float, high: float) -> Placing:
    """Lays a layer out in so many pixels, in as many columns as leave the text legible, or as large as can be."""
    levels = _levels(layer)
    count = 1 + max(levels, default=0)
    at_level: list[list[int]] = [[] for _ in range(count)]
    for node, level in enumerate(levels):
        at_level[level].append(node)
    _order(layer, at_level)
    best = max(
        (_sized(at_level, columns, wide, high) for columns in range(min(count, 4), min(count, _MOST_COLUMNS) + 1)),
        key=lambda sized: (min(sized.font, _LEGIBLE), sized.columns),
    )
    boxes = best.boxes(at_level)
    ordered = [boxes[node] for node in range(len(levels))]
    lines = _lines(layer, ordered, best)
    characters = max(int(best.wide / (best.font * _CHARACTER)), 4)
    return Placing(ordered, best.wide, best.high, best.font, characters, lines)


def _levels(layer: Layer) -> list[int]:
    """Levels from 0; what comes from outside stands just before its first reader."""
    levels = [node.level for node in layer.nodes]
    for index, node in enumerate(layer.nodes):
        if node.outside:
            readers = [levels[reader] for source, reader in layer.edges if source == index]
            levels[index] = max(min(readers, default=1) - 1, 0)
    lowest = min(levels, default=0)
    return [level - lowest for level in levels]


def _order(layer: Layer, at_level: list[list[int]]) -> None:
    """Puts the nodes of a level in the order of what they read, so that fewer edges cross."""
    reads: dict[int, list[int]] = {}
    for source, reader in layer.edges:
        reads.setdefault(reader, []).append(source)
    height: dict[int, float] = {}
    for nodes in at_level:
        middle = {
            node: sum(height.get(source, 0.0) for source in reads[node]) / len(reads[node]) if node in reads else 0.0
            for node in nodes
        }
        nodes.sort(key=lambda node: (middle[node], node))
        for row, node in enumerate(nodes):
            height[node] = row - (len(nodes) - 1) / 2


@dataclass(frozen=True, slots=True)
class _Sized:
    columns: int
    wide: float
    high: float
    font: float
    rows: list[int]
    left: float
    top: float

    def band_top(self, band: int) -> float:
        """Where the lines above a band's boxes end."""
        return self.top + sum(rows * (self.high + _ROW_GAP) + _BAND_GAP for rows in self.rows[:band]) + _BAND_GAP

    def boxes(self, at_level: list[list[int]]) -> dict[int, Box]:
        found = {}
        for level, nodes in enumerate(at_level):
            band, column = divmod(level, self.columns)
            free = (self.rows[band] - len(nodes)) * (self.high + _ROW_GAP) / 2
            for row, node in enumerate(nodes):
                y = self.band_top(band) + free + row * (self.high + _ROW_GAP)
                found[node] = Box(self.left + column * (self.wide + _GAP), y, level, band)
        return found


def _sized(at_level: list[list[int]], columns: int, wide: float, high: float) -> _Sized:
    bands = -(-len(at_level) // columns)
    columns = -(-len(at_level) // bands)
    rows = [max(map(len, at_level[band * columns : (band + 1) * columns])) for band in range(bands)]
    box_wide = min((wide - 2 * _MARGIN - (columns - 1) * _GAP) / columns, _MAX_WIDE)
    free = high - (bands + 1) * _BAND_GAP
    box_high = min(max(free / max(sum(rows), 1) - _ROW_GAP, 8.0), _MAX_HIGH)
    by_height = (box_high - 6) / (_LINES * 1.25 * _PIXELS_PER_POINT)
    font = max(min(by_height, box_wide / (_CHARACTERS * _CHARACTER), _LARGEST), _SMALLEST)
    used_wide = columns * (box_wide + _GAP) - _GAP
    used_high = sum(rows) * (box_high + _ROW_GAP) + (bands + 1) * _BAND_GAP
    return _Sized(columns, box_wide, box_high, font, rows, (wide - used_wide) / 2, max((high - used_high) / 2, 0))


def _lines(layer: Layer, boxes: list[Box], sized: _Sized) -> list[list[tuple[float, float]]]:
    """Edges to the next level go straight; others along the gaps above and below bands, each on a line of its own."""
    lines = []
    tracks: dict[int, int] = {}
    stubs: dict[int, float] = {}

    def track(band: int, source: int) -> float:
        # The edges of one source share a line.
        key = (band << 32) + source
        if key not in tracks:
            tracks[key] = sum(known >> 32 == band for known in tracks)
        return sized.band_top(band) - 7 - 4.0 * (tracks[key] % 5)

    for source, reader in layer.edges:
        a, b = boxes[source], boxes[reader]
        start, end = (a.x + sized.wide, a.y + sized.high / 2), (b.x, b.y + sized.high / 2)
        if a.band == b.band and b.level == a.level + 1:
            lines.append([start, end])
            continue
        stub = stubs.setdefault(source, 5.0 + 3.0 * (len(stubs) % 3))
        out, into = start[0] + stub, end[0] - stub
        if b.band > a.band + 1:
            below, above = track(a.band + 1, source), track(b.band, source)
            side = sized.left - 8 - stub / 2
            middle = [(out, below), (side, below), (side, above), (into, above)]
        else:
            y = track(b.band, source)
            middle = [(out, y), (into, y)]
        lines.append([start, (out, start[1]), *middle, (into, end[1]), end])
    return lines
