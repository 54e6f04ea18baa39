"""What the colour of a box says: the kind of work, its time, its backend or its bytes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ggml_viz.desktop.theme import Theme, packed
from ggml_viz.model.kinds import KINDS
from ggml_viz.numbers import duration, size

KIND, TIME, BACKEND, BYTES = MEASURES = ("op kind", "time", "backend", "bytes")

_RGB = tuple[int, int, int]
# As strong as can be while the text on it can be read.
_HOTTEST_DARK, _HOTTEST_LIGHT = 0.42, 0.8
_TINT = 0.28


@dataclass(frozen=True)
class Painted:
    """The colours of a layer's boxes.

    Attributes:
        fills: Packed: [boxes].
        stripes: Of the kind of work at the left of each, packed: [boxes].
        legend: What the colours say: a colour and words for each, or the cold and the hot end.
        is_scale: Whether it is a scale from one to the other.
    """

    fills: npt.NDArray[np.uint32]
    stripes: npt.NDArray[np.uint32]
    legend: list[tuple[_RGB, str]]
    is_scale: bool


def paint(nodes: Sequence[dict[str, Any]], measure: str, theme: Theme) -> Painted:
    """Gives each box a colour.

    Args:
        nodes: As Source.layer answers them.
        measure: One of MEASURES.
        theme: Whose colours.
    """
    plain = packed(theme.mixed(theme.line, 0.25))
    stripes = np.array([plain if n["outside"] else packed(theme.kinds[n["kind"]]) for n in nodes], np.uint32)
    if measure in (TIME, BYTES):
        fills, legend = _heat(nodes, measure, theme, plain)
        return Painted(fills, stripes, legend, True)
    key: Callable[[dict[str, Any]], Any]
    if measure == BACKEND:
        names = list(dict.fromkeys(node["backend"] or "not seen" for node in nodes if not node["outside"]))
        hues = backend_colours(theme)
        colours = {name: hues[i % len(hues)] for i, name in enumerate(names)}
        colours["not seen"] = theme.faint
        legend = [(colours[name], name) for name in names]
        key = lambda node: colours[node["backend"] or "not seen"]  # noqa: E731
    else:
        there = sorted({node["kind"] for node in nodes if not node["outside"]})
        legend = [(theme.kinds[kind], KINDS[kind]) for kind in there]
        key = lambda node: theme.kinds[node["kind"]]  # noqa: E731
    fills = np.array([plain if n["outside"] else packed(theme.mixed(key(n), _TINT)) for n in nodes], np.uint32)
    return Painted(fills, stripes, legend, False)


def backend_colours(theme: Theme) -> list[_RGB]:
    """Of backends, in the order in which they come."""
    return [theme.phases[0], theme.phases[1], theme.phases[2], theme.kinds[3], theme.kinds[2], theme.kinds[0]]


def amount(node: dict[str, Any], measure: str) -> float | None:
    """What the heat of a box is of."""
    value = node["bytes"] if measure == BYTES else mean_s(node)
    return None if value is None else float(value)


def mean_s(node: dict[str, Any]) -> float | None:
    """What one execution took; None: it was not timed here."""
    return node["seconds"] / node["executions"] if node["seconds"] is not None and node["executions"] else None


def told(node: dict[str, Any], measure: str) -> str:
    """The number that stands in a box."""
    if node["node"] is None or measure == BYTES:
        return size(node["bytes"]) if node["bytes"] is not None else ""
    took = mean_s(node)
    return duration(took).strip() if took is not None else ""


def hottest(theme: Theme) -> float:
    """How strong the hot end of a scale may be."""
    return _HOTTEST_DARK if theme.is_dark else _HOTTEST_LIGHT


def _heat(
    nodes: Sequence[dict[str, Any]], measure: str, theme: Theme, plain: int
) -> tuple[npt.NDArray[np.uint32], list[tuple[_RGB, str]]]:
    # Of what comes from outside only weights are read whole; a cache is not.
    amounts = [0.0 if node["outside"] else amount(node, measure) or 0.0 for node in nodes]
    most = max(amounts, default=0.0)
    strongest = hottest(theme)
    fills = [
        plain if node["outside"] else packed(theme.heat(value / most * strongest if most else 0.0))
        for node, value in zip(nodes, amounts, strict=True)
    ]
    text = size(most) if measure == BYTES else duration(most).strip()
    ends = [(theme.heat(0.0), "0"), (theme.heat(strongest), f"{text} an execution" if most else "nothing")]
    return np.array(fills, np.uint32), ends
