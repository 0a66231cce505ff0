"""Beam search for formulas: the best of one concept, each of them joined with a further concept, and so on.

Shorter formulas stay as long as they are among the best. Of equal scores the shorter formula comes first, then that
from the better one of the beam, then the one that is listed first. Of formulas that hold in the same places only the
first is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dnd.rivals.formulas import Formula

Flags = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]


class Extent(NamedTuple):
    """A formula, and where it holds: bool [images] or [patterns]."""

    formula: Formula
    holds: Flags

    def __and__(self, other: Extent) -> Extent:
        return Extent(self.formula & other.formula, self.holds & other.holds)

    def __or__(self, other: Extent) -> Extent:
        return Extent(self.formula | other.formula, self.holds | other.holds)

    def __invert__(self) -> Extent:
        return Extent(~self.formula, ~self.holds)


class Match(NamedTuple):
    """A formula of the beam.

    Attributes
    ----------
    measure : how well it fits the unit: its IoU or AUROC.
    score : what is maximised.
    """

    extent: Extent
    measure: float
    score: float

    @property
    def formula(self) -> Formula:
        """The formula itself."""
        return self.extent.formula


class Options(NamedTuple):
    """Formulas of one length that may come into the beam, one for each concept; most are never written out.

    Attributes
    ----------
    measures, scores : as of :class:`Match`, float64 [n]; the score of one that may not come into the beam is -inf.
    write : number of an option -> the formula.
    """

    measures: Floats
    scores: Floats
    write: Callable[[int], Extent]


def search(single: Options, extend: Callable[[Extent, int], Iterable[Options]], length: int, width: int) -> list[Match]:
    """Return the best formulas, best first, at most ``width``.

    Parameters
    ----------
    single : the concepts alone.
    extend : a formula of the beam and a length -> what it gives when it is joined with each concept, by one operation
        after the other.
    length : concepts in a formula at most.
    """
    beam = _best([], [single], width)
    for longer in range(2, length + 1):
        beam = _best(beam, [options for match in beam for options in extend(match.extent, longer)], width)
    return beam


def _best(beam: Sequence[Match], options: Sequence[Options], width: int) -> list[Match]:
    """The best of a beam and of longer formulas, which come after it where scores are equal."""
    scores = np.concatenate([[match.score for match in beam], *(part.scores for part in options)])
    kept: dict[bytes, Match] = {}
    for i in np.argsort(-scores, kind="stable").tolist():
        if len(kept) == width or scores[i] == -np.inf:
            break
        if i < len(beam):
            match = beam[i]
        else:
            part, number = divmod(i - len(beam), len(options[0].scores))
            match = Match(options[part].write(number), float(options[part].measures[number]), float(scores[i]))
        kept.setdefault(np.packbits(match.extent.holds).tobytes(), match)
    return list(kept.values())
