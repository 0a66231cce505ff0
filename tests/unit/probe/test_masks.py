"""Annotations as tables hold them: concepts of images, each with a mask of the pixels that show it."""

import io

import numpy as np
from PIL import Image

from dnd.probe import masks


def test_a_mask_takes_one_bit_a_pixel():
    mask = np.random.default_rng(0).random((5, 7)) < 0.5
    data = masks.png(mask)
    assert Image.open(io.BytesIO(data)).mode == "1"
    assert np.array_equal(masks.mask_of(data), mask)
    assert masks.png(np.ones((5, 7), bool)) is None
