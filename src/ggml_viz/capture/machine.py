"""What this machine allows to be captured, found out by trying."""

from __future__ import annotations

import ctypes
import platform
import shutil
from dataclasses import dataclass
from pathlib import Path

from ggml_viz import native, system
from ggml_viz.capture.launch import preload_path
from ggml_viz.errors import UserError

# What a watched process takes of the segments' folder at most, unless it has very many threads.
SEGMENT_BYTES = 64 << 20


@dataclass(frozen=True)
class Machine:
    """This machine, as far as capturing depends on it.

    Attributes:
        system: Kernel and release.
        architecture: As the kernel names it.
        libc: C library and version; empty if unknown.
        cpus: CPUs that this process may use.
        agent: The library to preload; None: missing.
        clock: `counter` (the CPU's own, invariant) or `monotonic`; None: the native library does not load.
        folder: Where segments lie; None: none can be made.
        folder_free_bytes: Free there.
        folder_size_bytes: Size of its file system.
        problems: What keeps programs from being captured here, or might; empty: nothing.
        usable: Programs can be captured.
        attach_obstacle: What keeps running programs from being attached to; None: nothing that can be told.
    """

    system: str
    architecture: str
    libc: str
    cpus: int
    agent: Path | None
    clock: str | None
    folder: Path | None
    folder_free_bytes: int
    folder_size_bytes: int
    problems: tuple[str, ...]
    usable: bool
    attach_obstacle: str | None


def inspect_machine() -> Machine:
    """Looks at this machine; loads the agent into this process to see that it loads."""
    problems: list[str] = []
    agent = clock = folder = None
    free = size = 0
    try:
        agent = preload_path()
        ctypes.CDLL(str(agent))
        clock = "counter" if native.clock_now()[0] == native.CLOCK_COUNTER else "monotonic"
        folder = native.segments_folder()
    except UserError as error:
        problems.append(f"{error.message} {error.hint or ''}".strip())
    except PermissionError:
        problems.append(system.FOREIGN_FOLDER)
    except OSError as error:
        problems.append(f"{error}.")
    usable = not problems
    if folder:
        room = shutil.disk_usage(folder)
        free, size = room.free, room.total
        if free < SEGMENT_BYTES:
            problems.append(
                f"Only {free / 1e6:.0f} MB of shared memory are free; a process needs up to {SEGMENT_BYTES / 1e6:.0f} "
                "MB, with less records may be lost (docker: --shm-size=1g)."
            )
    name, libc = system.description()
    return Machine(
        system=name,
        architecture=platform.machine(),
        libc=libc,
        cpus=system.usable_cpus(),
        agent=agent,
        clock=clock,
        folder=folder,
        folder_free_bytes=free,
        folder_size_bytes=size,
        problems=tuple(problems),
        usable=usable,
        attach_obstacle=system.attach_obstacle(),
    )
