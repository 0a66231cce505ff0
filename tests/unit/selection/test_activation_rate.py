"""SIEVE's verification: shares of images above a quantile of the control images, by hand."""

import numpy as np
import pytest

from dnd.config.stages import ScoreSettings
from dnd.io.rows import Concept
from dnd.selection import activation_rate
from dnd.selection.components import DrawnCandidate

CONTROLS = np.arange(101, dtype=np.float32)  # whose 99 % quantile is 99 and whose median is 50


def values(*numbers):
    return np.array(numbers, np.float32)


def candidate(name, *activations):
    concept = Concept("n", "s", 0, 0, name, 1, [], "captions")
    return DrawnCandidate(concept, values(*activations), np.ones((len(activations), 1), np.float32))


def names(candidates):
    return [candidate.concept.concept for candidate in candidates]


def settings(**given):
    return ScoreSettings(combination="activation-rate", **given)


def test_the_rate_is_the_share_above_the_quantile():
    found = activation_rate.scores([values(100, 99, 98, 200), values(150, 120, 0, 110)], CONTROLS, 0.99)
    assert found == pytest.approx([2 / 4, 3 / 4], abs=1e-5)
    assert activation_rate.scores([values(51, 50)], CONTROLS, 0.5) == [1 / 2]


def test_equal_rates_are_told_apart_by_the_mean_activation():
    alike = [values(100, 0), values(300, 0), values(200, 0), values(0, 300)]
    assert activation_rate.scores(alike, CONTROLS, 0.99) == pytest.approx([0.5 - 2e-6, 0.5, 0.5 - 1e-6, 0.5], abs=1e-12)


def test_candidates_whose_images_do_not_excite_the_unit_are_discarded():
    drawn = [candidate("half", 100, 0), candidate("none", 99, 99), candidate("all", 100, 100)]
    assert names(activation_rate.verified(drawn, CONTROLS, settings())) == ["half", "none", "all"]
    assert names(activation_rate.verified(drawn, CONTROLS, settings(least_rate=0.5))) == ["half", "all"]


@pytest.mark.parametrize(
    ("controls", "contrast", "stands_out"),
    [
        (CONTROLS, 1.97, True),
        (CONTROLS, 1.98, False),  # 99 is not above 1.98 x 50
        (values(*[0] * 95, *[2] * 5), 10, True),  # a median of zero
        (values(*[-3] * 95, *[2] * 5), 10, True),
        (values(*[0] * 100), 10, False),
        (CONTROLS, None, True),
    ],
)
def test_a_unit_stands_out_by_its_quantile_and_median(controls, contrast, stands_out):
    drawn = [candidate("a", 1000)]
    assert names(activation_rate.verified(drawn, controls, settings(rate_contrast=contrast))) == ["a"] * stands_out
