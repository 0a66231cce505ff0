"""Search for descriptions: by beam, and ranked anew by pointwise mutual information."""

import numpy as np
import torch
from tiny_models import one_thread  # noqa: F401

from dnd.rivals import milan_decoding


def test_ranking_by_mutual_information():
    beam = milan_decoding.Beam(torch.tensor([[0], [1], [2]]), torch.tensor([-1.0, -1.5, -3.0]))
    lm = torch.tensor([-1.0, -5.0, -9.0])
    found = milan_decoding.reranked(beam, lm, 0.2)
    assert found.tokens.tolist() == [[1], [0], [2]]  # -.5, -.8, -1.2
    np.testing.assert_allclose(found.scores, [-0.5, -0.8, -1.2], atol=1e-6)
    assert milan_decoding.reranked(beam, lm, 0.0).tokens.tolist() == [[0], [1], [2]]
