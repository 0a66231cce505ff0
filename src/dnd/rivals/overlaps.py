"""How many pixels units and annotated concepts share, from the tables PATTERNS and OVERLAPS."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from scipy.sparse import csr_array

from dnd.io import tables
from dnd.io.rows import Pattern
from dnd.rivals.beam import Extent, Flags
from dnd.rivals.formulas import Concept, Formula

Counts = npt.NDArray[np.float64]
"""Numbers of pixels; sums and products of flags with them are exact below 2^53."""
Share = float | Literal["otsu"]
"""Of all positions, those at which a unit counts as active: see dnd.rivals.thresholds."""


def iou(intersect: Counts, truth: Counts, activation: Counts | float) -> Counts:
    """Return intersect / (truth + activation - intersect), elementwise; 0 where nothing is there.

    Source: Bau et al., CVPR 2017, equation 1, from the columns of the released tables.
    """
    union = truth + activation - intersect
    return np.divide(intersect, union, out=np.zeros(np.shape(union)), where=union > 0)


@dataclass(frozen=True)
class Vocabulary:
    """The annotated concepts of a probe, and where they hold.

    Attributes
    ----------
    concepts : names, in order of concept and category.
    category : of each concept; concepts of one name in two categories, as a *street* may be an object and a scene, are
        two.
    leaves : what each is called in a formula: its name, or category and name where that is not enough.
    holds : float64 [concepts, patterns], 1 where a concept holds.
    pixels : of each pattern, float64 [patterns].
    annotated : category -> bool [patterns], whether the images of a pattern have an annotation of the category.
    truth : pixels of each concept, float64 [concepts].
    """

    concepts: list[str]
    category: list[str]
    leaves: list[str]
    holds: csr_array
    pixels: Counts
    annotated: dict[str, Flags]
    truth: Counts

    def extent(self, concept: int) -> Extent:
        """Return a concept, by its number, as a formula."""
        return Extent(Concept(self.leaves[concept]), self.holds[[concept]].toarray()[0] > 0)

    def named(self, formula: Formula) -> Formula:
        """Return a formula with concepts by their names alone."""
        names = dict(zip(self.leaves, self.concepts, strict=True))
        return formula.evaluate(lambda leaf: Concept(names[leaf]))


def vocabulary(patterns: pa.Table) -> Vocabulary:
    """Return the concepts of a table PATTERNS."""
    rows = tables.rows_of(patterns.sort_by("pattern"), Pattern)
    tags = sorted({(tag["concept"], tag["category"]) for row in rows for tag in row.concepts})
    number = {tag: i for i, tag in enumerate(tags)}
    places = [(number[tag["concept"], tag["category"]], i) for i, row in enumerate(rows) for tag in row.concepts]
    concept, pattern = np.array(sorted(places), np.int64).reshape(-1, 2).T
    holds = csr_array((np.ones(len(places)), (concept, pattern)), shape=(len(tags), len(rows)))
    pixels = np.array([row.pixels for row in rows], np.float64)
    categories = sorted({name for row in rows for name in row.categories})
    often = Counter(name for name, _ in tags)
    return Vocabulary(
        [name for name, _ in tags],
        [category for _, category in tags],
        [name if often[name] == 1 else f"{category} {name}" for name, category in tags],
        holds,
        pixels,
        {name: np.array([name in row.categories for row in rows]) for name in categories},
        holds @ pixels,
    )


def active(overlaps: pa.Table, quantile: Share, units: Sequence[int], patterns: int) -> Iterator[tuple[int, Counts]]:
    """Yield units, ascending, with their active pixels of each pattern, float64 [patterns].

    Parameters
    ----------
    overlaps : table OVERLAPS.
    quantile : one of those that the table has.
    patterns : how many there are.
    """
    ordered = overlaps.filter(pc.field("quantile") == str(quantile)).sort_by("unit")
    numbers, pattern, pixels = (ordered[name].to_numpy() for name in ("unit", "pattern", "pixels"))
    for unit in sorted(units):
        first, end = np.searchsorted(numbers, [unit, unit + 1])
        counts = np.zeros(patterns)
        counts[pattern[first:end]] = pixels[first:end]
        yield unit, counts
