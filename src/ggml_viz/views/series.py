"""How fast tokens went through a model over time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ggml_viz.analysis.throughput import phase_steps

if TYPE_CHECKING:
    from ggml_viz.model.trace import Trace

MAX_COLUMNS = 8192


def over_time(trace: Trace, from_s: float, until_s: float, columns: int) -> dict[str, Any]:
    """The tokens per second of each phase, over time, as docs/http-api.md has them.

    The tokens of a step (a run until the next begins) are spread evenly over it; a column's rate is what fell into it
    over its width, so that a pause shows as less.

    Args:
        trace: The trace.
        from_s: Where to begin, since it began.
        until_s: Where to end.
        columns: How many values.

    Raises:
        ValueError: There is no such range.
    """
    if not (-1e9 < from_s < until_s < 1e9 and 1 <= columns <= MAX_COLUMNS):
        raise ValueError("a series has a range of time, and 1 to 8192 columns")
    edges = np.linspace(from_s, until_s, columns + 1)
    tokens: dict[str, Any] = {}
    for process in trace.watched:
        for name, steps in phase_steps(process).items():
            if not steps.tokens.any():
                continue
            begin = steps.begin_s - trace.started_monotonic_ns * 1e-9
            order = np.argsort(begin, kind="stable")
            begin, took = begin[order], steps.seconds[order]
            before = np.concatenate([[0.0], np.cumsum(steps.tokens[order])])
            step = np.searchsorted(begin, edges, side="right") - 1
            inside = np.clip((edges - begin[step]) / np.maximum(took[step], 1e-9), 0, 1) * steps.tokens[order][step]
            so_far = np.where(step < 0, 0.0, before[step] + inside)
            tokens[name] = tokens.get(name, 0.0) + np.diff(so_far)
    width_s = (until_s - from_s) / columns
    return {
        "from_s": from_s,
        "until_s": until_s,
        "columns": columns,
        "phases": [
            {"phase": name, "tokens_per_second": np.round(counts / width_s, 3).tolist()}
            for name, counts in tokens.items()
        ],
    }
