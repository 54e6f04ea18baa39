"""A tile made ready for drawing, in the thread that asked for it: colours of spans, and a picture of what is dense."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ggml_viz.desktop.theme import Theme, ink_on, packed
from ggml_viz.desktop.timeline.lanes import Lane
from ggml_viz.desktop.timeline.raster import shares_of, stacked
from ggml_viz.desktop.timeline.tile import Shares, Spans, Tile
from ggml_viz.model.kinds import KINDS
from ggml_viz.model.phases import PHASES

RGB = tuple[int, int, int]

# A lane with a span to less than so many pixels is drawn as a picture.
DENSE_PIXELS = 3
TALLEST_PICTURE = 64
_FAINT = 0.12
_COUNT = len(KINDS)


class Labels:
    """What spans are called.

    Args:
        timeline: What `Source.timeline` answers.
    """

    def __init__(self, timeline: Mapping[str, Any]) -> None:
        labels = timeline["labels"]
        self.texts: list[str] = [label["text"] for label in labels] or ["?"]
        self.kinds = np.array([label["kind"] for label in labels] or [_COUNT - 1], np.uint8)
        self._lower = [text.lower() for text in self.texts]

    def __len__(self) -> int:
        return len(self.texts)

    @cached_property
    def phases(self) -> npt.NDArray[np.uint8]:
        """Runs and their phases are called by the phase first: which it is."""
        other = len(PHASES) - 1
        found = (next((i for i, p in enumerate(PHASES) if text.startswith(p)), other) for text in self.texts)
        return np.fromiter(found, np.uint8, len(self.texts))

    def containing(self, text: str) -> npt.NDArray[np.bool_]:
        """Which have each word of a text in them; all, if none has: it is a tensor's name, or none at all."""
        words = text.lower().split()
        found = np.fromiter((all(word in each for word in words) for each in self._lower), bool, len(self._lower))
        return found if found.any() else ~found


class Look(NamedTuple):
    """How it is to be drawn.

    Attributes:
        theme: Whose colours.
        hidden: Kinds that are dimmed.
        text: What is not called so is dimmed.
        heights: Of lanes' pictures, in pixels, by id.
    """

    theme: Theme
    hidden: frozenset[int]
    text: str
    heights: tuple[tuple[int, int], ...]


class Palette:
    """Colours of a lane: packed, by class: work, waiting and what is dimmed, of each kind or phase."""

    def __init__(self, theme: Theme, in_phases: bool) -> None:
        of_phases = [*theme.phases, theme.phases[-1]]
        work = of_phases if in_phases else theme.kinds
        wait = [theme.mixed(colour, 0.35) for colour in of_phases] if in_phases else theme.waits
        faint = [theme.mixed(colour, _FAINT) for colour in work]
        every = [*work, *wait, *faint]
        self.packed = np.array([*map(packed, every), packed(theme.background, 0)], np.uint32)
        self.inks = np.array([packed(ink_on(colour)) for colour in every], np.uint32)


@dataclass(frozen=True)
class Plate:
    """A tile made ready.

    Attributes:
        tile: The tile.
        look: How it was made ready.
        times: Of all spans, one lane behind the other: begin, where waiting begins, end: [3, n].
        colours: Of their work and of their waiting: [2, n].
        inks: Of text on both: [2, n].
        labels: Indices: [n].
        first: Where in them a lane begins, by id.
        image: Pictures of dense lanes, one below the other: uint8 array [height, columns, 4]; None: there are none.
        pictures: Where in that a lane's picture is, from which row to which.
        is_described: Whether all its lanes and labels are known.
    """

    tile: Tile
    look: Look
    times: npt.NDArray[np.float32]
    colours: npt.NDArray[np.uint32]
    inks: npt.NDArray[np.uint32]
    labels: npt.NDArray[np.uint32]
    first: dict[int, int]
    image: npt.NDArray[np.uint8] | None
    pictures: dict[int, tuple[int, int]]
    is_described: bool


