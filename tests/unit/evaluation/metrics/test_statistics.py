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


def test_wilson_interval_of_eight_in_ten():
    # Newcombe 1998: centre (8 + z^2/2) / (10 + z^2), z = 1.959964
    assert statistics.wilson(8, 10) == pytest.approx((0.490163, 0.943318), abs=1e-5)


def test_wilson_interval_of_none_starts_at_zero():
    low, high = statistics.wilson(0, 10)
    assert low == pytest.approx(0, abs=1e-9)
    assert high == pytest.approx(0.277533, abs=1e-5)  # z^2 / (10 + z^2)


def test_bootstrap_interval_is_that_of_the_mean():
    values = np.random.default_rng(1).normal(0.4, 0.1, 400)
    low, high = statistics.bootstrap(values)
    error = values.std() / 20  # of the mean, for 400 values
    assert low == pytest.approx(values.mean() - 1.96 * error, abs=0.3 * error)
    assert high == pytest.approx(values.mean() + 1.96 * error, abs=0.3 * error)
    assert statistics.bootstrap(values) == (low, high)


def test_bootstrap_of_one_value_is_the_value():
    assert statistics.bootstrap([0.25]) == (0.25, 0.25)


def test_intervals_of_columns_are_those_of_each_alone_and_draw_rows_together():
    values = np.random.default_rng(0).normal(size=(600, 2))  # more than are drawn at once
    found = statistics.intervals(values)
    for column, interval in zip(values.T, found, strict=True):
        assert interval.tolist() == pytest.approx(statistics.bootstrap(column), abs=1e-12)


@pytest.mark.parametrize("count", [9, 40])
def test_permutation_is_scipys(count):
    rng = np.random.default_rng(7)
    first, second = rng.normal(0.3, 1, count), rng.normal(0, 1, count)

    def mean_difference(x, y, axis):
        return np.mean(x - y, axis=axis)

    expected = stats.permutation_test(
        (first, second), mean_difference, permutation_type="samples", vectorized=True, n_resamples=9999, rng=1
    ).pvalue
    close = 1e-9 if count == 9 else 0.02
    assert statistics.permutation(first - second) == pytest.approx(expected, abs=close)


def test_a_comparison_chooses_the_test_that_the_values_need():
    rng = np.random.default_rng(7)
    shares = statistics.compare([1, 1, 1, 0, 1, 1, 1], [0, 0, 0, 0, 0, 0, 1])
    assert shares.test == "McNemar" and shares.pvalue == pytest.approx(2 / 32) and shares.units == 7
    values = rng.random(30)
    means = statistics.compare(values + 0.1, values)
    assert means.test == "permutation" and means.difference == pytest.approx(0.1) and means.pvalue < 0.001
    assert means.low == pytest.approx(0.1) and means.high == pytest.approx(0.1)
    with pytest.raises(ValueError, match="same units"):
        statistics.compare([1, 0], [1])
