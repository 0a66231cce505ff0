"""Pixels, and boxes of the input found again in the image: resize and crop, squash, letterbox."""

import numpy as np
import pytest
import torch
from handmade import plain
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torchvision.transforms import InterpolationMode
from torchvision.transforms._presets import ImageClassification

from dnd.config.stages import ExemplarSettings
from dnd.config.targets import PreprocessSettings
from dnd.target.crops import boxes
from dnd.target.preprocess import Preprocess

IMAGENET = PreprocessSettings(size=224, resize=256, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
FITS = {
    "crop": plain(96, resize=112),
    "squash": plain((96, 64), fit="squash"),
    "squash and cut": plain(96, fit="squash", resize=112),
    "letterbox": plain((64, 96), fit="letterbox"),
}


def photograph(width, height):
    rng = np.random.default_rng(3)
    return Image.fromarray(rng.integers(0, 255, (height // 8, width // 8, 3), np.uint8)).resize((width, height))


def test_frame_is_the_centre_crop_in_original_pixels():
    # shorter side 512 -> 256, so that 224 of 256 pixels are 448 of 512
    assert Preprocess(IMAGENET).frame(1024, 512) == pytest.approx((288, 32, 736, 480))


def test_frame_of_a_squashed_image_is_the_image():
    assert plain(32, fit="squash").frame(300, 200) == (0, 0, 300, 200)


def test_frame_of_a_padded_image_reaches_beyond_it():
    # 200 x 100 fits a square of 50 as 50 x 25, with 12 rows above and 13 below
    assert plain(50, fit="letterbox").frame(200, 100) == pytest.approx((0, -48, 200, 152))


@pytest.mark.parametrize("size", [(300, 200), (200, 333), (257, 256), (640, 480)])
def test_classification_input_is_that_of_torchvision(size):
    image = photograph(*size)
    theirs = ImageClassification(crop_size=224, interpolation=InterpolationMode.BICUBIC)(image)
    ours = Preprocess(IMAGENET.model_copy(update={"interpolation": "bicubic"})).image(image)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)


def test_grey_input_has_one_channel():
    pixels = plain(4, mean=(0.5,), std=(0.5,)).image(Image.new("RGB", (4, 4), (255, 255, 255)))
    assert pixels.tolist() == [[[1.0] * 4] * 4]


def test_border_has_the_fill():
    pixels = plain(4, fit="letterbox", fill=(255, 0, 51)).image(Image.new("RGB", (8, 4)))
    assert pixels[:, 0, 0].tolist() == pytest.approx([1, 0, 0.2])
    assert pixels[:, 1:3].max() == 0


def test_cutout_shows_the_box_and_nothing_else():
    image = Image.new("RGB", (100, 100))
    image.paste((255, 255, 255), (10, 20, 40, 30))
    assert plain(32).cutout(image, (10, 20, 40, 30)).min() == 1


def test_cutout_keeps_its_proportions_where_whole_images_do():
    image = Image.new("RGB", (100, 100), (255, 255, 255))
    pixels = plain(30, fit="letterbox").cutout(image, (10, 20, 40, 30))
    assert pixels[:, 10:20].min() == 1
    assert pixels[:, :9].max() == 0


@pytest.mark.parametrize("fit", FITS)
@given(
    width=st.integers(60, 400),
    height=st.integers(60, 400),
    place=st.tuples(st.floats(0.2, 0.5), st.floats(0.2, 0.5), st.floats(0.15, 0.3), st.floats(0.15, 0.3)),
)
def test_boxes_lie_within_a_pixel_of_the_truth(fit, width, height, place):
    """A rectangle of the input, seen in the map, is found again where it lies in the image."""
    preprocess = FITS[fit]
    high, wide = preprocess.size
    frame = preprocess.frame(width, height)
    x0, y0, x1, y1 = (frame[0], frame[1], frame[2], frame[3])
    # the rectangle's edges on the input's pixels, inside what the image covers
    seen = (max(0, x0), max(0, y0), min(width, x1), min(height, y1))
    truth = [
        seen[0] + place[0] * (seen[2] - seen[0]),
        seen[1] + place[1] * (seen[3] - seen[1]),
        seen[0] + (place[0] + place[2]) * (seen[2] - seen[0]),
        seen[1] + (place[1] + place[3]) * (seen[3] - seen[1]),
    ]
    across, down = (x1 - x0) / wide, (y1 - y0) / high
    pixels = [round((truth[i] - frame[i % 2]) / (across, down)[i % 2]) for i in range(4)]
    truth = [frame[i % 2] + pixels[i] * (across, down)[i % 2] for i in range(4)]
    heat = torch.zeros(high, wide)
    heat[pixels[1] : pixels[3], pixels[0] : pixels[2]] = 1
    settings = ExemplarSettings(min_side=0)
    (box,) = boxes(heat, frame, (width, height), preprocess.size, settings)
    assert np.abs(np.array(box) - truth).max() <= 1


@given(st.integers(8, 500), st.integers(8, 500), st.sampled_from(sorted(FITS)))
def test_input_shows_the_frame(width, height, fit):
    """A white image with a black border: where the frame says the border lies, the input is black."""
    preprocess = FITS[fit]
    pixels = preprocess.image(Image.new("RGB", (width, height), (255, 255, 255)))
    assert tuple(pixels.shape[1:]) == preprocess.size
    x0, _, x1, _ = preprocess.frame(width, height)
    inside = pixels[0].bool()
    columns = inside.any(0).nonzero()[:, 0]
    across = (x1 - x0) / preprocess.size[1]
    left, right = max(0.0, -x0 / across), min(preprocess.size[1], (width - x0) / across)
    assert int(columns[0]) == pytest.approx(left, abs=1)
    assert int(columns[-1]) + 1 == pytest.approx(right, abs=1)
