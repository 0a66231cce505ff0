"""Clauses: AND, OR and NOT of the world's words hold where those of their extensions do, and have short names."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnd.shapeworld import clauses, world
from dnd.shapeworld.grammar import parse

WORDS = [value for values in world.ATTRIBUTES.values() for value in values] + list(world.GROUPS)
WORD = st.sampled_from(WORDS)


def extension(found):
    """Where a disjunction of clauses holds, scene by scene."""
    holds = np.zeros(world.SHAPE, bool)
    for index in np.ndindex(*world.SHAPE):
        scene = world.scene_at(index)
        values = [getattr(scene, name) for name in world.ATTRIBUTES]
        holds[index] = any(
            all(value in allowed for value, allowed in zip(values, clause, strict=True)) for clause in found
        )
    return holds


@given(WORD, WORD, WORD)
def test_combinations_hold_where_those_of_the_extensions_do(first, second, third):
    a, b, c = map(world.word_extension, (first, second, third))
    x, y, z = map(clauses.word, (first, second, third))
    assert np.array_equal(extension(clauses.both(x, clauses.either(y, z))), a & (b | c))
    assert np.array_equal(extension(clauses.negated(clauses.either(x, clauses.both(y, z)))), ~(a | (b & c)))


@given(WORD, WORD)
def test_names_are_read_back(first, second):
    either = clauses.either(clauses.word(first), clauses.word(second))
    assert np.array_equal(parse(clauses.phrase(either)), extension(either))


def test_of_what_holds_nowhere_and_everywhere():
    red, blue = clauses.word("red"), clauses.word("blue")
    assert clauses.phrase(clauses.both(red, blue)) == clauses.NOTHING
    assert clauses.phrase(clauses.either(red, clauses.negated(red))) == "various objects"


def test_words_of_the_world():
    assert all(map(clauses.is_word, WORDS))
    assert not clauses.is_word("mauve")
    with pytest.raises(KeyError):
        clauses.word("mauve")


@pytest.mark.parametrize(
    ("allowed", "words"),
    [
        ({"red", "orange", "yellow"}, ["warm"]),
        ({"red", "orange", "yellow", "blue"}, ["warm", "blue"]),
        ({"red", "blue"}, ["red", "blue"]),
    ],
)
def test_the_fewest_words_cover_the_values(allowed, words):
    assert clauses.words_for("colour", frozenset(allowed)) == words
