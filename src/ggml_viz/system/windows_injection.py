"""Brings the agent into a process of Windows: by a thread in it that loads the library, and one that starts it.

The agent is started outside of the loader, which would hold its lock in the library's own initialization.
"""

from __future__ import annotations

import ctypes
import os
import sys
from ctypes import byref, sizeof
from ctypes.wintypes import DWORD
from pathlib import Path

from ggml_viz.system import windows_api as api
from ggml_viz.system.windows_api import Handle, failure, kernel32

assert sys.platform == "win32"

_START = b"ggml_viz_start"
_DONT_RESOLVE_DLL_REFERENCES = 1
# What the loader of a strained machine may take at the very most.
_PATIENCE_MS = 30_000


class InjectionError(Exception):
    """Why the agent could not be brought into a process."""


def bring_in(process: int, agent: Path, at_start: bool) -> None:
    """Loads the agent into a process and starts it there.

    Args:
        process: Its handle.
        agent: The library.
        at_start: The process has not begun to run its program.

    Raises:
        InjectionError: It did not work.
    """
    try:
        _call(process, _load_library(), _text_in(process, str(agent)))
        loaded = {os.path.normcase(path): base for path, base in api.modules_of(process).items()}
        base = loaded.get(os.path.normcase(str(agent)))
        if base is None:
            # By another spelling of its path.
            names = {os.path.basename(path): base for path, base in loaded.items()}
            base = names.get(os.path.normcase(agent.name))
        if base is None:
            raise InjectionError(f"it does not load {agent}; a security program may forbid it")
        if _call(process, base + _offset_of_start(agent), int(at_start)) != 1:
            raise InjectionError("the agent does not start in it")
    except OSError as error:
        raise InjectionError(error.strerror) from None


def _load_library() -> int:
    # System libraries lie at the same address in every process of a machine type.
    address = kernel32.GetProcAddress(kernel32.GetModuleHandleW("kernel32.dll"), b"LoadLibraryW")
    if not address:
        raise failure()
    return int(address)


def _offset_of_start(agent: Path) -> int:
    """Where in the agent the function lies that starts it."""
    # Mapped as it would be loaded, without running anything of it.
    module = kernel32.LoadLibraryExW(str(agent), None, _DONT_RESOLVE_DLL_REFERENCES)
    if not module:
        raise failure()
    try:
        address = kernel32.GetProcAddress(module, _START)
        if not address:
            raise InjectionError(f"{agent} is not the agent")
        return int(address) - int(module)
    finally:
        kernel32.FreeLibrary(module)


def _text_in(process: int, text: str) -> int:
    """Puts a text into a process, where it stays: a thread that does not end in time may read it yet."""
    data = ctypes.create_unicode_buffer(text)
    address = kernel32.VirtualAllocEx(process, None, sizeof(data), api.MEM_COMMIT_RESERVE, api.PAGE_READWRITE)
    if not address or not kernel32.WriteProcessMemory(process, address, data, sizeof(data), None):
        raise failure()
    return int(address)


def _call(process: int, function: int, argument: int) -> int:
    """Has a thread of a process call a function, and returns what that returned, cut to 32 bits."""
    with Handle(kernel32.CreateRemoteThread(process, None, 0, function, argument, 0, None)) as thread:
        if kernel32.WaitForSingleObject(thread, _PATIENCE_MS) != api.WAIT_OBJECT_0:
            raise InjectionError("its threads do not answer; is it stopped in a debugger?")
        result = DWORD()
        kernel32.GetExitCodeThread(thread, byref(result))
    return int(result.value)
