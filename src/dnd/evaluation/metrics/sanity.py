"""Neuron_Eval's two sanity tests: does a metric notice that a label misses cases, or that it holds too often?

Source: Oikarinen, Yan & Weng, ICML 2025, section 4, and ``theoretical_sanity_check.ipynb``. A simulated unit is active
at some share of the inputs, and its true label holds exactly there. In the missing-labels test the label loses half of
its positives; in the extra-labels test it gains as many false ones as it has. A metric must fall by more than EPSILON
of its range, whatever the unit's activation frequency.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from dnd.evaluation.metrics import contrast, simulation
from dnd.evaluation.metrics.measures import Measure
from dnd.selection import cosy
from dnd.shapeworld import world

Values = npt.NDArray[np.float64]
EPSILON = 0.001
FREQUENCIES = (0.499, 0.1, 0.01, 0.001, 0.0001)
INPUTS = 20000
LOOK_ALIKES = 200
EXACT_FROM = 0.95
"""Smallest IoU of an exact label, as in the evaluation."""
Verdict = Literal["passes", "fails missing", "fails extra", "fails both", "not applicable"]


@dataclass(frozen=True)
class Outcome:
    """Changes of a metric relative to its range at one activation frequency; below zero where it falls."""

    missing: float
    extra: float


def with_missing(held: npt.NDArray[np.bool_], rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    """Return a label bool [n] without half of its positives, drawn at random.

    The released test drops each with probability .5, which is half of them on average.
    """
    places = np.flatnonzero(held)
    found = held.copy()
    found[rng.permutation(places)[: len(places) // 2]] = False
    return found


def with_extra(held: npt.NDArray[np.bool_], rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    """Return a label bool [n] with as many false positives, drawn at random, as it has true ones.

    The released test adds each with a probability that gives as many on average.

    Raises
    ------
    ValueError
        It holds for more than half of the inputs.
    """
    count = int(held.sum())
    if 2 * count > len(held):
        raise ValueError("a label that holds for more than half of the inputs cannot hold twice as often")
    found = held.copy()
    found[rng.permutation(np.flatnonzero(~held))[:count]] = True
    return found


def outcomes(measure: Measure, frequencies: tuple[float, ...] = FREQUENCIES, inputs: int = INPUTS) -> list[Outcome]:
    """Return how a metric changes in both tests at each activation frequency.

    Of a measure without a fixed range the changes are relative to the range over all pairs of a simulated unit and a
    label, right or spoilt: a rarer unit is active within a more frequent one's inputs, as in the released test.
    """
    units = [np.arange(inputs) < round(frequency * inputs) for frequency in frequencies]
    labels = [
        (held, *(spoil(held, np.random.default_rng(number)) for spoil in (with_missing, with_extra)))
        for number, held in enumerate(units)
    ]

    def value(unit: npt.NDArray[np.bool_], label: npt.NDArray[np.bool_]) -> float:
        return float(measure.function(unit.astype(float)[:, None], label.astype(float)[:, None])[0, 0])

    values = [[value(unit, label) for label in own] for unit, own in zip(units, labels, strict=True)]
    low, high = measure.low, measure.high
    if low is None or high is None:
        seen = [value(unit, label) for unit in units for own in labels for label in own]
        low, high = min(seen), max(seen)
    spread = (high - low) or 1.0
    return [Outcome((missing - right) / spread, (extra - right) / spread) for right, missing, extra in values]


def verdict(found: list[Outcome]) -> Verdict:
    """Return which tests a metric passes: it must fall by more than EPSILON at every activation frequency."""
    enough = -EPSILON - 1e-12  # a fall by exactly EPSILON is too small, whatever its last bits
    missing = all(one.missing < enough for one in found)
    extra = all(one.extra < enough for one in found)
    if missing and extra:
        return "passes"
    if not missing and not extra:
        return "fails both"
    return "fails extra" if missing else "fails missing"


def _one(value: float) -> Values:
    return np.array([[value]])


def _flags(unit: Values, label: Values) -> tuple[world.Extension, world.Extension]:
    return label[:, 0] > 0.5, unit[:, 0] > 0.5


def _known_f1(unit: Values, label: Values) -> Values:
    return _one(world.f1(*_flags(unit, label)))


def _known_iou(unit: Values, label: Values) -> Values:
    return _one(world.iou(*_flags(unit, label)))


def _known_exact(unit: Values, label: Values) -> Values:
    return _one(float(world.iou(*_flags(unit, label)) >= EXACT_FROM))


def _cosy_auc(unit: Values, label: Values) -> Values:
    held, _ = _flags(unit, label)
    return _one(cosy.auc(unit[held, 0], unit[:, 0]))


def _cosy_mad(unit: Values, label: Values) -> Values:
    held, _ = _flags(unit, label)
    return _one(cosy.mad(unit[held, 0], unit[:, 0]))


def _simulation(unit: Values, label: Values) -> Values:
    return _one(float(simulation.simulation(unit, label)[0]))


def _contrast(unit: Values, label: Values) -> Values:
    """Every input's embedding is whether the label holds; look-alikes are any inputs without activation."""
    off = np.random.default_rng(0).permutation(np.flatnonzero(unit[:, 0] == 0))[:LOOK_ALIKES]
    return _one(contrast.explained(np.ones(1), label[unit[:, 0] > 0], label[off]))


OURS: Mapping[str, Measure] = {
    "known_answer_exact": Measure(_known_exact),
    "known_answer_f1": Measure(_known_f1),
    "known_answer_iou": Measure(_known_iou),
    "cosy_auc": Measure(_cosy_auc),
    "cosy_mad": Measure(_cosy_mad, None, None),
    "simulation_r": Measure(_simulation, -1.0),
    "exemplar_contrast": Measure(_contrast),
}
"""Our metrics that compare a label with activations, as functions of both. CoSy's pictures are inputs that the label
holds for, its controls all inputs: a faithful generator and random images."""
