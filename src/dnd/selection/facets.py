"""The several things that a unit responds to: each label with its exemplars and its share of the activation mass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from dnd.io import schemas, tables


def run(described: pa.Table, scores: pa.Table) -> pa.Table:
    """Return the FACETS table of units that are described: one facet for each concept that the label joins.

    Parameters
    ----------
    described : DESCRIPTIONS of a layer.
    scores : its SCORES, which tell what each exemplar shows best.
    """
    joined = {
        (row["unit"], row["concept"]): row
        for row in scores.select(["unit", "candidate", "concept", "parts", "shares"]).to_pylist()
    }
    named = {(row["unit"], row["candidate"]): concept for (_, concept), row in joined.items()}
    rows = []
    for row in described.select(["unit", "label", "exemplars"]).to_pylist():
        if row["label"] is not None:
            rows += _of_unit(row, joined.get((row["unit"], row["label"])), named)
    return tables.table(rows, schemas.FACETS)


def mass(strengths: Sequence[float], shares: Sequence[int], part: int) -> float:
    """Return the summed activation of the exemplars that show a part best.

    Parameters
    ----------
    strengths, shares : of each exemplar by rank, its activation and the part that it shows best.
    """
    return sum(value for value, share in zip(strengths, shares, strict=True) if share == part)


def _of_unit(
    row: Mapping[str, Any], label: Mapping[str, Any] | None, named: Mapping[tuple[int, int], str]
) -> list[dict[str, Any]]:
    unit, strengths = row["unit"], [max(one["activation"], 0.0) for one in row["exemplars"]]
    total = sum(strengths) or 1.0
    parts, shares = [row["label"]], [0] * len(strengths)
    if label is not None and label["parts"]:
        parts, shares = [named[unit, number] for number in label["parts"]], label["shares"]
    found = [
        {
            "label": part,
            "exemplars": [rank for rank, share in enumerate(shares) if share == place],
            "share": mass(strengths, shares, place) / total,
        }
        for place, part in enumerate(parts)
    ]
    found.sort(key=lambda one: -one["share"])  # equals stay in the order of the label's parts
    return [{"unit": unit, "facet": number, **one} for number, one in enumerate(found)]
