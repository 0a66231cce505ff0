"""What exemplars say about a unit without any label: clarity, polysemanticity, redundancy."""

import numpy as np
import pytest
from sklearn.metrics.pairwise import cosine_similarity

from dnd.evaluation.metrics import semantics


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def test_clarity_is_the_mean_cosine_of_pairs(rng):
    vectors = rng.normal(size=(3, 6, 5)) + 0.5
    pairs = [cosine_similarity(one)[np.triu_indices(6, 1)].mean() for one in vectors]
    np.testing.assert_allclose(semantics.clarity(vectors), pairs, atol=1e-9)
    assert semantics.clarity(np.array([[1.0, 0], [-1, 0]])) == pytest.approx(-1)
    assert np.isnan(semantics.clarity(vectors[:, :1])).all()


def test_two_opposite_groups_are_polysemantic(rng):
    first, second = np.array([1.0, 0, 0]), np.array([0.6, 0.8, 0])
    two = np.concatenate([np.tile(one, (5, 1)) for one in (first, second)])
    assert semantics.polysemanticity(two) == pytest.approx(1 - 0.6)
    assert semantics.polysemanticity(np.tile(first, (6, 1))) == 0
    assert np.isnan(semantics.polysemanticity(two[:1]))


def test_redundancy_is_the_nearest_other_unit(rng):
    units = rng.normal(size=(5, 3))
    cosines = cosine_similarity(units) - 2 * np.eye(5)
    np.testing.assert_allclose(semantics.redundancy(units), cosines.max(1), atol=1e-9)
    assert np.isnan(semantics.redundancy(units[:1])).all()


def test_an_outlier_is_no_second_meaning():
    own = np.concatenate([np.tile([1.0, 0], (9, 1)), [[0.0, 1]]])
    mean = own.mean(0)
    cosines = cosine_similarity([mean], own)[0]
    assert semantics.polysemanticity(own) == pytest.approx(1 - cosines.mean())
    assert semantics.polysemanticity(own) < 0.3
