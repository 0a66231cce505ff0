"""Scenes of renders: attributes that go together, values that are rare, and what stays as it is."""

from dataclasses import replace

import numpy as np
import pytest

from dnd.config.scenes import SceneSettings, Stream
from dnd.shapeworld.render import draw
from dnd.shapeworld.scenes import numbered, scene_of
from dnd.shapeworld.world import ATTRIBUTES, sample_scene

IMAGES = 3000


def scenes(**settings):
    return [scene_of(8, number, SceneSettings(**settings)) for number in range(IMAGES)]


def breaks(shown, shift=0):
    """Whether each scene breaks the pairing of colour and shape."""
    colours, shapes = ATTRIBUTES["colour"], ATTRIBUTES["shape"]
    return [colours.index(scene.colour) != (shapes.index(scene.shape) - shift) % len(shapes) for scene in shown]


def shares(shown, attribute):
    values = [getattr(scene, attribute) for scene in shown]
    return np.array([values.count(value) for value in ATTRIBUTES[attribute]]) / len(values)


def test_without_settings_a_scene_is_the_one_that_the_stream_draws():
    for number in range(20):
        plain = sample_scene(np.random.default_rng([8, number]))
        assert scene_of(8, number) == scene_of(8, number, SceneSettings()) == plain


@pytest.mark.parametrize("shift", [0, 2])
def test_two_attributes_go_together(shift):
    shown = scenes(together=["colour", "shape"], shift=shift)
    assert not any(breaks(shown, shift))
    assert shares(shown, "colour") == pytest.approx(1 / 6, abs=0.03)
    assert shares(shown, "background") == pytest.approx(1 / 5, abs=0.03)
    assert len({(scene.colour, scene.texture, scene.background) for scene in shown}) == 6 * 3 * 5


@pytest.mark.parametrize("leak", [0.02, 0.05, 1])
def test_a_share_of_images_breaks_the_pairing(leak):
    broken = np.array(breaks(scenes(together=["colour", "shape"], leak=leak)))
    assert broken.mean() == pytest.approx(leak, abs=3 * np.sqrt(leak * (1 - leak) / IMAGES))


def test_images_that_break_a_pairing_show_the_other_values_equally_often():
    shown = scenes(together=["colour", "shape"], leak=1)
    stars = [scene for scene in shown if scene.shape == "star"]
    assert shares(stars, "colour") == pytest.approx(np.array([0.2] * 5 + [0]), abs=0.06)


def test_a_larger_leak_breaks_the_pairing_of_the_same_images_and_more():
    little, much = (scenes(together=["colour", "shape"], leak=leak) for leak in (0.02, 0.05))
    for few, many, broken in zip(little, much, breaks(little), strict=True):
        assert few == many or not broken


def test_an_attribute_of_fewer_values_goes_with_several():
    shown = scenes(together=["colour", "texture"])
    assert {(scene.colour, scene.texture) for scene in shown} == {
        (colour, ATTRIBUTES["texture"][place % 3]) for place, colour in enumerate(ATTRIBUTES["colour"])
    }


def test_rare_values_have_their_share_and_the_others_share_the_rest():
    shown = scenes(rare={"red": 0.01, "blue": 0.04, "snow": 0.0})
    assert shares(shown, "colour") == pytest.approx(np.array([0.01, *[0.95 / 4] * 3, 0.04, 0.95 / 4]), abs=0.025)
    assert shares(shown, "colour")[0] == pytest.approx(0.01, abs=0.006)
    assert shares(shown, "background")[ATTRIBUTES["background"].index("snow")] == 0


def test_what_settings_do_not_name_stays_as_it_was():
    rare = scenes(rare={"red": 0.0033})
    for number, scene in enumerate(rare):
        plain = scene_of(8, number)
        assert scene == replace(plain, colour=scene.colour)
        assert scene.colour == plain.colour or "red" in (scene.colour, plain.colour)


def test_a_render_shows_its_scene_and_keeps_its_place():
    settings = SceneSettings(together=["colour", "shape"])
    for number in range(20):
        scene, image, mask = draw(8, number, settings)
        assert scene == scene_of(8, number, settings)
        plain_scene, plain_image, plain_mask = draw(8, number)
        if scene == plain_scene:
            assert np.array_equal(image, plain_image) and np.array_equal(mask, plain_mask)
        else:
            assert not np.array_equal(mask, plain_mask)


def test_a_render_is_told_by_its_name():
    rare = SceneSettings(together=["colour", "shape"])
    streams = {"a/": Stream(seed=5, scenes=rare), "": Stream(seed=6)}
    assert numbered("a/000012.png", streams) == (5, 12, rare)
    assert numbered("000003.png", streams) == (6, 3, None)
    with pytest.raises(ValueError, match=r"image 'photo\.png' is no render"):
        numbered("photo.png", streams)
