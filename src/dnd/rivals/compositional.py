"""Compositional Explanations (Mu & Andreas, NeurIPS 2020): the formula of annotated concepts that overlaps best.

What a formula shares with a unit is a sum over patterns, so that all formulas that join another concept to one are
scored by one sparse product. Counts are exact; nothing depends on the order of the work.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from tqdm import tqdm

from dnd.config.rivals import CompositionalRecipe
from dnd.rivals import inputs
from dnd.rivals.formulas import Concept, Formula, phrasing
from dnd.rivals.overlaps import Counts, Flags, Vocabulary, active, iou, vocabulary

log = logging.getLogger(__name__)
SOURCE = "compositional"
AND, OR, AND_NOT = range(3)


@dataclass(frozen=True)
class Found:
    """A formula, how well it overlaps the unit, and where it holds.

    Attributes
    ----------
    iou : without the discount.
    score : with it.
    holds : bool [patterns].
    """

    formula: Formula
    iou: float
    score: float
    holds: Flags


@dataclass(frozen=True)
class _Options:
    """Formulas of one length that may come into the beam: one for each concept, joined to ``first`` by one operation.

    Attributes
    ----------
    intersect, truth : float64 [concepts].
    new : bool [concepts]; others hold where a shorter formula does, or nowhere.
    """

    intersect: Counts
    truth: Counts
    new: Flags
    length: int
    first: Found | None = None
    operation: int = AND


def search(counts: Counts, known: Vocabulary, *, length: int = 3, beam: int = 5, discount: float = 1.0) -> list[Found]:
    """Return the best formulas for one unit, best first, at most ``beam``, by beam search.

    Every formula of the beam is joined with every concept by AND, OR and AND NOT; shorter ones stay as long as they are
    among the best. Of equal scores the shorter formula comes first, then that from the better one of the beam, then AND
    before OR before AND NOT, then the earlier concept. Of formulas that hold at the same pixels only the first is kept:
    the released search lets ``red AND NOT blue`` and its like crowd out others.

    Parameters
    ----------
    counts : the unit's active pixels, float64 [patterns].
    length : concepts in a formula at most.
    discount : factor of the IoU for each concept beyond the first.

    Source: section 3; ``compute_best_iou`` of the released ``neuron.py``, where a negation counts towards the length.
    """
    intersect, total = known.holds @ counts, float(counts.sum())
    pixels = np.stack([counts, known.pixels], 1)

    def extended(one: Found, longer: int) -> list[_Options]:
        inside = one.holds.astype(np.float64)
        both, truth = (known.holds @ (pixels * inside[:, None])).T
        own, own_truth = inside @ pixels
        meets, within, around = truth > 0, truth == known.truth, truth == own_truth
        return [
            _Options(both, truth, meets & ~within & ~around, longer, one, AND),
            _Options(own + intersect - both, own_truth + known.truth - truth, ~within & ~around, longer, one, OR),
            _Options(own - both, own_truth - truth, meets & ~around, longer, one, AND_NOT),
        ]

    best = _best([], [_Options(intersect, known.truth, known.truth > 0, 1)], known, total, beam, discount)
    for longer in range(2, length + 1):
        options = [part for one in best for part in extended(one, longer)]
        best = _best(best, options, known, total, beam, discount)
    return best


def _best(
    before: list[Found], options: list[_Options], known: Vocabulary, total: float, beam: int, discount: float
) -> list[Found]:
    """The best of the beam and of further formulas, each set of pixels once."""
    concepts = len(known.concepts)
    ious = np.concatenate(
        [np.array([one.iou for one in before]), *(iou(one.intersect, one.truth, total) for one in options)]
    )
    lengths = np.concatenate(
        [np.array([one.formula.length for one in before], int), *(np.full(concepts, one.length) for one in options)]
    )
    new = np.concatenate([np.ones(len(before), bool), *(one.new for one in options)])
    scores = ious * discount ** (lengths - 1)
    kept: dict[bytes, Found] = {}
    for i in np.lexsort((np.arange(len(scores)), lengths, -scores)):
        if len(kept) == beam or scores[i] <= 0:
            break
        if not new[i]:
            continue
        place, concept = divmod(int(i) - len(before), concepts)
        found = (
            before[i] if i < len(before) else _written(options[place], concept, known, float(ious[i]), float(scores[i]))
        )
        kept.setdefault(np.packbits(found.holds).tobytes(), found)
    return list(kept.values())


def _written(option: _Options, concept: int, known: Vocabulary, iou: float, score: float) -> Found:
    formula: Formula = Concept(known.leaves[concept])
    holds: npt.NDArray[np.bool_] = known.holds[[concept]].toarray()[0] > 0
    if option.first is not None:
        first, flags = option.first.formula, option.first.holds
        match option.operation:
            case 0:
                formula, holds = first & formula, flags & holds
            case 1:
                formula, holds = first | formula, flags | holds
            case _:
                formula, holds = first & ~formula, flags & ~holds
    return Found(formula, iou, score, holds)


def run(
    recipe: CompositionalRecipe, patterns: pa.Table, overlaps: pa.Table, *, topk: Path, units: Sequence[int]
) -> pa.Table:
    """Return the SCORES table of the asked units that are not idle; the score is the IoU with its discount.

    Formulas below the smallest IoU are no candidates.

    Parameters
    ----------
    topk : TOPK of the layer.
    units : the asked units.
    """
    known = vocabulary(patterns)
    name = phrasing(known.concepts)
    chosen = sorted(set(units) & set(inputs.live_units(topk)))
    best = []
    shared = active(overlaps, recipe.quantile, chosen, len(known.pixels))
    for unit, counts in tqdm(shared, SOURCE, len(chosen), mininterval=5):
        candidates: dict[str, float] = {}
        found = search(counts, known, length=recipe.length, beam=recipe.beam, discount=recipe.discount)
        for one in found[: inputs.CANDIDATES]:
            log.info("unit %d: %s, IoU %.6f", unit, one.formula, one.iou)
            if one.iou >= recipe.minimum:
                candidates.setdefault(name(known.named(one.formula)), one.score)
        best.append((unit, list(candidates.items())))
    return inputs.scores(best, SOURCE)
