"""Attributes, scenes and extensions against counts that can be worked out by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnd.shapeworld import world
from dnd.shapeworld.world import ATTRIBUTES, GROUPS, Scene, conjunction, word_extension

WORD = st.sampled_from([value for values in ATTRIBUTES.values() for value in values] + list(GROUPS))
EXTENSION = st.lists(WORD, max_size=4).map(conjunction)


def test_the_world_has_540_scenes():
    assert world.SHAPE == (6, 3, 6, 5)
    assert world.everything().size == 540


@pytest.mark.parametrize(
    ("word", "attribute", "scenes"),
    [
        ("red", "colour", 90),  # 540 / 6
        ("striped", "texture", 180),  # 540 / 3
        ("star", "shape", 90),
        ("snow", "background", 108),  # 540 / 5
        ("warm", "colour", 270),  # three of six colours
        ("patterned", "texture", 360),
        ("round", "shape", 180),
    ],
)
def test_extensions_of_words(word, attribute, scenes):
    assert world.attribute_of(word) == attribute
    assert word_extension(word).sum() == scenes


@pytest.mark.parametrize(
    ("words", "scenes"),
    [
        ([], 540),
        (["red", "star"], 15),  # 3 textures x 5 backgrounds
        (["red", "dotted", "star"], 5),
        (["warm", "round", "patterned", "grass"], 12),  # 3 x 2 x 2
        (["red", "warm"], 90),
        (["red", "blue"], 0),
    ],
)
def test_extensions_of_conjunctions(words, scenes):
    assert conjunction(words).sum() == scenes


def test_an_extension_is_the_callers_own():
    mine = word_extension("red")
    mine[:] = True
    assert word_extension("red").sum() == 90


def test_unknown_words_are_errors():
    for word in ("mauve", "", "Red"):
        with pytest.raises(KeyError):
            world.attribute_of(word)


def test_complementary_groups_share_out_their_attribute():
    for groups in (("warm", "cool"), ("round", "pointed", "boxy")):
        parts = [word_extension(word) for word in groups]
        assert np.array_equal(np.sum(parts, axis=0), np.ones(world.SHAPE, int))


@given(st.tuples(*(st.integers(0, n - 1) for n in world.SHAPE)))
def test_scene_and_position_are_one_to_one(index):
    scene = world.scene_at(index)
    assert scene.index == index
    for name, values in ATTRIBUTES.items():
        own = [value for value in values if word_extension(value)[index]]
        assert own == [getattr(scene, name)]


def test_a_scene_of_unknown_value_has_no_position():
    with pytest.raises(ValueError):
        Scene("mauve", "plain", "star", "snow").index  # noqa: B018


def test_scenes_are_drawn_uniformly():
    rng = np.random.default_rng(0)
    scenes = [world.sample_scene(rng) for _ in range(3000)]
    for name, values in ATTRIBUTES.items():
        share = 1 / len(values)
        error = (share * (1 - share) / 3000) ** 0.5
        for value in values:
            found = sum(getattr(scene, name) == value for scene in scenes) / 3000
            assert abs(found - share) < 4 * error, (name, value)


def test_overlap_of_red_and_red_stars():
    red, stars = conjunction(["red"]), conjunction(["red", "star"])
    assert world.iou(red, stars) == 15 / 90
    assert world.f1(stars, red) == 2 * 15 / (15 + 90)


def test_overlap_of_red_and_stars():
    red, stars = conjunction(["red"]), conjunction(["star"])
    assert world.iou(red, stars) == 15 / (90 + 90 - 15)
    assert world.f1(red, stars) == 2 * 15 / 180


def test_nothing_agrees_with_nothing_only():
    nothing, red = conjunction(["red", "blue"]), conjunction(["red"])
    assert world.iou(nothing, nothing) == world.f1(nothing, nothing) == 1
    assert world.iou(nothing, red) == world.f1(nothing, red) == 0


@given(EXTENSION, EXTENSION)
def test_iou_and_f1_agree_with_one_another(a, b):
    iou, f1 = world.iou(a, b), world.f1(a, b)
    assert 0 <= iou <= f1 <= 1
    assert f1 == pytest.approx(2 * iou / (1 + iou))
    assert (iou == 1) == np.array_equal(a, b)
    assert world.iou(b, a) == iou
