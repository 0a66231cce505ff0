"""How well descriptions agree with known answers, by extension: a label is the scenes it denotes.

``python -m dnd.evaluation results/demo`` prints the figures of a finished run.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy.stats import binomtest

from dnd import known_answers, tables
from dnd.figures import Estimate, figures
from dnd.known_answers import CONCEPT_KINDS, Answer
from dnd.shapeworld import world
from dnd.shapeworld.grammar import parse

SCENES = 5000
STREAM = 3
"""Seed of the held-out scenes, those of ``render.draw(STREAM, i)``: no training or demo uses it."""
ENOUGH = 0.95
"""Smallest IoU with the true concept at which a label counts as exact."""
RESAMPLES = 2000
EXACT, F1, IOU, ABSTAINED = "known_answer_exact", "known_answer_f1", "known_answer_iou", "abstained"
SHARES = (EXACT, ABSTAINED)
"""Metrics that are 0 or 1 for a unit."""
BASELINES = CONSTANT, SHUFFLED = ("constant", "shuffled")
"""The most frequent label for every unit; the layer's own labels dealt out anew."""

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


def wilson(successes: int, count: int) -> tuple[float, float]:
    """Return the 95 % Wilson score interval of a share.

    Source: Wilson 1927, without continuity correction, as SciPy's ``binomtest(...).proportion_ci``.
    """
    interval = binomtest(successes, count).proportion_ci(0.95, method="wilson")
    return float(interval.low), float(interval.high)


def bootstrap(values: Sequence[float], seed: int = 0) -> tuple[float, float]:
    """Return the 95 % percentile bootstrap interval of a mean over units, with a fixed seed.

    Source: Efron 1979; the 2.5th and 97.5th percentiles of the means of RESAMPLES resamples.
    """
    drawn = np.random.default_rng(seed).integers(len(values), size=(RESAMPLES, len(values)))
    low, high = np.quantile(np.asarray(values, float)[drawn].mean(axis=1), (0.025, 0.975))
    return float(low), float(high)


def constant_label(labels: Iterable[str | None]) -> str | None:
    """Return the most frequent label (of several, the first by spelling); None if there is none."""
    counts = Counter(label for label in labels if label is not None)
    return min(counts, key=lambda label: (-counts[label], label)) if counts else None


def shuffled(labels: Sequence[str | None], seed: int = 0) -> list[str | None]:
    """Return the labels, abstentions included, dealt out anew among the units."""
    return [labels[i] for i in np.random.default_rng(seed).permutation(len(labels))]


def layer_rows(name: str, described: Sequence[Mapping[str, Any]], answers: Mapping[int, Answer]) -> list[Row]:
    """Return the EVALUATION rows of one layer: per unit, then the aggregates.

    Parameters
    ----------
    name : of the sweep row.
    described : rows of DESCRIPTIONS with ``layer``, ``recipe``, ``unit``, ``label``, ``abstained``.
    answers : unit -> its known answer; empty for a layer without.
    """
    described = sorted(described, key=lambda row: row["unit"])
    if not described:
        return []
    method, layer = described[0]["recipe"], described[0]["layer"]
    judged = [row for row in described if row["unit"] in answers and answers[row["unit"]].words]
    own = [row["label"] for row in judged]
    most = constant_label(row["label"] for row in described)
    labelled = {
        method: own,
        CONSTANT: [most] * len(judged) if most is not None else [],
        SHUFFLED: shuffled(own),
    }
    found = []

    def add(method: str, unit: int, metric: str, value: float) -> None:
        kind = answers[unit].kind if unit in answers else None
        place = {"name": name, "layer": layer, "unit": unit, "kind": kind, "method": method}
        found.append(place | {"metric": metric, "value": value, "low": None, "high": None})

    for row in described:
        add(method, row["unit"], ABSTAINED, float(row["abstained"] is not None))
    for one, labels in labelled.items():
        for row, label in zip(judged, labels, strict=False):
            truth = answers[row["unit"]].extension
            assert truth is not None
            for metric, value in agreement(label, truth).items():
                add(one, row["unit"], metric, value)
    return found + aggregates(found)


def aggregates(rows: Sequence[Row]) -> list[Row]:
    """Return the means of unit rows with their 95 % intervals: per kind, for ``concept``, for all.

    Shares carry Wilson's interval, other means the bootstrap's. Only abstentions are joined over
    all units of a layer (kind null): the other metrics need a concept to name.
    """
    groups: dict[tuple[str, str, str | None, str, str], list[float]] = {}
    for row in rows:
        kinds = {row["kind"]} | ({"concept"} if row["kind"] in CONCEPT_KINDS else set())
        if row["metric"] == ABSTAINED:
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


def run(descriptions: Iterable[tuple[str, str | Path]], answers: Mapping[str, str | Path]) -> pa.Table:
    """Return the EVALUATION table of a run.

    Parameters
    ----------
    descriptions : sweep name and DESCRIPTIONS file of each layer.
    answers : model -> its file of known answers; models without one are left out.
    """
    known = {model: known_answers.load(path) for model, path in answers.items()}
    columns = ["model", "layer", "recipe", "unit", "label", "abstained"]
    rows: list[Row] = []
    for name, path in descriptions:
        described = tables.read(path, tables.DESCRIPTIONS, columns).to_pylist()
        if described:
            first = described[0]
            rows += layer_rows(name, described, known.get(first["model"], {}).get(first["layer"], {}))
    return tables.table(sorted(rows, key=_order), tables.EVALUATION)


def summary(evaluation: pa.Table) -> str:
    """Return the aggregates as text: one line per layer and kind, ours beside the baselines."""
    lines = [
        (
            "layer",
            "units",
            "n",
            "exact",
            "95 %",
            "F1",
            "IoU",
            *(f"exact: {one}" for one in BASELINES),
            "abstained",
        )
    ]
    for one in figures(evaluation):
        exact = one.own.get(EXACT)
        baselines = [one.baselines.get(method, {}).get(EXACT) for method in BASELINES]
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
    parser = argparse.ArgumentParser(prog="python -m dnd.evaluation", description=main.__doc__)
    parser.add_argument("results", type=Path, help="results folder of a run, such as results/demo")
    folder = parser.parse_args(arguments).results
    file = folder / "evaluation.parquet"
    if not file.exists():
        print(f"{file} does not exist: run the workflow first", file=sys.stderr)
        return 2
    print(summary(tables.read(file, tables.EVALUATION)))
    page = folder / "report" / "index.html"
    if page.exists():
        print(f"\nbrowse every unit: {page}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
