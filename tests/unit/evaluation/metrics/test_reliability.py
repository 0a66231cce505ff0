"""Calibration: whether labels of which a method is .8 sure are right eight times out of ten."""

import numpy as np
import pytest

from dnd.evaluation.metrics import reliability


def test_calibration_error_of_a_worked_example():
    # bins (0, .1]: .1 with 0 of 1; (.6, .7]: .65 and .7 with 1 of 2; (.9, 1]: 1 with 1 of 1
    found = reliability.reliability([0.1, 0.65, 0.7, 1.0], [0, 1, 0, 1])
    assert found.counts.tolist() == [1, 0, 0, 0, 0, 0, 2, 0, 0, 1]
    assert found.confidence[[0, 6, 9]] == pytest.approx([0.1, 0.675, 1.0])
    assert found.right[[0, 6, 9]].tolist() == [0, 0.5, 1]
    assert np.isnan(found.right[3])
    assert found.error == pytest.approx((0.1 + 2 * 0.175) / 4)


def test_confidence_that_is_always_certain_is_off_by_the_share_of_mistakes():
    assert reliability.reliability(np.ones(20), np.arange(20) < 17).error == pytest.approx(0.15)
    assert reliability.reliability(np.zeros(5), np.zeros(5)).error == 0


def test_errors_on_both_sides_cancel_in_one_bin_and_not_over_bins():
    assert reliability.reliability([0.42, 0.48], [0, 1]).error == pytest.approx(0.05)
    assert reliability.reliability([0.2, 0.8], [1, 0]).error == pytest.approx(0.8)


@pytest.mark.parametrize(
    ("confidence", "right"), [([], []), ([0.5], [1, 0]), ([1.2], [1]), ([-0.1], [0]), ([float("nan")], [0])]
)
def test_what_is_no_confidence_is_refused(confidence, right):
    with pytest.raises(ValueError, match="confidence"):
        reliability.reliability(confidence, right)


def test_interval_of_a_calibration_error_holds_it_and_narrows_with_more_units():
    rng = np.random.default_rng(0)
    sure = rng.uniform(0, 1, 2000)
    right = rng.uniform(0, 1, 2000) < sure**2  # overconfident: off by the mean of p - p^2, 1/6
    few, many = (reliability.interval(sure[:n], right[:n]) for n in (100, 2000))
    assert many[0] < 1 / 6 < many[1]
    assert many[0] < reliability.reliability(sure, right).error < many[1]
    assert many[1] - many[0] < few[1] - few[0]
    assert reliability.interval(sure, right) == many
    assert reliability.interval([0.3], [0]) == pytest.approx((0.3, 0.3))
