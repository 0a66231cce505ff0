"""How well the labels of concepts fit the activations of units: the measures that Neuron_Eval compares.

Source of all: ``metrics.py`` of Oikarinen, Yan & Weng, "Evaluating Neuron Explanations: A Unified Framework with Sanity
Checks", ICML 2025. Names follow it: the concept is the classifier and the unit the truth, so ``recall`` divides by the
unit's active inputs and ``precision`` by the concept's positives.

Every measure takes ``activations`` float [n, units] and ``concepts`` float [n, labels], the probability that a label
holds for an input, and returns float64 [units, labels]; higher is better. ``top`` is the share of inputs at which a
unit counts as active, None where activations are 0 or 1 already. Where the released code divides by zero, these return
0.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

Values = npt.NDArray[np.float64]
TINY = 1e-8


def active(activations: Values, top: float | None) -> Values:
    """Return where units are active, float64 [n, units] of 0 and 1: their highest inputs, ties included."""
    if top is None:
        return np.asarray(activations, np.float64)
    count = math.ceil(top * len(activations))
    cutoff = np.partition(activations, -count, axis=0)[-count]
    return (activations >= cutoff).astype(np.float64)


def holds(concepts: Values) -> Values:
    """Return where concepts hold, float64 [n, labels] of 0 and 1: probability of a half or more."""
    return (np.asarray(concepts) >= 0.5).astype(np.float64)


def _ratio(above: Values, below: Values) -> Values:
    return np.divide(above, below, out=np.zeros(np.broadcast_shapes(above.shape, below.shape)), where=below > 0)


@dataclass(frozen=True)
class _Counts:
    """Numbers of inputs: both active and in the concept [units, labels], either alone, and all."""

    both: Values
    active: Values
    concept: Values
    inputs: int

    @property
    def neither(self) -> Values:
        return self.inputs - self.active - self.concept + self.both


def _counts(activations: Values, concepts: Values, top: float | None) -> _Counts:
    on, held = active(activations, top), holds(concepts)
    return _Counts(on.T @ held, on.sum(0)[:, None], held.sum(0)[None, :], len(on))


def recall(activations: Values, concepts: Values, top: float | None = None) -> Values:
    """Return the share of a unit's active inputs that the concept holds for."""
    found = _counts(activations, concepts, top)
    return _ratio(found.both, found.active)


def precision(activations: Values, concepts: Values, top: float | None = None) -> Values:
    """Return the share of a concept's inputs at which the unit is active."""
    found = _counts(activations, concepts, top)
    return _ratio(found.both, found.concept)


def f1(activations: Values, concepts: Values, top: float | None = None) -> Values:
    """Return the harmonic mean of recall and precision."""
    found = _counts(activations, concepts, top)
    return _ratio(2 * found.both, found.active + found.concept)


def iou(activations: Values, concepts: Values, top: float | None = None) -> Values:
    """Return intersection over union of active inputs and the concept's."""
    found = _counts(activations, concepts, top)
    return _ratio(found.both, found.active + found.concept - found.both)


def accuracy(activations: Values, concepts: Values, top: float | None = None) -> Values:
    """Return the share of inputs that unit and concept agree on."""
    found = _counts(activations, concepts, top)
    return (found.both + found.neither) / found.inputs


def balanced_accuracy(activations: Values, concepts: Values, top: float | None = None) -> Values:
    """Return the mean of the shares of active and of inactive inputs that the concept gets right."""
    found = _counts(activations, concepts, top)
    return (_ratio(found.both, found.active) + _ratio(found.neither, found.inputs - found.active)) / 2


def inverse_balanced_accuracy(activations: Values, concepts: Values, top: float | None = None) -> Values:
    """Return the same with unit and concept in each other's place."""
    found = _counts(activations, concepts, top)
    return (_ratio(found.both, found.concept) + _ratio(found.neither, found.inputs - found.concept)) / 2


def _area(positive: Values, scores: Values) -> Values:
    """Areas under the ROC curves [classes, rankings] of positives [n, classes] and scores [n, rankings]."""
    ups = positive.sum(0)[:, None]
    wins = positive.T @ rankdata(scores, axis=0) - ups * (ups + 1) / 2
    return _ratio(wins, ups * (len(positive) - ups))


def auc(activations: Values, concepts: Values, top: float | None = None) -> Values:
    """Return P(the concept's probability is higher at an active input than at an inactive one), ties counting half.

    The released code breaks ties at random, which gives this on average, but for ones it adds noise below the spacing
    of float32, so that its printed differences for extra labels are larger.
    """
    return _area(active(activations, top), np.asarray(concepts, np.float64))


def inverse_auc(activations: Values, concepts: Values, top: float | None = None) -> Values:
    """Return P(an input of the concept excites the unit more than another), ties counting half; ``top`` is not used."""
    return _area(holds(concepts), np.asarray(activations, np.float64)).T


def _average_precision(positive: Values, scores: Values) -> Values:
    """Average precisions [classes, rankings] of positives [n, classes] and scores [n, rankings]."""
    found = np.zeros((positive.shape[1], scores.shape[1]))
    total = positive.sum(0)
    for j, column in enumerate(scores.T):
        order = np.argsort(-column, kind="stable")
        ends = np.append(np.flatnonzero(np.diff(column[order])), len(column) - 1)  # equal scores come in together
        hits = np.cumsum(positive[order], axis=0)[ends]
        gained = np.diff(hits, axis=0, prepend=0)
        found[:, j] = _ratio((gained * hits / (ends[:, None] + 1)).sum(0), total)
    return found


