"""Verification by drawing: the share of a candidate's images that excite the unit as few images of the probe do.

Source: SIEVE (Ji et al., "Select, Hypothesize and Verify", CVPR 2026, arXiv 2603.24953): units whose activations do not
stand out are passed over, and concepts whose images do not excite the unit are discarded.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from dnd.config.stages import ScoreSettings
from dnd.selection.components import DrawnCandidate

TIE = 1e-6
"""What a place by mean activation costs: less than an image more or less, of however many."""

Values = npt.NDArray[np.float32]


def rate(activations: Values, threshold: float) -> float:
    """Return the share of images [m] whose activation is above a threshold."""
    return float(np.mean(activations > threshold))


def verified(candidates: Sequence[DrawnCandidate], controls: Values, weights: ScoreSettings) -> list[DrawnCandidate]:
    """Return the candidates whose images excite the unit often enough; none of a unit that does not stand out.

    A unit stands out whose quantile is more than ``weights.rate_contrast`` times the median, however small both are.

    Parameters
    ----------
    controls : activations of the control images [n].
    """
    threshold = float(np.quantile(controls, weights.rate_quantile))
    if weights.rate_contrast is not None and threshold <= weights.rate_contrast * float(np.median(controls)):
        return []
    return [candidate for candidate in candidates if rate(candidate.activations, threshold) >= weights.least_rate]


def scores(activations: Sequence[Values], controls: Values, quantile: float) -> list[float]:
    """Return the rate of each candidate; of equal rates that with the larger mean activation is higher by a millionth.

    Parameters
    ----------
    activations : of each candidate's images [m].
    controls : activations of the control images [n].
    quantile : of the control images, above which an image counts.
    """
    from scipy.stats import rankdata

    threshold = float(np.quantile(controls, quantile))
    places = rankdata([-values.mean(dtype=np.float64) for values in activations], method="dense") - 1
    return [rate(values, threshold) - TIE * float(place) for values, place in zip(activations, places, strict=True)]
