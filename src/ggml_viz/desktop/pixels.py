"""Pixels of the window, read back after they were drawn, and written as PNG."""

from __future__ import annotations

import ctypes
import math
import struct
import zlib
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt

from ggml_viz.errors import UserError

Pixels = npt.NDArray[np.uint8]

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_RGBA = 6
_PACK_ALIGNMENT, _GL_RGBA, _UNSIGNED_BYTE = 0x0D05, 0x1908, 0x1401


class Crop(NamedTuple):
    """A part of a framebuffer, in its pixels; rows are counted from above.

    Attributes:
        left: First column.
        top: First row.
        width: How many columns.
        height: How many rows.
    """

    left: int
    top: int
    width: int
    height: int


def crop_of(
    box: tuple[float, float, float, float],
    origin: tuple[float, float],
    size: tuple[float, float],
    scale: tuple[float, float],
) -> Crop:
    """Where a box of the screen lies in the framebuffer of a window, cut to that.

    Args:
        box: Left, top, right, bottom, in units of the screen.
        origin: Where the window begins there.
        size: How large it is there.
        scale: Pixels of the framebuffer for each unit.
    """

    def along(begin: float, end: float, axis: int) -> tuple[int, int]:
        most = round(size[axis] * scale[axis])
        first = min(max(math.floor((begin - origin[axis]) * scale[axis] + 0.5), 0), most)
        last = min(max(math.floor((end - origin[axis]) * scale[axis] + 0.5), first), most)
        return first, last - first

    (left, width), (top, height) = along(box[0], box[2], 0), along(box[1], box[3], 1)
    return Crop(left, top, width, height)


def read_pixels(box: tuple[float, float, float, float]) -> Pixels:
    """What was drawn into a box of the screen: array [rows, columns, RGBA].

    To be called in the window's thread, after a frame was drawn and before it is shown.

    Raises:
        UserError: It is outside of the window, or this system does not tell.
    """
    from imgui_bundle import imgui

    viewport, scale = imgui.get_main_viewport(), imgui.get_io().display_framebuffer_scale
    at, size, by = (viewport.pos.x, viewport.pos.y), (viewport.size.x, viewport.size.y), (scale.x or 1, scale.y or 1)
    crop = crop_of(box, at, size, by)
    if not crop.width or not crop.height:
        raise UserError("only what is in the main window can be exported as PNG", "Dock the panel there first.")
    read = _function("glReadPixels", *[ctypes.c_int] * 6, ctypes.c_void_p)
    store = _function("glPixelStorei", ctypes.c_int, ctypes.c_int)
    pixels = np.zeros((crop.height, crop.width, 4), np.uint8)
    store(_PACK_ALIGNMENT, 1)
    # OpenGL counts rows from below.
    below = round(size[1] * by[1]) - crop.top - crop.height
    read(crop.left, below, crop.width, crop.height, _GL_RGBA, _UNSIGNED_BYTE, pixels.ctypes.data)
    store(_PACK_ALIGNMENT, 4)
    upright: Pixels = pixels[::-1].copy()
    upright[..., 3] = 255
    return upright


def write_png(out: Path | BinaryIO, pixels: Pixels) -> None:
    """Writes a PNG file.

    Args:
        out: A path, or a file open for writing bytes.
        pixels: Array [rows, columns, RGBA].
    """
    if isinstance(out, Path):
        with out.open("wb") as file:
            write_png(file, pixels)
        return
    height, width = pixels.shape[:2]
    rows = np.zeros((height, 1 + width * 4), np.uint8)  # each begins with how it is filtered: not
    rows[:, 1:] = pixels.reshape(height, width * 4)
    out.write(_SIGNATURE)
    header = struct.pack(">IIBBBBB", width, height, 8, _RGBA, 0, 0, 0)
    for kind, data in ((b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes(), 6)), (b"IEND", b"")):
        out.write(struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)))


def _function(name: str, *arguments: Any) -> Any:
    """A function of OpenGL, as the library that made the window finds it: others may speak to another driver."""
    from ggml_viz.desktop.windowing import glfw

    try:
        library = glfw()
    except (OSError, KeyError):
        raise _unreadable() from None
    library.glfwGetCurrentContext.restype = library.glfwGetProcAddress.restype = ctypes.c_void_p
    library.glfwGetProcAddress.argtypes = (ctypes.c_char_p,)
    address = library.glfwGetProcAddress(name.encode()) if library.glfwGetCurrentContext() else None
    if not address:
        raise _unreadable()
    # OpenGL's functions are called as the system's own: on 32-bit Windows another convention.
    make = getattr(ctypes, "WINFUNCTYPE", ctypes.CFUNCTYPE)
    return make(None, *arguments)(address)


def _unreadable() -> UserError:
    return UserError("the pixels of this window cannot be read", "Export SVG or CSV instead.")
