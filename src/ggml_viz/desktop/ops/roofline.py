"""The geometry of a roofline: operations per byte across, operations per second up, both as logarithms."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ggml_viz.desktop.ops.parts import Part

_ROOM = 0.25
_BEYOND_RIDGE = 0.4
_SMALLEST, _LARGEST = 0.24, 1.0


class Point(NamedTuple):
    """A part whose operations and bytes are known.

    Attributes:
        part: Which.
        intensity: Operations for each byte moved.
        rate: GFLOP/s.
    """

    part: Part
    intensity: float
    rate: float


@dataclass(frozen=True)
class Roofs:
    """What the machine was measured to do.

    Attributes:
        bandwidth: GB/s.
        flat: Names and rates in 1e9 operations a second, the lowest first.
        threads: With how many threads.
    """

    bandwidth: float
    flat: list[tuple[str, float]]
    threads: int

    @property
    def highest(self) -> float:
        """The highest rate."""
        return self.flat[-1][1]


class Limits(NamedTuple):
    """What a plot shows: operations per byte, then GFLOP/s."""

    left: float
    right: float
    bottom: float
    top: float


class Box(NamedTuple):
    """A rectangle in pixels."""

    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: Box) -> bool:
        """Whether the two have a place in common."""
        return not (
            self.right < other.left or self.left > other.right or self.bottom < other.top or self.top > other.bottom
        )


def points_of(parts: Sequence[Part]) -> list[Point]:
    """The points; what is not known has none."""
    return [
        Point(part, part.flops / part.bytes, part.gflops) for part in parts if part.flops and part.bytes and part.gflops
    ]


def roofs_of(peak: dict[str, Any] | None) -> Roofs | None:
    """The roofs; None: nothing was measured."""
    if peak is None:
        return None
    flat = [("f32", peak["flops_per_s"] / 1e9), ("int8", peak["int8_ops_per_s"] / 1e9)]
    flat = sorted(((name, rate) for name, rate in flat if rate > 0), key=lambda roof: roof[1])
    bandwidth = max(peak["triad_bytes_per_s"], peak["read_bytes_per_s"]) / 1e9
    return Roofs(bandwidth, flat, peak["threads"]) if flat and bandwidth > 0 else None


def limits_of(points: Sequence[Point], roofs: Roofs | None) -> Limits:
    """What has to be shown, from one whole or half decade to another."""
    across = [math.log10(point.intensity) for point in points]
    up = [math.log10(point.rate) for point in points]
    if roofs is not None:
        across.append(math.log10(roofs.highest / roofs.bandwidth) + _BEYOND_RIDGE)
        up.append(math.log10(roofs.highest))
    if not across:
        return Limits(0.1, 100.0, 1.0, 1000.0)
    return Limits(10 ** _down(across), 10 ** _up(across), 10 ** _down(up), 10 ** _up(up))


def roof_lines(roofs: Roofs, limits: Limits) -> tuple[list[float], list[float], list[tuple[float, float, float]]]:
    """Where the roofs go: the slanted line's two places across and up, and of each flat one from, to and height."""
    begin = min(limits.left, limits.bottom / roofs.bandwidth)
    ridge = roofs.highest / roofs.bandwidth
    flat = [(rate / roofs.bandwidth, max(limits.right, rate / roofs.bandwidth), rate) for _, rate in roofs.flat]
    return [begin, ridge], [begin * roofs.bandwidth, roofs.highest], flat


def radii(points: Sequence[Point]) -> list[float]:
    """How large each point is: an area stands for a time; 1 is the largest."""
    longest = max((point.part.seconds for point in points), default=1e-12)
    return [
        _SMALLEST + (_LARGEST - _SMALLEST) * math.sqrt(point.part.seconds / max(longest, 1e-12)) for point in points
    ]


def place_names(
    dots: Sequence[tuple[float, float, float]],
    sizes: Sequence[tuple[float, float]],
    within: Box,
    taken: Sequence[Box] = (),
) -> list[tuple[int, float, float]]:
    """Puts names beside points, where they cover nothing; those that come first have the first choice.

    Args:
        dots: Of each point its middle and its radius, in pixels.
        sizes: Of each name its width and height, of as many of the first points as are to be named.
        within: Where names may be.
        taken: What they must not cover beside the points.

    Returns:
        Of each name that has a place its index, and its left and top.
    """
    around = [Box(x - radius, y - radius, x + radius, y + radius) for x, y, radius in dots]
    covered = [*around, *taken]
    placed = []
    for index, (wide, high) in enumerate(sizes):
        x, y, radius = dots[index]
        gap = high * 0.2
        others = [box for i, box in enumerate(covered) if i != index]
        for left, top in (
            (x + radius + gap, y - high / 2),
            (x - radius - gap - wide, y - high / 2),
            (x - wide / 2, y - radius - gap - high),
            (x - wide / 2, y + radius + gap),
        ):
            box = Box(left, top, left + wide, top + high)
            inside = (
                box.left >= within.left
                and box.right <= within.right
                and box.top >= within.top
                and box.bottom <= within.bottom
            )
            if inside and not any(box.meets(other) for other in others):
                covered.append(box)
                placed.append((index, left, top))
                break
    return placed


def nearest(dots: Sequence[tuple[float, float, float]], x: float, y: float, room: float) -> int | None:
    """The point at a place, the smallest if there are several; None: none is there."""
    there = [
        (radius, index)
        for index, (at_x, at_y, radius) in enumerate(dots)
        if math.hypot(at_x - x, at_y - y) <= radius + room
    ]
    return min(there)[1] if there else None


def _down(values: Sequence[float]) -> float:
    return math.floor((min(values) - _ROOM) * 2) / 2


def _up(values: Sequence[float]) -> float:
    return math.ceil((max(values) + _ROOM) * 2) / 2
