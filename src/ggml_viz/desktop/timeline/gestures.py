"""What pointer and keys do on the timeline: they move a stage, and say what else was meant."""

from __future__ import annotations

import math
from typing import NamedTuple

from imgui_bundle import imgui

from ggml_viz.desktop.timeline.stage import Stage
from ggml_viz.desktop.timeline.view import View

_WHEEL_SPEED = 0.2
_WHEEL_PAN = 0.1
# In ems: what moves less was meant as a click.
_CLICK = 0.3
_LEFT, _MIDDLE = 0, 2


class Meant(NamedTuple):
    """What was meant, beside moving.

    Attributes:
        clicked: A place was clicked.
        framed: It was clicked twice.
        selecting: A range is being selected.
        selected: A range was selected.
        scrolled: Up or down, in pixels.
    """

    clicked: bool = False
    framed: bool = False
    selecting: View | None = None
    selected: View | None = None
    scrolled: float = 0.0


class Pointer:
    """The pointer on one item: wheel zooms, Shift or the middle button pans, dragging selects."""

    def __init__(self) -> None:
        self._pressed_at: tuple[float, float] | None = None
        self._since = 0.0
        self._doing = ""
        self._last = (0.0, 0.0)

    @property
    def is_busy(self) -> bool:
        """Whether something is being dragged."""
        return self._doing in ("pan", "select")

    def use(self, stage: Stage, left: float, width: float, now: float) -> Meant:
        """What the pointer did since the last frame; the item was drawn last.

        Args:
            stage: What it moves.
            left: Where the view begins, in pixels of the screen.
            width: How wide it is.
            now: The time.
        """
        io, at = imgui.get_io(), imgui.get_mouse_pos()
        hovered = imgui.is_item_hovered()
        scrolled = self._wheel(stage, stage.view.to_time(at.x - left, width), now) if hovered else 0.0
        here = stage.view.to_time(at.x - left, width)
        if hovered and imgui.is_mouse_double_clicked(_LEFT):
            self._doing = "twice"
            return Meant(framed=True)
        if imgui.is_item_activated():
            self._pressed_at = self._last = (at.x, at.y)
            self._since = here
            self._doing = "pan" if io.key_shift or imgui.is_mouse_down(_MIDDLE) else "press"
        if not self._doing or self._pressed_at is None:
            return Meant(scrolled=scrolled)
        moved = at.x - self._last[0], at.y - self._last[1]
        self._last = at.x, at.y
        if self._doing == "press" and abs(at.x - self._pressed_at[0]) >= _CLICK * imgui.get_font_size():
            self._doing = "select"
        chosen = View(max(min(self._since, here), stage.limits.begin), min(max(self._since, here), stage.limits.end))
        doing = self._doing
        if imgui.is_item_active():
            if doing == "pan":
                if moved[0]:
                    stage.pan(-moved[0] / width * stage.view.width, now)
                return Meant(scrolled=scrolled - moved[1])
            return Meant(selecting=chosen if doing == "select" and chosen.width > 0 else None, scrolled=scrolled)
        self._doing, self._pressed_at = "", None
        if doing == "press":
            return Meant(clicked=hovered, scrolled=scrolled)
        return Meant(selected=chosen if doing == "select" and chosen.width > 0 else None, scrolled=scrolled)

    @staticmethod
    def _wheel(stage: Stage, at: float, now: float) -> float:
        io = imgui.get_io()
        if io.key_alt:
            return -io.mouse_wheel * 3 * imgui.get_text_line_height()
        if io.mouse_wheel_h:
            stage.pan(-io.mouse_wheel_h * _WHEEL_PAN * stage.view.width, now)
        if io.mouse_wheel:
            stage.zoom(math.exp(-io.mouse_wheel * _WHEEL_SPEED), at, now)
        return 0.0


_HELD = (
    (imgui.Key.a, imgui.Key.d),
    (imgui.Key.w, imgui.Key.s),
)


def held_keys() -> tuple[int, int]:
    """Which of the keys that pan and zoom are held: -1, 0 or 1 each."""
    down = [int(imgui.is_key_down(last)) - int(imgui.is_key_down(first)) for first, last in _HELD]
    return down[0], down[1]


# Key, whether it repeats when held, and what it is called in Timeline.commands.
COMMANDS = (
    (imgui.Key.slash, False, "search"),
    (imgui.Key.f, False, "frame"),
    (imgui.Key.m, False, "mark"),
    (imgui.Key.n, True, "next"),
    (imgui.Key.p, True, "previous"),
    (imgui.Key.l, True, "longest"),
    (imgui.Key.escape, False, "out"),
    (imgui.Key.home, False, "begin"),
    (imgui.Key.end, False, "end"),
    (imgui.Key.equal, True, "step-in"),
    (imgui.Key.keypad_add, True, "step-in"),
    (imgui.Key.minus, True, "step-out"),
    (imgui.Key.keypad_subtract, True, "step-out"),
)


def pressed_commands() -> list[str]:
    """What keys that were pressed ask for; none with Ctrl, Alt or the like, which mean something else."""
    io = imgui.get_io()
    if io.key_ctrl or io.key_alt or io.key_super:
        return []
    return [name for key, repeats, name in COMMANDS if imgui.is_key_pressed(key, repeats)]
