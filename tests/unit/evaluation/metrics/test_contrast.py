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


def test_look_alikes_are_similar_and_excite_less_than_the_mean():
    images = np.array([[1.0, 0], [1, 0.1], [1, 0.2], [0, 1], [1, 0.3]])
    images /= np.linalg.norm(images, axis=1, keepdims=True)
    activations = np.array([9.0, 8, 0, 0, 1])
    found = contrast.nearest(images[:2], images, activations, 2)
    assert found.tolist() == [2, 4]  # 3 is unlike, 0 and 1 are the exemplars
    excluded = np.array([False, False, True, False, False])
    assert contrast.nearest(images[:2], images, activations, 5, excluded).tolist() == [4, 3]


def test_equal_look_alikes_are_taken_in_order():
    images = np.tile([1.0, 0.0], (5, 1))
    assert contrast.nearest(images[:1], images, np.array([5.0, 0, 0, 0, 0]), 3).tolist() == [1, 2, 3]
