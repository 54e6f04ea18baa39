"""Which part of time is shown, and how it moves: pure functions over seconds."""

from __future__ import annotations

from typing import NamedTuple

# Nothing is recorded in finer steps than some ns.
NARROWEST_S = 50e-9


class View(NamedTuple):
    """From when until when, in seconds."""

    begin: float
    end: float

    @property
    def width(self) -> float:
        """How long that is."""
        return self.end - self.begin

    def to_x(self, seconds: float, pixels: float) -> float:
        """Where a moment is drawn."""
        return (seconds - self.begin) / self.width * pixels

    def to_time(self, x: float, pixels: float) -> float:
        """The moment that is drawn at a pixel."""
        return self.begin + x / max(pixels, 1.0) * self.width


def within(view: View, limits: View) -> View:
    """Keeps a view inside of what there is, and its width where that can be."""
    width = min(max(view.width, NARROWEST_S), limits.width)
    if not width < limits.width:
        return limits
    begin = min(max(view.begin, limits.begin), limits.end - width)
    return View(begin, begin + width)


def zoom(view: View, factor: float, at: float, limits: View) -> View:
    """A factor over 1 shows more; the moment `at` stays where it is."""
    width = min(max(view.width * factor, NARROWEST_S), limits.width)
    begin = at - (at - view.begin) / view.width * width
    return within(View(begin, begin + width), limits)


def pan(view: View, seconds: float, limits: View) -> View:
    """Moved by so much."""
    return within(View(view.begin + seconds, view.end + seconds), limits)


def framing(wanted: View, limits: View, share: float = 0.8) -> View:
    """A view of a range, which takes the middle `share` of it."""
    middle = (wanted.begin + wanted.end) / 2
    half = max(wanted.width / share / 2, NARROWEST_S / 2)
    return within(View(middle - half, middle + half), limits)


def showing(view: View, wanted: View, limits: View, smallest: float = 1 / 400) -> View:
    """Moved as little as it takes to show a range; as wide as before, unless that is too narrow or far too wide."""
    if wanted.width > view.width or wanted.width < view.width * smallest:
        return framing(wanted, limits, 0.8 if wanted.width > view.width else 0.05)
    if wanted.begin >= view.begin and wanted.end <= view.end:
        return view
    middle = (wanted.begin + wanted.end) / 2
    return within(View(middle - view.width / 2, middle + view.width / 2), limits)


def between(a: View, b: View, progress: float) -> View:
    """Between two views, at 0 to 1: the zoom grows evenly, and what both show at the same place stays there."""
    width = a.width * (b.width / a.width) ** progress
    if abs(b.width - a.width) < 1e-6 * a.width:
        begin = a.begin + (b.begin - a.begin) * progress
        return View(begin, begin + width)
    # How much of the way the edges have gone, measured by the width.
    gone = (width - a.width) / (b.width - a.width)
    return View(a.begin + (b.begin - a.begin) * gone, a.end + (b.end - a.end) * gone)
