"""Worked values: hand calculation from the definitions."""

import numpy as np
import pytest

from dnd.selection import evidence
from dnd.selection.evidence import Sample


def sample(activations, exemplars):
    return Sample(np.array(activations, np.float32), np.arange(len(activations)) < exemplars)


def shown(*values):
    return np.array(values, np.float64)


def test_activations_count_in_units_of_the_exemplars_and_no_further():
    assert sample([2, 4, 1.5, -1], exemplars=2).scaled == pytest.approx([2 / 3, 1, 0.5, 0])


def test_a_unit_that_is_negative_everywhere_is_scaled_by_its_range():
    assert sample([-1, -3, -2], exemplars=1).scaled == pytest.approx([1, 0, 0.5])
    assert sample([-1, -1], exemplars=1).scaled == pytest.approx([0, 0])


def test_a_calibrated_cosine_is_a_probability():
    assert evidence.calibrated(shown(0.5, 0.6), 10, -5) == pytest.approx([0.5, 1 / (1 + np.exp(-1))])


def test_a_ramp_goes_from_random_images_to_the_concept_s_own():
    random, own = shown(0, 0.2), shown(0.5, 0.7)
    assert evidence.ramped(shown(-1, 0.1, 0.35, 0.6, 0.9), random, own) == pytest.approx([0, 0, 0.5, 1, 1])


def test_images_no_more_like_the_concept_than_random_ones_leave_a_ramp():
    assert evidence.ramped(shown(0.1, 0.125, 0.15), shown(0.1), shown(0.1)) == pytest.approx([0, 0.5, 1])


def test_fit_is_pearson_s_r():
    two = sample([2, 2, 0], exemplars=1)
    # deviations (2, -1, -1) / 3 and (1, 1, -2) / 3: 3 / 9 over 6 / 9
    assert evidence.fit(shown(1, 0, 0), two) == pytest.approx(0.5)
    assert evidence.fit(shown(0, 0, 1), two) == pytest.approx(-1)
    assert evidence.fit(shown(1, 1, 1), two) == 0


def test_gap_takes_no_heed_of_a_tenth_that_shows_the_concept_and_a_twentieth_that_does_not():
    # 15 images show it, of which 1.5 do not count; of the 30 others, 1.5 do not
    levels = [1] * 13 + [0.1, 0.6] + [0] * 28 + [0.2, 1]
    assert evidence.gap(np.arange(45) < 15, sample(levels, exemplars=13)) == pytest.approx(0.6 - 0.2)


def test_there_is_no_gap_where_images_show_a_concept_no_more_than_others():
    even = sample(np.linspace(1, 0, 20), exemplars=1)
    assert evidence.gap(np.full(20, 0.5), even) < 0
    assert evidence.gap(np.zeros(20), even) < 0  # nothing shows it
    assert evidence.gap(np.ones(20), even) == pytest.approx(1 / 19)  # everything does: two of twenty are a tenth


def test_hard_negatives_pull_down_the_mean_of_what_shows_the_concept():
    assert evidence.hard(shown(1, 0.5, 0), sample([3, 0, 3], exemplars=1)) == pytest.approx(1 / 1.5)
    assert evidence.hard(shown(0, 0, 0), sample([3, 0, 3], exemplars=1)) == 0


def test_generated_images_agree_as_far_as_they_excite_the_unit_like_its_exemplars():
    two = sample([2, 2, 0], exemplars=2)
    assert evidence.agreement(shown(1, 3, -1), two) == pytest.approx((0.5 + 1 + 0) / 3)
    assert evidence.agreement(shown(), two) == 0
    assert evidence.agreement(shown(1), sample([-1, -2], exemplars=1)) == 0


def test_alternatives_are_all_pairs_and_then_all_triples():
    assert evidence.alternatives([0.1, 0.5, 0.3], 2) == [(0, 1), (0, 2), (1, 2)]
    assert evidence.alternatives([0.1, 0.5, 0.3], 3) == [(0, 1), (0, 2), (1, 2), (0, 1, 2)]
    assert evidence.alternatives([0.1, 0.5], 1) == []
    assert evidence.alternatives([0.1], 3) == []


def test_alternatives_are_formed_of_the_six_that_fit_best():
    worse = [0.9, 0.0, 0.8, 0.7, 0.6, 0.1, 0.5, 0.4]
    assert {place for pair in evidence.alternatives(worse, 2) for place in pair} == {0, 2, 3, 4, 6, 7}
    assert {place for pair in evidence.alternatives([0.5] * 8, 2) for place in pair} == set(range(6))


def test_the_name_of_alternatives():
    assert evidence.phrase(["red objects", "stars", "rings"]) == "red objects or stars or rings"


@pytest.mark.parametrize("active", [1, 5, 50])
def test_a_unit_that_is_silent_or_active_is_bimodal_however_rarely_it_is_active(active):
    levels = np.r_[np.ones(active), np.zeros(100 - active)]
    assert sample(levels, exemplars=1).bimodality == pytest.approx(1)


def test_a_unit_whose_activations_are_spread_evenly_is_not():
    """(0 + 1) / 1.8, the kurtosis of a uniform distribution."""
    levels = np.linspace(1, 0, 20001)
    assert sample(levels, exemplars=1).bimodality == pytest.approx(5 / 9, abs=1e-3)


def test_a_unit_that_answers_alike_to_everything_has_no_two_modes():
    assert sample(np.ones(10), exemplars=3).bimodality == 0
