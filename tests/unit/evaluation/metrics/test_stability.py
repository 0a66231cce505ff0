"""Split-half stability: is a label the same when it is found from other images?"""

import numpy as np
import pytest

from dnd.evaluation.metrics import stability


@pytest.mark.parametrize(
    ("first", "second", "label", "extension"),
    [
        ("Red stars.", "red  stars", 1, 1),
        ("red stars", "crimson stars", 0, 1),
        ("red objects", "red stars", 0, 1 / 6),
        ("red objects", "a dog", 0, 0),
        ("red objects", None, 0, 0),
        (None, None, None, None),
    ],
)
def test_stability_of_two_halves(first, second, label, extension):
    assert stability.same_label(first, second) == label
    found = stability.same_extension(first, second)
    assert found is None if extension is None else found == pytest.approx(extension)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("red stars", "stars that are crimson", 1),
        ("warm coloured objects", "red, orange or yellow objects", 1),
        ("warm coloured objects", "red or orange objects", 0),  # IoU 2/3
        ("stars", None, 0),
        (None, None, None),
    ],
)
def test_labels_of_two_halves_that_denote_the_same_set(first, second, expected):
    assert stability.same_set(first, second) == expected


def test_stability_of_texts_is_their_cosine():
    assert stability.similar_text(np.array([0.6, 0.8]), np.array([1.0, 0])) == pytest.approx(0.6)
    assert stability.similar_text(None, np.array([1.0, 0])) == 0 and stability.similar_text(None, None) is None
