"""Thousands of filled rectangles in one go: written by numpy into Dear ImGui's vertex buffer.

That leans on internals of imgui-bundle. At the first use a rectangle of ImGui's own is looked at; where it is not
stored as expected, every rectangle is drawn by ImGui itself, which looks the same and takes a hundred times longer.
"""

from __future__ import annotations

import ctypes
import logging
from typing import Any

import numpy as np
import numpy.typing as npt
from imgui_bundle import imgui

_LOG = logging.getLogger("ggml_viz.desktop")

_VERTEX = np.dtype([("pos", "<f4", 2), ("uv", "<f4", 2), ("colour", "<u4")])
_CORNERS = np.array([0, 1, 2, 0, 2, 3], np.uint32)
# A draw call has at most so many, whatever the size of an index.
_AT_ONCE = 10_000
# As few as these are drawn sooner than their vertices are laid out.
_FEW = 24

_memory_at = ctypes.pythonapi.PyMemoryView_FromMemory
_memory_at.restype = ctypes.py_object
_memory_at.argtypes = [ctypes.c_void_p, ctypes.c_ssize_t, ctypes.c_int]
_WRITABLE = 0x200

_is_as_expected: bool | None = None


def rectangles(draw: Any, boxes: npt.NDArray[np.float32], colours: npt.NDArray[np.uint32]) -> None:
    """Draws filled rectangles.

    Args:
        draw: The ImDrawList.
        boxes: Left, top, right, bottom, in pixels of the screen: [n, 4].
        colours: ABGR as ImGui packs them: [n].
    """
    global _is_as_expected
    if not len(boxes):
        return
    if _is_as_expected is None:
        _is_as_expected = _looks_as_expected(draw)
        if not _is_as_expected:
            _LOG.warning("imgui-bundle stores vertices in another way than expected: rectangles are drawn one by one")
    drawn_by = _in_bulk if _is_as_expected and len(boxes) > _FEW else one_by_one
    for first in range(0, len(boxes), _AT_ONCE):
        part = slice(first, first + _AT_ONCE)
        drawn_by(draw, boxes[part], colours[part])


def one_by_one(draw: Any, boxes: npt.NDArray[np.float32], colours: npt.NDArray[np.uint32]) -> None:
    """The same, by ImGui's own means."""
    draw.prim_reserve(6 * len(boxes), 4 * len(boxes))
    for (left, top, right, bottom), colour in zip(boxes.tolist(), colours.tolist(), strict=True):
        draw.prim_rect((left, top), (right, bottom), colour)


def _in_bulk(draw: Any, boxes: npt.NDArray[np.float32], colours: npt.NDArray[np.uint32]) -> None:
    count = len(boxes)
    draw.prim_reserve(6 * count, 4 * count)
    first = draw._vtx_current_idx
    vertices = _last_of(draw.vtx_buffer, 4 * count, _VERTEX)
    indices = _last_of(draw.idx_buffer, 6 * count, np.dtype(np.uint32))
    corners = vertices["pos"].reshape(count, 4, 2)
    corners[:, 0::3, 0] = boxes[:, None, 0]
    corners[:, 1:3, 0] = boxes[:, None, 2]
    corners[:, :2, 1] = boxes[:, None, 1]
    corners[:, 2:, 1] = boxes[:, None, 3]
    white = imgui.get_font_tex_uv_white_pixel()
    vertices["uv"] = white.x, white.y
    vertices["colour"].reshape(count, 4)[:] = colours[:, None]
    indices.reshape(count, 6)[:] = first + 4 * np.arange(count, dtype=np.uint32)[:, None] + _CORNERS
    draw._vtx_current_idx = first + 4 * count
    # Has ImGui find its place behind what was written.
    draw.prim_reserve(0, 0)


def _last_of(buffer: Any, count: int, kind: np.dtype[Any]) -> npt.NDArray[Any]:
    """The last elements of an ImVector, not a copy."""
    at = buffer.data_address() + (buffer.size() - count) * kind.itemsize
    return np.frombuffer(_memory_at(at, count * kind.itemsize, _WRITABLE), kind)


def _looks_as_expected(draw: Any) -> bool:
    """Whether a rectangle that ImGui drew, of no area, is stored as ours would be."""
    try:
        if imgui.INDEX_SIZE != 4 or _VERTEX.itemsize != imgui.VERTEX_SIZE:
            return False
        first, colour = draw._vtx_current_idx, 0x00ABCDEF
        draw.prim_reserve(6, 4)
        draw.prim_rect((1.5, 2.5), (1.5, 7.5), colour)
        vertices = _last_of(draw.vtx_buffer, 4, _VERTEX)
        indices = _last_of(draw.idx_buffer, 6, np.dtype(np.uint32))
        white = imgui.get_font_tex_uv_white_pixel()
        return bool(
            draw._vtx_current_idx == first + 4
            and vertices["pos"].tolist() == [[1.5, 2.5], [1.5, 2.5], [1.5, 7.5], [1.5, 7.5]]
            and np.array_equal(vertices["uv"], np.tile(np.array([white.x, white.y], np.float32), (4, 1)))
            and (vertices["colour"] == colour).all()
            and np.array_equal(indices, first + _CORNERS)
        )
    except (AttributeError, TypeError, ValueError):
        return False
