"""True r: how well a label says when a unit is active, beside the best that any label could."""

import itertools

import numpy as np
import pytest

from dnd.config.scenes import Stream
from dnd.evaluation import truth
from dnd.shapeworld import world
from dnd.shapeworld.grammar import either, parse, phrase
from dnd.shapeworld.render import draw

EVERY = np.arange(truth.CELLS)
"""Each scene once."""
RNG = np.random.default_rng(0)


def held(*words, places=EVERY):
    return world.conjunction(words).ravel()[places]


def of_units(*units, places=EVERY):
    return truth.cells(places, np.stack(units, axis=1).astype(float))


def test_scenes_of_renders_are_told_by_their_names():
    names, streams = ["probe/000007.png", "other/000003.png"], {"probe/": Stream(seed=6), "other/": Stream(seed=2)}
    scenes = [draw(6, 7)[0], draw(2, 3)[0]]
    assert [np.unravel_index(place, world.SHAPE) for place in truth.places(names, streams)] == [
        scene.index for scene in scenes
    ]


def test_a_unit_that_is_its_label_is_told_by_it_alone():
    seen = of_units(held("red"), held("red", "star"), -1.0 * held("red"))
    # red stars are one of 36, red objects one of 6: covariance 1/36 - 1/216
    of_part = (5 / 216) / np.sqrt(5 / 36 * 35 / 1296)
    assert truth.true_r("red objects", seen) == pytest.approx([1, of_part, -1])
    assert truth.true_r("red stars", seen)[1] == pytest.approx(1)


def test_r_of_a_unit_of_two_words_is_that_of_the_formula():
    """Colour and shape are independent and each word holds for a sixth: r = weight / root of the squares' sum."""
    seen = of_units(0.6 * held("red") + 0.4 * held("star"))
    length = np.hypot(0.6, 0.4)
    assert truth.true_r("red objects", seen)[0] == pytest.approx(0.6 / length)
    assert truth.true_r("stars", seen)[0] == pytest.approx(0.4 / length)
    best = truth.best_of_one(seen)
    assert best.labels == ["red objects"] and best.r[0] == pytest.approx(0.6 / length)
    # either holds for 11 of 36: covariance (0.6 + 0.4) x 1/6 x 25/36
    expected = (25 / 216) / np.sqrt(11 / 36 * 25 / 36) / (length * np.sqrt(5 / 36))
    best = truth.best_of_two(seen)
    assert best.labels == ["red objects or stars"] and best.r[0] == pytest.approx(expected)


def test_r_is_that_of_single_images_however_often_a_scene_is_shown():
    places = RNG.integers(truth.CELLS, size=700)
    activations = RNG.standard_normal((700, 3)) + held("warm", places=places)[:, None] * [0, 1, 2]
    seen = truth.cells(places, activations)
    for label in ("warm colours", "red or striped objects", "stars on grass"):
        indicator = parse(label).ravel()[places]
        expected = [np.corrcoef(indicator, unit)[0, 1] for unit in activations.T]
        assert truth.true_r(label, seen) == pytest.approx(expected)


def test_what_does_not_vary_and_what_means_nothing_is_worth_nothing():
    seen = of_units(held("red"), np.full(truth.CELLS, 0.1))
    assert truth.true_r("red objects", seen)[1] == 0
    assert truth.true_r("happiness", seen).tolist() == [0, 0]
    assert truth.true_r("various objects", seen).tolist() == [0, 0]
    reds = np.flatnonzero(held("red"))
    assert truth.true_r("red objects", truth.cells(reds, RNG.standard_normal((len(reds), 1)))).tolist() == [0]


def test_every_conjunction_is_gone_through_once_and_its_name_means_it():
    words, extensions = truth.concepts()
    # of 8 colours, 4 textures, 9 shapes and 5 backgrounds, groups included: 26 + 245 + 988
    assert len(words) == len(np.unique(extensions, axis=0)) == 1259
    assert [parse(phrase(conjunction)).ravel().tolist() for conjunction in words] == extensions.tolist()


def test_the_best_pair_is_that_of_all_pairs_one_by_one(monkeypatch):
    words, extensions = truth.concepts()
    few = words[:24]
    monkeypatch.setattr(truth, "concepts", lambda: (few, extensions[:24]))
    places = RNG.integers(truth.CELLS, size=400)
    activations = np.stack([RNG.standard_normal(400), RNG.standard_normal(400) + held("star", places=places)], 1)
    best = truth.best_of_two(truth.cells(places, activations))
    for unit, values in enumerate(activations.T):
        r = {
            (first, second): np.corrcoef(either_holds, values)[0, 1]
            for first, second in itertools.combinations_with_replacement(few, 2)
            if not (either_holds := (held(*first) | held(*second))[places]).all()
        }
        first, second = max(r, key=r.get)
        assert best.r[unit] == pytest.approx(r[first, second])
        assert best.labels[unit] == (phrase(first) if first == second else either(first, second))


def test_one_word_is_named_where_a_second_adds_nothing():
    assert truth.best_of_two(of_units(held("red"), held("striped", "star"))).labels == ["red objects", "striped stars"]
