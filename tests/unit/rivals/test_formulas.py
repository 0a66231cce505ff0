"""Formulas: where they hold, when two are the same, and names that say what they mean."""

import numpy as np
import pytest

from dnd.rivals.formulas import Concept, phrasing, plain_phrase, world_phrase
from dnd.shapeworld import clauses, grammar, world

WORDS = [value for values in world.ATTRIBUTES.values() for value in values] + list(world.GROUPS)
EXTENSIONS = {word: world.word_extension(word) for word in WORDS}
RED, STAR, RING, BLUE, GRASS = map(Concept, ("red", "star", "ring", "blue", "grass"))


def drawn(rng, most):
    """A random formula of up to ``most`` words of the world."""
    found = Concept(str(rng.choice(WORDS)))
    for _ in range(int(rng.integers(most))):
        other = Concept(str(rng.choice(WORDS)))
        other = ~other if rng.random() < 0.4 else other
        found = found & other if rng.random() < 0.5 else found | other
        found = ~found if rng.random() < 0.2 else found
    return found


def test_truth_is_that_of_the_arrays():
    a, b, c = np.random.default_rng(0).random((3, 7, 5)) < 0.5
    labels = {"a": a, "b": b, "c": c}
    formula = (Concept("a") & ~Concept("b")) | Concept("c")
    assert np.array_equal(formula.evaluate(labels.__getitem__), a & ~b | c)
    assert np.array_equal((~formula).evaluate(labels.__getitem__), ~(a & ~b | c))
    assert str(formula) == "(NOT b AND a) OR c"
    with pytest.raises(KeyError, match="b"):
        formula.evaluate({"a": a, "c": c}.__getitem__)


def test_formulas_that_differ_in_order_or_repetition_only_are_equal():
    assert (RED & STAR) & RING == RING & (STAR & RED)
    assert hash(RED | STAR) == hash(STAR | RED)
    assert RED & RED == RED
    assert ~~RED == RED
    assert RED & STAR != RED | STAR


def test_a_formula_of_other_concepts_is_a_formula_again():
    formula = (RED & ~STAR) | RING
    assert formula.evaluate({"red": BLUE, "star": STAR, "ring": STAR}.__getitem__) == (BLUE & ~STAR) | STAR
    assert (RED | BLUE).evaluate(lambda name: STAR) == STAR


@pytest.mark.parametrize(
    ("formula", "name"),
    [
        (RED, "red objects"),
        (RED & STAR, "red stars"),
        (RED & GRASS, "red objects on grass"),
        (RED | STAR, "red objects or stars"),
        (RED | BLUE, "red and blue objects"),
        ((RED | BLUE) & STAR, "red and blue stars"),
        (~Concept("plain"), "patterned objects"),
        (~Concept("warm"), "cool colours"),
        (RED & ~STAR, "red round and boxy objects and triangles"),
        (Concept("round") & ~RING, "circles"),
        (GRASS | Concept("sand"), "grass and sand backgrounds"),
        ((RED & STAR) | (RED & RING), "red rings and stars"),
        (RED & BLUE, "nothing"),
        (RED | ~RED, "various objects"),
    ],
)
def test_names_in_the_words_of_the_world(formula, name):
    assert world_phrase(formula) == name


def test_the_grammar_reads_names_back():
    rng = np.random.default_rng(0)
    for _ in range(1000):
        formula = drawn(rng, 5)
        truth, meaning = formula.evaluate(EXTENSIONS.__getitem__), grammar.parse(world_phrase(formula))
        if truth.any():
            assert np.array_equal(meaning, truth), formula
        else:
            assert world_phrase(formula) == clauses.NOTHING
            assert meaning is None


def test_names_in_other_worlds():
    assert (
        plain_phrase(Concept("swimming_pool") & ~(Concept("water") | BLUE)) == "swimming pool and not (blue or water)"
    )
    assert plain_phrase(~Concept("car") | Concept("bus")) == "bus or not car"


def test_words_of_the_world_among_others_are_no_words_of_the_world():
    assert phrasing(["red", "star"])(RED & STAR) == "red stars"
    assert phrasing(["red", "star", "car"])(RED & STAR) == "red and star"
