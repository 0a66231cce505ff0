"""Simulation: how well a label predicts the unit's activation over all held-out images, by Pearson's r."""

import numpy as np
import pytest

from dnd.evaluation.metrics import simulation


def test_released_constants_are_added_before_the_scale():
    found = simulation.RELEASED["ViT-SO400M-14-SigLIP-384"].probabilities(np.array([0.13, 0.2]))
    np.testing.assert_allclose(found, [0.5, 1 / (1 + np.exp(-58 * 0.07))], atol=1e-12)


def test_a_fit_stays_finite_where_cosines_separate_the_truth():
    cosines = np.array([0.1, 0.12, 0.3, 0.32])
    found = simulation.fit(cosines, cosines > 0.2)
    assert np.isfinite(found.scale) and (found.probabilities(cosines) > 0.5).tolist() == [False, False, True, True]
    with pytest.raises(ValueError, match="hold and pairs that do not"):
        simulation.fit(cosines, cosines > 0)
