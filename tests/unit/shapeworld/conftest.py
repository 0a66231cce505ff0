"""Renders that no model of the embedded world has seen."""

import numpy as np
import pytest

from dnd.shapeworld.render import draw
from training.pool import STREAMS

UNSEEN = range(50000, 50006)  # of the held-out stream, beyond the renders that measurements use


@pytest.fixture(scope="module")
def renders():
    """Six scenes, their images uint8 [6, 64, 64, 3]."""
    drawn = [draw(STREAMS["held_out"], i) for i in UNSEEN]
    return [scene for scene, _, _ in drawn], np.stack([image for _, image, _ in drawn])
