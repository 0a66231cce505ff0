"""Neuron_Eval's two sanity tests: does a metric notice that a label misses cases, or that it holds too often?

Source: Oikarinen, Yan & Weng, ICML 2025, section 4, and ``theoretical_sanity_check.ipynb``. A simulated unit is active
at some share of the inputs, and its true label holds exactly there. In the missing-labels test the label loses half of
its positives; in the extra-labels test it gains as many false ones as it has (the released tests draw each with a
probability, which is as many on average). A metric must fall by more than EPSILON of its range, whatever the unit's
activation frequency.
"""

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sk

from dnd.evaluation import truth
from dnd.evaluation.agreement import ENOUGH
from dnd.evaluation.metrics import contrast
from dnd.evaluation.metrics.registry import METRICS
from dnd.selection import cosy, evidence
from dnd.shapeworld import world

EPSILON = 0.001
FREQUENCIES = (0.499, 0.1, 0.01, 0.001, 0.0001)
INPUTS = 20000
LOOK_ALIKES = 200


class Measure(NamedTuple):
    """A metric of a unit and a label, bool [n] each, and the range that its changes are taken relative to.

    Without a range it is that over all pairs of a simulated unit and a label, right or spoilt.
    """

    value: Callable[[np.ndarray, np.ndarray], float]
    low: float | None = 0.0
    high: float | None = 1.0


class Outcome(NamedTuple):
    """Changes of a metric relative to its range at one activation frequency; below zero where it falls."""

    missing: float
    extra: float


