"""The evidence of some units of a layer: what the page shows of each, and the pictures for it."""

import pytest

from dnd.report.units import histogram, squared


def test_a_histogram_has_room_for_all_that_is_marked_on_it():
    assert histogram([0.0, 1.0], [-2.0, 3.0, float("nan")])[0] == -2
    assert histogram([], [1.0]) is None
    assert histogram([2.0, 2.0], [])[2].count(0) == 23


@pytest.mark.parametrize(
    ("box", "size", "expected"),
    [
        ((10, 10, 20, 30), (100, 50), (5, 10, 25, 30)),
        ((0, 0, 4, 20), (100, 50), (0, 0, 20, 20)),
        ((96, 30, 100, 50), (100, 50), (80, 30, 100, 50)),
        ((0, 0, 100, 50), (100, 50), (25, 0, 75, 50)),
    ],
)
def test_thumbnails_show_a_square_around_the_box(box, size, expected):
    assert squared(box, size) == expected
