import numpy as np
import pytest

from dnd.candidates.clusters import caption_groups, word_cover


def directions(*degrees):
    """Unit vectors in the plane."""
    turns = np.radians(np.array(degrees, np.float64))
    return np.stack([np.cos(turns), np.sin(turns)], 1).astype(np.float32)


def vectors(**degrees):
    return dict(zip(degrees, directions(*degrees.values()), strict=True))


def test_captions_of_two_things_are_two_groups_by_rank():
    shown = dict(enumerate(["a", "x", "b", "y", "z"]))
    assert caption_groups(shown, vectors(a=0, b=4, x=80, y=85, z=90), 2) == [[0, 2], [1, 3, 4]]


def test_equal_captions_stay_together_and_one_caption_alone_is_no_group():
    shown = {0: "far", 2: "a", 3: "b", 5: "a", 7: "far"}
    assert caption_groups(shown, vectors(a=0, b=3, far=90), 2) == [[2, 3, 5]]


@pytest.mark.parametrize("shown", [{}, {0: "a"}, {0: "a", 1: "a"}])
def test_nothing_is_grouped_where_all_captions_are_one_group(shown):
    assert caption_groups(shown, vectors(a=0), 2) == []


def test_groups_do_not_hang_on_what_a_batch_changes():
    shown = dict(enumerate("abcd"))
    square = vectors(a=0, b=90, c=180, d=270)  # every neighbour is equally far
    noise = np.random.default_rng(0).normal(0, 1e-7, (20, 4, 2)).astype(np.float32)
    found = {
        str(caption_groups(shown, {k: v + e for (k, v), e in zip(square.items(), one, strict=True)}, 2))
        for one in noise
    }
    assert found == {"[[0, 1], [2, 3]]"}


def captions(*lines):
    return dict(enumerate(lines))


def test_captions_of_two_things_are_grouped_by_the_words_that_cover_them():
    shown = captions("a purple star", "a green ring", "a purple ring", "purple dots", "a green cross", "green stars")
    assert word_cover(shown, 3) == {
        "green": [1, 4, 5],
        "purple": [0, 2, 3],
    }  # a tie


def test_a_later_group_has_only_captions_that_no_earlier_one_has():
    shown = captions("red star", "red star", "red ring", "blue star", "green star", "blue star", "red dots")
    assert word_cover(shown, 3) == {}  # beside "star", "red" is left in two captions only
    assert word_cover(shown | {7: "Star", 8: "Red ring"}, 3) == {"star": [0, 1, 3, 4, 5, 7], "red": [2, 6, 8]}


def test_one_thing_that_all_captions_name_is_no_reason_to_group():
    assert word_cover(captions("a red star", "the red ring", "red dots", "red on snow"), 3) == {}
    assert word_cover({}, 3) == {}


def test_words_that_say_nothing_of_an_image_group_nothing():
    shown = captions("a photo of a dog", "a photo of a cat", "a photo of the sea", "a photo of 12 x")
    assert word_cover(shown, 3) == {}


def test_there_are_no_more_words_than_asked_for():
    shown = captions(*["red"] * 5, *["blue"] * 4, *["green"] * 3)
    assert list(word_cover(shown, 2)) == ["red", "blue"]
    assert list(word_cover(shown, 9)) == ["red", "blue", "green"]