def auprc(activations: Values, concepts: Values, top: float | None = None) -> Values:
    """Return the area under the precision-recall curve (average precision) of finding active inputs by the concept."""
    return _average_precision(active(activations, top), np.asarray(concepts, np.float64))


def inverse_auprc(activations: Values, concepts: Values, top: float | None = None) -> Values:
    """Return the same of finding the concept's inputs by the activation; ``top`` is not used."""
    return _average_precision(holds(concepts), np.asarray(activations, np.float64)).T


def centred(values: npt.NDArray[np.floating]) -> Values:
    """Return columns less their means, float64 [n, m]; one that does not vary becomes exactly zero."""
    found = np.asarray(values, np.float64)
    return np.where(np.ptp(found, axis=0) > 0, found - found.mean(0), 0.0)


def correlation(activations: Values, concepts: Values, top: float | None = None) -> Values:
    """Return Pearson's r, 0 where one side does not vary; ``top`` is not used.

    The released code multiplies by (n - 1) / n, as it mixes two definitions of the variance.
    """
    first, second = centred(activations), centred(concepts)
    norms = np.linalg.norm(first, axis=0)[:, None] * np.linalg.norm(second, axis=0)[None, :]
    return np.clip(_ratio(first.T @ second, norms), -1, 1)


def spearman(activations: Values, concepts: Values, top: float | None = None) -> Values:
    """Return Spearman's rank correlation averaged over all ways of breaking ties; ``top`` is not used.

    This is what the released code's random order of ties tends to. It is below SciPy's figure where there are ties:
    equal inputs count as in disorder, so that binary concepts of rare units hardly correlate.
    """
    first, second = (rankdata(one, axis=0) for one in (activations, concepts))
    count = len(first)
    covariance = first.T @ second / count - ((count + 1) / 2) ** 2
    return covariance / ((count**2 - 1) / 12)


def cosine(activations: Values, concepts: Values, top: float | None = None) -> Values:
    """Return the cosine of activations and probabilities as vectors over inputs; ``top`` is not used."""
    norms = np.linalg.norm(activations, axis=0)[:, None] * np.linalg.norm(concepts, axis=0)[None, :]
    return _ratio(np.asarray(activations, np.float64).T @ np.asarray(concepts, np.float64), norms)


def wpmi(activations: Values, concepts: Values, top: float | None = None, weight: float = 1.0) -> Values:
    """Return the mean log probability of a concept at active inputs less ``weight`` x its log mean at all.

    Probabilities and their mean count as 1e-8 at least (the mean does not in the released code).
    """
    on, held = active(activations, top), np.asarray(concepts, np.float64)
    likelihood = _ratio(on.T @ np.log(np.maximum(held, TINY)), on.sum(0)[:, None])
    return likelihood - weight * np.log(np.maximum(held.mean(0), TINY))[None, :]


def mad(activations: Values, concepts: Values, top: float | None = None) -> Values:
    """Return the mean activation at a concept's inputs less that at all others; ``top`` is not used.

    CoSy's is another one: see :func:`dnd.selection.cosy.mad`.
    """
    values, held = np.asarray(activations, np.float64), holds(concepts)
    inside = _ratio(values.T @ held, held.sum(0)[None, :])
    return inside - _ratio(values.T @ (1 - held), (1 - held).sum(0)[None, :])


def top_and_random(activations: Values, concepts: Values, top: float | None = None, count: int = 25) -> Values:
    """Return Pearson's r over ``count`` of a unit's active inputs and as many of all, drawn with a fixed seed.

    Source: ``correlation_top_and_random``; the sampling of several automatic simulation scores.
    """
    on, values = active(activations, top), np.asarray(activations, np.float64)
    found = np.zeros((values.shape[1], np.shape(concepts)[1]))
    for unit in range(len(found)):
        rng = np.random.default_rng(unit)
        best = rng.permutation(np.flatnonzero(on[:, unit]))[:count]
        chosen = np.concatenate([best, rng.permutation(len(values))[:count]])
        found[unit] = correlation(values[chosen, unit : unit + 1], np.asarray(concepts)[chosen])[0]
    return found


Function = Callable[[Values, Values], Values]


@dataclass(frozen=True)
class Measure:
    """A measure and the range that its changes are taken relative to; None: the range of what is observed."""

    function: Function
    low: float | None = 0.0
    high: float | None = 1.0


MEASURES: dict[str, Measure] = {
    "recall": Measure(recall),
    "precision": Measure(precision),
    "f1": Measure(f1),
    "iou": Measure(iou),
    "accuracy": Measure(accuracy),
    "balanced_accuracy": Measure(balanced_accuracy),
    "inverse_balanced_accuracy": Measure(inverse_balanced_accuracy),
    "auc": Measure(auc),
    "inverse_auc": Measure(inverse_auc),
    "correlation": Measure(correlation, -1.0),
    "top_and_random": Measure(top_and_random, -1.0),
    "spearman": Measure(spearman, -1.0),
    "cosine": Measure(cosine, -1.0),
    "wpmi": Measure(wpmi, None, None),
    "mad": Measure(mad, None, None),
    "auprc": Measure(auprc),
    "inverse_auprc": Measure(inverse_auprc),
}
"""Neuron_Eval's name -> the measure with the range that its notebook of sanity checks gives."""
