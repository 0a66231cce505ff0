"""Renders: the same for the same seed, true to their scenes, and as their masks say."""

import numpy as np
import pytest

from dnd.shapeworld import render, world
from dnd.shapeworld.world import ATTRIBUTES, Scene

AREAS = {  # of a shape of radius r, in r^2, worked out from its outline
    "circle": np.pi,
    "ring": np.pi * (1.01**2 - 0.39**2),
    "square": 1.64**2,
    "cross": 2 * (2 * 0.84) - 0.84**2,
    "triangle": 2.0 * 1.8 / 2,
    "star": 5 * np.sin(np.pi / 5) * 1.15 * 0.58,
}


def drawn(scene, seed=0):
    return render.render(scene, np.random.default_rng(seed))


@pytest.mark.parametrize("shape", ATTRIBUTES["shape"])
@pytest.mark.parametrize("background", ATTRIBUTES["background"])
def test_size_and_type(shape, background):
    image, mask = drawn(Scene("red", "dotted", shape, background))
    assert (image.shape, image.dtype) == ((64, 64, 3), np.uint8)
    assert (mask.shape, mask.dtype) == ((64, 64), bool)


def test_an_image_is_a_function_of_seed_and_index():
    first, again = render.draw(1, 7), render.draw(1, 7)
    assert first[0] == again[0]
    assert np.array_equal(first[1], again[1])
    assert np.array_equal(first[2], again[2])


def test_streams_share_no_image():
    images = {render.draw(seed, i)[1].tobytes() for seed in range(1, 5) for i in range(25)}
    assert len(images) == 100


def test_the_scene_of_a_stream_can_be_had_without_drawing():
    for i in range(10):
        assert render.draw(3, i)[0] == world.sample_scene(np.random.default_rng([3, i]))


@pytest.mark.parametrize("colour", ATTRIBUTES["colour"])
def test_the_object_has_the_scenes_colour_and_the_background_has_not(colour):
    image, mask = drawn(Scene(colour, "plain", "square", "snow"))
    inner = np.median(image[mask], axis=0)
    # light and tint vary by some 8 % and 10 levels
    assert np.abs(inner - render.PALETTE[colour]).max() < 32
    nearest = min(render.PALETTE, key=lambda name: np.linalg.norm(np.subtract(render.PALETTE[name], inner)))
    assert nearest == colour
    outside = np.median(image[~mask], axis=0)
    assert np.abs(outside - (236, 240, 246)).max() < 32


@pytest.mark.parametrize("shape", ATTRIBUTES["shape"])
def test_masks_have_the_area_of_their_shape(shape):
    for seed in range(5):
        _, mask = drawn(Scene("red", "plain", shape, "snow"), seed)
        radius = np.random.default_rng(seed).uniform(21, 24.5)  # the first number drawn
        assert mask.sum() == pytest.approx(AREAS[shape] * radius**2, rel=0.03)


def test_objects_stay_inside_the_image():
    for i in range(60):
        scene, _, mask = render.draw(2, i)
        edge = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
        assert not edge.any(), scene


def test_a_ring_has_a_hole_and_a_circle_has_none():
    for shape, filled in (("circle", True), ("ring", False)):
        _, mask = drawn(Scene("red", "plain", shape, "snow"))
        ys, xs = np.nonzero(mask)
        assert mask[round(ys.mean()), round(xs.mean())] == filled


def dark(texture):
    """The share of dark pixels on a square, and whether they run through its rows."""
    image, mask = drawn(Scene("yellow", texture, "square", "snow"))
    ys, xs = np.nonzero(mask)
    inner = image[ys.min() + 6 : ys.max() - 5, xs.min() + 6 : xs.max() - 5].mean(axis=2) < 80
    return inner.mean(), inner.mean(axis=1).max()


def test_textures_differ_by_their_ink():
    share, _ = dark("plain")
    assert share < 0.01
    share, row = dark("striped")
    assert 0.3 < share < 0.6  # four of nine pixels
    assert row > 0.8
    share, row = dark("dotted")
    assert 0.15 < share < 0.35  # 2.8^2 pi of 9 x 11 pixels
    assert row < 0.8


def test_unknown_values_are_errors():
    good = {"colour": "red", "texture": "plain", "shape": "star", "background": "snow"}
    for name in ("texture", "shape", "background"):
        with pytest.raises(ValueError, match="mauve"):
            drawn(Scene(**good | {name: "mauve"}))


def test_the_scene_of_a_render_is_known_without_drawing_it():
    assert [render.scene_of(6, number) for number in range(20)] == [render.draw(6, number)[0] for number in range(20)]
