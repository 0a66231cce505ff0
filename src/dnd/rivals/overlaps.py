"""How many pixels units and annotated concepts share, from the tables PATTERNS and OVERLAPS."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import and_, or_
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from scipy.sparse import csr_array

from dnd.rivals.formulas import And, Concept, Formula, Not, Or

Counts = npt.NDArray[np.float64]
"""Numbers of pixels; sums and products of flags with them are exact below 2^53."""
Flags = npt.NDArray[np.bool_]
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

    @property
    def categories(self) -> list[str]:
        """Names of the categories, sorted."""
        return sorted(set(self.category))

    def named(self, formula: Formula) -> Formula:
        """Return a formula with concepts by their names alone."""
        names = dict(zip(self.leaves, self.concepts, strict=True))

        def rename(one: Formula) -> Formula:
            match one:
                case Concept(leaf):
                    return Concept(names[leaf])
                case Not(part):
                    return ~rename(part)
                case And(parts):
                    return reduce(and_, map(rename, parts))
                case Or(parts):
                    return reduce(or_, map(rename, parts))
            raise TypeError(f"no formula: {one!r}")

        return rename(formula)


def vocabulary(patterns: pa.Table) -> Vocabulary:
    """Return the concepts of a table PATTERNS."""
    rows = patterns.sort_by("pattern").to_pylist()
    tags = sorted({(one["concept"], one["category"]) for row in rows for one in row["concepts"]})
    number = {tag: i for i, tag in enumerate(tags)}
    places = [(number[one["concept"], one["category"]], i) for i, row in enumerate(rows) for one in row["concepts"]]
    concept, pattern = np.array(sorted(places), np.int64).reshape(-1, 2).T
    holds = csr_array((np.ones(len(places)), (concept, pattern)), shape=(len(tags), len(rows)))
    pixels = np.array([row["pixels"] for row in rows], np.float64)
    categories = sorted({name for row in rows for name in row["categories"]})
    annotated = {name: np.array([name in row["categories"] for row in rows]) for name in categories}
    often = Counter(name for name, _ in tags)
    return Vocabulary(
        [name for name, _ in tags],
        [category for _, category in tags],
        [name if often[name] == 1 else f"{category} {name}" for name, category in tags],
        holds,
        pixels,
        annotated,
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
    unit, pattern, pixels = (ordered[name].to_numpy() for name in ("unit", "pattern", "pixels"))
    for one in sorted(units):
        first, end = np.searchsorted(unit, [one, one + 1])
        found = np.zeros(patterns)
        found[pattern[first:end]] = pixels[first:end]
        yield one, found
