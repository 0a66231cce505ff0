"""What images say of a candidate. Worked values: hand calculation from the definitions, or numpy."""

import math
from itertools import combinations

import numpy as np
import pytest

from dnd.config.stages import ScoreSettings
from dnd.selection import evidence

WEIGHTS = ScoreSettings(precision=0.5, drawn=2.0, joining=0.25)


def shown(*values):
    return np.array(values, np.float64)


def test_activations_count_in_units_of_the_exemplars_and_no_further():
    assert evidence.scaled(shown(2, 4, 1.5, -1), shown(2, 4)) == pytest.approx([2 / 3, 1, 0.5, 0])


def test_a_unit_that_is_negative_everywhere_is_scaled_by_its_range():
    assert evidence.scaled(shown(-1, -3, -2), shown(-1)) == pytest.approx([1, 0, 0.5])
    assert evidence.scaled(shown(-1, -1), shown(-1)) == pytest.approx([0, 0])


def test_a_calibrated_cosine_is_a_probability():
    images, texts = np.array([[0.5], [0.6]], np.float32), np.array([[1]], np.float32)
    assert evidence.shown(images, texts, 10, -5)[:, 0] == pytest.approx([0.5, 1 / (1 + np.exp(-1))])


def test_correlations_are_pearson_s_r_of_every_unit_with_every_concept():
    rng = np.random.default_rng(0)
    activations, concepts = rng.gamma(0.5, size=(50, 3)), rng.uniform(size=(50, 4)) ** 3
    expected = np.corrcoef(activations.T, concepts.T)[:3, 3:]
    assert evidence.correlations(activations, concepts) == pytest.approx(expected)
    each = [evidence.pearson(concepts, activations[:, [unit]]) for unit in range(3)]
    assert np.array(each) == pytest.approx(expected)


def test_what_does_not_vary_correlates_with_nothing():
    activations = np.array([[0.1, 1], [0.1, 2], [0.1, 3]])  # the mean of three tenths is not exactly a tenth
    concepts = np.array([[0.3, 2], [0.3, 4], [0.3, 6]])
    assert evidence.correlations(activations, concepts).tolist() == [[0, 0], [0, pytest.approx(1)]]
    assert evidence.pearson(concepts, activations).tolist() == [0, pytest.approx(1)]


def test_correlations_of_a_perfect_pair_do_not_exceed_one():
    values = np.random.default_rng(1).normal(size=(30, 200)).astype(np.float32)
    assert np.abs(evidence.correlations(values, values)).max() <= 1
    assert evidence.pearson(values, values).max() <= 1


def test_precision_is_the_mean_activation_of_images_as_much_as_they_show_a_concept():
    images = np.array([[1, 0.5, 0], [0.5, 0, 0], [0, 0.5, 0]])
    level = shown(1, 0, 0.5)
    # 1 of 1.5; half of 1 and a quarter of 1; a concept that no image shows
    assert evidence.precision(images, level) == pytest.approx([2 / 3, 0.75, 0])


def test_the_score_by_hand():
    found = evidence.score(shown(0.5, 0.25), shown(0.8, 1.0), shown(0.1, -0.2), np.array([1, 3]), WEIGHTS)
    assert found == pytest.approx(
        [
            math.log(0.5) + 0.5 * math.log(0.8) + 2 * 0.1,
            math.log(0.25) + 2 * -0.2 - 0.25 * 2,
        ]
    )


def test_correlations_below_the_least_are_not_told_apart():
    found = evidence.score(shown(-1, 0, 0.02), shown(0.5, 0.5, 0.5), shown(0, 0, 0), np.ones(3, int), WEIGHTS)
    assert found.tolist() == [found[0]] * 3
    assert found[0] == pytest.approx(math.log(0.02) + 0.5 * math.log(0.5))


@pytest.mark.parametrize("column", [0, 1, 2])
def test_every_piece_of_evidence_speaks_for_a_candidate(column):
    low = np.full((3, 2), 0.4)
    low[column, 1] = 0.6
    worse, better = evidence.score(*low, np.array([1, 1]), WEIGHTS)
    assert better > worse


def test_alternatives_are_all_pairs_and_then_all_triples():
    assert evidence.alternatives([0.1, 0.5, 0.3], 2) == [(0, 1), (0, 2), (1, 2)]
    assert evidence.alternatives([0.1, 0.5, 0.3], 3) == [(0, 1), (0, 2), (1, 2), (0, 1, 2)]
    assert evidence.alternatives([0.1, 0.5], 1) == []
    assert evidence.alternatives([0.1], 3) == []


def test_alternatives_are_formed_of_the_eight_that_correlate_best():
    fits = [0.9, 0.0, 0.8, 0.7, 0.6, 0.1, 0.5, 0.4, 0.3, 0.2]
    assert evidence.alternatives(fits, 2) == list(combinations([0, 2, 3, 4, 6, 7, 8, 9], 2))
    assert evidence.alternatives([0.5] * 10, 2) == list(combinations(range(8), 2))  # equal ones by place


def overlap(first, second):
    (found,) = evidence.overlaps(shown(*first)[:, None], shown(*second)[:, None]).ravel()
    assert evidence.overlaps(shown(*second)[:, None], shown(*first)[:, None]) == pytest.approx(found)
    return found


def test_overlap_is_the_share_of_the_rarer_concept_s_images_that_show_both():
    blue = [1, 1, 1, 0]
    assert overlap(blue, [0, 0, 1, 1]) == pytest.approx(1 / 2)
    assert overlap(blue, [0, 1, 0, 0]) == 1  # blue holds it
    assert overlap(blue, blue) == 1
    assert overlap(blue, [0, 0, 0, 1]) == 0
    assert overlap([0.8, 0.2], [0.4, 0.4]) == pytest.approx((0.32 + 0.08) / 0.32)


def test_overlaps_are_of_each_with_each():
    first, second = np.array([[1, 0], [1, 1], [0, 1.0]]), np.array([[1, 0, 1], [0, 0, 1], [0, 1, 1.0]])
    assert evidence.overlaps(first, second) == pytest.approx(np.array([[1, 0, 1], [0, 1, 1]]))


def test_a_concept_that_no_image_shows_is_not_apart_from_another():
    assert overlap([0, 0], [1, 0]) == 1
    assert overlap([0, 0], [0, 0]) == 1


def test_the_name_of_alternatives():
    assert evidence.phrase(["red objects", "stars", "rings"]) == "red objects or stars or rings"


@pytest.mark.parametrize("active", [1, 5, 50])
def test_a_unit_that_is_silent_or_active_is_bimodal_however_rarely_it_is_active(active):
    assert evidence.bimodality(np.r_[np.ones(active), np.zeros(100 - active)]) == pytest.approx(1)


def test_a_unit_whose_activations_are_spread_evenly_is_not():
    """(0 + 1) / 1.8, the kurtosis of a uniform distribution."""
    assert evidence.bimodality(np.linspace(1, 0, 20001)) == pytest.approx(5 / 9, abs=1e-3)


def test_a_unit_that_answers_alike_to_everything_has_no_two_modes():
    assert evidence.bimodality(np.ones(10)) == 0
