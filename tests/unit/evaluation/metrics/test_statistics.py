"""Intervals, and tests between methods on the same units."""

import numpy as np
import pytest
from scipy import stats

from dnd.evaluation.metrics import statistics


def test_intervals_are_scipys():
    low, high = statistics.wilson(7, 20)
    expected = stats.binomtest(7, 20).proportion_ci(0.95, method="wilson")
    assert (low, high) == (expected.low, expected.high)
    values = np.random.default_rng(3).normal(1, 2, 200)
    expected = stats.bootstrap([values], np.mean, method="percentile", n_resamples=5000, rng=1).confidence_interval
    np.testing.assert_allclose(statistics.bootstrap(values), expected, atol=0.03)


def test_permutation_of_three_differences_by_hand():
    assert statistics.permutation([1, 2, 3]) == pytest.approx(2 / 8)  # all plus, all minus
    assert statistics.permutation([0, 0]) == 1


def test_mcnemar_is_a_binomial_test_of_the_disagreements():
    first, second = [1] * 8 + [0] * 1 + [1] * 5, [0] * 8 + [1] * 1 + [1] * 5
    assert statistics.mcnemar(first, second) == pytest.approx(2 * (1 + 9) / 2**9)
    assert statistics.mcnemar([1, 0], [1, 0]) == 1


def test_holm_by_hand():
    assert statistics.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert statistics.holm([0.9, 0.8]) == [1, 1] and statistics.holm([]) == []
