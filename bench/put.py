"""What does it cost the watched thread to put a record?"""

from __future__ import annotations

from bench.compiled import rounds_of
from bench.figure import Figure, bootstrap, median, ratio_of_medians


def measure() -> list[Figure]:
    rounds = rounds_of("put")
    stamp, *_ = bootstrap(rounds, median)
    ratio, low, high = bootstrap([(put, stamp) for stamp, put, _ in rounds], ratio_of_medians)
    node, node_low, node_high = bootstrap([[node] for *_, node in rounds], median)
    note = f"time stamp {stamp:.1f} ns"
    return [
        Figure("stamp and put a record / stamp", ratio, goal=1.3, low=low, high=high, note=note),
        Figure("record a node and its barrier", node, "ns", low=node_low, high=node_high),
    ]
