"""Captions with an error: one attribute missing or another, and nothing else."""

import re

import numpy as np
import pytest

from dnd.shapeworld import grammar
from dnd.shapeworld.caption_errors import with_error
from dnd.shapeworld.grammar import PLACES
from dnd.shapeworld.world import ATTRIBUTES, Scene

SCENE = Scene("orange", "striped", "star", "brick")
WORDS = {word: name for name, values in ATTRIBUTES.items() for word in values if name != "background"} | {
    word: "background" for word in PLACES.values()
}


def errors(caption):
    return {with_error(caption, SCENE, np.random.default_rng(seed)) for seed in range(300)}


def told(caption):
    return {WORDS[word]: word for word in caption.split() if word in WORDS}


@pytest.mark.parametrize("template", sorted({*grammar.FULL, *grammar.OBJECT, *grammar.PART, *grammar.SURFACE}))
def test_every_attribute_is_missing_or_another_at_times_and_the_others_stay(template):
    words = {"colour": "orange", "texture": "striped", "shape": "star", "place": "bricks"}
    caption = re.sub(r"\ba (?=orange)", "an ", template.format(**words))
    true = told(caption)
    seen = set()
    for wrong in errors(caption):
        shown = told(wrong)
        (attribute,) = [name for name in true if shown.get(name) != true[name]]
        assert set(shown) <= set(true)
        seen.add((attribute, attribute in shown))
        assert not re.search(r"\ba [aeiou]|\ban [^aeiou]|  |^ | $", wrong), wrong
        assert set(wrong.replace("-", " ").split()) <= {*grammar.vocabulary(), *PLACES.values()}
    assert seen == {(attribute, swapped) for attribute in true for swapped in (True, False)}


def test_missing_and_other_attributes_come_equally_often():
    caption = "an orange striped star on bricks"
    missing = [len(told(with_error(caption, SCENE, np.random.default_rng(seed)))) == 3 for seed in range(1000)]
    assert np.mean(missing) == pytest.approx(0.5, abs=0.06)


def test_a_caption_of_the_background_alone_tells_another():
    assert errors("a close-up of bricks") == {f"a close-up of {place}" for place in ("grass", "sand", "water", "snow")}


def test_a_caption_that_tells_no_attribute_stays():
    assert errors("part of an object") == {"part of an object"}
