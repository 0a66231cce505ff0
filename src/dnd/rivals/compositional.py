"""Compositional Explanations (Mu & Andreas, NeurIPS 2020): the formula of annotated concepts that overlaps best.

What a formula shares with a unit is a sum over patterns, so that all formulas that join another concept to one are
scored by one sparse product. Counts are exact; nothing depends on the order of the work.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from tqdm import tqdm

from dnd.config.rivals import CompositionalRecipe
from dnd.io import schemas, tables
from dnd.rivals import beam, inputs
from dnd.rivals.beam import Extent, Match, Options
from dnd.rivals.formulas import phrasing
from dnd.rivals.overlaps import Counts, Flags, Vocabulary, active, iou, vocabulary

log = logging.getLogger(__name__)
SOURCE = "compositional"


def search(counts: Counts, known: Vocabulary, *, length: int = 3, width: int = 5, discount: float = 1.0) -> list[Match]:
    """Return the best formulas for one unit, best first, at most ``width``, with their IoU: see :mod:`dnd.rivals.beam`.

    Every formula of the beam is joined with every concept by AND, OR and AND NOT. Of formulas that hold at the same
    pixels only the first is kept: the released search lets ``red AND NOT blue`` and its like crowd out others.

    Parameters
    ----------
    counts : the unit's active pixels, float64 [patterns].
    length : concepts in a formula at most.
    discount : factor of the IoU for each concept beyond the first.

    Source: section 3; ``compute_best_iou`` of the released ``neuron.py``, where a negation counts towards the length.
    """
    intersect, total = known.holds @ counts, float(counts.sum())
    pixels = np.stack([counts, known.pixels], 1)

    def options(shared: Counts, truth: Counts, allowed: Flags, length: int, write: Callable[[int], Extent]) -> Options:
        ious = iou(shared, truth, total)
        scores = ious * discount ** (length - 1)
        return Options(ious, np.where(allowed & (scores > 0), scores, -np.inf), write)

    def extend(first: Extent, longer: int) -> Iterator[Options]:
        inside = first.holds.astype(np.float64)
        both, truth = (known.holds @ (pixels * inside[:, None])).T
        shared, first_truth = inside @ pixels
        # what holds where a shorter formula does, or nowhere, is nothing new
        meets, within, around = truth > 0, truth == known.truth, truth == first_truth
        yield options(both, truth, meets & ~within & ~around, longer, lambda i: first & known.extent(i))
        either, either_truth = shared + intersect - both, first_truth + known.truth - truth
        yield options(either, either_truth, ~within & ~around, longer, lambda i: first | known.extent(i))
        yield options(shared - both, first_truth - truth, meets & ~around, longer, lambda i: first & ~known.extent(i))

    return beam.search(options(intersect, known.truth, known.truth > 0, 1, known.extent), extend, length, width)


def run(
    recipe: CompositionalRecipe, patterns: str | Path, overlaps: str | Path, topk: str | Path, units: Sequence[int]
) -> pa.Table:
    """Return the SCORES table of the asked units that are not idle; the score is the IoU with its discount.

    Formulas below the smallest IoU are no candidates.

    Parameters
    ----------
    patterns, overlaps, topk : files of the layer.
    units : the asked units.
    """
    known = vocabulary(tables.read(patterns, schemas.PATTERNS))
    name = phrasing(known.concepts)
    chosen = sorted(set(units) & set(inputs.live_units(topk)))
    shared = active(tables.read(overlaps, schemas.OVERLAPS), recipe.quantile, chosen, len(known.pixels))
    labels = []
    for unit, counts in tqdm(shared, SOURCE, len(chosen), mininterval=5):
        matches = search(counts, known, length=recipe.length, width=recipe.beam, discount=recipe.discount)
        candidates: dict[str, float] = {}
        for match in matches[: inputs.CANDIDATES]:
            log.info("unit %d: %s, IoU %.6f", unit, match.formula, match.measure)
            if match.measure >= recipe.minimum:
                candidates.setdefault(name(known.named(match.formula)), match.score)
        labels.append((unit, list(candidates.items())))
    return inputs.scores(labels, SOURCE)
