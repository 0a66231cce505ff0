"""INVERT (Bykov et al., NeurIPS 2023): the formula of image labels that a unit's activation separates best, by AUROC.

All formulas are scored by sums of ranks, which are matrix products; the sums are exact, so that results do not depend
on the order of the work.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from scipy.stats import mannwhitneyu, rankdata
from tqdm import tqdm

from dnd.config.rivals import InvertRecipe
from dnd.io import schemas, tables
from dnd.io.rows import Score
from dnd.rivals import beam, inputs
from dnd.rivals.beam import Extent, Flags, Floats, Match, Options
from dnd.rivals.formulas import Concept, phrasing
from dnd.rivals.inputs import Values

log = logging.getLogger(__name__)
SOURCE = "invert"


def auroc(activations: Values, labels: Flags) -> Floats:
    """Return P(an image with the label excites the unit more than one without), ties counting half.

    Parameters
    ----------
    activations : float [images, units].
    labels : bool [images, formulas].

    Returns
    -------
    float64 [units, formulas]; nan for a formula that holds for all images or none.

    Source: ``Metric`` of the released ``metrics.py``, the area under the ROC curve, here by sums of ranks.
    """
    flags = labels.astype(np.float64)
    return _auroc(rankdata(activations, axis=0).T @ flags, flags.sum(0), len(labels))


def _auroc(rank_sums: Floats, positives: Floats, images: int) -> Floats:
    """The AUROC from the sum of the ranks of the images with a label, and their number."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return (rank_sums - positives * (positives + 1) / 2) / (positives * (images - positives))


def p_value(activations: Values, truth: Flags) -> float:
    """Return the two-sided p-value of the Mann-Whitney U test that images with and without a label excite alike.

    Parameters
    ----------
    activations : float [images], of one unit.
    truth : bool [images].

    Source: ``get_p_value`` of the released ``explainer.py``.
    """
    return float(mannwhitneyu(activations[~truth], activations[truth], alternative="two-sided").pvalue)


class Labels:
    """Which images show which concepts; formulas are made of these and of their negations.

    Parameters
    ----------
    flags : bool [images, concepts].
    names : of the concepts.
    """

    def __init__(self, flags: Flags, names: Sequence[str]) -> None:
        self.names = names
        self.flags = np.ascontiguousarray(flags.T)
        self._numbers = self.flags.astype(np.float64)

    def sums(self, values: Floats) -> Floats:
        """Return the sum of values [images] over the images of each concept, and then of each negation."""
        sums = self._numbers @ values
        return np.concatenate([sums, values.sum() - sums])

    def extent(self, number: int) -> Extent:
        """Return a concept or, behind the concepts, a negation."""
        negated, concept = divmod(number, len(self.names))
        extent = Extent(Concept(self.names[concept]), self.flags[concept])
        return ~extent if negated else extent


def search(activations: Values, labels: Labels, recipe: InvertRecipe) -> list[Match]:
    """Return the best formulas of one unit, best first, with their AUROC, by beam search: see :mod:`dnd.rivals.beam`.

    Every formula of the beam is joined by AND and by OR with every concept and its negation.

    Parameters
    ----------
    activations : float [images].
    recipe : gives length, beam, the share of images that formulas may hold for, and whether the AUROC is minimised.

    Source: ``explain_representation_test`` of the released ``explainer.py``, which keeps equal formulas.
    """
    ranks = rankdata(activations)
    images = len(ranks)
    counts, sums = labels.sums(np.ones(images)), labels.sums(ranks)

    def options(positives: Floats, rank_sums: Floats, new: Flags, write: Callable[[int], Extent]) -> Options:
        aucs, share = _auroc(rank_sums, positives, images), positives / images
        allowed = new & (share > 0) & (share < 1) & (recipe.minimum <= share) & (share <= recipe.maximum)
        return Options(aucs, np.where(allowed, 1 - aucs if recipe.negative else aucs, -np.inf), write)

    def extend(first: Extent, _: int) -> Iterator[Options]:
        inside = first.holds.astype(np.float64)
        both, both_sums = labels.sums(inside), labels.sums(inside * ranks)
        positives, rank_sum = inside.sum(), inside @ ranks
        # where one holds wherever the other does, joining them gives nothing new
        new = (both < positives) & (both < counts)
        yield options(both, both_sums, new, lambda i: first & labels.extent(i))
        yield options(positives + counts - both, rank_sum + sums - both_sums, new, lambda i: first | labels.extent(i))

    single = options(counts, sums, np.ones(len(counts), bool), labels.extent)
    return beam.search(single, extend, recipe.length, recipe.beam)


def image_labels(annotations: pa.Table, image_ids: Sequence[str]) -> Labels:
    """Return which images show which concepts, these in the order of their names.

    Parameters
    ----------
    annotations : ``image_id`` and ``concept`` of rows of ANNOTATIONS, of these images and others.
    """
    images = {name: row for row, name in enumerate(image_ids)}
    names = sorted(set(annotations["concept"].to_pylist()))
    columns = {name: column for column, name in enumerate(names)}
    flags = np.zeros((len(image_ids), len(names)), bool)
    for image, concept in zip(annotations["image_id"].to_pylist(), annotations["concept"].to_pylist(), strict=True):
        if image in images:
            flags[images[image], columns[concept]] = True
    return Labels(flags, names)


def run(
    recipe: InvertRecipe,
    annotations: Sequence[str | Path],
    topk: str | Path,
    shards: Sequence[str | Path],
    units: Sequence[int],
) -> pa.Table:
    """Return the SCORES table of the asked units that are not idle, with the AUROC in the column ``auc``.

    A formula whose p-value is above ``recipe.significance`` is no candidate. The score is the AUROC; where ``negative``
    formulas are looked for, one less it.

    Parameters
    ----------
    annotations, shards : files of the probe.
    topk : TOPK of the layer with the activations of all images.
    units : the asked units.

    Raises
    ------
    ValueError
        Activations of a part of the images only were kept, or none of the images has a label.
    """
    layer = inputs.activations(topk, shards)
    shown = tables.read(annotations, schemas.ANNOTATIONS, ["image_id", "concept"])
    labels = image_labels(shown, layer.image_ids)
    if not labels.flags.any():
        raise ValueError(f"none of {len(layer.image_ids)} images of the probe has a label, which INVERT needs")
    name, rows = phrasing(labels.names), []
    for unit in tqdm(sorted(set(units) & set(layer.units)), SOURCE, unit="unit", mininterval=5):
        activations = layer.values[:, layer.units.index(unit)]
        candidates: dict[str, Match] = {}
        for match in search(activations, labels, recipe)[: inputs.CANDIDATES]:
            p = p_value(activations, match.extent.holds)
            log.info("unit %d: %s, AUROC %.6f, p %.3g", unit, match.formula, match.measure, p)
            if p <= recipe.significance:
                candidates.setdefault(name(match.formula), match)
        rows += [
            Score(unit, i, label, SOURCE, None, match.score, match.measure)
            for i, (label, match) in enumerate(candidates.items())
        ]
    return tables.table(rows, schemas.SCORES)
