"""Where the time axis has its ticks and what stands at them, from hours to nanoseconds."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from ggml_viz.desktop.timeline.view import View


class Tick(NamedTuple):
    """A moment with a label."""

    at: float
    label: str


class Axis(NamedTuple):
    """An axis.

    Attributes:
        base: What the labels are added to, where all of the time would be too long; else empty.
        ticks: With their labels.
        divisions: Between two ticks are so many steps that have a mark without a label.
        step: From tick to tick.
    """

    base: str
    ticks: list[Tick]
    divisions: int
    step: float


_CLOCK_STEPS = (
    (1, 5), (2, 4), (5, 5), (10, 5), (15, 3), (30, 6), (60, 6), (120, 4), (300, 5), (600, 5), (900, 3),
    (1800, 6), (3600, 6), (7200, 4), (21600, 6), (43200, 6), (86400, 4),
)  # fmt: skip
_UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))
# Times with more digits than these are told as a base and what is added to it.
_LONGEST_DIGITS = 6


def axis_of(view: View, labels: float) -> Axis:
    """The axis of a view that is so many labels wide at most."""
    step, divisions = _step_of(view.width / max(labels, 1))
    first, last = math.ceil(view.begin / step - 1e-9), math.floor(view.end / step + 1e-9)
    base, write = _labelling(view, step)
    return Axis(base, [Tick(index * step, write(index)) for index in range(first, last + 1)], divisions, step)


def clock(seconds: float) -> str:
    """`2:05`, `1:02:05`."""
    hours, minutes, rest = int(seconds // 3600), int(seconds // 60) % 60, round(seconds % 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def moment(seconds: float, view: View) -> str:
    """One moment with as many digits as matter in a view: `1.234567 s`."""
    decimals = min(9, max(0, math.ceil(-math.log10(view.width / 1000))))
    return _written(round(seconds, decimals), decimals)


def _step_of(least: float) -> tuple[float, int]:
    if least > 0.5:
        for step, divisions in _CLOCK_STEPS:
            if step >= least:
                return step, divisions
        return math.ceil(least / 86400) * 86400, 4
    # Powers below one are made by division, which rounds once: 3 / 1e6 is the float next to 3 µs, 3 * 1e-6 is not.
    power = math.floor(math.log10(least))
    for digit in (1, 2, 5, 10):
        step = digit / 10**-power if power < 0 else digit * 10**power
        if step >= least * (1 - 1e-9):
            break
    return step, 4 if digit == 2 else 5


def _labelling(view: View, step: float) -> tuple[str, Callable[[int], str]]:
    far = max(abs(view.begin), abs(view.end))
    if step >= 1:
        if far < 120:
            return "", lambda index: f"{index * step:.0f} s"
        return "", lambda index: clock(index * step)
    if far / step < 10**_LONGEST_DIGITS and far < 60:
        return "", _scaled_by(far, step)
    # The base is round in units of a power of ten that is at least as wide as the view.
    power = math.ceil(math.log10(view.width) - 1e-9)
    steps = round(10.0**power / step)
    start = math.floor(view.begin / 10.0**power + 1e-9)
    write = _scaled_by(step, step)
    base = _written(start / 10**-power if power < 0 else start * 10.0**power, max(0, -power))
    return base, lambda index: f"+{write(index - start * steps)}"


def _scaled_by(far: float, step: float) -> Callable[[int], str]:
    """Writes multiples of a step in the unit that fits what is this far."""
    scale, unit = next((each for each in _UNITS if far >= each[0] * 0.999), _UNITS[-1])
    decimals = max(0, -math.floor(math.log10(step / scale) + 1e-9))
    return lambda index: f"{index * (step / scale):.{decimals}f} {unit}" if index else f"0 {unit}"


def _grouped(number: str) -> str:
    """Digits after the point in threes: `12.345 678`."""
    whole, _, fraction = number.partition(".")
    threes = [fraction[at : at + 3] for at in range(0, len(fraction), 3)]
    return f"{whole}.{' '.join(threes)}" if fraction else whole


def _written(seconds: float, decimals: int) -> str:
    """With a clock's shape from a minute on."""
    if seconds < 60:
        return f"{_grouped(f'{seconds:.{decimals}f}')} s"
    whole = math.floor(seconds)
    return clock(whole) + (_grouped(f"{seconds - whole:.{decimals}f}")[1:] if decimals else "")
