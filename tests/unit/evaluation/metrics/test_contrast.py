"""Explained exemplars: does a label tell what excites a unit from pictures that merely look like it?"""

import numpy as np
import pytest

from dnd.evaluation.metrics import contrast


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def test_a_label_explains_exemplars_that_it_ranks_above_look_alikes():
    exemplars, others = unit(np.array([[3.0, 1], [1, 1]])), unit(np.array([[1.0, 1], [0, 1], [2, 1]]))
    # cosines with (1, 0): .949 .707 against .707 0 .894: 3 + 1.5 of 6
    assert contrast.explained(np.array([1.0, 0]), exemplars, others) == pytest.approx(4.5 / 6)
    assert contrast.explained(np.array([0.0, 0]), exemplars, others) == 0.5
    assert np.isnan(contrast.explained(np.array([1.0, 0]), exemplars, others[:0]))
