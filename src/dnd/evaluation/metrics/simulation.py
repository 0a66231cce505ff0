"""Simulation: how well a label predicts the unit's activation over all held-out images, by Pearson's r.

Source: Oikarinen & Weng, "Linear Explanations for Individual Neurons", ICML 2024, section 4: an image-text embedder
gives the probability that the label holds for an image, a logistic function of their cosine
(:func:`dnd.selection.evidence.calibrated`). Images must be held out: none the label was found or chosen with.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def correlation(
    activations: npt.NDArray[np.floating], probabilities: npt.NDArray[np.floating]
) -> npt.NDArray[np.float64]:
    """Return Pearson's r [units, labels] of activations [n, units] and probabilities [n, labels].

    0 where either does not vary.
    """
    first, second = _centred(activations), _centred(probabilities)
    norms = np.linalg.norm(first, axis=0)[:, None] * np.linalg.norm(second, axis=0)[None, :]
    shared = first.T @ second
    return np.clip(np.divide(shared, norms, out=np.zeros_like(shared), where=norms > 0), -1, 1)


def _centred(values: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Columns less their means; one that does not vary becomes exactly zero."""
    exact = np.asarray(values, np.float64)
    return np.where(np.ptp(exact, axis=0) > 0, exact - exact.mean(0), 0.0)
