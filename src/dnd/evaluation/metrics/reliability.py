"""Calibration: whether labels of which a method is .8 sure are right eight times out of ten.

Source: Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, section 2: a reliability diagram and the
expected calibration error over equal bins of confidence, after Naeini et al., AAAI 2015.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dnd.evaluation.metrics.statistics import RESAMPLES

BINS = 10
Floats = npt.NDArray[np.float64]


class Reliability(NamedTuple):
    """Units by confidence in equal bins ((i - 1) / BINS, i / BINS], the first one with 0.

    Attributes
    ----------
    counts : int [BINS], units in each.
    confidence : float64 [BINS], their mean confidence; NaN in an empty bin.
    right : float64 [BINS], the share of them that is right; NaN in an empty bin.
    """

    counts: npt.NDArray[np.intp]
    confidence: Floats
    right: Floats

    @property
    def error(self) -> float:
        """Expected calibration error in [0, 1]: |right - confidence|, weighted by the units of each bin."""
        filled = self.counts > 0
        gaps = np.abs(self.right - self.confidence)[filled]
        return float((self.counts[filled] * gaps).sum() / self.counts.sum())


def reliability(confidence: npt.ArrayLike, right: npt.ArrayLike) -> Reliability:
    """Sort units into bins by confidence.

    Parameters
    ----------
    confidence : [units] in [0, 1].
    right : 0 or 1 [units].

    Raises
    ------
    ValueError
        There is no unit, not as many of both, or a confidence outside [0, 1].
    """
    sure, true = np.asarray(confidence, np.float64), np.asarray(right, np.float64)
    if sure.shape != true.shape or sure.ndim != 1 or not sure.size:
        raise ValueError(f"calibration needs the confidence of each unit, not {sure.shape} of {true.shape}")
    if not ((sure >= 0) & (sure <= 1)).all():
        raise ValueError("confidence is a probability: it must lie in [0, 1]")
    places = _places(sure)
    counts = np.bincount(places, minlength=BINS)
    with np.errstate(invalid="ignore"):
        means = [np.bincount(places, values, BINS) / counts for values in (sure, true)]
    return Reliability(counts, *means)


def _places(confidence: Floats) -> npt.NDArray[np.intp]:
    return np.clip(np.ceil(confidence * BINS).astype(np.intp) - 1, 0, BINS - 1)


def interval(confidence: npt.ArrayLike, right: npt.ArrayLike, seed: int = 0) -> tuple[float, float]:
    """Return a 95 % bootstrap interval of the expected calibration error over units, with a fixed seed.

    Resampled units lie further off than the units themselves, since their noise counts as error: percentiles are taken
    less the mean of that excess, and not below 0.
    """
    sure, true = np.asarray(confidence, np.float64), np.asarray(right, np.float64)
    drawn = np.random.default_rng(seed).integers(len(sure), size=(RESAMPLES, len(sure)))
    places = np.arange(RESAMPLES)[:, None] * BINS + _places(sure)[drawn]
    gaps = np.bincount(places.ravel(), (true - sure)[drawn].ravel(), RESAMPLES * BINS).reshape(RESAMPLES, BINS)
    errors = np.abs(gaps).sum(1) / len(sure)
    error = reliability(sure, true).error
    low, high = np.quantile(errors, (0.025, 0.975)) - (errors.mean() - error)
    return max(float(min(low, error)), 0.0), min(float(max(high, error)), 1.0)
