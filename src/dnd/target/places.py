"""Pictures of which one place after the other is changed, and how much of what changes in a network lies there."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Floats = npt.NDArray[np.float64]
Grid = tuple[int, int]

SIDE = 4
"""The image is cut into so many rows and columns of places."""
PLACES = ((0, 1), (1, 3), (2, 0), (3, 2))
"""Rows and columns of the places that are changed."""
PICTURES = 2 + len(PLACES)
"""Grey, textured all over, and textured in one place."""
GRAIN = 4
"""Pixels of the texture that have the same value, each way."""
UNCHANGED = 1e-10
"""Share of the largest change below which a token counts as unchanged; rounding in float32 stays below its square."""
ROUNDING = 1e-6
"""Share of a module's largest value below which a change is one of rounding."""
CLEAR = 0.3
"""Share of the change that lies in the place, from which tokens count as ordered; by chance it is 1/16."""


def pictures(black: Tensor, white: Tensor) -> Tensor:
    """Return the pictures that tell places apart: grey, textured all over, and textured in one place each.

    Parameters
    ----------
    black, white : the network's inputs [channels, h, w] of a black and of a white image.
    """
    _, height, width = black.shape
    random = torch.Generator().manual_seed(0)
    grains = torch.randint(0, 2, (-(-height // GRAIN), -(-width // GRAIN)), generator=random).bool()
    texture = grains.repeat_interleave(GRAIN, 0).repeat_interleave(GRAIN, 1)[:height, :width]
    textured = torch.where(texture, white, black)
    made = ((black + white) / 2).repeat(PICTURES, 1, 1, 1)
    made[1] = textured
    for picture, (row, column) in zip(made[2:], PLACES, strict=True):
        rows = slice(height * row // SIDE, height * (row + 1) // SIDE)
        columns = slice(width * column // SIDE, width * (column + 1) // SIDE)
        picture[:, rows, columns] = textured[:, rows, columns]
    return made


def changed(changes: Floats) -> npt.NDArray[np.bool_]:
    """Return which tokens each picture changes, bool [pictures but grey, tokens].

    Parameters
    ----------
    changes : how much, of the same shape.
    """
    return changes > UNCHANGED * changes.max()


def ends(changes: Floats) -> tuple[int, int]:
    """Return how many tokens at the beginning and at the end no picture changes."""
    places = np.flatnonzero(changed(changes).any(axis=0))
    return int(places[0]), int(changes.shape[1] - 1 - places[-1])


def share(changes: Floats, grid: Grid, order: Tensor | None) -> float:
    """Return how much of the change lies in the changed place, against what could: 1 at most, by chance 1/16.

    Parameters
    ----------
    changes : [places, tokens].
    """
    shares = []
    for values, (row, column) in zip(changes, PLACES, strict=True):
        inside = np.outer(covered(grid[0], row), covered(grid[1], column)).ravel()
        values = values if order is None else values[order.numpy()]
        shares.append(float(values @ inside) / max(float(values.sum()) * inside.max(), 1e-300))
    return float(np.mean(shares))


def is_elsewhere(changes: Floats, grid: Grid, order: Tensor | None) -> bool:
    """Tell whether the change is still together, but not in the changed place, as in the states of a Mamba.

    Parameters
    ----------
    changes : [places, tokens].
    """
    most = np.sort(changes, axis=1)[:, -math.ceil(changes.shape[1] / SIDE**2) :]
    together = float(np.mean(most.sum(1) / np.maximum(changes.sum(1), 1e-300)))
    return together >= CLEAR and share(changes, grid, order) < together / 2


def covered(count: int, place: int) -> Floats:
    """Return how much of each of so many rows or columns lies in a place, float64 [count]."""
    starts = np.arange(count) * SIDE / count
    ends = (np.arange(count) + 1) * SIDE / count
    return np.clip((np.minimum(ends, place + 1) - np.maximum(starts, place)) * count / SIDE, 0, 1)
