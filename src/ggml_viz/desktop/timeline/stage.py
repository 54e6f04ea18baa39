"""The moving part of the timeline: which window is shown, how it glides, pans and follows. Knows nothing of drawing."""

from __future__ import annotations

import math

from ggml_viz.desktop.timeline.view import View, between, framing, pan, showing, within, zoom

_GLIDE_S = 0.2
RESTING_S = 0.14
# Of held keys: widths a second, and doublings a second; reached softly.
_PAN_SPEED = 1.1
_ZOOM_SPEED = 2.6
_SOFTNESS_S = 0.07
_LONGEST_STEP_S = 0.05
_MOST_LEVELS = 50
FOLLOWED_S = 10.0
_NARROWEST_FOLLOWED_S = 0.01
# While a next tile of what is followed is on its way, time goes on so long.
_AHEAD_S = 0.1
_AHEAD_SHARE = 0.02


class Stage:
    """Which window of time is shown.

    Attributes:
        view: From when until when.
        limits: From when until when there is something.
        is_following: Whether the newest stays at the right edge.
    """

    def __init__(self) -> None:
        self.view = self.limits = View(0.0, 1e-6)
        self.is_following = False
        self._levels: list[View] = []
        self._glide: tuple[View, View, float] | None = None
        self._speed = [0.0, 0.0]
        self._moved_at = -math.inf
        self._followed_s = FOLLOWED_S

    # --- how it stands ---

    @property
    def is_whole(self) -> bool:
        """Whether all is shown."""
        return self.view == self.limits

    @property
    def is_moving(self) -> bool:
        """Whether it moves by itself."""
        return self._glide is not None or any(self._speed)

    @property
    def target(self) -> View:
        """Where it is going to."""
        return self._glide[1] if self._glide is not None else self.view

    def is_resting(self, now: float) -> bool:
        """Whether nothing has moved for a moment."""
        return now - self._moved_at > RESTING_S

    def set_limits(self, limits: View) -> None:
        """There is something from when until when; what showed all still does."""
        if limits == self.limits:
            return
        was_whole, self.limits = self.is_whole, limits
        if not self.is_following:
            self.view = limits if was_whole else within(self.view, limits)

    # --- moving ---

    def jump(self, view: View, now: float) -> None:
        """Shows a window at once."""
        self._glide = None
        self._show(within(view, self.limits), now)

    def glide(self, view: View, now: float) -> None:
        """Moves there, and keeps where it was as a level to go out to."""
        to = within(view, self.limits)
        if to == self.target:
            return
        self.is_following = False
        self._levels = [*self._levels[1 - _MOST_LEVELS :], self.target]
        self._glide = self.view, to, now

    def out(self, now: float) -> bool:
        """Back to where the last jump began, else further out; False: all is shown."""
        if self._levels:
            self._glide = self.view, within(self._levels.pop(), self.limits), now
        elif self.is_whole or self.is_following:
            return False
        else:
            self._glide = self.view, self.limits, now
        return True

    def pan(self, seconds: float, now: float) -> None:
        """By so much; what follows is left behind by going back."""
        if self.is_following and seconds > 0:
            return
        self.is_following = False
        self.jump(pan(self.view, seconds, self.limits), now)

    def zoom(self, factor: float, at: float, now: float) -> None:
        """A factor over 1 shows more. What follows keeps the newest at its edge."""
        if not self.is_following:
            return self.jump(zoom(self.view, factor, at, self.limits), now)
        whole = max(self.limits.end, 1.0)
        self._followed_s = min(max(self._followed_s * factor, _NARROWEST_FOLLOWED_S), whole)
        self._show(self._until(self.view.end), now)
        return None

    def frame(self, wanted: View, now: float) -> None:
        """Goes to a range, with some room around it."""
        self.glide(framing(wanted, self.limits), now)

    def bring(self, wanted: View, now: float) -> None:
        """Goes as little as it takes to show a range."""
        self.glide(showing(self.target, wanted, self.limits), now)

    def to_edge(self, end: bool, now: float) -> None:
        """Goes to the beginning, or to the end."""
        width, limits = self.view.width, self.limits
        self.glide(View(limits.end - width, limits.end) if end else View(limits.begin, limits.begin + width), now)

    def held(self, panning: int, zooming: int, at: float, elapsed: float, now: float) -> None:
        """Keys are held (-1, 0, 1: left or right, in or out) or were let go of; moves evenly, by time.

        Args:
            panning: Where to.
            zooming: In (-1) or out (1).
            at: Zooming goes there.
            elapsed: Since the last frame, in seconds.
            now: The time.
        """
        elapsed = min(elapsed, _LONGEST_STEP_S)
        soft = 1 - math.exp(-elapsed / _SOFTNESS_S)
        for i, wanted in enumerate((panning * _PAN_SPEED, zooming * _ZOOM_SPEED)):
            self._speed[i] += (wanted - self._speed[i]) * soft
            if not wanted and abs(self._speed[i]) < 0.01:
                self._speed[i] = 0.0
        if self._speed[0]:
            self.pan(self._speed[0] * self.view.width * elapsed, now)
        if self._speed[1]:
            self.zoom(2 ** (self._speed[1] * elapsed), at, now)

    def step(self, now: float) -> None:
        """Goes on with what moves by itself."""
        if self._glide is None:
            return
        begin, to, began = self._glide
        progress = min(max((now - began) / _GLIDE_S, 0.0), 1.0)
        if progress >= 1:
            self._glide = None
        self._show(to if progress >= 1 else between(begin, to, 1 - (1 - progress) ** 3), now)

    # --- following ---

    def follow(self, width_s: float | None = None) -> None:
        """The newest stays at the right edge from now on."""
        self.is_following = True
        self._glide = None
        self._levels = []
        self._followed_s = max(self.view.width if width_s is None else width_s, _NARROWEST_FOLLOWED_S)
        self.view = self._until(self.limits.end)

    def stop_following(self) -> None:
        """It moves no more by itself."""
        self.is_following = False

    def show_newest(self, latest: float, since_s: float) -> bool:
        """Where it follows, shows what was newest so long ago, and a little of what must have come since.

        Returns:
            Whether it goes on by itself.
        """
        ahead = min(_AHEAD_S, self._followed_s * _AHEAD_SHARE)
        end = latest + min(since_s, ahead)
        # A little early is corrected by waiting, not by going back.
        if self.view.end - 2 * _AHEAD_S < end < self.view.end:
            end = self.view.end
        self.view = self._until(end)
        return since_s < ahead

    def _until(self, end: float) -> View:
        return View(max(end - self._followed_s, 0.0), max(end, self._followed_s))

    def _show(self, view: View, now: float) -> None:
        if view != self.view:
            self.view = view
            self._moved_at = now
