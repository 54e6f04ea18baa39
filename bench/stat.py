"""The counters at the end of a trace of one process."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

from tests.support import tracefile


@dataclass(frozen=True)
class Stat:
    """The payload of a STAT chunk."""

    written: int
    lost: int
    dropped: int
    skipped: int
    definitions_dropped: int
    touched_bytes: int


def last(path: Path) -> Stat:
    """The counters that count."""
    payloads = [payload for kind, _, payload in tracefile.read_chunks(path.read_bytes()) if kind == b"STAT"]
    return Stat(*struct.unpack("<6Q", payloads[-1]))
