"""What exemplars say about a unit without any label: clarity, polysemanticity, redundancy.

Source: SemanticLens (Dreyer et al., Nature Machine Intelligence 2025), ``semanticlens/scores.py``. All take embeddings
of a unit's exemplars by an image embedder.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.floating]
SEED = 123
"""Of the 2-means, as released."""
TRIED = 10
"""Exemplars that stand for a second meaning where 2-means finds none, as released."""


def _unit(vectors: Vectors) -> npt.NDArray[np.float64]:
    exact = np.asarray(vectors, np.float64)
    return exact / np.maximum(np.linalg.norm(exact, axis=-1, keepdims=True), 1e-12)


def clarity(vectors: Vectors) -> npt.NDArray[np.float64]:
    """Return how alike exemplars are: the mean cosine of all pairs of two different ones.

    (|mean of unit vectors|^2 - 1/n) n / (n - 1), the same by algebra.

    Parameters
    ----------
    vectors : [..., n, d], two exemplars or more.

    Returns
    -------
    float64 [...], in [-1 / (n - 1), 1]; NaN for a single exemplar.
    """
    count = vectors.shape[-2]
    if count < 2:
        return np.full(vectors.shape[:-2], np.nan)
    return ((_unit(vectors).mean(-2) ** 2).sum(-1) - 1 / count) * count / (count - 1)


def polysemanticity(vectors: Vectors) -> float:
    """Return 1 - clarity of the two centres that 2-means finds among a unit's exemplars [n, d].

    Where a cluster has a single member, it is an outlier and no meaning: then the mean over the first ten exemplars of
    1 - clarity of that exemplar and the mean of all. NaN for fewer than two exemplars, 0 where all are equal.
    """
    from sklearn.cluster import KMeans

    exact = np.asarray(vectors, np.float64)
    if len(exact) < 2:
        return float("nan")
    if len(np.unique(exact, axis=0)) < 2:
        return 0.0
    clusters = KMeans(n_clusters=2, n_init=10, random_state=SEED).fit(exact)
    if np.bincount(clusters.labels_, minlength=2).min() >= 2:
        return float(1 - clarity(clusters.cluster_centers_))
    tried = [float(clarity(np.stack([exact.mean(0), exemplar]))) for exemplar in exact[:TRIED]]
    return float(1 - np.mean(tried))


def redundancy(units: Vectors) -> npt.NDArray[np.float64]:
    """Return for each unit the largest cosine of its mean embedding with another unit's, float64 [units].

    Parameters
    ----------
    units : [units, d], the mean embedding of each unit's exemplars. A layer's figure is the mean of the result. NaN for
        a single unit.
    """
    if len(units) < 2:
        return np.full(len(units), np.nan)
    cosines = _unit(units) @ _unit(units).T
    np.fill_diagonal(cosines, -np.inf)
    return cosines.max(1)
