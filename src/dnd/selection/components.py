"""What a candidate's images tell of it: ranks, similarity with the exemplars, their sum (paper section 3, step 3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dnd.config.stages import ScoreSettings
from dnd.io.rows import Concept

BEST = 5
"""Ranks that count in the rank score (``beta_images_param`` of the released driver)."""

Values = npt.NDArray[np.float32]


@dataclass(frozen=True)
class DrawnCandidate:
    """A candidate of a unit and its usable images.

    Attributes
    ----------
    share : of the unit's answers that name it.
    activations : of its images [m].
    vectors : of its images, unit vectors [m, d].
    """

    concept: Concept
    share: float
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


def combine(components: Mapping[str, float], weights: ScoreSettings, images: int) -> float:
    """Return the weighted sum of a candidate's components; every component grows with quality and most lie in [0, 1].

    Parameters
    ----------
    components : ``auc``, ``rank_score``, ``image_similarity`` and ``votes`` (share of the answers).
    images : of all candidates of the unit together: they give the largest possible mean squared rank.
    """
    last = np.arange(images, max(images - BEST, 0), -1, dtype=np.float64) + (weights.first_rank - 1)
    worst = float(np.mean(last**2)) or 1.0  # a lone image of rank 0 is the best and the worst
    return (
        weights.auc * components["auc"]
        + weights.rank * (1 - components["rank_score"] / worst)
        + weights.image_similarity * components["image_similarity"]
        + weights.votes * components["votes"]
    )
