"""The several things that a unit responds to: each label with its exemplars and its share of the activation mass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import pyarrow as pa

from dnd.io import schemas, tables
from dnd.io.rows import Facet


class _Joined(NamedTuple):
    unit: int
    candidate: int
    concept: str
    parts: list[int] | None
    shares: list[int] | None


class _Label(NamedTuple):
    unit: int
    label: str | None
    exemplars: list[dict[str, float]]


def run(described: pa.Table, scores: pa.Table) -> pa.Table:
    """Return the FACETS table of units that are described: one facet for each concept that the label joins.

    Parameters
    ----------
    described : DESCRIPTIONS of a layer.
    scores : its SCORES, which tell what each exemplar shows best.
    """
    joined = {(score.unit, score.concept): score for score in tables.rows_of(scores, _Joined)}
    named = {(unit, score.candidate): concept for (unit, concept), score in joined.items()}
    facets: list[Facet] = []
    for row in tables.rows_of(described, _Label):
        if row.label is not None:
            activations = [exemplar["activation"] for exemplar in row.exemplars]
            score = joined.get((row.unit, row.label))
            parts, shares = [row.label], [0] * len(activations)
            if score is not None and score.parts and score.shares is not None:
                parts, shares = [named[row.unit, candidate] for candidate in score.parts], score.shares
            facets += _of_unit(row.unit, parts, shares, activations)
    return tables.table(facets, schemas.FACETS)


def mass(strengths: Sequence[float], shares: Sequence[int], part: int) -> float:
    """Return the summed activation of the exemplars that show a part best.

    Parameters
    ----------
    strengths, shares : of each exemplar by rank, its activation and the part that it shows best.
    """
    return sum(value for value, share in zip(strengths, shares, strict=True) if share == part)


def _of_unit(unit: int, parts: Sequence[str], shares: Sequence[int], activations: Sequence[float]) -> list[Facet]:
    """The facets of a unit, the largest first; equals stay in the order of the label's parts."""
    strengths = [max(activation, 0.0) for activation in activations]
    total = sum(strengths) or 1.0
    masses = [mass(strengths, shares, part) / total for part in range(len(parts))]
    order = sorted(range(len(parts)), key=lambda part: -masses[part])
    return [
        Facet(unit, number, parts[part], [rank for rank, share in enumerate(shares) if share == part], masses[part])
        for number, part in enumerate(order)
    ]
