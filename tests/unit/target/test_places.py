"""Pictures that are changed in one place, and what their changes tell."""

import numpy as np
import torch

from dnd.target import places

GRID = (8, 8)


def by_place(order=None):
    """Changes [places, tokens] of tokens that each see their own place."""
    changes = np.stack(
        [np.outer(places.covered(8, row), places.covered(8, column)).ravel() for row, column in places.PLACES]
    )
    return changes if order is None else changes[:, order]


def test_pictures_differ_from_grey_in_their_place_only():
    grey, textured, *changed = places.pictures(torch.zeros(3, 32, 32), torch.ones(3, 32, 32))
    assert grey.eq(0.5).all() and textured.ne(0.5).all()
    for picture, (row, column) in zip(changed, places.PLACES, strict=True):
        inside = picture.ne(0.5).all(0)
        assert inside[8 * row : 8 * row + 8, 8 * column : 8 * column + 8].all()
        assert inside.sum() == 64


def test_places_cover_rows_in_parts():
    assert places.covered(8, 1).tolist() == [0, 0, 1, 1, 0, 0, 0, 0]
    assert places.covered(2, 1).tolist() == [0.5, 0]
    np.testing.assert_allclose(places.covered(6, 1), [0, 0.5, 1, 0, 0, 0])


def test_tokens_that_no_picture_changes_are_those_at_the_ends():
    changes = np.pad(np.vstack([np.ones(64), by_place()]), ((0, 0), (2, 3)))
    assert places.ends(changes) == (2, 3)


def test_the_share_of_changes_in_their_place():
    order = np.random.default_rng(0).permutation(64)
    assert places.share(by_place(), GRID, None) == 1
    assert places.share(by_place(order), GRID, torch.from_numpy(np.argsort(order))) == 1
    assert places.share(by_place(order), GRID, None) < places.CLEAR
    assert places.share(np.ones((4, 64)), GRID, None) == 1 / 16


def test_changes_that_are_together_elsewhere():
    assert places.is_elsewhere(np.roll(by_place(), 28, axis=1), GRID, None)
    assert not places.is_elsewhere(by_place(), GRID, None)
    assert not places.is_elsewhere(np.ones((4, 64)), GRID, None)
