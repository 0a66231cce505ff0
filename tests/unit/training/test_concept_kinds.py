"""Kinds of concepts: what is drawn of each, and what holds for a scene."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnd.shapeworld import world
from dnd.shapeworld.world import GROUPS, attribute_of, conjunction
from training.concept_kinds import KINDS, draw_kind, draw_words, words_of

KIND = st.sampled_from(sorted(KINDS))
SEED = st.integers(0, 2**32 - 1)


@given(KIND, SEED)
def test_the_words_of_a_scene_hold_for_it(kind, seed):
    scene = world.sample_scene(np.random.default_rng(seed))
    words = words_of(scene, kind)
    if words is None:
        assert "texture*" in KINDS[kind]  # plain is in no group
        assert scene.texture == "plain"
    else:
        assert conjunction(words)[scene.index]


@pytest.mark.parametrize("kind", KINDS)
def test_words_are_of_the_attributes_of_their_kind(kind):
    words = draw_words(kind, np.random.default_rng(0))
    slots = KINDS[kind]
    assert [attribute_of(word) for word in words] == [slot.rstrip("*") for slot in slots]
    assert [word in GROUPS for word in words] == [slot.endswith("*") for slot in slots]


def test_only_accepted_kinds_are_drawn():
    rng = np.random.default_rng(0)
    drawn = {draw_kind(rng, lambda kind: "group" not in kind) for _ in range(300)}
    assert drawn == {kind for kind in KINDS if "group" not in kind}
