"""What a benchmark says: a number, how sure it is, and what it should be."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Figure:
    """One measured number.

    Attributes:
        name: What was measured.
        value: The number.
        unit: Its unit; empty: a ratio.
        goal: What it should at most be (at least, if `higher_is_better`); None: it is told for information.
        low: Lower end of its 95 % interval; None: none was estimated.
        high: Upper end.
        higher_is_better: Which way is better.
        note: What it was measured on.
    """

    name: str
    value: float
    unit: str = ""
    goal: float | None = None
    low: float | None = None
    high: float | None = None
    higher_is_better: bool = False
    note: str = ""

    @property
    def verdict(self) -> str:
        """Whether the goal is reached; where the interval spans it, the number decides, and that is said."""
        if self.goal is None:
            return ""
        met = self.value >= self.goal if self.higher_is_better else self.value <= self.goal
        sure = self.low is None or self.high is None or not self.low <= self.goal <= self.high
        return ("met" if met else "MISSED") + ("" if sure else ", within noise")


Statistic = Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]


def bootstrap(samples: Sequence[Sequence[float]], statistic: Statistic) -> tuple[float, float, float]:
    """A statistic of rounds, with the 95 % interval that resampling the rounds gives it.

    Args:
        samples: [rounds][columns], what was measured in each round.
        statistic: From [..., rounds, columns] to [...].
    """
    rounds = np.asarray(samples, np.float64)
    chosen = np.random.default_rng(0).integers(0, len(rounds), (4000, len(rounds)))
    low, high = np.quantile(statistic(rounds[chosen]), (0.025, 0.975))
    return float(statistic(rounds)), float(low), float(high)


def ratio_of_medians(rounds: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The median of column 0 over the median of column 1."""
    medians = np.median(rounds, axis=-2)
    return np.asarray(medians[..., 0] / medians[..., 1])


def ratio_of_sums(rounds: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The sum of column 0 over the sum of column 1: of rates over equal times, where rounds are short and many."""
    return np.asarray(rounds[..., 0].sum(axis=-1) / rounds[..., 1].sum(axis=-1))


def median(rounds: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The median of column 0."""
    return np.asarray(np.median(rounds[..., 0], axis=-1))
