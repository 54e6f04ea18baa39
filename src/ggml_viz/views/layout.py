"""Where the boxes and edges of a layer go: from left to right, each weight above what reads it, the residual straight.

The residual stream is the shortest way through the layer, because it leaves out what is added to it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from ggml_viz.views.layer import Layer

# In pixels at a font of 12.
_WIDE, _NODE_HIGH, _LEAF_HIGH = 164.0, 58.0, 38.0
_GAP, _ROW_GAP, _LEAF_GAP, _LANE_GAP = 36.0, 16.0, 8.0, 10.0
_MARGIN, _INDENT = 16.0, 12.0
_SWEEPS = 3


class Box(NamedTuple):
    """Where a node goes.

    Attributes:
        item: Its index in the layer's nodes; a leaf has a box for each node that reads it.
        reader: Of a leaf the node that it stands above; None: it is no leaf.
        x: Its left side.
        y: Its top.
        width: In pixels.
        height: In pixels.
    """

    item: int
    reader: int | None
    x: float
    y: float
    width: float
    height: float


class Line(NamedTuple):
    """An edge.

    Attributes:
        begin: Index of the box where it begins.
        end: Index of the box where it ends.
        points: Its corners, from the one to the other.
    """

    begin: int
    end: int
    points: list[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Layout:
    """A layer laid out, in pixels.

    Attributes:
        width: Of all.
        height: Of all.
        boxes: Of the nodes.
        lines: The edges.
    """

    width: float
    height: float
    boxes: list[Box]
    lines: list[Line]


@dataclass(eq=False, slots=True)
class _Item:
    """What takes a place in a column: a node with the leaves above it, or the way of an edge past the column.

    Attributes:
        column: From the left.
        node: Index in the layer's nodes; None: it is a way.
        above: Height of its leaves.
        high: Height of its box, without them.
        before: What it is joined to on its left.
        behind: And on its right.
        y: Where edges meet it.
    """

    column: int
    node: int | None
    above: float = 0.0
    high: float = 0.0
    before: list[_Item] = field(default_factory=list)
    behind: list[_Item] = field(default_factory=list)
    y: float = 0.0

    @property
    def up(self) -> float:
        return self.above + self.high / 2


def lay_out(layer: Layer) -> Layout:
    """Lays out a layer."""
    is_leaf = [node.node is None for node in layer.nodes]
    leaves: dict[int, list[int]] = {}
    reads: dict[int, list[int]] = {}
    for source, reader in layer.edges:
        (leaves if is_leaf[source] else reads).setdefault(reader, []).append(source)
    columns = _columns(layer, is_leaf)
    items = {
        node: _Item(column, node, len(leaves.get(node, ())) * (_LEAF_HIGH + _LEAF_GAP), _NODE_HIGH)
        for node, column in columns.items()
    }
    ways = _join(items, reads)
    stream = _stream(items, reads, ways)
    grid = _grid([*items.values(), *(item for way in ways.values() for item in way)], stream)
    _place(grid, stream)
    return _drawn(items, reads, leaves, ways)


def _columns(layer: Layer, is_leaf: Sequence[bool]) -> dict[int, int]:
    """The column of each node that is no leaf; one from outside stands just before its first reader."""
    first: dict[int, int] = {}
    for source, reader in layer.edges:
        level = layer.nodes[reader].level
        first[source] = min(first.get(source, level), level)
    columns = {
        i: first.get(i, 1) - 1 if node.outside else node.level for i, node in enumerate(layer.nodes) if not is_leaf[i]
    }
    lowest = min(columns.values(), default=0)
    return {node: column - lowest for node, column in columns.items()}


def _join(items: dict[int, _Item], reads: dict[int, list[int]]) -> dict[int, list[_Item]]:
    """Joins nodes to what they read, over ways past the columns between. Returns the way of each node that has one."""
    last: dict[int, int] = {}
    for reader, sources in reads.items():
        for source in sources:
            last[source] = max(last.get(source, 0), items[reader].column)
    ways = {}
    for source, until in last.items():
        way, item = [], items[source]
        for column in range(items[source].column + 1, until):
            step = _Item(column, None)
            _tie(item, step)
            way.append(step)
            item = step
        ways[source] = way
    for reader, sources in reads.items():
        for source in sources:
            _tie(_nearest(items, ways, source, reader), items[reader])
    return ways


def _tie(left: _Item, right: _Item) -> None:
    left.behind.append(right)
    right.before.append(left)


def _nearest(items: dict[int, _Item], ways: dict[int, list[_Item]], source: int, reader: int) -> _Item:
    """Where the last piece of an edge begins: at the source, or on the source's way."""
    past = items[reader].column - items[source].column - 1
    return ways[source][past - 1] if past > 0 else items[source]


def _stream(items: dict[int, _Item], reads: dict[int, list[int]], ways: dict[int, list[_Item]]) -> set[_Item]:
    """What lies on the residual stream: the shortest way to the last node."""
    last = max(items, default=None)
    if last is None:
        return set()
    towards: dict[int, int | None] = {last: None}
    waiting = deque([last])
    while waiting:
        node = waiting.popleft()
        # An edge that goes back is from a graph that cannot be.
        sources = [source for source in reads.get(node, ()) if items[source].column < items[node].column]
        if not sources:
            break
        for source in sources:
            if source not in towards:
                towards[source] = node
                waiting.append(source)
    stream = {items[node]}
    at: int = node
    while (reader := towards[at]) is not None:
        stream |= {items[reader], *ways[at][: items[reader].column - items[at].column - 1]}
        at = reader
    return stream


