"""What images say of a candidate: how likely each shows it, and how that goes with what excites the unit.

An embedder of images and texts says how likely an image shows a concept, without labels and without a list of concepts.
Three things count for a candidate. Its *correlation* with the activation over images of the probe is how much of the
unit's behaviour it tells. Its *precision* is how strongly the images that show it excite the unit: a class of red
circles answers a little to all that is red. Its correlation over *drawn* pictures tells apart what always goes together
in the probe: pictures of boats without water were drawn, and of water without boats.

Alternatives ("a or b") are candidates like any other: an image shows one of them as likely as the likelier part.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import numpy.typing as npt
from scipy.special import expit
from scipy.stats import kurtosis, skew

from dnd.config.stages import ScoreSettings
from dnd.selection.verdict import LEAST

MOST = 8
"""Candidates of which alternatives are formed at most: those that correlate best alone."""
OR = " or "
"""What a label joins concepts by."""
APART = 0.5
"""Largest overlap of concepts that say different things."""
Values = npt.NDArray[np.floating]
Shown = npt.NDArray[np.float64]
"""How likely images show concepts, [images] or [images, concepts]."""


def shown(images: Values, texts: Values, scale: float, bias: float) -> Shown:
    """Return how likely images show concepts: float64 [images, concepts], sigmoid(scale x cosine + bias).

    Cosines are in double precision: sums in single precision depend on the number of threads, and so would labels.
    Source: Oikarinen & Weng, ICML 2024.

    Parameters
    ----------
    images, texts : unit vectors [images, d] and [concepts, d].
    """
    return expit(scale * (images.astype(np.float64) @ texts.astype(np.float64).T) + bias)


def scaled(activations: Values, exemplars: Values) -> npt.NDArray[np.float64]:
    """Return activations [n] in units of the exemplars' median, from 0 to 1: how far above does not matter.

    Parameters
    ----------
    exemplars : activations of the unit's exemplars [k].
    """
    values = np.asarray(activations, np.float64)
    level = float(np.median(exemplars))
    if level <= 0:  # of a unit that is negative everywhere
        return (values - values.min()) / (np.ptp(values) or 1.0)
    return np.clip(values / level, 0, 1)


def bimodality(level: Values) -> float:
    """Return Sarle's bimodality coefficient of scaled activations [n], (skewness^2 + 1) / kurtosis, from 0 to 1.

    It is 1 of a unit that is either silent or fully active, however rarely, and 5/9 of one whose activations are spread
    evenly. It says how a unit answers, not whether a label is right. Source: SAS Institute (1990), without its
    correction for small samples; Pfister et al., Frontiers in Psychology 4:700 (2013).
    """
    if np.ptp(level) == 0:
        return 0.0
    return float((skew(level) ** 2 + 1) / kurtosis(level, fisher=False))


def pearson(first: npt.NDArray[np.floating], second: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Return Pearson's r [m] of each column of one array [n, m] with that of another, 0 where either does not vary.

    An array of one column stands for as many as the other has.
    """
    first, second = (np.asarray(values, np.float64) for values in (first, second))
    first, second = (np.where(np.ptp(values, 0) > 0, values - values.mean(0), 0.0) for values in (first, second))
    norms = np.linalg.norm(first, axis=0) * np.linalg.norm(second, axis=0)
    shared = (first * second).sum(0)
    return np.clip(np.divide(shared, norms, out=np.zeros_like(shared), where=norms > 0), -1, 1)


def correlations(activations: Values, shown: Values) -> npt.NDArray[np.float64]:
    """Return Pearson's r [units, concepts], 0 where either does not vary.

    Parameters
    ----------
    activations : of units [n, units].
    shown : how likely images show concepts [n, concepts].
    """
    first, second = _standard(activations), _standard(shown)
    return np.clip(first.T @ second, -1, 1)


def _standard(columns: Values) -> npt.NDArray[np.float64]:
    """Columns less their means, of length 1; one that does not vary becomes exactly zero."""
    exact = np.asarray(columns, np.float64)
    centred = np.where(np.ptp(exact, axis=0) > 0, exact - exact.mean(0), 0.0)
    norms = np.linalg.norm(centred, axis=0)
    return np.divide(centred, norms, out=np.zeros_like(centred), where=norms > 0)


def precision(shown: Shown, level: Values) -> npt.NDArray[np.float64]:
    """Return the mean of scaled activations [n] over images, each as much as it shows a concept: float64 [concepts].

    Parameters
    ----------
    shown : [n, concepts].
    """
    total = shown.sum(0)
    return np.divide(level @ shown, total, out=np.zeros_like(total), where=total > 0)


def score(
    correlation: Values, precision: Values, drawn: Values, parts: npt.NDArray[np.integer], weights: ScoreSettings
) -> npt.NDArray[np.float64]:
    """Return the score of candidates [n]; the best of a unit is its label.

    score = log correlation + ``precision`` x log precision + ``drawn`` x correlation over drawn pictures
    - ``joining`` x (parts - 1). The defaults were chosen on networks whose units are known (tuning.md).

    Parameters
    ----------
    correlation, precision, drawn : of each candidate [n].
    parts : concepts that each joins, 1 of one that joins none.
    """
    first, second = (np.log(np.clip(values, LEAST, 1)) for values in (correlation, precision))
    return first + weights.precision * second + weights.drawn * drawn - weights.joining * (parts - 1)


def alternatives(correlations: Sequence[float] | Values, most: int) -> list[tuple[int, ...]]:
    """Return which candidates to join, two to ``most`` of them, of those that correlate best alone; ties by place."""
    best = sorted(sorted(range(len(correlations)), key=lambda place: (-correlations[place], place))[:MOST])
    return [chosen for count in range(2, most + 1) for chosen in combinations(best, count)]


def overlaps(first: Shown, second: Shown) -> npt.NDArray[np.float64]:
    """Return how much of what shows the rarer of two concepts shows both, for each two: float64 [concepts, others].

    1 of a concept and of any that holds it: "blue objects on grass" beside "blue" is none of two things that a unit
    answers to, and no rival of it. Of concepts that no image shows it is 1, too.

    Parameters
    ----------
    first, second : how likely images show concepts, [n, concepts] and [n, others].
    """
    rarer = np.minimum((first**2).sum(0)[:, None], (second**2).sum(0)[None, :])
    return np.divide(first.T @ second, rarer, out=np.ones_like(rarer), where=rarer > 0)


def phrase(concepts: Sequence[str]) -> str:
    """Return the name of alternatives: ``red objects or stars``."""
    return OR.join(concepts)
