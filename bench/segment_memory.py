"""How much memory do the rings and definitions take in the watched process?"""

from __future__ import annotations

from bench import llama, stat
from bench.figure import Figure


def measure() -> list[Figure]:
    value = stat.last(llama.trace()).touched_bytes / 2**20
    return [Figure("memory of the segment", value, "MiB", goal=64)]
