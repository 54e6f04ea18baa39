"""Whether two sets of times differ: medians, intervals, rank tests and corrections for many comparisons. Only numpy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]

# Of the normal distribution, two-sided 95 %.
Z_95 = 1.959963984540054

# An exact distribution is affordable, and counts exactly in 64 bits, up to so many values on both sides together.
_EXACT_VALUES = 50

# Of fewer values the least and the greatest enclose the median in less than 95 of 100 cases.
LEAST_VALUES = 6

# All relabellings are tried where there are at most so many, else so many random ones.
_MAX_RELABELLINGS = 5000

# Times of a key that agree by chance to less than this share of themselves agree no better than this.
_LEAST_SPREAD = 1e-3

_BOOTSTRAP_CELLS = 1 << 21


@dataclass(frozen=True, slots=True)
class MedianInterval:
    """A median and a 95 % interval of it.

    Attributes:
        median: The middle value, or the mean of the middle two.
        low: End of the interval; -inf if there are fewer than 6 values.
        high: The other; inf if there are fewer than 6.
    """

    median: float
    low: float
    high: float

    @property
    def standard_error(self) -> float:
        """As if the median were distributed normally."""
        return (self.high - self.low) / (2 * Z_95)


def median_interval(values: Floats) -> MedianInterval:
    """The median of values [n > 0] and its distribution-free 95 % interval; the array is reordered.

    The interval lies between two order statistics, of ranks n/2 - z·√n/2 and 1 + n/2 + z·√n/2, counted from 1 (Gibbons
    and Chakraborti, Nonparametric Statistical Inference, 5.4). It takes one partition, however many values there are.
    """
    n = len(values)
    half_width = Z_95 * math.sqrt(n) / 2
    low = max(math.floor(n / 2 - half_width) - 1, 0)
    high = min(math.ceil(n / 2 + half_width), n - 1)
    values.partition(sorted({low, (n - 1) // 2, n // 2, high}))
    middle = (float(values[(n - 1) // 2]) + float(values[n // 2])) / 2
    if n < LEAST_VALUES:
        return MedianInterval(middle, -math.inf, math.inf)
    return MedianInterval(middle, float(values[low]), float(values[high]))


def bootstrap_ratios(
    a: npt.NDArray[np.float64], b: npt.NDArray[np.float64], *, means: bool = False, resamples: int = 2000
) -> npt.NDArray[np.float64]:
    """95 % intervals of the ratio of two medians, by the percentile bootstrap (Efron and Tibshirani 1993, 13.3).

    Args:
        a: One side, [n, keys], positive.
        b: The other, [m, keys], positive.
        means: Of the means instead.
        resamples: Drawn from each side, with a fixed seed.

    Returns:
        Low and high of `b / a` for each key: [2, keys].
    """
    rng = np.random.default_rng(0)
    picks = [rng.integers(len(side), size=(resamples, len(side))) for side in (a, b)]
    middle = np.mean if means else np.median
    out = np.ones((2, a.shape[1]))
    step = max(_BOOTSTRAP_CELLS // (resamples * max(len(a), len(b))), 1)
    for first in range(0, a.shape[1], step):
        keys = slice(first, first + step)
        of_a, of_b = (middle(side[:, keys][pick], axis=1) for side, pick in zip((a, b), picks, strict=True))
        out[:, keys] = np.quantile(of_b / of_a, (0.025, 0.975), axis=0)
    return out


@dataclass(frozen=True, slots=True)
class RankSum:
    """The Mann-Whitney statistic of two samples.

    Attributes:
        u: Pairs in which the value of the second sample is the larger; equal values count half.
        n: Size of the first.
        m: Of the second.
        variance: Of U, if both are of one distribution, corrected for ties.
        ties: Whether any values are equal.
    """

    u: float
    n: int
    m: int
    variance: float
    ties: bool

    @property
    def excess(self) -> float:
        """U beyond what is expected of one distribution."""
        return self.u - self.n * self.m / 2

    @property
    def p(self) -> float:
        """Two-sided p-value: exact for small samples without ties, else by the normal approximation with continuity."""
        if self.n + self.m <= _EXACT_VALUES and not self.ties:
            ways = _ways(self.n, self.m)
            return min(2 * int(ways[: int(min(self.u, self.n * self.m - self.u)) + 1].sum()) / int(ways.sum()), 1.0)
        return _two_sided(max(abs(self.excess) - 0.5, 0.0), self.variance)


def rank_sum(a: Floats, b: Floats) -> RankSum:
    """Mann and Whitney's U of two samples, [n] and [m] (Mann and Whitney 1947; ties: Lehmann, Nonparametrics, 1.4)."""
    n, m = len(a), len(b)
    total = n + m
    _, place, counts = np.unique(np.concatenate([a, b]), return_inverse=True, return_counts=True)
    # Equal values share the mean of the ranks that they take, from 1.
    ranks = np.cumsum(counts) - (counts - 1) / 2
    u = float(ranks[place.reshape(-1)[n:]].sum()) - m * (m + 1) / 2
    sizes = counts.astype(np.float64)
    tied = float((sizes**3 - sizes).sum()) / (total * (total - 1)) if total > 1 else 0.0
    variance = max(n * m / 12 * (total + 1 - tied), 0.0)
    return RankSum(u, n, m, variance, bool((counts > 1).any()))


