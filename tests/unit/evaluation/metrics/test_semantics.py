"""What exemplars say about a unit without any label: clarity, polysemanticity, redundancy."""

import numpy as np
import pytest
from sklearn.metrics.pairwise import cosine_similarity

from dnd.evaluation.metrics import semantics


def test_an_outlier_is_no_second_meaning():
    own = np.concatenate([np.tile([1.0, 0], (9, 1)), [[0.0, 1]]])
    mean = own.mean(0)
    cosines = cosine_similarity([mean], own)[0]
    assert semantics.polysemanticity(own) == pytest.approx(1 - cosines.mean())
    assert semantics.polysemanticity(own) < 0.3
