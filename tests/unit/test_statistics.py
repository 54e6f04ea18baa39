"""The statistics, against values that are computed by hand or stand in published tables."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ggml_viz.analysis.statistics import (
    bootstrap_ratios,
    combined_p,
    holm,
    least_p,
    max_t,
    median_interval,
    rank_sum,
)


def floats(*values: float) -> np.ndarray:
    return np.array(values, np.float64)


@pytest.mark.parametrize(
    ("a", "b", "u", "p"),
    [
        ((1, 2, 3, 4, 5), (6, 7, 8, 9, 10), 25, 2 / 252),
        ((6, 7, 8, 9, 10), (1, 2, 3, 4, 5), 0, 2 / 252),
        ((1, 2, 3, 5), (4, 6, 7, 8), 15, 4 / 70),  # the tables of n = m = 4: P(U <= 1) = 0.029
        ((1, 2, 4), (3, 5, 6, 7, 8), 14, 4 / 56),
        ((1, 4), (2, 3), 2, 1.0),
    ],
)
def test_rank_sum_is_exact_for_few_values(a: tuple[float, ...], b: tuple[float, ...], u: float, p: float) -> None:
    result = rank_sum(floats(*a), floats(*b))
    assert result.u == u
    assert result.p == pytest.approx(p, rel=1e-12)


def test_complete_separation_of_five_and_five_is_0_0079() -> None:
    assert rank_sum(np.arange(5.0), np.arange(5.0) + 10).p == pytest.approx(0.007937, abs=1e-6)
    assert least_p(5, 5) == pytest.approx(0.007937, abs=1e-6)
    assert least_p(4, 4) == pytest.approx(2 / 70)
    assert least_p(0, 3) == 1


def test_exact_p_values_are_of_a_distribution() -> None:
    """All orders of 3 and 4 values: an exact p is below a level as often as it says, at most."""
    from itertools import combinations

    values = np.arange(7.0)
    p_values = [
        rank_sum(np.delete(values, second), values[list(second)]).p for second in map(list, combinations(range(7), 4))
    ]
    for level in set(p_values):
        assert np.mean(np.array(p_values) <= level + 1e-12) <= level + 1e-12


def test_ties_correct_the_variance() -> None:
    result = rank_sum(floats(1, 2, 2), floats(2, 3, 3))
    assert (result.u, result.variance) == (8, pytest.approx(4.5))
    assert result.p == pytest.approx(math.erfc(1))  # z = (3.5 - 0.5) / sqrt(4.5) = sqrt(2)


def test_equal_values_do_not_differ() -> None:
    assert rank_sum(np.ones(7), np.ones(9)).p == 1


def test_many_values_are_approximated_well() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=25), rng.normal(0.5, size=25)
    exact = rank_sum(a, b)
    z = (abs(exact.u - 312.5) - 0.5) / math.sqrt(25 * 25 * 51 / 12)
    assert exact.p == pytest.approx(math.erfc(z / math.sqrt(2)), abs=0.002)


def test_strata_are_taken_together() -> None:
    one = rank_sum(floats(1, 2, 3), floats(4, 5, 6))
    assert combined_p([one]) == one.p
    pairs = [rank_sum(floats(layer), floats(layer + 1)) for layer in range(30)]
    # A sign test: 30 of 30, where 15 are expected with a variance of 30 / 4.
    assert combined_p(pairs) == pytest.approx(math.erfc(15 / math.sqrt(2 * 30 / 4)))
    mixed = [rank_sum(floats(1), floats(2)), rank_sum(floats(2), floats(1))]
    assert combined_p(mixed) == 1


def test_holm() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1, 1]
    assert holm([]) == []


def test_median_interval_lies_between_order_statistics() -> None:
    values = np.random.default_rng(0).permutation(np.arange(1.0, 101))
    result = median_interval(values)
    # The 40th and the 61st of 100, as tables of binomial intervals of the median have it.
    assert (result.median, result.low, result.high) == (50.5, 40, 61)
    assert median_interval(floats(3, 1, 2)).median == 2
    assert median_interval(floats(7)).standard_error == math.inf
    six = median_interval(floats(1, 2, 3, 4, 5, 6))
    assert (six.low, six.high) == (1, 6)


def test_median_interval_holds_the_median_in_95_of_100_cases() -> None:
    rng = np.random.default_rng(1)
    found = [median_interval(rng.exponential(size=200)) for _ in range(1000)]
    assert 0.94 <= np.mean([x.low <= math.log(2) <= x.high for x in found]) <= 0.98


def test_bootstrap_interval_holds_the_ratio() -> None:
    rng = np.random.default_rng(2)
    a, b = np.exp(rng.normal(0, 0.02, (20, 300))), 1.5 * np.exp(rng.normal(0, 0.02, (20, 300)))
    low, high = bootstrap_ratios(a, b)
    assert 0.88 <= np.mean((low <= 1.5) & (high >= 1.5)) <= 0.99
    assert np.all(high - low < 0.1)
    exact = bootstrap_ratios(np.full((5, 1), 2.0), np.full((5, 1), 3.0), means=True)
    assert exact.tolist() == [[1.5], [1.5]]


def test_what_differs_is_found_among_many_keys() -> None:
    """Where Holm's correction of 5 against 5 would multiply 0.0079 by 500."""
    rng = np.random.default_rng(3)
    a, b = np.exp(rng.normal(0, 0.03, (2, 5, 500)))
    b[:, 123] *= 1.5
    p = max_t(a, b)
    assert p[123] == pytest.approx(2 / 252)
    assert (np.delete(p, 123) > 0.05).all()


def test_keys_of_one_distribution_differ_in_at_most_one_of_twenty_cases() -> None:
    """Also if what they share varies most, and if a whole file is slow."""
    rng = np.random.default_rng(4)
    false = 0
    for _ in range(300):
        shared = np.exp(rng.normal(0, 0.05, (10, 1)) + 0.3 * (rng.random((10, 1)) < 0.2))
        values = shared * np.exp(rng.normal(0, 0.02, (10, 40)))
        false += (max_t(values[:5], values[5:]) <= 0.05).any()
    assert false <= 300 * 0.05 + 2 * math.sqrt(300 * 0.05 * 0.95)


def test_many_files_are_relabelled_at_random() -> None:
    rng = np.random.default_rng(5)
    a, b = np.exp(rng.normal(0, 0.03, (2, 12, 20)))
    b[:, 3] *= 1.2
    p = max_t(a, b)
    assert p[3] < 0.001
    assert (np.delete(p, 3) > 0.05).all()


def test_times_that_do_not_vary_can_be_compared() -> None:
    p = max_t(np.ones((5, 2)), np.full((5, 2), [[1.0, 2.0]]))
    assert p.tolist() == pytest.approx([1.0, 2 / 252])
