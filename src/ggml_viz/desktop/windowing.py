"""The library that makes windows, and whether it can here: found out beforehand, since imgui-bundle would only fail."""

from __future__ import annotations

import ctypes
from pathlib import Path

import imgui_bundle

from ggml_viz import system
from ggml_viz.desktop import INSTEAD
from ggml_viz.errors import UserError

_VISIBLE, _MAJOR = 0x00020004, 0x00022002
_API_UNAVAILABLE, _VERSION_UNAVAILABLE, _FORMAT_UNAVAILABLE = 0x00010006, 0x00010007, 0x00010009


def glfw() -> ctypes.CDLL:
    """The library that imgui-bundle makes its windows with."""
    return ctypes.CDLL(str(Path(imgui_bundle.__file__).parent / system.GLFW))


def check_window() -> None:
    """Makes a window that nobody sees, and lets go of it.

    Raises:
        UserError: There is no display, or no OpenGL.
    """
    try:
        library = glfw()
    except (OSError, KeyError) as error:
        raise UserError(f"the library that makes windows cannot be loaded: {error}", INSTEAD) from None
    make, end = library.glfwCreateWindow, library.glfwDestroyWindow
    make.restype, end.argtypes = ctypes.c_void_p, (ctypes.c_void_p,)
    make.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_void_p)
    if not library.glfwInit():
        raise _refusal(library)
    try:
        library.glfwWindowHint(_VISIBLE, 0)
        library.glfwWindowHint(_MAJOR, 3)
        window = make(16, 16, b"ggml-viz", None, None)
        if not window:
            raise _refusal(library)
        end(window)
    finally:
        library.glfwTerminate()


def _refusal(library: ctypes.CDLL) -> UserError:
    said = ctypes.c_char_p()
    code = library.glfwGetError(ctypes.byref(said))
    reason = (said.value or b"it is not said why").decode(errors="replace").rstrip(".")
    if code in (_API_UNAVAILABLE, _VERSION_UNAVAILABLE, _FORMAT_UNAVAILABLE):
        return no_opengl(reason)
    return UserError(f"no window can be shown: {reason}", INSTEAD)


def no_opengl(reason: str) -> UserError:
    """What is said where a window is possible, but none to draw into."""
    install = "Install a driver for it (Debian, Ubuntu: libgl1 and libgl1-mesa-dri)."
    return UserError(f"there is no OpenGL for a window: {reason}", f"{install} {INSTEAD}")