def with_missing(held):
    """A label without half of its positives."""
    found = held.copy()
    places = np.flatnonzero(held)
    found[np.random.default_rng(len(places)).permutation(places)[: len(places) // 2]] = False
    return found


def with_extra(held):
    """A label with as many false positives as it has true ones."""
    found = held.copy()
    count = int(held.sum())
    found[np.random.default_rng(count).permutation(np.flatnonzero(~held))[:count]] = True
    return found


UNITS = [np.arange(INPUTS) < round(frequency * INPUTS) for frequency in FREQUENCIES]
LABELS = [(held, with_missing(held), with_extra(held)) for held in UNITS]
"""Of each unit the true label and the spoilt ones; a rarer unit is active within a more frequent one's inputs."""


def contrast_of(unit, label):
    """Every input's embedding is whether the label holds; look-alikes are any inputs without activation."""
    off = np.random.default_rng(0).permutation(np.flatnonzero(~unit))[:LOOK_ALIKES]
    held = label[:, None].astype(float)
    return contrast.explained(np.ones(1), held[unit], held[off])


def true_r(unit, label):
    """Every input is a scene of its own; no label does better than the true one, so that a share of the best is r."""
    centred = unit - unit.mean()
    seen = truth.Cells(np.ones(len(unit)), (centred / np.linalg.norm(centred))[:, None])
    return truth.correlations(label[None], seen)[0, 0]


# CoSy's pictures are inputs that the label holds for, its controls all inputs: a faithful generator and random images.
OURS = {
    "known_answer_exact": Measure(lambda unit, label: float(world.iou(label, unit) >= ENOUGH)),
    "known_answer_f1": Measure(lambda unit, label: world.f1(label, unit)),
    "known_answer_iou": Measure(lambda unit, label: world.iou(label, unit)),
    "cosy_auc": Measure(lambda unit, label: cosy.auc(unit[label].astype(float), unit.astype(float))),
    "cosy_mad": Measure(lambda unit, label: cosy.mad(unit[label].astype(float), unit.astype(float)), None, None),
    "simulation_r": Measure(
        lambda unit, label: evidence.correlations(unit[:, None].astype(float), label[:, None].astype(float))[0, 0],
        -1.0,
    ),
    "exemplar_contrast": Measure(contrast_of),
    **{name: Measure(true_r, -1.0) for name in ("true_r", "true_r_ranked", "true_share", "true_share_pair")},
}
# Measures that the paper compares: the concept is the classifier and the unit the truth.
THEIRS = {
    "recall": Measure(sk.recall_score),
    "precision": Measure(sk.precision_score),
    "f1": Measure(sk.f1_score),
    "iou": Measure(sk.jaccard_score),
    "accuracy": Measure(sk.accuracy_score),
    "balanced_accuracy": Measure(sk.balanced_accuracy_score),
    "inverse_balanced_accuracy": Measure(lambda unit, label: sk.balanced_accuracy_score(label, unit)),
    "auc": Measure(sk.roc_auc_score),
    "inverse_auc": Measure(lambda unit, label: sk.roc_auc_score(label, unit)),
    "correlation": Measure(lambda unit, label: stats.pearsonr(unit, label)[0], -1.0),
    "cosine": Measure(lambda unit, label: (unit & label).sum() / np.sqrt(unit.sum() * label.sum()), -1.0),
    "mad": Measure(lambda unit, label: unit[label].mean() - unit[~label].mean(), None, None),
    "auprc": Measure(sk.average_precision_score),
    "inverse_auprc": Measure(lambda unit, label: sk.average_precision_score(label, unit)),
}


@cache
def outcomes(name):
    """How a metric changes in both tests at each activation frequency."""
    value, low, high = (OURS | THEIRS)[name]
    values = [[value(unit, label) for label in labels] for unit, labels in zip(UNITS, LABELS, strict=True)]
    if low is None:
        seen = [value(unit, label) for unit in UNITS for labels in LABELS for label in labels]
        low, high = min(seen), max(seen)
    spread = high - low
    return [Outcome((missing - right) / spread, (extra - right) / spread) for right, missing, extra in values]


def verdict(found):
    """Which tests a metric passes: it must fall by more than EPSILON at every activation frequency."""
    enough = -EPSILON - 1e-12  # a fall by exactly EPSILON is too small, whatever its last bits
    passed = all(one.missing < enough for one in found), all(one.extra < enough for one in found)
    told = {(True, True): "passes", (False, False): "fails both", (True, False): "fails extra"}
    return told.get(passed, "fails missing")


# Mean changes printed in theoretical_sanity_check.ipynb at frequencies .499, .1, .01, .001, .0001. Those of AUC are
# left out where they depend on how float32 orders ties.
PUBLISHED = {
    "recall": ([-0.5] * 5, [0.0] * 5),
    "precision": ([0.0] * 5, [-0.5] * 5),
    "f1": ([-1 / 3] * 5, [-1 / 3] * 5),
    "iou": ([-0.5] * 5, [-0.5] * 5),
    "accuracy": ([-0.2495, -0.05, -0.005, -0.0005, 0], [-0.499, -0.1, -0.01, -0.001, -0.0001]),
    "balanced_accuracy": ([-0.25] * 5, [-0.498, -0.0556, -0.005, -0.0005, 0]),
    "inverse_balanced_accuracy": ([-0.1662, -0.0263, -0.0025, -0.0002, 0], [-0.25] * 5),
    "auc": ([-0.25] * 5, None),
    "inverse_auc": ([-0.1662, -0.0263, -0.0025, -0.0002, 0], [-0.25] * 5),
    "correlation": (
        [-0.2111, -0.1559, -0.1474, -0.1470, -0.1464],
        [-0.4776, -0.1667, -0.1482, -0.1466, -0.1464],
    ),
    "cosine": ([-0.1464] * 5, [-0.1464] * 5),
    "mad": ([-0.3325, -0.0526, -0.005, -0.0005, 0], [-0.5] * 5),
    "auprc": ([-0.2505, -0.45, -0.4953, -0.4999, -0.5], [-0.5] * 5),
    "inverse_auprc": ([-0.5] * 5, [-0.001, -0.4, -0.4898, -0.4985, -0.4999]),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_changes_are_the_published_ones(name):
    found = outcomes(name)
    missing, extra = PUBLISHED[name]
    np.testing.assert_allclose([one.missing for one in found], missing, atol=5e-4)
    if extra is not None:
        np.testing.assert_allclose([one.extra for one in found], extra, atol=5e-4)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        *((name, "passes") for name in ("correlation", "cosine", "auprc", "f1", "iou")),
        *((name, "fails extra") for name in ("recall", "balanced_accuracy", "auc")),
        *((name, "fails missing") for name in ("precision", "inverse_balanced_accuracy", "inverse_auc", "mad")),
        ("accuracy", "fails both"),
        ("inverse_auprc", "fails extra"),  # by .0010 at the frequency .499: in the notebook 52 % of draws pass there
    ],
)
def test_verdicts_are_the_published_ones(name, expected):
    assert verdict(outcomes(name)) == expected


@pytest.mark.parametrize("name", OURS)
def test_our_metrics_are_marked_by_what_the_tests_find(name):
    assert METRICS[name].sanity == verdict(outcomes(name))


def test_cosy_does_not_notice_missing_labels():
    found = outcomes("cosy_auc")
    assert [one.missing for one in found] == [0.0] * 5
    assert found[2].extra == pytest.approx(-0.25, abs=0.01)  # half of the pictures are no better than controls
