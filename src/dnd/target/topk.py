"""Parts of a pass over the probe, one of each shard, joined to a table of every layer; without torch.

It would take longer to import than most layers take to be joined.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from dnd.io import schemas, tables
from dnd.io.rows import Topk

UNITS_AT_ONCE = 1024
"""Units whose parts are merged together."""
HOW = [(name, "sum") for name in ("count", "nonfinite", "zeros", "total", "total_squares")]
HOW += [("low", "min"), ("high", "max")]
"""Columns of STATISTICS_PART, and how those of several shards are joined."""
QUANTILES = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 0.995, 1.0)

Floats = npt.NDArray[np.float32]


class _Sums(NamedTuple):
    """The columns of STATISTICS_PART but the slug, over all shards; ``images`` are those with a finite activation."""

    unit: int
    images: int
    nonfinite: int
    zeros: int
    total: float
    total_squares: float
    low: float
    high: float


def merge(
    topk: Sequence[Path], statistics: Sequence[Path], controls: Sequence[Path], slug: str, k: int
) -> Iterator[pa.Table]:
    """Join the parts of all probe shards to one TOPK row per unit of a layer; ties break by image id.

    Yields the rows of some units at a time, since the lists of images of a large layer are many.
    """
    of_layer = pc.field("slug") == slug
    # by one thread, since the last bits of sums depend on their order
    joined = tables.read(statistics, schemas.STATISTICS_PART, where=of_layer).group_by("unit", use_threads=False)
    sums = tables.rows_of(joined.aggregate(HOW).rename_columns(_Sums._fields).sort_by("unit"), _Sums)
    held = tables.read(controls, schemas.CONTROLS_PART, where=of_layer).sort_by("image_id")["activations"]
    matrix = np.stack(held.to_numpy()) if len(held) else np.empty((0, len(sums)), np.float32)
    for first in range(0, len(sums), UNITS_AT_ONCE):
        part = sums[first : first + UNITS_AT_ONCE]
        where = of_layer & (pc.field("unit") >= first) & (pc.field("unit") < first + len(part))
        best = _best(tables.read(topk, schemas.TOPK_PART, where=where), first, len(part), k)
        rows = [_row(unit, *images, matrix[:, unit.unit]) for unit, images in zip(part, best, strict=True)]
        yield tables.table(rows, schemas.TOPK)


def _best(parts: pa.Table, first: int, units: int, k: int) -> list[tuple[pa.Array, Floats]]:
    """The k most activating images of each unit, with their activations."""
    lengths = pc.list_value_length(parts["image_ids"]).to_numpy()
    unit = np.repeat(parts["unit"].to_numpy() - first, lengths)
    values = parts["activations"].combine_chunks().flatten().to_numpy()
    ids = pc.list_flatten(parts["image_ids"]).combine_chunks()
    order = np.lexsort((pc.rank(ids, tiebreaker="dense").to_numpy(), -values, unit))
    ends = np.searchsorted(unit[order], np.arange(units), side="right")
    starts = np.concatenate([[0], ends[:-1]])
    chosen = [order[start : min(end, start + k)] for start, end in zip(starts, ends, strict=True)]
    return [(ids.take(pa.array(places)), values[places]) for places in chosen]


def _row(sums: _Sums, ids: pa.Array, values: Floats, controls: Floats) -> Topk:
    count = max(1, sums.images)
    mean = sums.total / count
    finite = controls[np.isfinite(controls)]
    known = sums.images > 0
    return Topk(
        sums.unit,
        ids.to_pylist(),
        values.tolist(),
        mean if known else None,
        max(0.0, sums.total_squares / count - mean**2) ** 0.5 if known else None,
        sums.zeros / count,
        sums.nonfinite,
        idle(sums.low, sums.high) if known else "nonfinite",
        sums.low if known else None,
        sums.high if known else None,
        np.quantile(finite, QUANTILES).astype(np.float32).tolist() if len(finite) else [],
        controls.tolist(),
    )


def idle(low: float, high: float, tolerance: float = 1e-6) -> str | None:
    """Return why a unit cannot be described: ``dead`` (zero for every image), ``constant``, or None.

    ``tolerance`` is the spread of a constant unit relative to its size, a few units in the last place of float32.
    """
    if low == high == 0:
        return "dead"
    return "constant" if high - low <= tolerance * max(abs(high), abs(low)) else None
