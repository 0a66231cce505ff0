"""Published figures of Describe-and-Dissect and its rivals, recomputed from the released tables.

The tables have no licence and are not part of this project. ``python -m studies.published fetch FOLDER`` downloads
them from their authors' repository, ``python -m studies.published check FOLDER`` recomputes the figures, there or in
a clone of it.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dnd.rivals.foreign import Cells, ForeignError, table
from studies import published_files

Floats = npt.NDArray[np.floating]

METHODS = {
    "Mean": "Mean Caption",
    "TopK-Sq": "Topk-Sq Caption",
    "Image-Products": "Image-Products",
    "TopK-Compare": "Topk-Compare",
}
"""Scoring functions that people rated -> how columns of the released table begin."""
RATERS = ("E1", "E2")
GRADES = 5
SIMILAR = 0.81
"""Largest cosine of two labels that both are kept, and smallest of two annotators who agree (``fig26``, ``table9``)."""
LONGEST = 5
"""Words that a label of Describe-and-Dissect is asked to have at most."""


@dataclass(frozen=True)
class Ratings:
    """Counts of the grades 1 to 5 that two raters gave to the labels of four scoring functions.

    Attributes
    ----------
    layers : layer -> method -> how often each grade was given, int [5], both raters together.
    kept : method -> the same, without what a rater marked as uninterpretable or none of the labels.
    together : method -> int [5, 5], how often the first rater gave one grade and the second another.
    best : which methods share the best grade of a rater for a unit, such as ``0110`` -> how often, of what is kept.
    identical : units whose four labels are the same.
    """

    layers: Mapping[str, Mapping[str, Sequence[int]]]
    kept: Mapping[str, Sequence[int]]
    together: Mapping[str, Sequence[Sequence[int]]]
    best: Mapping[str, int]
    identical: int


def count_ratings(rows: Iterable[Cells]) -> Ratings:
    """Count the rows of the released table ``RN50_table_4_scoring_function.csv``.

    Raises
    ------
    ForeignError
        A grade is none of 1 to 5.
    """
    layers: dict[str, dict[str, list[int]]] = {}
    kept = {method: [0] * GRADES for method in METHODS}
    together = {method: [[0] * GRADES for _ in range(GRADES)] for method in METHODS}
    best: Counter[str] = Counter()
    identical = 0
    for row in rows:
        own = layers.setdefault(row.text("Layer"), {method: [0] * GRADES for method in METHODS})
        grades = [[_grade(row, f"{name} {rater} Rating") for name in METHODS.values()] for rater in RATERS]
        for method, first, second in zip(METHODS, *grades, strict=True):
            own[method][first - 1] += 1
            own[method][second - 1] += 1
            together[method][first - 1][second - 1] += 1
        for rater, given in zip(RATERS, grades, strict=True):
            if "TRUE" in (row.text(f"{mark} {rater}").upper() for mark in ("Uninterpretable", "None")):
                continue
            best["".join("1" if grade == max(given) else "0" for grade in given)] += 1
            for method, grade in zip(METHODS, given, strict=True):
                kept[method][grade - 1] += 1
        identical += len({row.values[f"{name} Label"] for name in METHODS.values()}) == 1
    return Ratings(layers, kept, together, dict(sorted(best.items())), identical)


def _grade(row: Cells, column: str) -> int:
    if row.text(column) not in ("1", "2", "3", "4", "5"):
        raise row.error(column, f"expected a grade from 1 to 5, not {row.text(column)!r}")
    return int(row.text(column))


def mean_grade(counts: Sequence[int]) -> float:
    """Return the mean of grades 1, 2, ... that were given so often."""
    return float(np.average(np.arange(1, len(counts) + 1), weights=counts))


def correlation(together: Sequence[Sequence[int]]) -> float:
    """Return Pearson's correlation of two raters from how often they gave each pair of grades."""
    weights = np.asarray(together, float)
    grades = np.arange(1, len(weights) + 1)
    first, second = (weights.sum(axis) / weights.sum() for axis in (1, 0))
    means = grades @ first, grades @ second
    covariance = (grades - means[0]) @ weights @ (grades - means[1]) / weights.sum()
    spread = np.sqrt((grades - means[0]) ** 2 @ first * ((grades - means[1]) ** 2 @ second))
    return float(covariance / spread)


def rating_figures(ratings: Ratings) -> dict[str, float]:
    """Return the published figures of the rating table: means, those of what is kept, ties for best, agreement."""
    number = sum(ratings.best.values())
    found: dict[str, float] = {"kept ratings": number, "identical labels": ratings.identical}
    for i, method in enumerate(METHODS):
        of_layers = {layer: counts[method] for layer, counts in ratings.layers.items()}
        found[f"{method}, mean"] = mean_grade(np.sum(list(of_layers.values()), axis=0).tolist())
        found |= {f"{method}, mean of layer {layer}": mean_grade(counts) for layer, counts in of_layers.items()}
        found[f"{method}, mean of kept"] = mean_grade(ratings.kept[method])
        shared = sum(count for which, count in ratings.best.items() if which[i] == "1")
        found[f"{method}, share of best"] = shared / number
        found[f"{method}, raters' correlation"] = correlation(ratings.together[method])
    return found


def dissection_iou(label: str, truth: float, activation: float, intersect: float) -> float:
    """Return Network Dissection's IoU of a unit and a label, from numbers of pixels.

    intersect / (truth + activation - intersect); 0 for a blank label, whose ``truth`` is the full frame of all images:
    it stands for a category of which nothing overlaps.
    """
    union = truth + activation - intersect
    return intersect / union if label.strip() and union else 0.0


