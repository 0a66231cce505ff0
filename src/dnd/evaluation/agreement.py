"""How well descriptions agree with known answers, by extension: a label is the scenes it denotes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dnd.config import known_answers
from dnd.config.known_answers import CONCEPT_KINDS, KnownAnswer
from dnd.evaluation.baselines import CONSTANT, RANDOM, SHUFFLED, constant_label, random_concepts, shuffled
from dnd.evaluation.metrics import reliability
from dnd.evaluation.metrics.stability import SAME
from dnd.evaluation.metrics.statistics import bootstrap, wilson
from dnd.evaluation.naming import Encode, Vectors, embedded, names
from dnd.io import schemas, tables
from dnd.io.rows import Figure
from dnd.shapeworld import world
from dnd.shapeworld.grammar import alternatives, parse
from dnd.shapeworld.scenes import scene_of

SCENES = 5000
STREAM = 3
"""Seed of the held-out scenes, those of ``render.draw(STREAM, i)``: no training or demo uses it."""
TRUE_SHARE = "true_share_pair"
"""Metric of how much of the best attainable a label explains: see :mod:`dnd.evaluation.truth`."""
NOTABLE = 0.9
"""Share of the best attainable correlation from which no other concept explains a unit notably better."""
ENOUGH = SAME
"""Smallest IoU with the true concept at which a label counts as exact."""
RIGHT = "known_answer_right"
EXACT, F1, IOU, ABSTAINED = "known_answer_exact", "known_answer_f1", "known_answer_iou", "abstained"
BOTH, ECE = "known_answer_both", "ece"
SHARES = (RIGHT, EXACT, BOTH, ABSTAINED, "stability_same_set")
"""Metrics that are 0 or 1 for a unit."""
SEVERAL = "polysemantic"
"""Kind of units that have more than one concept to name."""
OF_CONCEPTS = (EXACT, F1, IOU, BOTH)
"""Metrics of units that have a concept to name: no mean of them is taken over all units of a layer."""


class DescribedUnit(NamedTuple):
    """What agreement needs of a row of DESCRIPTIONS."""

    model: str
    layer: str
    recipe: str
    unit: int
    label: str | None
    labels: list[str]
    confidence: float | None
    abstained: str | None


@lru_cache
def held_out(scenes: int = SCENES) -> tuple[npt.NDArray[np.intp], ...]:
    """Return the held-out scenes as positions in an extension: an array [scenes] per attribute."""
    drawn = [scene_of(STREAM, i).index for i in range(scenes)]
    return tuple(np.array(drawn).T)


def agreement(label: str | None, truth: world.Extension) -> dict[str, float]:
    """Return exact, F1 and IoU of a label against the true concept over the held-out scenes.

    No label, and a label outside the grammar, are wrong: 0 in all three.
    """
    meaning = parse(label) if label is not None else None
    if meaning is None:
        return dict.fromkeys((EXACT, F1, IOU), 0.0)
    places = held_out()
    shown, true = meaning[places], truth[places]
    iou = world.iou(shown, true)
    return {EXACT: float(iou >= ENOUGH), F1: world.f1(shown, true), IOU: iou}


def right(label: str | None, answer: KnownAnswer, vectors: Vectors | None = None) -> bool:
    """Return whether a label is right: exact by extension, or the name of an answer that is known by text.

    Parameters
    ----------
    vectors : see :func:`dnd.evaluation.naming.names`.
    """
    if label is None:
        return False
    if answer.words is None:
        return names(label, answer.texts, vectors)
    truth = world.extension(answer)
    return truth is not None and agreement(label, truth)[EXACT] == 1.0


def names_all(label: str | None, labels: Iterable[str], answer: KnownAnswer) -> float:
    """Return 1 where a unit's labels name every concept of it, else 0.

    A concept is named by one of ``labels``, or by a part that one joins by ``or``, whose IoU with it is ENOUGH or more
    over the held-out scenes. An exact ``label`` names all, however it joins them ("orange and green objects").
    """
    if right(label, answer):
        return 1.0
    places = held_out()
    parts = [part[places] for label in labels for part in alternatives(label) or ()]
    parts += [whole[places] for label in labels if (whole := parse(label)) is not None]
    concepts = [world.conjunction(words)[places] for words in answer.words or ()]
    return float(all(any(world.iou(part, concept) >= ENOUGH for part in parts) for concept in concepts))


def layer_rows(
    name: str,
    described: Sequence[DescribedUnit],
    answers: Mapping[int, KnownAnswer],
    concepts: Sequence[str] = (),
    judged: Sequence[Figure] = (),
    vectors: Vectors | None = None,
) -> list[Figure]:
    """Return the EVALUATION rows of one layer: per unit, then the aggregates.

    Parameters
    ----------
    name : of the sweep row.
    described : the layer's units, all by one recipe.
    answers : unit -> its known answer; empty for a layer without.
    concepts : for a baseline of random labels; none when empty.
    judged : rows of units by other metrics; ``kind`` is filled in.
    vectors : see :func:`dnd.evaluation.naming.names`.
    """
    described = sorted(described, key=lambda row: row.unit)
    if not described:
        return []
    method, layer = described[0].recipe, described[0].layer
    kinds = {unit: answer.kind for unit, answer in answers.items()}

    def figure(method: str, unit: int, metric: str, value: float) -> Figure:
        return Figure(name, layer, unit, kinds.get(unit), method, metric, value)

    figures = [figure(method, row.unit, ABSTAINED, float(row.abstained is not None)) for row in described]
    named = [row for row in described if row.unit in answers and answers[row.unit].words]
    for labeller, labels in _labelled(method, described, named, concepts).items():
        for row, label in zip(named, labels, strict=True):
            truth = world.extension(answers[row.unit])
            assert truth is not None
            figures += [figure(labeller, row.unit, *measured) for measured in agreement(label, truth).items()]
    told = [row for row in described if row.unit in answers and answers[row.unit].words is None]
    for labeller, labels in _labelled(method, described, told, concepts).items():
        for row, label in zip(told, labels, strict=True):
            figures.append(figure(labeller, row.unit, RIGHT, float(right(label, answers[row.unit], vectors))))
    figures += [
        figure(method, row.unit, BOTH, names_all(row.label, row.labels, answers[row.unit]))
        for row in named
        if kinds[row.unit] == SEVERAL
    ]
    figures += [row._replace(kind=None if row.unit is None else kinds.get(row.unit)) for row in judged]
    return figures + aggregates(figures)


def _labelled(
    method: str, described: Sequence[DescribedUnit], named: Sequence[DescribedUnit], concepts: Sequence[str]
) -> dict[str, Sequence[str | None]]:
    """The method and each baseline, with its labels of the units that have a concept to name."""
    labels = [row.label for row in named]
    labelled: dict[str, Sequence[str | None]] = {method: labels, SHUFFLED: shuffled(labels)}
    most = constant_label(row.label for row in described)
    if most is not None:
        labelled[CONSTANT] = [most] * len(named)
    if concepts:
        labelled[RANDOM] = list(random_concepts([row.unit for row in named], concepts).values())
    return labelled


def rightness(rows: Iterable[Figure], method: str) -> dict[int, bool]:
    """Return whether the labels of a layer's units are right, of units of which that is known.

    A label is right where no other explains the unit notably better, or else where it is the known answer, by text or
    by extension.

    Parameters
    ----------
    rows : of the layer's units; ``method`` says whose labels.
    """
    known: dict[int, bool] = {}
    least = {EXACT: 1.0, RIGHT: 1.0, TRUE_SHARE: NOTABLE}
    figures = [row for row in rows if row.unit is not None and row.method == method and row.metric in least]
    for row in sorted(figures, key=lambda row: list(least).index(row.metric)):
        assert row.unit is not None
        known[row.unit] = row.value >= least[row.metric]
    return known


def calibration_rows(name: str, described: Sequence[DescribedUnit], rows: Sequence[Figure]) -> list[Figure]:
    """Return the EVALUATION row of a layer's expected calibration error, if any unit has a confidence and is known.

    Confidence is held against :func:`rightness`; a label that is withheld counts as wrong, with its confidence.

    Parameters
    ----------
    rows : of the layer's units, as :func:`layer_rows` returns them.
    """
    if not described:
        return []
    method, layer = described[0].recipe, described[0].layer
    known = rightness(rows, method)
    told = [row for row in sorted(described, key=lambda row: row.unit) if row.confidence is not None]
    pairs = [(row.confidence, float(known[row.unit])) for row in told if row.unit in known]
    if not pairs:
        return []
    sure, true = [pair[0] for pair in pairs if pair[0] is not None], [pair[1] for pair in pairs]
    error = reliability.reliability(sure, true).error
    return [Figure(name, layer, None, None, method, ECE, error, *reliability.interval(sure, true))]


def aggregates(rows: Sequence[Figure]) -> list[Figure]:
    """Return the means of unit rows with their 95 % intervals: per kind, for ``concept``, for all.

    Shares carry Wilson's interval, other means the bootstrap's. Agreement with known answers is not joined over all
    units of a layer (kind null), since not all have a concept to name.
    """
    groups: dict[tuple[str, str, str | None, str, str], list[float]] = {}
    for row in rows:
        kinds = {row.kind} | ({"concept"} if row.kind in CONCEPT_KINDS else set())
        if row.metric not in OF_CONCEPTS:
            kinds.add(None)  # every unit of the layer
        for kind in kinds:
            groups.setdefault((row.name, row.layer, kind, row.method, row.metric), []).append(row.value)
    means = []
    for (name, layer, kind, method, metric), values in groups.items():
        low, high = wilson(int(sum(values)), len(values)) if metric in SHARES else bootstrap(values)
        means.append(Figure(name, layer, None, kind, method, metric, float(np.mean(values)), low, high))
    return means


def run(
    descriptions: Iterable[tuple[str, str | Path]],
    answers: Mapping[str, str | Path],
    judged: Sequence[str | Path] = (),
    concepts: Sequence[str] = (),
    probable: Collection[str] = (),
    class_names: Mapping[str, Mapping[str, str | Path]] | None = None,
    sentences: Encode | None = None,
) -> pa.Table:
    """Return the EVALUATION table of a run.

    Parameters
    ----------
    descriptions : sweep name and DESCRIPTIONS file of each layer.
    answers : model -> its file of known answers; models without one are left out.
    judged : files of units' rows by other metrics: see :mod:`dnd.evaluation.judgements`.
    concepts : for a baseline of random labels; none when empty.
    probable : sweep names whose confidence is meant as a probability.
    class_names : model -> layer -> text file of the units' classes.
    sentences : texts to unit vectors, for answers by text; none where only words count.
    """
    judged_rows: dict[tuple[str, str], list[Figure]] = {}
    for row in tables.rows(judged, schemas.EVALUATION, Figure):
        judged_rows.setdefault((row.name, row.layer), []).append(row)
    classes = class_names or {}
    known = {
        model: known_answers.of_network(answers.get(model), classes.get(model, {}))
        for model in answers.keys() | classes.keys()
    }
    figures: list[Figure] = []
    for name, path in descriptions:
        described = tables.rows(path, schemas.DESCRIPTIONS, DescribedUnit)
        if described:
            model, layer = described[0].model, described[0].layer
            of_layer = known.get(model, {}).get(layer, {})
            labels = [*(row.label for row in described if row.label is not None), *concepts]
            vectors = embedded(labels, of_layer.values(), sentences)
            rows = layer_rows(name, described, of_layer, concepts, judged_rows.get((name, layer), ()), vectors)
            figures += rows + (calibration_rows(name, described, rows) if name in probable else [])
    return tables.table(sorted(figures, key=_order), schemas.EVALUATION)


def _order(row: Figure) -> tuple[str, str, bool, int, str, str, str]:
    return row.name, row.layer, row.unit is not None, row.unit or 0, row.kind or "", row.method, row.metric