def _grid(items: Iterable[_Item], stream: set[_Item]) -> list[list[_Item]]:
    """The items by column, the stream's first, the others in an order in which few edges cross."""
    grid: list[list[_Item]] = []
    for item in items:
        while len(grid) <= item.column:
            grid.append([])
        grid[item.column].append(item)
    row: dict[_Item, float] = {}

    def order(column: list[_Item], neighbours: Callable[[_Item], list[_Item]]) -> None:
        def key(item: _Item) -> tuple[bool, float]:
            known = [row[other] for other in neighbours(item) if other in row]
            return item not in stream, sum(known) / len(known) if known else row.get(item, 0.0)

        column.sort(key=key)
        row.update((item, float(i)) for i, item in enumerate(column))

    for sweep in range(_SWEEPS):
        for column in grid if sweep % 2 == 0 else reversed(grid):
            order(column, (lambda item: item.before) if sweep % 2 == 0 else lambda item: item.behind)
    return grid


def _place(grid: list[list[_Item]], stream: set[_Item]) -> None:
    """Gives each item its height: near to what it is joined to, below the stream, in the order of its column."""
    stream_y = max((item.up for item in stream), default=0.0)
    for item in stream:
        item.y = stream_y
    below = stream_y + _NODE_HIGH / 2 + _ROW_GAP if stream else 0.0
    rest = [[item for item in column if item not in stream] for column in grid]
    for column in rest:
        top = below
        for item in column:
            item.y = top + item.up
            top = item.y + item.high / 2 + _gap(item)
    for sweep in range(_SWEEPS):
        for column in rest if sweep % 2 == 0 else reversed(rest):
            _settle(column, below)


def _gap(item: _Item) -> float:
    return _ROW_GAP if item.high else _LANE_GAP


@dataclass(slots=True)
class _Block:
    """Items of a column that touch each other.

    Attributes:
        items: From top to bottom.
        wishes: Where its top should be, by the wish of each item, added up.
        high: Of all, with the gap behind the last.
    """

    items: list[_Item]
    wishes: float
    high: float

    def top(self, below: float) -> float:
        """Where it stands: at the mean of the wishes, but not above the column's top."""
        return max(self.wishes / len(self.items), below)


def _settle(column: list[_Item], below: float) -> None:
    """Moves the items of a column towards what they are joined to."""
    blocks: list[_Block] = []
    for item in column:
        joined = [other.y for other in (*item.before, *item.behind)]
        wish = sum(joined) / len(joined) if joined else item.y
        block = _Block([item], wish - item.up, item.up + item.high / 2 + _gap(item))
        while blocks and blocks[-1].top(below) + blocks[-1].high > block.top(below):
            over = blocks.pop()
            over.wishes += block.wishes - len(block.items) * over.high
            over.items += block.items
            over.high += block.high
            block = over
        blocks.append(block)
    for block in blocks:
        top = block.top(below)
        for item in block.items:
            item.y = top + item.up
            top = item.y + item.high / 2 + _gap(item)


def _drawn(
    items: dict[int, _Item],
    reads: dict[int, list[int]],
    leaves: dict[int, list[int]],
    ways: dict[int, list[_Item]],
) -> Layout:
    boxes: list[Box] = []
    lines: list[Line] = []
    index: dict[int, int] = {}

    def left(item: _Item) -> float:
        return _MARGIN + item.column * (_WIDE + _GAP)

    for node, item in items.items():
        index[node] = len(boxes)
        boxes.append(Box(node, None, left(item), _MARGIN + item.y - item.high / 2, _WIDE, item.high))
        top = boxes[-1].y
        for place, leaf in enumerate(leaves.get(node, ())):
            # The upper ones reach further to the left, where their lines go down past the lower ones.
            x, y = left(item) + place * _INDENT, top - item.above + place * (_LEAF_HIGH + _LEAF_GAP)
            down = x + _INDENT / 2
            lines.append(Line(len(boxes), index[node], [(down, y + _LEAF_HIGH), (down, top)]))
            boxes.append(Box(leaf, node, x, y, _WIDE - place * _INDENT, _LEAF_HIGH))
    for reader, sources in reads.items():
        end = items[reader]
        for source in sources:
            begin = items[source]
            points = [(left(begin) + _WIDE, _MARGIN + begin.y)]
            for step in ways[source][: max(end.column - begin.column - 1, 0)]:
                points += [(left(step), _MARGIN + step.y), (left(step) + _WIDE, _MARGIN + step.y)]
            points.append((left(end), _MARGIN + end.y))
            lines.append(Line(index[source], index[reader], _straightened(points)))
    width = max((box.x + box.width for box in boxes), default=0.0) + _MARGIN
    height = max((box.y + box.height for box in boxes), default=0.0) + _MARGIN
    return Layout(width, height, boxes, lines)


def _straightened(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """A line without the corners at which it goes on at the same height."""
    kept = points[:1]
    for before, at, after in zip(points, points[1:], points[2:], strict=False):
        if not before[1] == at[1] == after[1]:
            kept.append(at)
    return [*kept, points[-1]]
