"""INVERT (Bykov et al., NeurIPS 2023): the formula of image labels that a unit's activation separates best, by AUROC.

All formulas are scored by sums of ranks, which are matrix products; the sums are exact, so that results do not depend
on the order of the work.
"""

from __future__ import annotations

import heapq
import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy.stats import mannwhitneyu, rankdata
from tqdm import tqdm

from dnd.config.rivals import InvertRecipe
from dnd.rivals import inputs
from dnd.rivals.formulas import Concept, Formula, phrasing

log = logging.getLogger(__name__)
SOURCE = "invert"

Flags = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]


def auroc(activations: npt.NDArray[Any], labels: Flags) -> Floats:
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
    ranks = rankdata(activations, axis=0)
    flags = labels.astype(np.float64)
    return _auroc(ranks.T @ flags, flags.sum(0), len(labels))


def _auroc(rank_sums: Floats, positives: Floats, images: int) -> Floats:
    """The AUROC from the sum of the ranks of the images with a label, and their number."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return (rank_sums - positives * (positives + 1) / 2) / (positives * (images - positives))


def p_value(activations: npt.NDArray[Any], truth: Flags) -> float:
    """Return the two-sided p-value of the Mann-Whitney U test that images with and without a label excite alike.

    Parameters
    ----------
    activations : float [images], of one unit.
    truth : bool [images].

    Source: ``get_p_value`` of the released ``explainer.py``.
    """
    return float(mannwhitneyu(activations[~truth], activations[truth], alternative="two-sided").pvalue)


@dataclass(frozen=True)
class Bounds:
    """What a search looks for.

    Attributes
    ----------
    length : concepts in a formula at most.
    beam : formulas kept at each length.
    minimum, maximum : share of images that a formula may hold for.
    negative : what the unit responds to least.
    """

    length: int = 3
    beam: int = 5
    minimum: float = 0.0
    maximum: float = 0.5
    negative: bool = False

    def allows(self, positives: Floats, images: int) -> Flags:
        """Tell whether formulas hold for so many images as they may, and for some but not for all."""
        share = positives / images
        return (positives > 0) & (positives < images) & (share >= self.minimum) & (share <= self.maximum)

    def value(self, auc: float) -> float:
        """Return what is maximised: the AUROC, or what it lacks to one."""
        return 1 - auc if self.negative else auc


@dataclass(frozen=True)
class Found:
    """A formula with its AUROC and the images that it holds for."""

    formula: Formula
    auc: float
    truth: Flags


@dataclass(frozen=True)
class _Option:
    """A formula that may come into the beam, not yet written out.

    Attributes
    ----------
    rank : by which options are ordered: what is maximised, with the other sign, then the length, then where it is from.
    atom : number of the concept, or of its negation, that is joined; -1 for a formula that is in the beam already.
    first : what it is joined with; None for a formula of one concept.
    both : whether by AND, else by OR.
    """

    rank: tuple[float, int, int]
    auc: float
    atom: int
    first: Found | None = None
    both: bool = False


class _Labels:
    """Image labels, and the concepts and their negations that formulas are made of."""

    def __init__(self, labels: Flags, names: Sequence[str]) -> None:
        self.flags = np.ascontiguousarray(labels.T)
        self._numbers = self.flags.astype(np.float64)
        concepts: list[Formula] = [Concept(name) for name in names]
        self.atoms = [*concepts, *(~one for one in concepts)]

    def sums(self, values: Floats) -> Floats:
        """Return the sum over the images of each atom of values [images]."""
        found = self._numbers @ values
        return np.concatenate([found, values.sum() - found])

    def truth(self, atom: int) -> Flags:
        """Return where an atom holds."""
        concepts = len(self.flags)
        return self.flags[atom] if atom < concepts else ~self.flags[atom - concepts]

    def found(self, option: _Option) -> Found:
        """Write out an option."""
        formula, truth = self.atoms[option.atom], self.truth(option.atom)
        if option.first is not None and option.both:
            formula, truth = option.first.formula & formula, option.first.truth & truth
        elif option.first is not None:
            formula, truth = option.first.formula | formula, option.first.truth | truth
        return Found(formula, option.auc, truth)


def search(activations: npt.NDArray[Any], labels: Flags, names: Sequence[str], bounds: Bounds) -> list[Found]:
    """Return the best formulas of one unit, best first, by beam search: at most ``bounds.beam``.

    Every formula of the beam is joined by AND and by OR with every concept and its negation; shorter ones stay as long
    as they are among the best. Of formulas with the same AUROC the shorter comes first, then that of the better formula
    of the beam, then the earlier name; of those that hold for the same images only the first is kept.

    Parameters
    ----------
    activations : float [images].
    labels : bool [images, concepts].
    names : of the concepts.

    Source: ``explain_representation_test`` of the released ``explainer.py``, which keeps equal formulas.
    """
    return _search(rankdata(activations), _Labels(labels, names), bounds)


def _search(ranks: Floats, labels: _Labels, bounds: Bounds) -> list[Found]:
    images = len(ranks)
    counts, sums = labels.sums(np.ones(images)), labels.sums(ranks)
    everywhere = np.ones(len(counts), dtype=bool)
    beam = _best([_options(_Joined(counts, sums, everywhere, 1, 0), images, bounds)], labels, bounds)
    for length in range(2, bounds.length + 1):
        streams: list[Iterable[_Option]] = [_kept(beam, bounds)]
        for place, one in enumerate(beam):
            inside = one.truth.astype(np.float64)
            both, both_sums = labels.sums(inside), labels.sums(inside * ranks)
            own, own_sum = inside.sum(), inside @ ranks
            # where one holds wherever the other does, joining them gives nothing new
            new = (both < own) & (both < counts)
            either, either_sums = own + counts - both, own_sum + sums - both_sums
            for joined in (
                _Joined(both, both_sums, new, length, 2 * place, one, True),
                _Joined(either, either_sums, new, length, 2 * place + 1, one, False),
            ):
                streams.append(_options(joined, images, bounds))
        beam = _best(streams, labels, bounds)
    return beam


class _Joined(NamedTuple):
    """All atoms, or what a formula gives when it is joined with each of them by one operation.

    Attributes
    ----------
    positives, rank_sums : of the images that the results hold for, and of their ranks; [atoms].
    new : which of them are more than the formula or the atom alone.
    length : concepts in the results.
    place : among operations on the beam, for the order of equals.
    """

    positives: Floats
    rank_sums: Floats
    new: Flags
    length: int
    place: int
    first: Found | None = None
    both: bool = False


def _options(joined: _Joined, images: int, bounds: Bounds) -> Iterator[_Option]:
    """Yield what is allowed, best first."""
    aucs = _auroc(joined.rank_sums, joined.positives, images)
    values = 1 - aucs if bounds.negative else aucs
    allowed = np.flatnonzero(joined.new & bounds.allows(joined.positives, images))
    for i in allowed[np.argsort(-values[allowed], kind="stable")].tolist():
        rank = (-float(values[i]), joined.length, joined.place * len(aucs) + i)
        yield _Option(rank, float(aucs[i]), i, joined.first, joined.both)


def _kept(beam: Sequence[Found], bounds: Bounds) -> Iterator[_Option]:
    """Yield the formulas of the beam as they are, before longer ones of the same AUROC."""
    for place, one in enumerate(beam):
        yield _Option((-bounds.value(one.auc), 0, place), one.auc, -1, one)


def _best(streams: Sequence[Iterable[_Option]], labels: _Labels, bounds: Bounds) -> list[Found]:
    """Return the best of several ordered streams that hold for different images."""
    kept: dict[bytes, Found] = {}
    for option in heapq.merge(*streams, key=lambda one: one.rank):
        found = option.first if option.atom < 0 and option.first else labels.found(option)
        kept.setdefault(np.packbits(found.truth).tobytes(), found)
        if len(kept) == bounds.beam:
            break
    return list(kept.values())


def image_labels(annotations: pa.Table, image_ids: Sequence[str]) -> tuple[Flags, list[str]]:
    """Return which images show which concepts, bool [images, concepts], and the concepts by name.

    Parameters
    ----------
    annotations : ``image_id`` and ``concept`` of rows of ANNOTATIONS, of these images and others.
    """
    places = {name: row for row, name in enumerate(image_ids)}
    names = sorted(set(annotations["concept"].to_pylist()))
    columns = {name: column for column, name in enumerate(names)}
    labels = np.zeros((len(image_ids), len(names)), bool)
    for image, concept in zip(annotations["image_id"].to_pylist(), annotations["concept"].to_pylist(), strict=True):
        if image in places:
            labels[places[image], columns[concept]] = True
    return labels, names


def run(
    recipe: InvertRecipe, annotations: pa.Table, *, topk: Path, shards: Sequence[Path], units: Sequence[int]
) -> pa.Table:
    """Return the SCORES table of the asked units that are not idle, with the AUROC in the column ``auc``.

    A formula whose p-value is above ``recipe.significance`` is no candidate. The score is the AUROC; where ``negative``
    formulas are looked for, one less it.

    Parameters
    ----------
    annotations : ``image_id`` and ``concept`` of rows of ANNOTATIONS.
    topk : TOPK of the layer with the activations of all images.
    units : the asked units.

    Raises
    ------
    ValueError
        Activations of a part of the images only were kept, or none of the images has a label.
    """
    read = inputs.activations(topk, shards)
    flags, names = image_labels(annotations, read.image_ids)
    if not flags.any():
        raise ValueError(f"none of {len(flags)} images of the probe has a label, which INVERT needs")
    labels, name = _Labels(flags, names), phrasing(names)
    bounds = Bounds(recipe.length, recipe.beam, recipe.minimum, recipe.maximum, recipe.negative)
    best, aucs = [], []
    for unit in tqdm(sorted(set(units) & set(read.units)), SOURCE, unit="unit", mininterval=5):
        own = read.values[:, read.units.index(unit)]
        candidates: dict[str, tuple[float, float]] = {}
        for one in _search(rankdata(own), labels, bounds)[: inputs.CANDIDATES]:
            p = p_value(own, one.truth)
            log.info("unit %d: %s, AUROC %.6f, p %.3g", unit, one.formula, one.auc, p)
            if p <= recipe.significance:
                candidates.setdefault(name(one.formula), (bounds.value(one.auc), one.auc))
        best.append((unit, [(label, score) for label, (score, _) in candidates.items()]))
        aucs += [auc for _, auc in candidates.values()]
    found = inputs.scores(best, SOURCE)
    return found.set_column(
        found.schema.get_field_index("auc"), found.schema.field("auc"), pa.array(aucs, pa.float32())
    )
