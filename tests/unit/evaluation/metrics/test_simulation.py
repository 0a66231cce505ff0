"""Simulation: how well a label predicts the unit's activation over all held-out images, by Pearson's r."""

import numpy as np
from scipy import stats

from dnd.evaluation.metrics import simulation


def test_correlation_is_pearsons_r_of_every_pair():
    rng = np.random.default_rng(7)
    activations, probabilities = rng.normal(size=(50, 4)), rng.random((50, 3))
    expected = [[stats.pearsonr(a, p)[0] for p in probabilities.T] for a in activations.T]
    np.testing.assert_allclose(simulation.correlation(activations, probabilities), expected, atol=1e-9)


def test_what_does_not_vary_simulates_nothing():
    rng = np.random.default_rng(7)
    activations = rng.normal(size=(20, 2)).astype(np.float32)
    activations[:, 1] = 0.1
    assert simulation.correlation(activations, rng.random((20, 2)))[1].tolist() == [0, 0]
    assert simulation.correlation(activations, np.full((20, 1), 0.3)).tolist() == [[0], [0]]
