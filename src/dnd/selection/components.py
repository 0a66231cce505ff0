"""What a candidate's images tell of it: ranks, and similarity with the exemplars (paper section 3, step 3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dnd.io.rows import Concept

BEST = 5
"""Ranks that count in the rank score (``beta_images_param`` of the released driver)."""

Values = npt.NDArray[np.float32]


@dataclass(frozen=True)
class DrawnCandidate:
    """A candidate of a unit and its usable images.

    Attributes
    ----------
    activations : of its images [m].
    vectors : of its images, unit vectors [m, d].
    """

    concept: Concept
    activations: Values
    vectors: Values


def ranks(activations: Sequence[Values], first: int = 1) -> list[npt.NDArray[np.float64]]:
    """Return the ranks of each candidate's images among the images of all candidates; equal activations share a mean.

    Parameters
    ----------
    first : rank of the best image; 0 in the released driver (``rank_images``).
    """
    from scipy.stats import rankdata

    ranked = rankdata(-np.concatenate(activations), method="average") + (first - 1)
    return np.split(ranked, np.cumsum([len(values) for values in activations])[:-1])


def rank_scores(activations: Sequence[Values], best: int = BEST, first: int = 1) -> list[float]:
    """Return each candidate's mean squared rank of its best images among the images of all candidates; lower is better.

    Ranks start at 1 (released driver: 0, so that the best image counts nothing). Equal activations share the mean of
    their ranks, so that the order of the candidates does not matter.

    Source: ``topk_sq_mean`` of the released ``scoring_function.py``.
    """
    return [float(np.mean(np.sort(part)[:best] ** 2)) for part in ranks(activations, first)]


def image_similarity(exemplars: Values, generated: Values) -> float:
    """Return the mean cosine of all pairs of an exemplar and a generated image, both as unit vectors [n, d].

    Source: the "image products" of the paper's scoring functions, without the released driver's 32x32 shrink.
    """
    return float((exemplars.astype(np.float64) @ generated.T.astype(np.float64)).mean())
