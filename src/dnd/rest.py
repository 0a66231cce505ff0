"""Which captions of a unit a concept does not explain: those of a second thing that the unit responds to."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

FEWEST = 3
"""Captions that are asked about alone."""
SEPARATION = 0.75
"""Share of the variance that two groups of captions must explain; two halves of one normal distribution explain .64."""
DECIMALS = 5
"""Of cosines that count: what a text's place in a batch may change is smaller, so that ties are ties."""


def unexplained(cosines: Sequence[float] | npt.NDArray[np.floating], gap: float) -> list[int]:
    """Return the positions of captions that resemble a concept clearly less than the others do.

    The cosines are parted in two where that explains most of their variance (Otsu's criterion, on values and not on a
    histogram). One group is what the rest of a unit's captions look like; without two groups nothing is left.

    Parameters
    ----------
    cosines : of each caption with the concept [n].
    gap : smallest difference of the groups' means.
    """
    values = np.round(np.asarray(cosines, np.float64), DECIMALS)
    if len(values) < 2 or not np.ptp(values):
        return []
    ordered = np.sort(values)
    sizes = np.arange(1, len(ordered))
    low = np.cumsum(ordered)[:-1] / sizes
    high = (ordered.sum() - np.cumsum(ordered)[:-1]) / (len(ordered) - sizes)
    between = sizes * (len(ordered) - sizes) / len(ordered) ** 2 * (high - low) ** 2
    best = int(between.argmax())
    if between[best] < SEPARATION * ordered.var() or high[best] - low[best] < gap:
        return []
    return [int(place) for place in np.flatnonzero(values <= ordered[best])]
