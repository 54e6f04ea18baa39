"""Which part of a sheet is seen, and how large: panning and zooming are arithmetic."""

from __future__ import annotations

from dataclasses import dataclass

_SMALLEST, _LARGEST = 0.02, 6.0


@dataclass(frozen=True)
class Camera:
    """What of a sheet is seen.

    Attributes:
        scale: Pixels of the screen for one of the sheet.
        left: What of the sheet is at the left of the frame, in pixels of the screen.
        top: What is at its top.
    """

    scale: float = 1.0
    left: float = 0.0
    top: float = 0.0

    def panned(self, across: float, down: float) -> Camera:
        """Moved with the hand, by so many pixels of the screen."""
        return Camera(self.scale, self.left - across, self.top - down)

    def zoomed(self, factor: float, across: float, down: float) -> Camera:
        """Magnified so that what is at a place of the frame stays there."""
        scale = min(max(self.scale * factor, _SMALLEST), _LARGEST)
        by = scale / self.scale
        return Camera(scale, (self.left + across) * by - across, (self.top + down) * by - down)

    def showing(self, box: tuple[float, float, float, float], width: float, height: float, margin: float) -> Camera:
        """Moved as little as needed, so that a box of the sheet (left, top, right, bottom) lies in the frame."""
        left = _within(self.left, box[0] * self.scale, box[2] * self.scale, width, margin)
        top = _within(self.top, box[1] * self.scale, box[3] * self.scale, height, margin)
        return Camera(self.scale, left, top)

    def kept_on(self, sheet_width: float, sheet_height: float, width: float, height: float) -> Camera:
        """Moved back, should nothing of the sheet be seen any more."""
        across, down = width / 4, height / 4
        left = min(max(self.left, across - width), max(sheet_width * self.scale - across, across - width))
        top = min(max(self.top, down - height), max(sheet_height * self.scale - down, down - height))
        return self if (left, top) == (self.left, self.top) else Camera(self.scale, left, top)


def fitted(sheet_width: float, sheet_height: float, width: float, height: float, largest: float) -> Camera:
    """The whole sheet in the middle of the frame."""
    scale = min(width / max(sheet_width, 1.0), height / max(sheet_height, 1.0), largest)
    return _in_the_middle(max(scale, _SMALLEST), sheet_width, sheet_height, width, height)


def legible(sheet_width: float, sheet_height: float, width: float, height: float, least: float) -> Camera:
    """As wide as there is room, but never so small that it cannot be read: what has no room is at the right."""
    scale = min(max(least, width / max(sheet_width, 1.0)), 1.4 * least)
    camera = _in_the_middle(scale, sheet_width, sheet_height, width, height)
    return Camera(scale, min(camera.left, 0.0) if camera.left < 0 else 0.0, camera.top)


def _in_the_middle(scale: float, sheet_width: float, sheet_height: float, width: float, height: float) -> Camera:
    return Camera(scale, (sheet_width * scale - width) / 2, (sheet_height * scale - height) / 2)


def _within(at: float, low: float, high: float, room: float, margin: float) -> float:
    if high + margin > at + room:
        at = high + margin - room
    return min(at, low - margin)
