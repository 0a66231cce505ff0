"""Beam search: what comes first among equals, what may not come into the beam, and what is kept once."""

import numpy as np
import pytest

from dnd.rivals import beam
from dnd.rivals.beam import Extent, Options
from dnd.rivals.formulas import Concept

A, B, C = map(Concept, "abc")
HOLDS = {A: [1, 1, 0, 0], B: [1, 0, 1, 0], C: [1, 1, 0, 0]}
EXTENTS = [Extent(concept, np.array(holds, bool)) for concept, holds in HOLDS.items()]


def options(scores, write=EXTENTS.__getitem__):
    scores = np.array(scores, float)
    return Options(scores / 2, scores, write)


def nothing(extent, length):
    return []


def test_an_extent_is_joined_as_its_formula():
    a, b, _ = EXTENTS
    assert ((a & ~b) | b).formula == (A & ~B) | B
    assert ((a & ~b) | b).holds.tolist() == [True, True, True, False]


def test_the_best_come_first_with_their_measures():
    matches = beam.search(options([0.2, 0.4, -np.inf]), nothing, 1, 5)
    assert [(match.formula, match.measure, match.score) for match in matches] == [(B, 0.2, 0.4), (A, 0.1, 0.2)]


@pytest.mark.parametrize("width", [1, 2])
def test_at_most_so_many_are_kept(width):
    assert len(beam.search(options([0.1, 0.2, 0.3]), nothing, 1, width)) == width


def test_of_formulas_that_hold_in_the_same_places_the_better_one_is_kept():
    assert [match.formula for match in beam.search(options([0.1, 0.2, 0.3]), nothing, 1, 5)] == [C, B]
    assert [match.formula for match in beam.search(options([0.3, 0.2, 0.3]), nothing, 1, 5)] == [A, B]


def test_of_equal_scores_the_shorter_formula_then_that_from_the_better_one_comes_first():
    def extend(extent, length):
        yield options([0.5, 0.5, -np.inf], lambda i: extent & ~EXTENTS[1 - i])
        yield options([-np.inf, -np.inf, 0.4], lambda i: extent | EXTENTS[1])

    matches = beam.search(options([0.5, 0.4, -np.inf]), extend, 2, 9)
    assert [match.formula for match in matches] == [A, A & ~B, A & ~A, B & ~A, B, A | B]


def test_an_empty_beam_stays_empty():
    assert beam.search(options([-np.inf] * 3), nothing, 3, 5) == []