def distinct_labels(labels: Sequence[str], vectors: Floats, most: float = SIMILAR) -> list[str]:
    """Return the labels without blank ones and those that resemble one that is kept, best first (``fig26``).

    The released notebook deletes from the list that it walks through, so that it passes over the label behind a
    deleted one, and compares blank labels, too; neither is done here.

    Parameters
    ----------
    labels : best first.
    vectors : text embeddings float [labels, d], of any length.
    most : largest cosine with a kept label.
    """
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    kept: list[int] = []
    for i, label in enumerate(labels):
        if label.strip() and all(units[i] @ units[j] <= most for j in kept):
            kept.append(i)
    return [labels[i] for i in kept]


def reliable(vectors: Floats, least: float = SIMILAR) -> bool:
    """Tell whether two of a unit's annotators agree: some cosine of text embeddings float [annotators, d] is above."""
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = units @ units.T
    return bool((cosines[np.triu_indices(len(units), 1)] > least).any())


def label_figures(rows: Sequence[Cells]) -> dict[str, float]:
    """Return what is known of a released table of three labels: blank ones, long ones, and repetitions.

    A label is blank when it is a space or nothing; a first label is long beyond LONGEST words; it is repeated when the
    second is the same but for case.
    """
    labels = [[row.text(f"Label {i}") for i in (1, 2, 3)] for row in rows]
    return {
        "rows": len(rows),
        "distinct first labels": len({row.values["Label 1"] for row in rows}),
        "blank second labels": sum(not one[1] for one in labels),
        "blank third labels": sum(not one[2] for one in labels),
        "long first labels": sum(len(one[0].split()) > LONGEST for one in labels),
        "first label repeated": sum(one[0].lower() == one[1].lower() for one in labels),
    }


def dissection_figures(rows: Sequence[Cells]) -> dict[str, float]:
    """Return how many cells of a released table of Network Dissection follow the formula, and how many units pass."""
    categories = sorted(name.removesuffix("-iou") for name in rows[0].values if name.endswith("-iou"))
    follow = 0
    for row in rows:
        for one in categories:
            pixels = [row.number(f"{one}-{part}") or 0.0 for part in ("truth", "activation", "intersect")]
            expected = dissection_iou(row.text(f"{one}-label"), *pixels)
            follow += abs(expected - (row.number(f"{one}-iou") or 0.0)) <= 1e-6
    passed = sum((row.number("score") or 0.0) >= 0.04 for row in rows)
    return {
        "cells": len(rows) * len(categories),
        "cells that follow the formula": follow,
        "units of .04 or more": passed,
    }


def _class_figures(rows: Sequence[Cells]) -> dict[str, float]:
    counts = Counter(row.values["label"] for row in rows)
    return {"rows": len(rows), "distinct labels": len(counts), "most frequent label": max(counts.values())}


def _annotation_figures(rows: Sequence[Cells]) -> dict[str, float]:
    counts = Counter((row.text("layer"), row.text("unit")) for row in rows)
    thrice = sum(count == 3 for count in counts.values())
    return {"rows": len(rows), "units": len(counts), "units of three annotations": thrice}


def _description_figures(rows: Sequence[Cells]) -> dict[str, float]:
    return {"rows": len(rows), "begin with a space": sum(row.values["description"].startswith(" ") for row in rows)}


READERS = {
    "ratings": lambda rows: rating_figures(count_ratings(rows)),
    "labels": label_figures,
    "classes": _class_figures,
    "annotations": _annotation_figures,
    "descriptions": _description_figures,
    "dissection": dissection_figures,
}


@dataclass(frozen=True)
class Compared:
    """A published figure beside the one that was recomputed, to the digits that were published."""

    file: str
    figure: str
    published: str
    found: str

    @property
    def agrees(self) -> bool:
        """Whether they are the same."""
        return self.published == self.found


def check(folder: Path) -> list[Compared]:
    """Recompute the published figures of those released tables that a folder has.

    Parameters
    ----------
    folder : with the tables at their places in the authors' repository.

    Raises
    ------
    ForeignError
        A file is no such table.
    """
    compared = []
    for name, (kind, expected) in published_files.FIGURES.items():
        if not (folder / name).is_file():
            continue
        rows = list(table(folder / name, ()))
        if not rows:
            raise ForeignError(f"{folder / name} has no rows")
        try:
            found = READERS[kind](rows)
        except KeyError as error:
            raise ForeignError(f"{folder / name} has no column {error}") from None
        for figure, value in expected.items():
            digits = len(value.partition(".")[2])
            compared.append(Compared(name, figure, value, f"{found.get(figure, np.nan):.{digits}f}"))
    return compared


def main(arguments: Sequence[str] | None = None) -> int:
    """Download the released tables, or compare published figures with what these give."""
    parser = argparse.ArgumentParser(prog="python -m studies.published", description=main.__doc__)
    parser.add_argument("action", choices=("fetch", "check"))
    parser.add_argument("folder", type=Path, help="for the tables, or a clone of the authors' repository")
    asked = parser.parse_args(arguments)
    try:
        if asked.action == "fetch":
            return published_files.fetch(asked.folder)
        compared = check(asked.folder)
    except (OSError, ForeignError) as error:
        print(error, file=sys.stderr)
        return 2
    if not compared:
        print(
            f"{asked.folder} has none of the tables: run `python -m studies.published fetch {asked.folder}`",
            file=sys.stderr,
        )
        return 2
    for one in compared:
        print(f"{'same' if one.agrees else 'OTHER':5}  {one.published:>8} {one.found:>8}  {one.file}: {one.figure}")
    different = sum(not one.agrees for one in compared)
    print(f"{len(compared)} published figures, {different} other than recomputed")
    return int(different > 0)


if __name__ == "__main__":
    sys.exit(main())
