"""What labels denote: worked examples, and that plain names and their meanings agree for every kind of concept."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnd.shapeworld import world
from dnd.shapeworld.grammar import alternatives, caption, caption_of_view, either, parse, phrase
from dnd.shapeworld.world import conjunction
from training.concept_kinds import KINDS, draw_words

KIND = st.sampled_from(sorted(KINDS))
SEED = st.integers(0, 2**32 - 1)
WORDS = st.builds(lambda kind, seed: draw_words(kind, np.random.default_rng(seed)), KIND, SEED)


def means(label, *alternatives):
    """Whether a label denotes the disjunction of conjunctions of words."""
    found = parse(label)
    return found is not None and np.array_equal(
        found, np.logical_or.reduce([conjunction(words.split()) for words in alternatives])
    )


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["red"], "red objects"),
        (["star"], "stars"),
        (["striped"], "striped objects"),
        (["brick"], "bricks backgrounds"),
        (["warm"], "warm colours"),
        (["round"], "round objects"),
        (["patterned"], "patterned objects"),
        (["red", "star"], "red stars"),
        (["star", "red"], "red stars"),
        (["warm", "star"], "warm coloured stars"),
        (["red", "pointed"], "red pointed objects"),
        (["blue", "dotted", "ring"], "blue dotted rings"),
        (["cross", "snow"], "crosses on snow"),
        (["warm", "sand"], "warm coloured objects on sand"),
        ([], "various objects"),
    ],
)
def test_plain_names(words, expected):
    assert phrase(words) == expected
    assert means(expected, " ".join(words))


def test_plain_name_of_a_disjunction():
    assert either(["red"], ["star"]) == "red objects or stars"


@given(WORDS)
def test_the_plain_name_of_every_concept_denotes_it(words):
    assert np.array_equal(parse(phrase(words)), conjunction(words))


@given(WORDS, WORDS)
def test_a_disjunction_denotes_what_either_denotes(first, second):
    expected = conjunction(first) | conjunction(second)
    assert np.array_equal(parse(either(first, second)), expected)


@given(WORDS, st.sampled_from(["elephant", "not", "7", "étoile", "红", "dog-like"]))
def test_an_unknown_word_puts_a_label_outside_the_grammar(words, stranger):
    assert parse(f"{phrase(words)} {stranger}") is None
    assert parse(f"{stranger} {phrase(words)}") is None


@given(WORDS)
def test_case_spaces_and_stops_do_not_matter(words):
    assert np.array_equal(parse(f"  {phrase(words).upper()}. "), conjunction(words))


@pytest.mark.parametrize(
    ("label", "alternatives"),
    [
        # other words for the same
        ("crimson discs", ["red circle"]),
        ("violet hoops", ["purple ring"]),
        ("spotted things", ["dotted"]),
        ("polka dots", ["dotted"]),
        ("polka-dot stars", ["dotted star"]),
        ("stripes", ["striped"]),
        ("solid pluses", ["plain cross"]),
        ("objects with patterns", ["patterned"]),
        ("a grassy scene", ["grass"]),
        ("snowy backgrounds", ["snow"]),
        ("brick walls", ["brick"]),
        ("things at the beach", ["sand"]),
        ("red-themed scenes", ["red"]),
        ("figures on a lawn", ["grass"]),
        # the same in another order or with more words
        ("stars that are red", ["red star"]),
        ("a close-up of a red star", ["red star"]),
        ("pictures of red shapes on grass", ["red grass"]),
        ("striped, green objects", ["striped green"]),
        ("things in warm colors", ["warm"]),
        # equal in meaning by extension
        ("red, orange or yellow objects", ["warm"]),
        ("red, orange and yellow objects", ["red", "orange", "yellow"]),
        ("circles or rings", ["round"]),
        ("dotted or striped objects", ["patterned"]),
        ("warm or cool colours", [""]),
        # alternatives
        ("red or blue stars", ["red star", "blue star"]),
        ("red/blue stars", ["red star", "blue star"]),
        ("red or blue", ["red", "blue"]),
        ("red or striped objects", ["red", "striped"]),
        ("red or striped stars", ["red star", "striped star"]),
        ("red or blue striped stars", ["red striped star", "blue striped star"]),
        ("red objects or stars", ["red", "star"]),
        ("red objects, stars", ["red", "star"]),
        ("red objects or blue stars or snow", ["red", "blue star", "snow"]),
        ("red stars on grass or water", ["red star grass", "water"]),
        # everything
        ("various objects", [""]),
        ("many different shapes", [""]),
        ("items of all kinds", [""]),
    ],
)
def test_worked_meanings(label, alternatives):
    assert means(label, *alternatives)


@pytest.mark.parametrize(
    "label",
    [
        "",
        " . ",
        "or",
        "nothing",
        "a picture",
        "elephants",
        "red elephants",
        "no red objects",
        "objects without stripes",
        "colours",
        "backgrounds",
        "red backgrounds",
        "stars on a striped background",
        "3 stars",
        "<script>red</script>",
    ],
)
def test_labels_outside_the_grammar(label):
    assert parse(label) is None


@given(SEED, st.booleans(), st.booleans(), st.booleans())
def test_a_caption_names_only_what_can_be_seen(seed, shape, surface, place):
    rng = np.random.default_rng(seed)
    scene = world.sample_scene(rng)
    text = caption(scene, rng, shape=shape, surface=surface, place=place)
    place = place or not surface
    words = [scene.colour, scene.texture] * surface + [scene.shape] * (shape and surface)
    expected = conjunction([*words, *([scene.background] * place)])
    assert np.array_equal(parse(text), expected), text
    assert " a orange" not in f" {text}"


def test_a_cut_out_is_captioned_by_what_it_shows():
    scene = world.Scene("red", "striped", "star", "snow")
    mask = np.zeros((64, 64), bool)
    mask[16:48, 16:48] = True

    def meaning(crop):
        text = caption_of_view(scene, mask, crop, np.random.default_rng(0))
        return None if text is None else parse(text)

    assert np.array_equal(meaning(mask), conjunction(["red", "striped", "star", "snow"]))
    assert np.array_equal(meaning(mask[16:48, 16:48]), conjunction(["red", "striped", "star"]))
    assert np.array_equal(meaning(mask[20:30, 20:30]), conjunction(["red", "striped"]))
    assert np.array_equal(meaning(mask[10:26, 10:26]), conjunction(["red", "striped", "snow"]))
    assert np.array_equal(meaning(mask[:10, :10]), conjunction(["snow"]))
    assert meaning(mask[:20, :20]) is None  # 16 of 400 pixels: neither background alone nor an object


@pytest.mark.parametrize(
    ("label", "parts"),
    [
        ("red objects or stars", ["red", "star"]),
        ("red or blue stars", ["red star", "blue star"]),
        ("red or striped objects", ["red", "striped"]),
        ("red stars", ["red star"]),
        ("various objects", [""]),
    ],
)
def test_or_joins_alternatives(label, parts):
    found = alternatives(label)
    assert len(found) == len(parts)
    assert all(np.array_equal(one, conjunction(words.split())) for one, words in zip(found, parts, strict=True))


def test_what_lies_outside_the_grammar_has_no_alternatives():
    assert alternatives("red objects or unicorns") is None
