"""What a candidate's score is made of: pure functions of activations and embeddings of its generated images."""

import pytest

from dnd.config.stages import ScoreSettings
from dnd.selection import components


def test_a_lone_image_of_rank_zero_gets_the_whole_weight():
    weights = ScoreSettings(auc=0, rank=1, image_similarity=0, votes=0, first_rank=0)
    parts = {"auc": 0.0, "rank_score": 0.0, "image_similarity": 0.0, "votes": 0.0}
    assert components.combine(parts, weights, 1) == 1
    # ranks 0 to 5: the worst five are 1 to 5
    assert components.combine(parts | {"rank_score": 5.5}, weights, 6) == pytest.approx(0.5)
