"""A look into a watched process's segment, and what a viewer may write there (native/ring/segment.h)."""

from __future__ import annotations

import mmap
import os
import struct
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ggml_viz import native
from ggml_viz.model.phases import PHASES

PAUSED = 0x4
STOPPED = 0x8
_CONTROL, _SKIPPED, _SECONDS, _RECORDING, _ACTIVE = 28, 128, 144, 312, 320
_SECOND = struct.Struct("<Q4I4I")


def find(pid: int, timeout_s: float = 10) -> Path:
    """The segment of a process, once there is one."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        for path in native.segments_folder().glob(f"*.{pid}.*"):
            if not path.name.startswith("."):
                return path
        time.sleep(0.01)
    raise AssertionError(f"process {pid} has made no segment")


@contextmanager
def opened(path: Path) -> Iterator[Segment]:
    """The segment, mapped."""
    with open(path, "r+b") as file, mmap.mmap(file.fileno(), os.path.getsize(path)) as memory:
        yield Segment(memory)


class Segment:
    """A mapped segment."""

    def __init__(self, memory: mmap.mmap) -> None:
        self._memory = memory

    def _word(self, offset: int) -> int:
        value: int = struct.unpack_from("<I", self._memory, offset)[0]
        return value

    @property
    def control(self) -> int:
        return self._word(_CONTROL)

    @control.setter
    def control(self, value: int) -> None:
        struct.pack_into("<I", self._memory, _CONTROL, value)

    @property
    def skipped(self) -> int:
        value: int = struct.unpack_from("<Q", self._memory, _SKIPPED)[0]
        return value

    def begin_anew(self) -> None:
        """What a recorder does after it has left new settings."""
        struct.pack_into("<I", self._memory, _RECORDING, self._word(_RECORDING) + 1)

    def activity(self) -> tuple[Counter[str], Counter[str]]:
        """Runs and tokens by phase, in all seconds that are still counted."""
        runs: Counter[str] = Counter()
        tokens: Counter[str] = Counter()
        for i in range(4):
            _, *counts = _SECOND.unpack_from(self._memory, _SECONDS + i * _SECOND.size)
            for phase, ran, went in zip(PHASES, counts[:4], counts[4:], strict=True):
                runs[phase] += ran
                tokens[phase] += went
        return +runs, +tokens
