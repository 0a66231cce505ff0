"""Network Dissection (Bau et al., CVPR 2017): the annotated concept whose pixels overlap a unit's active ones best."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from dnd.config.rivals import NetworkDissectionRecipe
from dnd.io import schemas, tables
from dnd.rivals import inputs
from dnd.rivals.formulas import Concept, phrasing
from dnd.rivals.overlaps import Counts, Share, Vocabulary, active, iou, vocabulary

SOURCE = "network-dissection"


def best_of_categories(counts: Counts, known: Vocabulary) -> Iterator[dict[str, Any]]:
    """Yield the concept of each category that overlaps a unit best, as rows of DISSECTION without the unit.

    A unit is held against a category only on the images that have an annotation of it. Of equal concepts the first by
    name counts.

    Parameters
    ----------
    counts : the unit's active pixels, float64 [patterns].

    Source: section 2.3; the columns are those of the released ``tally.csv``, which has them for all categories too.
    """
    intersect = known.holds @ counts
    activation = {name: float(counts[flags].sum()) for name, flags in known.annotated.items()}
    own = np.array([activation[name] for name in known.category])
    score = iou(intersect, known.truth, own)
    members = np.array(known.category)
    for category in known.categories:
        inside = np.flatnonzero(members == category)
        best = inside[score[inside].argmax()]
        yield {
            "category": category,
            "concept": known.concepts[best],
            "truth": int(known.truth[best]),
            "activation": int(activation[category]),
            "intersect": int(intersect[best]),
            "iou": float(score[best]),
        }


def report(patterns: pa.Table, overlaps: pa.Table, quantile: Share, units: Sequence[int]) -> pa.Table:
    """Return the DISSECTION table: of each unit and category the best concept, in order of unit and category."""
    known = vocabulary(patterns)
    found = active(overlaps, quantile, units, len(known.pixels))
    rows = [{"unit": unit, **row} for unit, counts in found for row in best_of_categories(counts, known)]
    return tables.table(rows, schemas.DISSECTION)


def run(
    recipe: NetworkDissectionRecipe, patterns: pa.Table, overlaps: pa.Table, *, topk: Path, units: Sequence[int]
) -> tuple[pa.Table, pa.Table]:
    """Return the SCORES and DISSECTION tables of the asked units that are not idle; the score is the IoU.

    Candidates are the best concepts of the categories that reach the smallest IoU.

    Parameters
    ----------
    topk : TOPK of the layer.
    units : the asked units.
    """
    chosen = sorted(set(units) & set(inputs.live_units(topk)))
    found = report(patterns, overlaps, recipe.quantile, chosen)
    name = phrasing(vocabulary(patterns).concepts)
    candidates: dict[int, list[tuple[str, float]]] = {unit: [] for unit in chosen}
    for row in sorted(found.to_pylist(), key=lambda row: (row["unit"], -row["iou"], row["concept"])):
        if row["iou"] >= recipe.minimum and row["intersect"]:
            candidates[row["unit"]].append((name(Concept(row["concept"])), row["iou"]))
    best = [(unit, own[: inputs.CANDIDATES]) for unit, own in candidates.items()]
    return inputs.scores(best, SOURCE), found