def combined_p(strata: Sequence[RankSum]) -> float:
    """Two-sided p-value of several rank sums taken together, each of a kind of value of its own.

    Each is weighted with 1 / (n + m + 1), which is most powerful if all are shifted alike (van Elteren 1960). Of one
    stratum, its own p.
    """
    if len(strata) == 1:
        return strata[0].p
    weights = [1 / (stratum.n + stratum.m + 1) for stratum in strata]
    excess = sum(weight * stratum.excess for weight, stratum in zip(weights, strata, strict=True))
    return _two_sided(abs(excess), sum(w * w * stratum.variance for w, stratum in zip(weights, strata, strict=True)))


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values corrected so that any false one among them is below a level at most as often as it says (Holm 1979)."""
    adjusted = [1.0] * len(p_values)
    highest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        highest = max(highest, min((len(p_values) - rank) * p_values[index], 1.0))
        adjusted[index] = highest
    return adjusted


def least_p(n: int, m: int) -> float:
    """The smallest two-sided p-value that n values against m can have in any test that relabels them."""
    return min(2 / math.comb(n + m, n), 1.0) if n and m else 1.0


def max_t(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """P-values of keys, corrected for their number by relabelling the samples: Westfall and Young's step-down maxT.

    For each key the statistic is Student's t of the logarithms. All keys of a sample are relabelled together, so that
    what they share (a machine that was slow for a while) counts once, and the smallest corrected p-value is that of
    one test, however many keys there are: with 5 against 5 it is 2 / 252 = 0.0079, which Holm would multiply by the
    number of keys. Of two sets that do not differ, any key is below 0.05 in at most 1 of 20 cases. (Westfall and Young,
    Resampling-Based Multiple Testing, 1993, algorithm 4.1; Dudoit, Shaffer and Boldrick 2003.)

    Args:
        a: One side, [n > 1, keys], positive.
        b: The other, [m > 1, keys], positive.

    Returns:
        For each key, [keys].
    """
    n, total = len(a), len(a) + len(b)
    values = np.log(np.concatenate([a, b]))
    values -= values.mean(axis=0)
    labels = _relabellings(n, total)
    exact = len(labels) == math.comb(total, n)
    observed = _t(values, (np.arange(total) >= n)[None].astype(np.float64))[0]
    order = np.argsort(-observed, kind="stable")
    counts = np.zeros(len(observed))
    step = max(_BOOTSTRAP_CELLS // max(len(observed), 1), 1)
    for first in range(0, len(labels), step):
        relabelled = _t(values, labels[first : first + step])[:, order]
        # For each key the largest statistic among it and all keys behind it.
        largest = np.maximum.accumulate(relabelled[:, ::-1], axis=1)[:, ::-1]
        counts += (largest >= observed[order] * (1 - 1e-9)).sum(axis=0)
    p_ordered = counts / len(labels) if exact else (counts + 1) / (len(labels) + 1)
    adjusted = np.empty(len(observed))
    adjusted[order] = np.maximum.accumulate(p_ordered)
    return adjusted


def _relabellings(n: int, total: int) -> npt.NDArray[np.float64]:
    """Which samples belong to the second side: 0 or 1, [relabellings, total]."""
    if math.comb(total, n) <= _MAX_RELABELLINGS:
        labels = np.ones((math.comb(total, n), total))
        for row, first in enumerate(combinations(range(total), n)):
            labels[row, list(first)] = 0
        return labels
    rng = np.random.default_rng(0)
    original = (np.arange(total) >= n).astype(np.float64)
    return rng.permuted(np.tile(original, (_MAX_RELABELLINGS, 1)), axis=1)


def _t(values: npt.NDArray[np.float64], labels: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Absolute value of Student's t of each key under each labelling.

    Args:
        values: [samples, keys].
        labels: 1 where a sample is of the second side, [labellings, samples].

    Returns:
        [labellings, keys].
    """
    sizes = labels.sum(axis=1)[:, None]
    others = len(values) - sizes
    second, first = labels @ values, (1 - labels) @ values
    squares = (values**2).sum(axis=0) - second**2 / sizes - first**2 / others
    spread = np.sqrt(np.maximum(squares, 0) / max(len(values) - 2, 1)) + _LEAST_SPREAD
    t: npt.NDArray[np.float64] = np.abs(second / sizes - first / others) / (spread * np.sqrt(1 / sizes + 1 / others))
    return t


def _ways(n: int, m: int) -> npt.NDArray[np.int64]:
    """In how many orders of n and m values U is 0, 1, …, n·m: the coefficients of a Gaussian binomial."""
    ways = np.zeros(n * m + 1, np.int64)
    ways[0] = 1
    for i in range(1, n + 1):
        # Times 1 - q^(m+i), divided by 1 - q^i.
        if m + i < len(ways):
            ways[m + i :] = ways[m + i :] - ways[: -(m + i)].copy()
        for k in range(i, len(ways)):
            ways[k] += ways[k - i]
    return ways


def _two_sided(excess: float, variance: float) -> float:
    return math.erfc(excess / math.sqrt(2 * variance)) if variance > 0 else 1.0
