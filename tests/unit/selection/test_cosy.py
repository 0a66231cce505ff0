"""CoSy: how much more a label's pictures excite a unit than control images do (Kopf et al., NeurIPS 2024)."""

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from dnd.selection import cosy


def test_cosy_of_three_pictures_and_four_controls():
    generated, controls = np.float32([3, 1, 2]), np.float32([0, 1, 2, 1])
    assert cosy.auc(generated, controls) == pytest.approx((4 + 2 + 3.5) / 12)  # wins of each, ties half
    assert cosy.mad(generated, controls) == pytest.approx((2 - 1) / np.sqrt(0.5))
    assert cosy.mad(generated, np.ones(4, np.float32)) == 0


def test_cosy_auc_is_the_area_under_the_curve():
    rng = np.random.default_rng(7)
    for _ in range(5):
        generated, controls = (rng.integers(0, 6, n).astype(np.float32) for n in (9, 40))
        truth = [1] * 9 + [0] * 40
        area = roc_auc_score(truth, [*generated, *controls])
        assert cosy.auc(generated, controls) == pytest.approx(area, abs=1e-9)
        statistic = stats.mannwhitneyu(generated, controls).statistic
        assert cosy.auc(generated, controls) == pytest.approx(statistic / 360, abs=1e-9)
