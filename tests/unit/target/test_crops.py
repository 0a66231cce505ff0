import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dnd.config.stages import ExemplarSettings
from dnd.target import crops

SETTINGS = ExemplarSettings()


def blob(*boxes, side=64, value=3.0):
    heat = torch.zeros(side, side)
    for x0, y0, x1, y1 in boxes:
        heat[y0:y1, x0:x1] = value
    return heat


def test_stretching_does_not_wrap_values_above_one():
    grey = crops.stretched(torch.tensor([[0.0, 1.2], [3.0, 1.5]]))
    assert grey.tolist() == [[0, 102], [255, 128]]  # the released driver gives 0, 50, 253, 126


def test_flat_map_has_no_crops():
    assert crops.stretched(torch.full((4, 4), 2.0)) is None
    assert crops.boxes(torch.full((4, 4), 2.0), (0, 0, 64, 64), (64, 64), (64, 64), SETTINGS) == []


def test_crops_are_the_boxes_of_the_blobs_largest_first():
    heat = blob((2, 4, 22, 24), (30, 30, 60, 60))
    assert crops.boxes(heat, (0, 0, 64, 64), (64, 64), (64, 64), SETTINGS) == [(30, 30, 60, 60), (2, 4, 22, 24)]


def test_small_and_frame_filling_blobs_are_left_out():
    assert crops.boxes(blob((2, 2, 10, 30)), (0, 0, 64, 64), (64, 64), (64, 64), SETTINGS) == []
    assert crops.boxes(blob((1, 1, 63, 63)), (0, 0, 64, 64), (64, 64), (64, 64), SETTINGS) == []


def test_at_most_so_many_crops():
    heat = blob(*[(x, y, x + 14, y + 14) for x in (1, 17, 33, 49) for y in (1, 17)])
    assert len(crops.boxes(heat, (0, 0, 64, 64), (64, 64), (64, 64), SETTINGS)) == 4


def test_overlapping_crops_keep_the_larger():
    # an L that encloses a square: the square's box lies inside the L's box with IoU (30*30)/(40*40) = .56
    heat = blob((0, 0, 8, 40), (0, 0, 40, 8), (10, 10, 40, 40))
    assert crops.boxes(heat, (0, 0, 64, 64), (64, 64), (64, 64), SETTINGS) == [(0, 0, 40, 40)]
    assert len(crops.boxes(heat, (0, 0, 64, 64), (64, 64), (64, 64), ExemplarSettings(max_overlap=0.6))) == 2


def test_boxes_are_mapped_back_through_the_centre_crop():
    # the network sees the middle 200 x 200 of a 400 x 200 image, as 50 x 50 pixels
    boxes = crops.boxes(blob((10, 10, 30, 40), side=50), (100, 0, 300, 200), (400, 200), (50, 50), SETTINGS)
    assert boxes == [(140, 40, 220, 160)]


@given(st.lists(st.integers(0, 40), min_size=4, max_size=4), st.lists(st.integers(1, 40), min_size=4, max_size=4))
def test_iou_is_symmetric_and_bounded(corner, side):
    a = (corner[0], corner[1], corner[0] + side[0], corner[1] + side[1])
    b = (corner[2], corner[3], corner[2] + side[2], corner[3] + side[3])
    pixels_a, pixels_b = np.zeros((90, 90), bool), np.zeros((90, 90), bool)
    pixels_a[a[1] : a[3], a[0] : a[2]] = True
    pixels_b[b[1] : b[3], b[0] : b[2]] = True
    expected = (pixels_a & pixels_b).sum() / (pixels_a | pixels_b).sum()
    assert crops.iou(a, b) == pytest.approx(expected) == pytest.approx(crops.iou(b, a))
