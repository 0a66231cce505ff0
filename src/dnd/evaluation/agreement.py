"""How well descriptions agree with known answers, by extension: a label is the scenes it denotes.

``dnd figures results/demo`` prints the figures of a finished run.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dnd.evaluation.baselines import BASELINES, CONSTANT, RANDOM, SHUFFLED, constant_label, random_concepts, shuffled
from dnd.evaluation.metrics import reliability
from dnd.evaluation.metrics.stability import SAME
from dnd.evaluation.metrics.statistics import bootstrap, wilson
from dnd.evaluation.summary import Estimate, figures
from dnd.io import schemas, tables
from dnd.shapeworld import known_answers, world
from dnd.shapeworld.grammar import alternatives, parse
from dnd.shapeworld.known_answers import CONCEPT_KINDS, Answer

SCENES = 5000
STREAM = 3
"""Seed of the held-out scenes, those of ``render.draw(STREAM, i)``: no training or demo uses it."""
ENOUGH = SAME
"""Smallest IoU with the true concept at which a label counts as exact."""
EXACT, F1, IOU, ABSTAINED = "known_answer_exact", "known_answer_f1", "known_answer_iou", "abstained"
BOTH, ECE = "known_answer_both", "ece"
SAME_SET = "stability_same_set"
SHARES = (EXACT, BOTH, ABSTAINED, SAME_SET)
"""Metrics that are 0 or 1 for a unit."""
SEVERAL = "polysemantic"
"""Kind of units that have more than one concept to name."""
OF_CONCEPTS = (EXACT, F1, IOU, BOTH)
"""Metrics of units that have a concept to name: no mean of them is taken over all units of a layer."""

Flags = npt.NDArray[np.bool_]
Row = dict[str, Any]


@lru_cache(maxsize=2)
def held_out(scenes: int = SCENES) -> tuple[npt.NDArray[np.intp], ...]:
    """Return the held-out scenes as positions in an extension: an array [scenes] per attribute."""
    found = [world.sample_scene(np.random.default_rng([STREAM, i])).index for i in range(scenes)]
    return tuple(np.array(found).T)


def agreement(label: str | None, truth: world.Extension, scenes: int = SCENES) -> dict[str, float]:
    """Return exact, F1 and IoU of a label against the true concept over the held-out scenes.

    No label, and a label outside the grammar, are wrong: 0 in all three.
    """
    meaning = parse(label) if label is not None else None
    if meaning is None:
        return dict.fromkeys((EXACT, F1, IOU), 0.0)
    places = held_out(scenes)
    shown, true = meaning[places], truth[places]
    iou = world.iou(shown, true)
    return {EXACT: float(iou >= ENOUGH), F1: world.f1(shown, true), IOU: iou}


def names_all(label: str | None, labels: Iterable[str], answer: Answer, scenes: int = SCENES) -> float:
    """Return 1 where a unit's labels name every concept of it, else 0.

    A concept is named by one of ``labels``, or by a part that one joins by ``or``, whose IoU with it is ENOUGH or more
    over the held-out scenes. An exact ``label`` names all, however it joins them ("orange and green objects").
    """
    truth = answer.extension
    assert truth is not None
    if agreement(label, truth, scenes)[EXACT]:
        return 1.0
    places = held_out(scenes)
    parts = [part[places] for label in labels for part in alternatives(label) or ()]
    parts += [whole[places] for label in labels if (whole := parse(label)) is not None]
    truths = [world.conjunction(words)[places] for words in answer.words]
    return float(all(any(world.iou(part, truth) >= ENOUGH for part in parts) for truth in truths))


def layer_rows(
    name: str,
    described: Sequence[Mapping[str, Any]],
    answers: Mapping[int, Answer],
    concepts: Sequence[str] = (),
    judged: Sequence[Row] = (),
) -> list[Row]:
    """Return the EVALUATION rows of one layer: per unit, then the aggregates.

    Parameters
    ----------
    name : of the sweep row.
    described : rows of DESCRIPTIONS with ``layer``, ``recipe``, ``unit``, ``label``, ``labels``, ``abstained``.
    answers : unit -> its known answer; empty for a layer without.
    concepts : for a baseline of random labels; none when empty.
    judged : rows of units by other metrics; ``kind`` is filled in.
    """
    described = sorted(described, key=lambda row: row["unit"])
    if not described:
        return []
    method, layer = described[0]["recipe"], described[0]["layer"]
    named = [row for row in described if row["unit"] in answers and answers[row["unit"]].words]
    own = [row["label"] for row in named]
    most = constant_label(row["label"] for row in described)
    labelled = {
        method: own,
        CONSTANT: [most] * len(named) if most is not None else [],
        SHUFFLED: shuffled(own),
    }
    if concepts:
        labelled[RANDOM] = list(random_concepts([row["unit"] for row in named], concepts).values())
    found = []

    def add(method: str, unit: int, metric: str, value: float) -> None:
        kind = answers[unit].kind if unit in answers else None
        place = {"name": name, "layer": layer, "unit": unit, "kind": kind, "method": method}
        found.append(place | {"metric": metric, "value": value, "low": None, "high": None})

    for row in described:
        add(method, row["unit"], ABSTAINED, float(row["abstained"] is not None))
    for one, labels in labelled.items():
        for row, label in zip(named, labels, strict=False):
            truth = answers[row["unit"]].extension
            assert truth is not None
            for metric, value in agreement(label, truth).items():
                add(one, row["unit"], metric, value)
    for row in named:
        if answers[row["unit"]].kind == SEVERAL:
            add(method, row["unit"], BOTH, names_all(row["label"], row["labels"], answers[row["unit"]]))
    kinds = {unit: answer.kind for unit, answer in answers.items()}
    found += [row | {"kind": kinds.get(row["unit"])} for row in judged]
    return found + aggregates(found)


def calibration_rows(
    name: str, described: Sequence[Mapping[str, Any]], answers: Mapping[int, Answer], rows: Sequence[Row]
) -> list[Row]:
    """Return the EVALUATION row of a layer's expected calibration error over all units with a known answer, if any.

    Confidence is held against exactness. Units with nothing to name and abstentions count as not exact, with the
    confidence that they carry: a method that withholds a label, or gives one to a dead unit, has to be unsure of it.

    Parameters
    ----------
    described : rows of DESCRIPTIONS with ``layer``, ``recipe``, ``unit``, ``confidence``.
    rows : of the layer's units, as :func:`layer_rows` returns them.
    """
    known = sorted((row for row in described if row["unit"] in answers), key=lambda row: row["unit"])
    if not known:
        return []
    method, layer = known[0]["recipe"], known[0]["layer"]
    exact = {row["unit"]: row["value"] for row in rows if (row["method"], row["metric"]) == (method, EXACT)}
    sure, right = [row["confidence"] for row in known], [exact.get(row["unit"], 0.0) for row in known]
    low, high = reliability.interval(sure, right)
    place = {"name": name, "layer": layer, "unit": None, "kind": None, "method": method, "metric": ECE}
    return [place | {"value": reliability.reliability(sure, right).error, "low": low, "high": high}]


def aggregates(rows: Sequence[Row]) -> list[Row]:
    """Return the means of unit rows with their 95 % intervals: per kind, for ``concept``, for all.

    Shares carry Wilson's interval, other means the bootstrap's. Agreement with known answers is not joined over all
    units of a layer (kind null), since not all have a concept to name.
    """
    groups: dict[tuple[str, str, str | None, str, str], list[float]] = {}
    for row in rows:
        kinds = {row["kind"]} | ({"concept"} if row["kind"] in CONCEPT_KINDS else set())
        if row["metric"] not in OF_CONCEPTS:
            kinds.add(None)  # every unit of the layer
        for kind in kinds:
            groups.setdefault((row["name"], row["layer"], kind, row["method"], row["metric"]), []).append(row["value"])
    found = []
    for (name, layer, kind, method, metric), values in groups.items():
        low, high = wilson(int(sum(values)), len(values)) if metric in SHARES else bootstrap(values)
        place = {
            "name": name,
            "layer": layer,
            "unit": None,
            "kind": kind,
            "method": method,
            "metric": metric,
        }
        found.append(place | {"value": float(np.mean(values)), "low": low, "high": high})
    return found


def _order(row: Mapping[str, Any]) -> tuple[Any, ...]:
    unit = row["unit"]
    return (
        row["name"],
        row["layer"],
        unit is not None,
        unit or 0,
        row["kind"] or "",
        row["method"],
        row["metric"],
    )


def run(
    descriptions: Iterable[tuple[str, str | Path]],
    answers: Mapping[str, str | Path],
    judged: Sequence[str | Path] = (),
    concepts: Sequence[str] = (),
    probable: Collection[str] = (),
) -> pa.Table:
    """Return the EVALUATION table of a run.

    Parameters
    ----------
    descriptions : sweep name and DESCRIPTIONS file of each layer.
    answers : model -> its file of known answers; models without one are left out.
    judged : files of units' rows by other metrics: see :mod:`dnd.evaluation.judgements`.
    concepts : for a baseline of random labels; none when empty.
    probable : sweep names whose confidence is meant as a probability.
    """
    others: dict[tuple[str, str], list[Row]] = {}
    for row in tables.read(judged, schemas.EVALUATION).to_pylist():
        others.setdefault((row["name"], row["layer"]), []).append(row)
    known = {model: known_answers.load(path) for model, path in answers.items()}
    columns = ["model", "layer", "recipe", "unit", "label", "labels", "confidence", "abstained"]
    rows: list[Row] = []
    for name, path in descriptions:
        described = tables.read(path, schemas.DESCRIPTIONS, columns).to_pylist()
        if described:
            first = described[0]
            right = known.get(first["model"], {}).get(first["layer"], {})
            own = layer_rows(name, described, right, concepts, others.get((name, first["layer"]), ()))
            rows += own + (calibration_rows(name, described, right, own) if name in probable else [])
    return tables.table(sorted(rows, key=_order), schemas.EVALUATION)


def summary(evaluation: pa.Table) -> str:
    """Return the aggregates as text: one line per layer and kind, ours beside the baselines."""
    known = figures(evaluation)
    measured = [method for method in BASELINES if any(method in one.baselines for one in known)]
    lines = [
        (
            "layer",
            "units",
            "n",
            "exact",
            "95 %",
            "F1",
            "IoU",
            *(f"exact: {one}" for one in measured),
            "abstained",
        )
    ]
    for one in known:
        exact = one.own.get(EXACT)
        baselines = [one.baselines.get(method, {}).get(EXACT) for method in measured]
        means = [_text(one.own.get(metric)) for metric in (F1, IOU)]
        lines.append(
            (
                f"{one.name}/{one.layer}",
                one.kind or "all",
                str(one.units),
                _text(exact),
                f"{exact.low:.2f}-{exact.high:.2f}" if exact else "",
                *means,
                *map(_text, baselines),
                _text(one.own.get(ABSTAINED)),
            )
        )
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    padded = ("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)
    return "\n".join(line.rstrip() for line in padded)


def _text(estimate: Estimate | None) -> str:
    return "" if estimate is None else f"{estimate.value:.3f}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the figures of a finished run and where its page is."""
    parser = argparse.ArgumentParser(
        prog="dnd figures", description=main.__doc__, epilog="example: dnd figures results/demo"
    )
    parser.add_argument("results", type=Path, help="results folder of a run, such as results/demo")
    folder = parser.parse_args(arguments).results
    file = folder / "evaluation.parquet"
    if not file.exists():
        print(f"{file} does not exist: run the workflow first", file=sys.stderr)
        return 2
    print(summary(tables.read(file, schemas.EVALUATION)))
    page = folder / "report" / "index.html"
    if page.exists():
        print(f"\nbrowse every unit: {page}")
    return 0
