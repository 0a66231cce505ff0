"""CoSy: how much more a label's pictures excite a unit than control images do (Kopf et al., NeurIPS 2024)."""

import numpy as np
import pytest

from dnd.selection import cosy


def test_cosy_of_three_pictures_and_four_controls():
    generated, controls = np.float32([3, 1, 2]), np.float32([0, 1, 2, 1])
    assert cosy.auc(generated, controls) == pytest.approx((4 + 2 + 3.5) / 12)  # wins of each, ties half
    assert cosy.mad(generated, controls) == pytest.approx((2 - 1) / np.sqrt(0.5))
    assert cosy.mad(generated, np.ones(4, np.float32)) == 0
