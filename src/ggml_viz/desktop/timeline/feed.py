"""Which tile to ask for: some screens wide, so that panning shows no blank, and not again while one will do."""

from __future__ import annotations

from dataclasses import dataclass

from ggml_viz.desktop.timeline.view import View, within

_SCREENS = 3.0
_MOST_COLUMNS = 8192
# So much of a screen is left at a side when the next tile is asked for.
_MARGIN = 0.4
# How much coarser than the screen pictures may be while it moves, and at rest.
_COARSEST_MOVING = 0.6
_COARSEST_RESTING = 0.95
# Rectangles are exact, until the rounding of their times would be seen.
_COARSEST_SPANS = 0.01


@dataclass(frozen=True)
class Window:
    """A tile that is asked for.

    Attributes:
        view: From when until when.
        columns: How many pixels.
        lanes: Which lanes; None: all.
    """

    view: View
    columns: int
    lanes: tuple[int, ...] | None


@dataclass(frozen=True)
class Need:
    """What is to be shown.

    Attributes:
        view: From when until when.
        limits: From when until when there is something.
        pixels: How wide it is.
        lanes: Which lanes; None: all.
        is_resting: Nothing has moved for a moment: fill in the detail.
    """

    view: View
    limits: View
    pixels: int
    lanes: tuple[int, ...] | None
    is_resting: bool


def window_for(need: Need) -> Window:
    """The tile that shows it, with room at both sides."""
    pixels = min(max(need.pixels, 1), _MOST_COLUMNS // 2)
    extra = need.view.width * (min(_SCREENS, _MOST_COLUMNS / pixels) - 1) / 2
    view = within(View(need.view.begin - extra, need.view.end + extra), need.limits)
    columns = round(pixels * view.width / need.view.width)
    return Window(view, min(max(columns, 1), _MOST_COLUMNS), need.lanes)


def suffices(window: Window, need: Need, has_pictures: bool = True) -> bool:
    """Whether a tile shows well enough what is to be shown."""
    view, width = need.view, need.view.width
    slack = width * 1e-6
    if window.lanes is not None and (need.lanes is None or not set(need.lanes) <= set(window.lanes)):
        return False
    if view.begin - window.view.begin < _MARGIN * width and window.view.begin > need.limits.begin + slack:
        return False
    if window.view.end - view.end < _MARGIN * width and window.view.end < need.limits.end - slack:
        return False
    density = window.columns * width / window.view.width / min(max(need.pixels, 1), _MOST_COLUMNS // 2)
    if not has_pictures:
        return density > _COARSEST_SPANS
    return density > (_COARSEST_RESTING if need.is_resting else _COARSEST_MOVING)
