"""Network Dissection (Bau et al., CVPR 2017): the annotated concept whose pixels overlap a unit's active ones best."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from dnd.config.rivals import NetworkDissectionRecipe
from dnd.io import schemas, tables
from dnd.io.rows import Dissection
from dnd.rivals import inputs
from dnd.rivals.formulas import Concept, phrasing
from dnd.rivals.overlaps import Counts, Vocabulary, active, iou, vocabulary

SOURCE = "network-dissection"


def best_of_categories(unit: int, counts: Counts, known: Vocabulary) -> Iterator[Dissection]:
    """Yield the concept of each category that overlaps a unit best, in order of category.

    A unit is held against a category only on the images that have an annotation of it. Of equal concepts the first by
    name counts.

    Parameters
    ----------
    counts : the unit's active pixels, float64 [patterns].

    Source: section 2.3; the columns are those of the released ``tally.csv``, which has them for all categories too.
    """
    intersect = known.holds @ counts
    activation = {name: float(counts[flags].sum()) for name, flags in known.annotated.items()}
    ious = iou(intersect, known.truth, np.array([activation[name] for name in known.category]))
    members = np.array(known.category)
    for category in sorted(set(known.category)):
        inside = np.flatnonzero(members == category)
        best = inside[ious[inside].argmax()]
        pixels = int(known.truth[best]), int(activation[category]), int(intersect[best])
        yield Dissection(unit, category, known.concepts[best], *pixels, float(ious[best]))


def run(
    recipe: NetworkDissectionRecipe, patterns: str | Path, overlaps: str | Path, topk: str | Path, units: Sequence[int]
) -> tuple[pa.Table, pa.Table]:
    """Return the SCORES and DISSECTION tables of the asked units that are not idle; the score is the IoU.

    DISSECTION has the best concept of each unit and category. Of a unit's, those that reach the smallest IoU are the
    candidates.

    Parameters
    ----------
    patterns, overlaps, topk : files of the layer.
    units : the asked units.
    """
    known = vocabulary(tables.read(patterns, schemas.PATTERNS))
    name = phrasing(known.concepts)
    chosen = sorted(set(units) & set(inputs.live_units(topk)))
    shared = active(tables.read(overlaps, schemas.OVERLAPS), recipe.quantile, chosen, len(known.pixels))
    report, labels = [], []
    for unit, counts in shared:
        rows = list(best_of_categories(unit, counts, known))
        good = [row for row in rows if row.iou >= recipe.minimum and row.intersect]
        ordered = sorted(good, key=lambda row: (-row.iou, row.concept))[: inputs.CANDIDATES]
        labels.append((unit, [(name(Concept(row.concept)), row.iou) for row in ordered]))
        report += rows
    return inputs.scores(labels, SOURCE), tables.table(report, schemas.DISSECTION)
