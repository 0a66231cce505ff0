"""Simulation: how well a label predicts the unit's activation over all held-out images, by Pearson's r.

Source: Oikarinen & Weng, "Linear Explanations for Individual Neurons", ICML 2024, section 4: an image-text embedder
gives the probability that the label holds for an image, a logistic function of their cosine.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from dnd.evaluation.metrics.measures import correlation
from dnd.selection.evidence import pearson

Values = npt.NDArray[np.floating]
RIDGE = 1e-4
"""Weight of the squared slope of standardised cosines in a fit, which keeps it finite where cosines separate truth."""
STEPS, CLOSE = 100, 1e-10


@dataclass(frozen=True)
class Calibration:
    """Probability that a text holds for an image: sigmoid(scale x cosine + bias)."""

    scale: float
    bias: float

    def probabilities(self, cosines: Values) -> npt.NDArray[np.float64]:
        """Return probabilities float64 of cosines, of any shape."""
        return expit(self.scale * np.asarray(cosines, np.float64) + self.bias)


def _released(scale: float, shift: float) -> Calibration:
    return Calibration(scale, scale * shift)  # the released code adds its constant to the cosine before it scales


RELEASED = {
    "ViT-SO400M-14-SigLIP-384": _released(58, -0.13),
    "ViT-L-16-SigLIP-384": _released(60, -0.09),
    "ViT-L-14-336": _released(58, -0.25),
}
"""Embedder -> constants chosen on ImageNet's superclasses (``SIGMOID_PARAMS_IMAGENET_SC`` of Neuron_Eval)."""


def fit(cosines: Values, truth: npt.NDArray[np.bool_]) -> Calibration:
    """Return the calibration by logistic regression of truth on cosines, on images that no evaluation uses.

    Parameters
    ----------
    cosines : of pairs of an image and a text, any shape.
    truth : bool, of the same shape: the text holds for the image.

    Raises
    ------
    ValueError
        All pairs are true, or none is.
    """
    x, y = np.asarray(cosines, np.float64).ravel(), np.asarray(truth, np.float64).ravel()
    if not 0 < y.mean() < 1:
        raise ValueError("a calibration needs pairs of image and text that hold and pairs that do not")
    centre, spread = x.mean(), x.std() or 1.0
    design = np.stack([(x - centre) / spread, np.ones_like(x)], 1)
    penalty = np.diag([RIDGE * len(x), 0.0])
    weights = np.array([0.0, np.log(y.mean() / (1 - y.mean()))])

    def cost(at: npt.NDArray[np.float64]) -> float:
        logits = design @ at
        return float(np.logaddexp(0, logits).sum() - y @ logits + at @ penalty @ at / 2)

    for _ in range(STEPS):  # Newton's method; halved steps make sure that the cost falls
        chance = expit(design @ weights)
        slope = design.T @ (chance - y) + penalty @ weights
        step = np.linalg.solve((design * (chance * (1 - chance))[:, None]).T @ design + penalty + 1e-12, slope)
        while cost(weights - step) > cost(weights) and np.abs(step).max() > CLOSE:
            step = step / 2
        weights = weights - step
        if np.abs(step).max() < CLOSE:
            break
    scale = float(weights[0] / spread)
    return Calibration(scale, float(weights[1] - scale * centre))


def table(activations: Values, probabilities: Values) -> npt.NDArray[np.float64]:
    """Return Pearson's r [units, labels] of activations [n, units] and probabilities [n, labels], 0 for constants."""
    return correlation(np.asarray(activations, np.float64), np.asarray(probabilities, np.float64))


def simulation(activations: Values, probabilities: Values) -> npt.NDArray[np.float64]:
    """Return Pearson's r [units] of each unit with its own label: activations and probabilities [n, units].

    0 where either does not vary. Images must be held out: none the label was found or chosen with.
    """
    return pearson(activations, probabilities)
