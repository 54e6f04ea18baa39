"""Makes segments as agents do, in plain Python: the second implementation of native/ring/segment.h."""

from __future__ import annotations

import os
import struct
import time
from dataclasses import dataclass, field
from pathlib import Path

PAGE = 4096
VERSION = 5
RINGS, RING_RECORDS, RING_BYTES, RECORD_BYTES = 2, 8, 128, 32
SIZE = 3 * PAGE + RINGS * RING_RECORDS * RECORD_BYTES
SECONDS, PROCESS_START, ACTIVE = 144, 304, 320  # offsets in the header


@dataclass
class Segment:
    """A segment with two rings and a log of a page."""

    pid: int = field(default_factory=os.getpid)
    process_start: int = 0
    """As its system says it; 0: not known."""
    control: int = 2
    recorder: int = 0
    heads: tuple[int, int] = (0, 0)
    log: bytes = b""
    started_s_ago: float = 0
    dropped: int = 0
    definitions_dropped: int = 0
    active: tuple[tuple[int, int, int], ...] = ()
    """Run, phase and start in ticks of each run in progress."""
    tokens: tuple[int, int, int, int] = (0, 0, 0, 0)
    """Of the last whole second, by phase; each is a run."""

    def data(self) -> bytes:
        out = bytearray(SIZE)
        struct.pack_into(
            "<8sIIQIIIIII", out, 0, b"GGMLVIZS", VERSION, self.pid, SIZE, 1, self.control, 1, RINGS, RING_RECORDS, 0
        )
        wall_ns = time.time_ns() - round(self.started_s_ago * 1e9)
        struct.pack_into("<7Q", out, 48, PAGE, 2 * PAGE, PAGE, 3 * PAGE, 1, 1, wall_ns)
        struct.pack_into("<4Q", out, 104, len(self.log), self.definitions_dropped, self.dropped, 0)
        struct.pack_into("<I", out, 136, self.recorder)
        for ago in range(3):  # of the seconds before, some more than those asked for
            second = time.monotonic_ns() // 10**9 - ago
            runs = [ago * int(count > 0) for count in self.tokens]
            tokens = [ago * count for count in self.tokens]
            struct.pack_into("<Q4I4I", out, SECONDS + second % 4 * 40, second, *runs, *tokens)
        struct.pack_into("<Q", out, PROCESS_START, self.process_start)
        for index, (run, phase, start) in enumerate(self.active):
            struct.pack_into("<IIIIQ", out, ACTIVE + index * 64, run, 0, 0, phase, start)
        for index, head in enumerate(self.heads):
            struct.pack_into("<Q", out, PAGE + index * RING_BYTES, head)
        out[2 * PAGE : 2 * PAGE + len(self.log)] = self.log
        return bytes(out)

    def write(self, path: Path) -> Path:
        path.write_bytes(self.data())
        return path