def make_plate(tile: Tile, lanes: Sequence[Lane], labels: Labels, look: Look) -> Plate:
    """Makes a tile ready."""
    palettes = {phases: Palette(look.theme, phases) for phases in (False, True)}
    meant_labels = labels.containing(look.text)
    meant_kinds = np.array([kind not in look.hidden for kind in range(_COUNT)])
    heights = dict(look.heights)
    is_described = set(tile.lanes) <= {lane.id for lane in lanes}
    times, colours, inks, numbers = [], [], [], []
    first: dict[int, int] = {}
    pictures: list[tuple[int, Callable[[int], npt.NDArray[np.uint32]]]] = []
    total = 0
    for lane in lanes:
        shown = tile.lanes.get(lane.id)
        if shown is None:
            continue
        palette = palettes[lane.in_phases]
        if isinstance(shown, Shares):
            stack = _stack_of(shown, meant_kinds if lane.is_filtered else None)
            pictures.append((lane.id, _painter(stack, palette)))
            continue
        if len(shown.label) and int(shown.label.max()) >= len(labels):
            is_described = False
        label = np.minimum(shown.label, np.uint32(len(labels) - 1))
        kind = (labels.phases if lane.in_phases else labels.kinds)[label]
        meant = meant_labels[label] & meant_kinds[kind] if lane.is_filtered else None
        work = kind if meant is None else np.where(meant, kind, kind + 2 * _COUNT).astype(np.uint8)
        wait = kind + _COUNT if meant is None else np.where(meant, kind + _COUNT, kind + 2 * _COUNT)
        end = shown.begin + shown.duration
        edge = np.clip(end - shown.wait, shown.begin, end)
        first[lane.id] = total
        total += len(label)
        times.append(np.stack([shown.begin, edge, end]))
        colours.append(palette.packed[np.stack([work, wait])])
        inks.append(palette.inks[np.stack([work, wait])])
        numbers.append(label)
        if len(label) * DENSE_PIXELS > tile.columns:
            stack = shares_of(
                np.concatenate([shown.begin, edge]), np.concatenate([edge, end]),
                np.concatenate([work, wait]).astype(np.uint8), 3 * _COUNT, tile.columns,
            )  # fmt: skip
            pictures.append((lane.id, _painter(stack, palette)))
    image, places = _image(pictures, heights, tile.columns)
    return Plate(
        tile=tile,
        look=look,
        times=_joined(times, (3, 0), np.float32),
        colours=_joined(colours, (2, 0), np.uint32),
        inks=_joined(inks, (2, 0), np.uint32),
        labels=_joined(numbers, (0,), np.uint32),
        first=first,
        image=image,
        pictures=places,
        is_described=is_described,
    )


def _joined(parts: list[npt.NDArray[Any]], empty: tuple[int, ...], kind: Any) -> npt.NDArray[Any]:
    return np.ascontiguousarray(np.concatenate([*parts, np.empty(empty, kind)], axis=-1), kind)


def _stack_of(shown: Shares, meant: npt.NDArray[np.bool_] | None) -> npt.NDArray[np.float32]:
    """Shares by class: work of all kinds, waiting in them, and what is dimmed of either."""
    columns = len(shown.shares)
    by_part = shown.shares.astype(np.float32) / 255
    stack = np.zeros((columns, 3 * _COUNT), np.float32)
    work, wait = by_part[:, :_COUNT, 0], by_part[:, :_COUNT, 1]
    if meant is None:
        stack[:, :_COUNT], stack[:, _COUNT : 2 * _COUNT] = work, wait
    else:
        stack[:, :_COUNT], stack[:, _COUNT : 2 * _COUNT] = work * meant, wait * meant
        stack[:, 2 * _COUNT :] = (work + wait) * ~meant
    return stack


def _painter(stack: npt.NDArray[np.float32], palette: Palette) -> Callable[[int], npt.NDArray[np.uint32]]:
    used = np.flatnonzero(stack.any(axis=0))
    colours = palette.packed[[*used, -1]]
    return lambda height: stacked(stack[:, used], colours, height)


def _image(
    pictures: Sequence[tuple[int, Callable[[int], npt.NDArray[np.uint32]]]], heights: Mapping[int, int], columns: int
) -> tuple[npt.NDArray[np.uint8] | None, dict[int, tuple[int, int]]]:
    if not pictures:
        return None, {}
    parts, places, at = [], {}, 0
    for lane, paint in pictures:
        height = max(min(heights.get(lane, TALLEST_PICTURE // 2), TALLEST_PICTURE), 1)
        parts.append(paint(height))
        places[lane] = at, at + height
        at += height
    image = np.ascontiguousarray(np.concatenate(parts)).view(np.uint8).reshape(at, columns, 4)
    return image, places


def spans_of(plate: Plate | None, lane: int) -> Spans | None:
    """The spans of a lane, if the plate has it one by one."""
    shown = plate.tile.lanes.get(lane) if plate is not None else None
    return shown if isinstance(shown, Spans) else None
