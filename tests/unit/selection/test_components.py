"""What a candidate's images tell of it. Worked values: research notes on the released driver, and hand calculation."""

import numpy as np
import pytest

from dnd.selection import components


def values(*numbers):
    return np.array(numbers, np.float32)


def test_rank_score_is_the_mean_squared_one_based_rank_of_the_best():
    # pooled order, best first: a b b a b a -> ranks a 1, 4, 6 and b 2, 3, 5
    a, b = values(0.9, 0.5, 0.1), values(0.8, 0.7, 0.3)
    assert components.rank_scores([a, b], best=2) == [(1 + 16) / 2, (4 + 9) / 2]


def test_rank_score_counts_only_the_best_five():
    first, second = np.arange(20, 10, -1, dtype=np.float32), np.arange(10, 0, -1, dtype=np.float32)
    low, high = components.rank_scores([first, second])
    assert low == pytest.approx((1 + 4 + 9 + 16 + 25) / 5)
    assert high == pytest.approx((121 + 144 + 169 + 196 + 225) / 5)


def test_rank_score_gives_equal_images_equal_ranks_in_any_order():
    a, b = values(1, 1, 0), values(1, 0, 0)
    assert components.rank_scores([a, b], best=3) == components.rank_scores([b, a], best=3)[::-1]
    assert components.rank_scores([a, a], best=3)[0] == components.rank_scores([a, a], best=3)[1]


def test_the_released_driver_counts_ranks_from_zero():
    a, b = values(0.9, 0.5, 0.1), values(0.8, 0.7, 0.3)
    assert components.rank_scores([a, b], best=2, first=0) == [(0 + 9) / 2, (1 + 4) / 2]
    assert components.rank_scores([values(0.4)], first=0) == [0]


def test_image_similarity_is_the_mean_over_all_pairs():
    exemplars = np.array([[1, 0], [0, 1]], np.float32)
    generated = np.array([[1, 0], [0.6, 0.8]], np.float32)
    assert components.image_similarity(exemplars, generated) == pytest.approx((1 + 0.6 + 0 + 0.8) / 4)
