"""How large does a trace become?"""

from __future__ import annotations

from bench import llama, stat
from bench.figure import Figure


def measure() -> list[Figure]:
    path = llama.trace()
    counters = stat.last(path)
    value = path.stat().st_size / (counters.written - counters.lost)
    note = f"{counters.written} records of SmolLM2, {counters.lost} lost"
    return [Figure("trace, each record", value, "bytes", goal=12, note=note)]
