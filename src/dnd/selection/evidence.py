"""What the probe says about a candidate: do the images that show it excite the unit, and those that do not, less?

Generated images tell whether a concept excites a unit. They do not tell whether it is all that does, or too broad: ten
red circles excite a unit for red things as much as ten red things do. Random images of the probe do, without a list of
concepts and without labels: an embedder of images and texts says how likely each shows the concept. Those that show it
and do not excite the unit are its hard negatives.

Alternatives ("a or b") are candidates like any other: an image shows one of them as likely as the likelier part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy as np
import numpy.typing as npt
from scipy.special import expit
from scipy.stats import kurtosis, skew

LOW, HIGH = 0.10, 0.95
"""Quantiles of the gap: all but a tenth of what shows the concept, against all but a twentieth of what does not."""
MOST = 6
"""Parts of which alternatives are formed at most: those that fit best alone."""
ADDS = 0.05
"""Least fit that joining must add to the best of the parts: "round objects or rings" says no more than the first."""
SPREAD = 0.05
"""Smallest difference of cosines between a concept's own images and random ones that is taken for one."""

Values = npt.NDArray[np.floating]


@dataclass(frozen=True)
class Sample:
    """Probe images that a unit's candidates are judged by: random ones and the whole images of its exemplars.

    Attributes
    ----------
    activations : float32 [n], those of :attr:`exemplars` among them.
    exemplars : bool [n].
    """

    activations: Values
    exemplars: npt.NDArray[np.bool_]

    @cached_property
    def scaled(self) -> npt.NDArray[np.float64]:
        """Activations in units of the exemplars' median, from 0 to 1: how far above does not matter."""
        values = np.asarray(self.activations, np.float64)
        level = float(np.median(values[self.exemplars]))
        if level <= 0:  # of a unit that is negative everywhere
            return (values - values.min()) / (np.ptp(values) or 1.0)
        return np.clip(values / level, 0, 1)

    @cached_property
    def bimodality(self) -> float:
        """Sarle's bimodality coefficient of the scaled activations, (skewness^2 + 1) / kurtosis, from 0 to 1.

        It is 1 of a unit that is either silent or fully active, however rarely, and 5/9 of one whose activations are
        spread evenly: whatever concept is named, one that answers by degrees does not answer yes or no. It depends on
        the unit alone, not on a candidate. Source: SAS Institute (1990), without its correction for small samples;
        Pfister et al., Frontiers in Psychology 4:700 (2013).
        """
        level = self.scaled
        if np.ptp(level) == 0:
            return 0.0
        return float((skew(level) ** 2 + 1) / kurtosis(level, fisher=False))


def calibrated(cosines: Values, scale: float, bias: float) -> npt.NDArray[np.float64]:
    """Return the probability that images show a concept, of cosines with its text (Oikarinen & Weng, ICML 2024)."""
    return expit(scale * np.asarray(cosines, np.float64) + bias)


def ramped(cosines: Values, random: Values, generated: Values) -> npt.NDArray[np.float64]:
    """Return how much images look as if they showed a concept: 0 like random ones, 1 like its own generated images.

    Parameters
    ----------
    cosines : of the images with the concept's text [n].
    random, generated : the same of random images and of images generated from the concept.
    """
    base = float(np.mean(random, dtype=np.float64))
    top = max(float(np.mean(generated, dtype=np.float64)), base + SPREAD)
    return np.clip((np.asarray(cosines, np.float64) - base) / (top - base), 0, 1)


def pearson(first: npt.NDArray[np.floating], second: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Return Pearson's r [m] of each column of one array [n, m] with that of another, 0 where either does not vary."""
    first, second = (np.asarray(values, np.float64) for values in (first, second))
    first, second = (np.where(np.ptp(values, 0) > 0, values - values.mean(0), 0.0) for values in (first, second))
    norms = np.linalg.norm(first, axis=0) * np.linalg.norm(second, axis=0)
    shared = (first * second).sum(0)
    return np.clip(np.divide(shared, norms, out=np.zeros_like(shared), where=norms > 0), -1, 1)


def fit(shown: Values, sample: Sample) -> float:
    """Return Pearson's r of the probability [n] that an image shows the concept and the scaled activation."""
    return float(pearson(sample.scaled[:, None], np.asarray(shown)[:, None])[0])


def gap(shown: Values, sample: Sample) -> float:
    """Return by how much images that show the concept excite the unit more than those that do not.

    The 10 % quantile of the scaled activations of the ones minus the 95 % quantile of the others, each image counted
    as much as it shows the concept or does not. A unit with a meaning leaves a gap even where the concept is rare;
    where there is none, the two overlap. From -1 to 1.
    """
    level = sample.scaled
    return _quantile(level, np.asarray(shown), LOW) - _quantile(level, 1 - np.asarray(shown), HIGH)


def hard(shown: Values, sample: Sample) -> float:
    """Return the mean scaled activation of images, each as much as it shows the concept: low with hard negatives."""
    total = float(np.sum(shown))
    return float(np.sum(shown * sample.scaled) / total) if total > 0 else 0.0


def agreement(generated: Values, sample: Sample) -> float:
    """Return which share of the exemplars' median activation generated images [n] reach on average, at most 1.

    Real and generated exemplars should agree. A concept that is read off exemplars and is not what excites the unit
    does not excite it when drawn; exemplars may even be made to deceive (Gradient Slingshots, Bareeva et al., 2024).
    """
    level = float(np.median(sample.activations[sample.exemplars]))
    if level <= 0 or not len(generated):
        return 0.0
    return float(np.clip(generated.astype(np.float64) / level, 0, 1).mean())


def alternatives(fits: Sequence[float], most: int) -> list[tuple[int, ...]]:
    """Return which candidates to join, two to ``most`` of them, of the ``MOST`` that fit best alone; ties by place."""
    best = sorted(sorted(range(len(fits)), key=lambda place: (-fits[place], place))[:MOST])
    return [chosen for count in range(2, most + 1) for chosen in combinations(best, count)]


def phrase(concepts: Sequence[str]) -> str:
    """Return the name of alternatives: ``red objects or stars``."""
    return " or ".join(concepts)


def _quantile(values: npt.NDArray[np.float64], weights: Values, share: float) -> float:
    order = np.argsort(values, kind="stable")
    summed = np.cumsum(np.asarray(weights, np.float64)[order])
    if summed[-1] <= 0:
        return 0.0
    return float(values[order][np.searchsorted(summed, share * summed[-1])])
