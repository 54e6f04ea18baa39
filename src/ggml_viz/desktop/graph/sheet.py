"""Draws the nodes of a layer, each weight above what reads it; pans, zooms, and tells what was hit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from imgui_bundle import imgui

from ggml_viz.desktop import bulk
from ggml_viz.desktop.graph import colours, words
from ggml_viz.desktop.graph.camera import Camera, fitted, legible
from ggml_viz.desktop.graph.colours import Painted, paint
from ggml_viz.desktop.graph.scene import Scene
from ggml_viz.desktop.theme import Theme, packed
from ggml_viz.desktop.workspace import Workspace

# The layout is made for text of this size, in pixels of the sheet.
_FONT = 12.0
# Smaller text, as a share of the window's, is not read.
_LEAST_TEXT = 0.5
_SHORT_TEXT = 0.72
_LEAF_TEXT = 0.86
_WHEEL = 1.2
_STRIPE = 0.3 * _FONT
_KEYS = {
    "left": imgui.Key.left_arrow, "right": imgui.Key.right_arrow,
    "up": imgui.Key.up_arrow, "down": imgui.Key.down_arrow,
}  # fmt: skip


@dataclass(frozen=True)
class Hit:
    """What was done to a box.

    Attributes:
        box: Which.
        is_double: Whether it was clicked twice.
    """

    box: int
    is_double: bool = False


class Sheet:
    """A layer on the screen.

    Args:
        space: For its colours.

    Attributes:
        camera: What of it is seen; None: it is new.
        pointed: The box under the pointer; None: none.
        current: The box that keys start from.
        origin: Where its frame begins on the screen.
    """

    def __init__(self, space: Workspace) -> None:
        self._space = space
        self._scene: Scene | None = None
        self._painted: tuple[Any, Painted] | None = None
        self._texts: dict[tuple[int, str], tuple[str, str, str, str, float]] = {}
        self._lit: tuple[Any, npt.NDArray[np.bool_], npt.NDArray[np.bool_]] = (
            None,
            np.empty(0, bool),
            np.empty(0, bool),
        )
        self._size = (0.0, 0.0)
        self._last: Camera | None = None
        self._shortened: dict[int, str] = {}
        self._travelled = 0.0
        self.camera: Camera | None = None
        self.pointed: int | None = None
        self.current: int | None = None
        self.origin = (0.0, 0.0)

    def show(self, scene: Scene, is_other: bool) -> None:
        """Shows a scene; another one from its beginning, one that only has newer numbers as the last one was seen."""
        self._scene, self._painted = scene, None
        self._texts.clear()
        self._shortened.clear()
        if is_other:
            self.camera = None
            self.current = scene.first_inside()
        self.pointed = None

    def fit(self) -> None:
        """Shows all of it."""
        if self._scene is not None:
            em = imgui.get_font_size()
            self.camera = fitted(self._scene.width, self._scene.height, *self._size, 1.4 * em / 14)

    def reveal(self, box: int) -> None:
        """Has a box be seen."""
        if self._scene is not None and self.camera is not None and self._size[0]:
            at = self._scene.boxes[box]
            self.camera = self.camera.showing(
                (float(at[0]), float(at[1]), float(at[2]), float(at[3])), *self._size, 2 * imgui.get_font_size()
            )
        self.current = box

    def painted(self, measure: str) -> Painted:
        """The colours of its boxes."""
        assert self._scene is not None
        key = (measure, self._space.theme)
        if self._painted is None or self._painted[0] != key:
            self._painted = key, paint(self._scene.nodes, measure, self._space.theme)
        return self._painted[1]

    def draw(self, measure: str, chosen: list[int], size: tuple[float, float]) -> Hit | None:
        """Draws it, and returns what was clicked.

        Args:
            measure: What colours say: one of colours.MEASURES.
            chosen: The boxes of the chosen node.
            size: Of its frame, in pixels.
        """
        scene = self._scene
        assert scene is not None
        width, height = max(size[0], 1.0), max(size[1], 1.0)
        em = imgui.get_font_size()
        if self.camera is None:
            self.camera = legible(scene.width, scene.height, width, height, em / 14)
        elif self._size[0] and (width, height) != self._size:
            # What was in the middle stays there.
            self.camera = self.camera.panned((width - self._size[0]) / 2, (height - self._size[1]) / 2)
        self._size = width, height
        at = imgui.get_cursor_screen_pos()
        self.origin = at.x, at.y
        buttons = imgui.ButtonFlags_.mouse_button_left | imgui.ButtonFlags_.mouse_button_middle
        imgui.invisible_button("##sheet", (width, height), buttons)
        hit = self._use()
        camera = self.camera.kept_on(scene.width, scene.height, width, height)
        self.camera = camera
        lines = imgui.get_window_draw_list()
        lines.push_clip_rect((at.x, at.y), (at.x + width, at.y + height), True)
        seen = self._part(camera, width, height)
        lit = [self.pointed] if self.pointed is not None else chosen
        self._light(scene, lit)
        self._draw_lines(lines, scene, seen)
        self._draw_boxes(lines, scene, seen, measure, chosen)
        lines.pop_clip_rect()
        lines.add_rect((at.x, at.y), (at.x + width, at.y + height), packed(self._space.theme.line))
        return hit

    def on_screen(self, box: int) -> tuple[float, float, float, float]:
        """Where a box is, in pixels of the screen."""
        assert self._scene is not None
        assert self.camera is not None
        left, top, right, bottom = (self._scene.boxes[box] * self.camera.scale).tolist()
        across, down = self.origin[0] - self.camera.left, self.origin[1] - self.camera.top
        return left + across, top + down, right + across, bottom + down

    # --- what one does to it ---

    def _use(self) -> Hit | None:
        scene, camera = self._scene, self.camera
        assert scene is not None
        assert camera is not None
        io = imgui.get_io()
        across, down = io.mouse_pos.x - self.origin[0], io.mouse_pos.y - self.origin[1]
        hit: Hit | None = None
        self.pointed = None
        if imgui.is_item_activated():
            self._travelled = 0.0
        if imgui.is_item_active():
            self._travelled = max(self._travelled, *(abs(part) for part in _dragged()))
            if self._travelled > io.mouse_drag_threshold:
                camera = camera.panned(io.mouse_delta.x, io.mouse_delta.y)
                imgui.set_mouse_cursor(imgui.MouseCursor_.resize_all)
        if imgui.is_item_hovered():
            imgui.set_item_key_owner(imgui.Key.mouse_wheel_y)
            if io.mouse_wheel:
                camera = camera.zoomed(_WHEEL**io.mouse_wheel, across, down)
            if not (imgui.is_item_active() and self._travelled > io.mouse_drag_threshold):
                self.pointed = scene.at((camera.left + across) / camera.scale, (camera.top + down) / camera.scale)
        if imgui.is_item_deactivated() and self._travelled <= io.mouse_drag_threshold and self.pointed is not None:
            hit = Hit(self.pointed, int(io.mouse_clicked_last_count[0]) == 2)
            self.current = self.pointed
        self.camera = camera
        return self._keys() or hit

    def _keys(self) -> Hit | None:
        scene = self._scene
        assert scene is not None
        if not imgui.is_window_focused() or imgui.get_io().want_text_input or self.current is None:
            return None
        for direction, key in _KEYS.items():
            if imgui.is_key_pressed(key) and (to := scene.next(self.current, direction)) is not None:
                self.reveal(to)
        camera = self.camera
        assert camera is not None
        for key, factor in ((imgui.Key.equal, _WHEEL), (imgui.Key.minus, 1 / _WHEEL)):
            if imgui.is_key_pressed(key):
                self.camera = camera.zoomed(factor, self._size[0] / 2, self._size[1] / 2)
        if imgui.is_key_pressed(imgui.Key.f, False) and not imgui.get_io().key_ctrl:
            self.fit()
        entered = imgui.is_key_pressed(imgui.Key.enter, False) or imgui.is_key_pressed(imgui.Key.keypad_enter, False)
        return Hit(self.current) if entered else None

    # --- how it looks ---

    def _part(self, camera: Camera, width: float, height: float) -> tuple[float, float, float, float]:
        """What part of the sheet is seen."""
        left, top = camera.left / camera.scale, camera.top / camera.scale
        return left, top, left + width / camera.scale, top + height / camera.scale

    def _light(self, scene: Scene, boxes: list[int]) -> None:
        """Finds which edges, and which boxes at their other ends, stand out with some boxes."""
        if self._lit[0] == (scene, boxes):
            return
        related = np.zeros(len(scene.nodes), bool)
        for others in scene.joined(boxes):
            related[others] = True
        self._lit = (scene, list(boxes)), scene.edges_of(boxes), related

    def _draw_lines(self, lines: Any, scene: Scene, seen: tuple[float, ...]) -> None:
        theme, camera = self._space.theme, self.camera
        assert camera is not None
        chosen = scene.visible_lines(*seen)
        across, down = self.origin[0] - camera.left, self.origin[1] - camera.top
        ends = scene.lines[chosen] * camera.scale + np.array([across, down, across, down], np.float32)
        bright = self._lit[1][scene.edge_of[chosen]]
        plain, strong = packed(theme.mixed(theme.faint, 0.75)), packed(theme.ink)
        # What is lit lies on top.
        for is_lit, colour, wide in ((False, plain, 1.0), (True, strong, 2.0)):
            for x, y, to_x, to_y in ends[bright == is_lit].tolist():
                if abs(y - to_y) < 0.5 or abs(x - to_x) < 0.5:
                    lines.add_line((x, y), (to_x, to_y), colour, wide)
                else:
                    middle = (x + to_x) / 2
                    lines.add_bezier_cubic((x, y), (middle, y), (middle, to_y), (to_x, to_y), colour, wide)

    def _draw_boxes(self, lines: Any, scene: Scene, seen: tuple[float, ...], measure: str, chosen: list[int]) -> None:
        theme, camera = self._space.theme, self.camera
        assert camera is not None
        boxes = scene.visible_boxes(*seen)
        painted = self.painted(measure)
        across, down = self.origin[0] - camera.left, self.origin[1] - camera.top
        outer = scene.boxes[boxes] * camera.scale + np.array([across, down, across, down], np.float32)
        related = self._lit[2]
        borders = np.where(related[boxes], packed(theme.ink), packed(theme.mixed(theme.faint, 0.7)))
        borders[scene.outside[boxes] & ~related[boxes]] = packed(theme.line)
        inner = outer + np.array([1, 1, -1, -1], np.float32)
        stripe = inner.copy()
        stripe[:, 2] = np.minimum(stripe[:, 0] + _STRIPE * camera.scale, inner[:, 2])
        inside = ~scene.outside[boxes]
        bulk.rectangles(
            lines,
            np.concatenate([outer, inner, stripe[inside]]),
            np.concatenate([borders.astype(np.uint32), painted.fills[boxes], painted.stripes[boxes][inside]]),
        )
        strong = packed(theme.ink)
        for box in chosen:
            left, top, right, bottom = self.on_screen(box)
            lines.add_rect((left - 2, top - 2), (right + 2, bottom + 2), strong, 2.0, 2.0)
        if self.current is not None and imgui.is_window_focused() and imgui.get_io().nav_visible:
            left, top, right, bottom = self.on_screen(self.current)
            lines.add_rect((left - 4, top - 4), (right + 4, bottom + 4), packed(theme.faint), 2.0, 1.0)
        em = imgui.get_font_size()
        if _FONT * camera.scale >= _LEAST_TEXT * em:
            for box, (left, top, right, bottom) in zip(boxes.tolist(), outer.tolist(), strict=True):
                self._write(lines, box, measure, (left, top, right, bottom), theme)
        else:
            self._write_short(lines, boxes[inside], outer[inside], packed(theme.ink))

    def _write_short(self, lines: Any, boxes: npt.NDArray[np.intp], at: npt.NDArray[np.float32], ink: int) -> None:
        """Only what computes them, where there is room for no more; where there is not even for that, nothing."""
        assert self._scene is not None
        assert self.camera is not None
        em = imgui.get_font_size()
        size = round(_SHORT_TEXT * em)
        if self.camera != self._last:
            self._shortened.clear()
            self._last = self.camera
        high = at[:, 3] - at[:, 1] >= size
        for box, (left, top, right, bottom) in zip(boxes[high].tolist(), at[high].tolist(), strict=True):
            text = self._shortened.get(box)
            if text is None:
                room = (right - left - 0.6 * em) * em / size
                text = cut(self._scene.nodes[box]["op"], room) if room > 2 * em else ""
                self._shortened[box] = text
            lines.add_text(imgui.get_font(), size, (left + 0.35 * em, (top + bottom - size) / 2), ink, text)

    def _write(self, lines: Any, box: int, measure: str, at: tuple[float, float, float, float], theme: Theme) -> None:
        assert self._scene is not None
        assert self.camera is not None
        node = self._scene.nodes[box]
        texts = self._texts.get((box, measure))
        if texts is None:
            texts = self._texts[box, measure] = _fitted_texts(node, measure)
        op, name, shape, told, told_width = texts
        scale = self.camera.scale
        size = round((_FONT if op else _FONT * _LEAF_TEXT) * scale)
        font, ink, faint = imgui.get_font(), packed(theme.ink), packed(theme.mixed(theme.ink, 0.75))
        step = size * 1.35
        rows = [text for text in (op, name) if text]
        left = at[0] + 0.75 * _FONT * scale
        y = (at[1] + at[3]) / 2 - step * (len(rows) + 1) / 2
        for text in rows:
            lines.add_text(font, size, (left, y), ink, text)
            y += step
        lines.add_text(font, size, (left, y), faint, shape)
        if told:
            right = at[2] - 0.5 * _FONT * scale - told_width * scale
            lines.add_text(font, size, (right, y), ink, told)


def _dragged() -> tuple[float, float]:
    """How far the pointer is from where a button was pressed, by the button that went farthest."""
    deltas = [imgui.get_mouse_drag_delta(button, 0.0) for button in (0, 2)]
    return max(((delta.x, delta.y) for delta in deltas), key=lambda delta: abs(delta[0]) + abs(delta[1]))


def _fitted_texts(node: dict[str, Any], measure: str) -> tuple[str, str, str, str, float]:
    """What stands in a box, cut where there is no room, and how wide the number is, in pixels of the sheet."""
    op, name, shape = words.box_lines(node)
    told = colours.told(node, measure)
    per_pixel = (_FONT if op else _FONT * _LEAF_TEXT) / imgui.get_font_size()
    room = (node["width"] - 1.25 * _FONT) / per_pixel
    told_width = imgui.calc_text_size(told).x
    gap = 0.5 * imgui.get_font_size() if told else 0.0
    cut_shape = cut(shape, room - told_width - gap)
    return cut(op, room), cut(name, room), cut_shape, told, told_width * per_pixel


def cut(text: str, room: float) -> str:
    """A text that is no wider than there is room, in pixels of the window's font; what was left out is `…`."""
    if not text or imgui.calc_text_size(text).x <= room:
        return text
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if imgui.calc_text_size(text[:middle] + "…").x <= room:
            low = middle
        else:
            high = middle - 1
    return text[:low] + "…"
