"""Where the tensors of an arena go on the screen: offsets across, nodes down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

# How much of the width a gap takes that is drawn together, and a stretch between two gaps at least.
_GAP = 0.008
_NARROWEST = 0.03
# Less of the buffer than this is taken by anything: gaps are closed at first.
_SPARSE = 0.6
_FEWEST_NODES = 12
_NARROWEST_VIEW = 1e-4
Floats = npt.NDArray[np.float64]


class Scale(NamedTuple):
    """Where offsets go across: between two edges evenly.

    Attributes:
        bytes: Edges of stretches that tensors take and of gaps between them: [n + 1].
        places: Where these go, 0 to 1: [n + 1].
        used: Whether tensors lie between two edges: [n].
    """

    bytes: Floats
    places: Floats
    used: npt.NDArray[np.bool_]

    @property
    def used_share(self) -> float:
        """What share of the length is taken by any tensor at all."""
        return float((np.diff(self.bytes) * self.used).sum() / (self.bytes[-1] or 1.0))


class View(NamedTuple):
    """What is shown: shares of the width, and nodes.

    Attributes:
        left: 0 to 1.
        right: 0 to 1.
        first: The first node; -1 is before the graph runs.
        last: The one behind the last.
    """

    left: float
    right: float
    first: float
    last: float


@dataclass(frozen=True)
class Tensors:
    """The tensors of an arena as arrays.

    Attributes:
        nodes: How many the graph has.
        offset: In bytes.
        bytes: Sizes.
        born: The nodes that write them.
        dies: The last that read them.
        kind: Indices in KINDS.
        node: Which node each is; -1: none.
        reuses: Which lay there before; -1: none.
        alive: Bytes alive while each node is computed: [nodes].
    """

    nodes: int
    offset: Floats
    bytes: Floats
    born: Floats
    dies: Floats
    kind: npt.NDArray[np.int64]
    node: npt.NDArray[np.int64]
    reuses: npt.NDArray[np.int64]
    alive: Floats

    @property
    def peak(self) -> int:
        """The node at which most is alive."""
        return int(self.alive.argmax()) if len(self.alive) else 0

    @property
    def whole(self) -> View:
        """All of it."""
        return View(0.0, 1.0, -1.0, float(self.nodes))

    def related(self, index: int) -> npt.NDArray[np.bool_]:
        """A tensor, what lay there before, and what lies there after it."""
        mine: npt.NDArray[np.bool_] = self.reuses == index
        mine[index] = True
        if self.reuses[index] >= 0:
            mine[self.reuses[index]] = True
        return mine


def tensors_of(arena: Mapping[str, Any]) -> Tensors:
    """The tensors of an Arena."""
    rows: Sequence[Mapping[str, Any]] = arena["tensors"]
    nodes = max(arena["nodes"], 1)

    def column(name: str, kind: Any, unknown: int = -1) -> Any:
        return np.array([unknown if row[name] is None else row[name] for row in rows], kind)

    born, dies, sizes = column("born", np.float64), column("dies", np.float64), column("bytes", np.float64)
    change = np.zeros(nodes + 1)
    np.add.at(change, np.clip(born, 0, nodes).astype(np.int64), sizes)
    np.add.at(change, np.clip(dies + 1, 0, nodes).astype(np.int64), -sizes)
    return Tensors(
        nodes=nodes,
        offset=column("offset", np.float64),
        bytes=sizes,
        born=born,
        dies=dies,
        kind=column("kind", np.int64),
        node=column("node", np.int64),
        reuses=column("reuses", np.int64),
        alive=np.cumsum(change)[:nodes],
    )


def scale_of(tensors: Tensors, closed: bool) -> Scale:
    """True to scale, or with what no tensor ever takes drawn together, and with room to see the small.

    Args:
        tensors: What lies in the buffer.
        closed: Whether gaps are drawn together.
    """
    stretches: list[list[float]] = []
    taken = tensors.bytes > 0
    order = np.argsort(tensors.offset[taken], kind="stable")
    begins = tensors.offset[taken][order]
    ends = begins + tensors.bytes[taken][order]
    for begin, end in zip(begins.tolist(), ends.tolist(), strict=True):
        if stretches and begin <= stretches[-1][1]:
            stretches[-1][1] = max(stretches[-1][1], end)
        else:
            stretches.append([begin, end])
    edges, used = [0.0], []
    for begin, end in stretches:
        if begin > edges[-1]:
            edges.append(begin)
            used.append(False)
        edges.append(end)
        used.append(True)
    if len(edges) == 1:
        return Scale(np.array([0.0, 1.0]), np.array([0.0, 1.0]), np.array([False]))
    lengths, is_used = np.diff(edges), np.array(used)
    shares = _closed(lengths, is_used) if closed else lengths / edges[-1]
    return Scale(np.array(edges), np.concatenate([[0.0], np.cumsum(shares)]), is_used)


def is_sparse(tensors: Tensors) -> bool:
    """Whether so little of the buffer is taken that gaps had better be closed."""
    return scale_of(tensors, closed=False).used_share < _SPARSE


def boxes_of(
    tensors: Tensors, scale: Scale, view: View, at: tuple[float, float], size: tuple[float, float]
) -> npt.NDArray[np.float32]:
    """Left, top, right and bottom of each tensor's bar, in pixels: [n, 4]; those out of sight are there too.

    Args:
        tensors: Which.
        scale: Where offsets go.
        view: What is shown.
        at: Left and top of the map.
        size: Its width and height.
    """
    across = size[0] / (view.right - view.left)
    down = size[1] / (view.last - view.first)
    left = at[0] + (np.interp(tensors.offset, scale.bytes, scale.places) - view.left) * across
    right = at[0] + (np.interp(tensors.offset + tensors.bytes, scale.bytes, scale.places) - view.left) * across
    top = at[1] + (tensors.born - view.first) * down
    bottom = at[1] + (tensors.dies + 1 - view.first) * down
    gap = 1.0 if down >= 4 else 0.0
    return np.stack([left, top, np.maximum(right, left + 1.5), np.maximum(bottom - gap, top + 0.8)], axis=1).astype(
        np.float32
    )


def alive_boxes(
    tensors: Tensors, view: View, at: tuple[float, float], size: tuple[float, float]
) -> npt.NDArray[np.float32]:
    """A bar for what is alive at each node that is shown; at most one for each row of pixels, of the most there."""
    first, last = max(int(view.first), 0), min(int(np.ceil(view.last)), tensors.nodes)
    if last <= first:
        return np.zeros((0, 4), np.float32)
    down = size[1] / (view.last - view.first)
    step = max(int(np.ceil(1 / down)), 1)
    begins = np.arange(first, last, step)
    most = np.maximum.reduceat(tensors.alive[:last], begins)
    top = at[1] + (begins - view.first) * down
    right = at[0] + most / (tensors.alive.max(initial=0.0) or 1.0) * size[0]
    gap = 1.0 if down >= 4 else 0.0
    return np.stack([np.full(len(top), at[0]), top, right, top + np.maximum(down * step - gap, 1.0)], axis=1).astype(
        np.float32
    )


def hit(boxes: npt.NDArray[np.float32], x: float, y: float, near: float = 2.0) -> int | None:
    """The bar at a place: that which was drawn last there, or one nearby; None: none."""
    for room in (0.0, near):
        there = np.flatnonzero(
            (boxes[:, 0] - room <= x)
            & (x <= boxes[:, 2] + room)
            & (boxes[:, 1] - room <= y)
            & (y <= boxes[:, 3] + room)
        )
        if len(there):
            return int(there[-1])
    return None


def zoomed(view: View, by: float, around: float, whole: View) -> View:
    """Fewer or more nodes, around a place of the view, 0 to 1."""
    span = view.last - view.first
    long = min(max(span * by, min(_FEWEST_NODES, whole.last - whole.first)), whole.last - whole.first)
    return moved(view._replace(first=0.0, last=long), 0.0, view.first + (span - long) * around, whole)


def widened(view: View, by: float, around: float) -> View:
    """Less or more of the buffer, around a place of the view, 0 to 1."""
    span = view.right - view.left
    wide = min(max(span * by, _NARROWEST_VIEW), 1.0)
    left = min(max(view.left + (span - wide) * around, 0.0), 1.0 - wide)
    return view._replace(left=left, right=left + wide)


def moved(view: View, across: float, down: float, whole: View) -> View:
    """The view moved by a share of the width and so many nodes, no farther than there is something."""
    wide, long = view.right - view.left, view.last - view.first
    left = min(max(view.left + across, 0.0), 1.0 - wide)
    first = min(max(view.first + down, whole.first), whole.last - long)
    return View(left, left + wide, first, first + long)


def revealing(view: View, born: float, dies: float, whole: View) -> View:
    """The view, moved so that a tensor's birth can be seen."""
    span = view.last - view.first
    if born >= view.first and min(dies, born + span / 2) < view.last:
        return view
    return moved(view, 0.0, born - span / 3 - view.first, whole)


def nice_step(least: float) -> int:
    """The least of 1, 2, 5, 10, 20, 50, … that is not less."""
    power = 10.0 ** np.floor(np.log10(max(least, 1.0)))
    return int(max(next(factor for factor in (1, 2, 5, 10) if factor * power >= least * (1 - 1e-9)) * power, 1))


def _closed(lengths: Floats, used: npt.NDArray[np.bool_]) -> Floats:
    stretches, gaps = int(used.sum()), int((~used).sum())
    gap = min(_GAP, 0.3 / max(gaps, 1))
    narrowest = min(_NARROWEST, 0.5 / max(stretches, 1))
    free = 1 - gaps * gap - stretches * narrowest
    whole = float(lengths[used].sum()) or 1.0
    return np.where(used, narrowest + lengths / whole * free, gap)
