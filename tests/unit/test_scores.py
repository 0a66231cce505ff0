"""Worked values: research notes on the released driver, CoSy's definitions, and hand calculation."""

import numpy as np
import pytest

from dnd import scores
from dnd.settings import ScoreSettings


def values(*numbers):
    return np.array(numbers, np.float32)


def test_rank_score_is_the_mean_squared_one_based_rank_of_the_best():
    # pooled order, best first: a b b a b a -> ranks a 1, 4, 6 and b 2, 3, 5
    a, b = values(0.9, 0.5, 0.1), values(0.8, 0.7, 0.3)
    assert scores.rank_scores([a, b], best=2) == [(1 + 16) / 2, (4 + 9) / 2]


def test_rank_score_counts_only_the_best_five():
    first, second = np.arange(20, 10, -1, dtype=np.float32), np.arange(10, 0, -1, dtype=np.float32)
    low, high = scores.rank_scores([first, second])
    assert low == pytest.approx((1 + 4 + 9 + 16 + 25) / 5)
    assert high == pytest.approx((121 + 144 + 169 + 196 + 225) / 5)


def test_rank_score_gives_equal_images_equal_ranks_in_any_order():
    a, b = values(1, 1, 0), values(1, 0, 0)
    assert scores.rank_scores([a, b], best=3) == scores.rank_scores([b, a], best=3)[::-1]
    assert scores.rank_scores([a, a], best=3)[0] == scores.rank_scores([a, a], best=3)[1]


@pytest.mark.parametrize(
    ("generated", "controls", "expected"),
    [((3, 4), (1, 2), 1.0), ((1, 1), (1, 1), 0.5), ((0, 3), (1, 2), 0.5), ((2,), (1, 2, 3, 2), 0.5), ((0,), (1,), 0.0)],
)
def test_auc(generated, controls, expected):
    assert scores.auc(values(*generated), values(*controls)) == expected


def test_auc_agrees_with_scikit_learn():
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(0)
    generated, controls = rng.normal(1, 1, 10).astype(np.float32), rng.normal(0, 1, 50).astype(np.float32)
    expected = roc_auc_score([1] * 10 + [0] * 50, np.concatenate([generated, controls]))
    assert scores.auc(generated, controls) == pytest.approx(expected)


def test_mad_is_in_standard_deviations_of_the_controls():
    assert scores.mad(values(5, 7), values(1, 3)) == pytest.approx((6 - 2) / 1)
    assert scores.mad(values(5, 7), values(2, 2)) == 0.0


def test_image_similarity_is_the_mean_over_all_pairs():
    exemplars = np.array([[1, 0], [0, 1]], np.float32)
    generated = np.array([[1, 0], [0.6, 0.8]], np.float32)
    assert scores.image_similarity(exemplars, generated) == pytest.approx((1 + 0.6 + 0 + 0.8) / 4)


def test_combination_rewards_each_component():
    weights = ScoreSettings(auc=1, rank=2, image_similarity=3, votes=4)
    parts = {"auc": 0.5, "rank_score": 11.0, "image_similarity": 0.25, "votes": 0.2}
    # two candidates of five images: the worst mean of squares is (100 + 81 + 64 + 49 + 36) / 5 = 66
    assert scores.combine(parts, weights, 2, 5) == pytest.approx(0.5 + 2 * (1 - 11 / 66) + 0.75 + 0.8)
