"""Is the watched program slower? Tokens per second with the agent over those with an empty library, in turn."""

from __future__ import annotations

import tempfile
from pathlib import Path

from bench import llama
from bench.compiled import empty_library
from bench.figure import Figure, bootstrap, ratio_of_medians

ROUNDS = 12


def measure() -> list[Figure]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        empty = empty_library(folder)
        llama.run(preload=empty)  # the model is in the page cache from here on
        watched, alone = [], []
        for _ in range(ROUNDS):
            watched.append(llama.record(folder / "trace.ggmlviz"))
            alone.append(llama.run(preload=empty))
    figures = []
    for phase, which in (("decode", 1), ("prompt", 0)):
        pairs = [(a[which], b[which]) for a, b in zip(watched, alone, strict=True)]
        ratio, low, high = bootstrap(pairs, ratio_of_medians)
        speed = sorted(pair[1] for pair in pairs)[ROUNDS // 2]
        note = f"{speed:.0f} t/s alone, {ROUNDS} rounds"
        name = f"{phase} tokens/s, watched / alone"
        figures.append(Figure(name, ratio, goal=0.99, low=low, high=high, higher_is_better=True, note=note))
    return figures
