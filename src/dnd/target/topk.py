"""Parts of a pass over the probe, one of each shard, joined to a table of every layer; without torch.

It would take longer to import than most layers take to be joined.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from dnd.io import schemas, tables

UNITS_AT_ONCE = 1024
"""Units whose parts are merged together."""
QUANTILES = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 0.995, 1.0)

Floats = npt.NDArray[np.float32]


def merge(
    topk: Sequence[Path], statistics: Sequence[Path], controls: Sequence[Path], slug: str, k: int
) -> Iterator[pa.Table]:
    """Join the parts of all probe shards to one TOPK row per unit of a layer; ties break by image id.

    Yields the rows of some units at a time, since the lists of images of a large layer are many.
    """
    own = pc.field("slug") == slug
    sums = tables.read(statistics, schemas.STATISTICS_PART, where=own).to_pandas().groupby("unit")
    summed = sums.agg(
        {"count": "sum", "nonfinite": "sum", "total": "sum", "total_squares": "sum", "zeros": "sum"}
        | {"low": "min", "high": "max"}
    )
    held = tables.read(controls, schemas.CONTROLS_PART, where=own).sort_by("image_id")["activations"]
    matrix = np.stack(held.to_numpy()) if len(held) else np.empty((0, len(summed)), np.float32)
    for first in range(0, len(summed), UNITS_AT_ONCE):
        part = summed.iloc[first : first + UNITS_AT_ONCE]
        where = own & (pc.field("unit") >= first) & (pc.field("unit") < first + len(part))
        best = _best(tables.read(topk, schemas.TOPK_PART, where=where), first, len(part), k)
        yield tables.table(
            [
                _topk_row(int(unit), row, *best[int(unit) - first], matrix[:, int(unit)])
                for unit, row in zip(part.index, part.to_dict("records"), strict=True)
            ],
            schemas.TOPK,
        )


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
    return [(ids.take(pa.array(one)), values[one]) for one in chosen]


def _topk_row(unit: int, sums: Mapping[str, Any], ids: pa.Array, values: Floats, controls: Floats) -> dict[str, Any]:
    count = max(1, sums["count"])
    mean = sums["total"] / count
    finite = controls[np.isfinite(controls)]
    known = sums["count"] > 0
    return {
        "unit": unit,
        "image_ids": ids.to_pylist(),
        "activations": values,
        "mean": mean if known else None,
        "std": max(0.0, sums["total_squares"] / count - mean**2) ** 0.5 if known else None,
        "fraction_zero": sums["zeros"] / count,
        "nonfinite": sums["nonfinite"],
        "idle": idle(sums["low"], sums["high"]) if known else "nonfinite",
        "low": sums["low"] if known else None,
        "high": sums["high"] if known else None,
        "quantiles": np.quantile(finite, QUANTILES).astype(np.float32) if len(finite) else [],
        "controls": controls,
    }


def idle(low: float, high: float, tolerance: float = 1e-6) -> str | None:
    """Return why a unit cannot be described: ``dead`` (zero for every image), ``constant``, or None.

    ``tolerance`` is the spread of a constant unit relative to its size, a few units in the last place of float32.
    """
    if low == high == 0:
        return "dead"
    return "constant" if high - low <= tolerance * max(abs(high), abs(low)) else None
