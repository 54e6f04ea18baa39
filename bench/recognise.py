"""How long does it take to see that a graph is a known one, before each run?"""

from __future__ import annotations

from bench.compiled import rounds_of
from bench.figure import Figure, bootstrap, median


def measure() -> list[Figure]:
    rounds = rounds_of("recognise")
    warm, low, high = bootstrap(rounds, median)
    cold, cold_low, cold_high = bootstrap([[cold] for _, cold in rounds], median)
    return [
        Figure("recognise a graph, each node", warm, "ns", goal=10, low=low, high=high, note="1000 nodes"),
        Figure("the same with cold caches", cold, "ns", low=cold_low, high=cold_high),
    ]
