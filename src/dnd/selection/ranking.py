"""The candidates of a unit, best first."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from dnd.io import tables
from dnd.io.rows import Score


def ranked(candidates: Sequence[Score]) -> list[Score]:
    """Return our own candidates best first: by score, then votes, then the concept's spelling."""
    return sorted(candidates, key=lambda score: (-(score.score or 0.0), -(score.votes or 0), score.concept))


def by_unit(scores: pa.Table, ours: bool) -> dict[int, list[Score]]:
    """Return unit -> its candidates of SCORES, best first.

    Parameters
    ----------
    ours : whether scores say which is best; another method numbers its candidates in that order.
    """
    candidates: dict[int, list[Score]] = {}
    for score in tables.rows_of(scores.drop_columns(["activations"]), Score):
        candidates.setdefault(score.unit, []).append(score)
    if ours:
        return {unit: ranked(scored) for unit, scored in candidates.items()}
    return {unit: sorted(scored, key=lambda score: score.candidate) for unit, scored in candidates.items()}
