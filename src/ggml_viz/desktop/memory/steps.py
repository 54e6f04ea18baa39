"""What buffers take from each change on, until the next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ggml_viz.model.memory import USAGES

_NAMES = {"kv": "KV cache"}


@dataclass(frozen=True)
class Event:
    """Buffers that came or went.

    Attributes:
        at_s: When.
        usage: What for.
        backend: Where.
        by_bytes: How much more there was of them, or less.
        bytes: What there was of them then.
        total_bytes: What there was of all then.
    """

    at_s: float
    usage: str
    backend: str
    by_bytes: int
    bytes: int
    total_bytes: int


@dataclass(frozen=True)
class Steps:
    """Buffers over time.

    Attributes:
        at_s: When something changed: [n].
        sizes: What there was from then on, by usage in the order of USAGES: [usages, n].
        totals: Of all: [n].
    """

    at_s: npt.NDArray[np.float64]
    sizes: npt.NDArray[np.float64]
    totals: npt.NDArray[np.float64]

    @property
    def peak(self) -> int | None:
        """Index of the step with the most; None: there is none."""
        return int(self.totals.argmax()) if len(self.totals) else None

    def step_at(self, at_s: float) -> int | None:
        """Index of the step at a moment; None: that is before the first."""
        index = int(np.searchsorted(self.at_s, at_s, "right")) - 1
        return index if index >= 0 else None


def usage_name(usage: str) -> str:
    """What a usage is called."""
    return _NAMES.get(usage, usage)


def usage_of(usage: str) -> str:
    """One of USAGES."""
    return usage if usage in USAGES else USAGES[-1]


def steps_of(changes: Sequence[Mapping[str, Any]]) -> Steps:
    """Follows the changes of Memory; of several at one moment only the last state counts."""
    now: dict[tuple[str, str], int] = {}
    moments: list[float] = []
    sizes: list[list[int]] = []
    totals: list[int] = []
    for change in changes:
        now[change["usage"], change["backend"]] = change["bytes"]
        of = dict.fromkeys(USAGES, 0)
        for (usage, _), size in now.items():
            of[usage_of(usage)] += size
        if moments and moments[-1] == change["at_s"]:
            del moments[-1], sizes[-1], totals[-1]
        moments.append(change["at_s"])
        sizes.append([of[usage] for usage in USAGES])
        totals.append(change["total_bytes"])
    return Steps(
        np.array(moments, np.float64),
        np.array(sizes, np.float64).reshape(-1, len(USAGES)).T.copy(),
        np.array(totals, np.float64),
    )


def stacked(steps: Steps, end_s: float) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The steps as edges of areas, one upon the other.

    Args:
        steps: What there was.
        end_s: Until when the last lasts.

    Returns:
        Moments, each step's begin and end: [2 n], and the heights of the edges there: [usages + 1, 2 n].
    """
    ends = np.append(steps.at_s[1:], max(end_s, steps.at_s[-1] if len(steps.at_s) else 0.0))[: len(steps.at_s)]
    moments = np.stack([steps.at_s, ends], axis=1).reshape(-1)
    edges = np.concatenate([np.zeros((1, len(steps.at_s))), np.cumsum(steps.sizes, axis=0)])
    return moments, np.repeat(edges, 2, axis=1)


def events_of(changes: Sequence[Mapping[str, Any]]) -> list[Event]:
    """The changes, each with how much it was."""
    now: dict[tuple[str, str], int] = {}
    events = []
    for change in changes:
        key = change["usage"], change["backend"]
        by = change["bytes"] - now.get(key, 0)
        now[key] = change["bytes"]
        events.append(Event(change["at_s"], *key, by, change["bytes"], change["total_bytes"]))
    return events


def buffers_at(changes: Sequence[Mapping[str, Any]], at_s: float) -> list[tuple[str, str, int]]:
    """Usage, backend and size of all buffers that there were at a moment, largest first."""
    now: dict[tuple[str, str], int] = {}
    for change in changes:
        if change["at_s"] <= at_s:
            now[change["usage"], change["backend"]] = change["bytes"]
    rows = [(usage, backend, size) for (usage, backend), size in now.items() if size > 0]
    return sorted(rows, key=lambda row: -row[2])
