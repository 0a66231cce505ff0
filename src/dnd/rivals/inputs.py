"""What rival methods read of a layer: its units that can be described, their best images, and all activations."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from dnd.io import schemas, tables
from dnd.io.rows import Score
from dnd.probe import pack

Values = npt.NDArray[np.float32]
CANDIDATES = 10
"""Best candidates of a unit that are kept."""
LIVE = pc.field("idle").is_null()
"""Rows of TOPK of units that can be described."""


class Activations(NamedTuple):
    """Pooled activations of all probe images.

    Attributes
    ----------
    image_ids : in order.
    units : those that can be described, ascending.
    values : float32 [images, units]; what is not finite is the unit's smallest finite activation.
    """

    image_ids: list[str]
    units: list[int]
    values: Values


class BestImages(NamedTuple):
    """A unit's most activating images, best first, ties by image id, and their activations float32 [images]."""

    image_ids: list[str]
    activations: Values


class _Kept(NamedTuple):
    unit: int
    image_ids: list[str]
    activations: list[float]
    nonfinite: int


def live_units(topk: str | Path) -> list[int]:
    """Return the units of a TOPK file that are not idle, ascending."""
    return sorted(tables.read(topk, schemas.TOPK, ["unit"], LIVE)["unit"].to_pylist())


def best_images(topk: str | Path, shards: Sequence[str | Path], count: int) -> dict[int, BestImages]:
    """Return unit -> its best images, of the units that are not idle.

    Raises
    ------
    ValueError
        Fewer images were kept of the units than are asked for, though the probe has more.
    """
    images = tables.count(shards)
    best = {}
    for row in sorted(tables.rows(topk, schemas.TOPK, _Kept, LIVE)):
        if (kept := len(row.image_ids)) < min(count, images - row.nonfinite):
            raise ValueError(f"{topk}: {kept} images were kept of unit {row.unit}: set the recipe's `kept` to {count}")
        best[row.unit] = BestImages(row.image_ids[:count], np.array(row.activations[:count], np.float32))
    return best


def activations(topk: str | Path, shards: Sequence[str | Path]) -> Activations:
    """Return the activations of all probe images, of the units that are not idle.

    Parameters
    ----------
    shards : of the probe, for the ids of its images.

    Raises
    ------
    ValueError
        Activations of a part of the images only were kept.
    """
    images = tables.count(shards)
    table = tables.read(topk, schemas.TOPK, ["unit", "controls"], LIVE).sort_by("unit")
    kept = pc.max(pc.list_value_length(table["controls"])).as_py()
    if kept is not None and kept < images:
        raise ValueError(
            f"{topk}: activations of {kept} of {images} images were kept: set the recipe's `controls` to {images}"
        )
    columns = table["controls"].combine_chunks()
    values = np.asarray(columns.flatten() if isinstance(columns, pa.ListArray) else [], np.float32)
    values = values.reshape(len(table), -1).T
    good = np.isfinite(values)
    if not good.all():
        values = np.where(good, values, np.where(good, values, np.inf).min(0))
    return Activations(pack.controls(shards, images), table["unit"].to_pylist(), values)


def scores(labels: Iterable[tuple[int, Sequence[tuple[str, float]]]], source: str) -> pa.Table:
    """Return a SCORES table of units with their candidates and scores, best first; other columns are null."""
    rows = [
        Score(unit, i, concept, source, None, score)
        for unit, candidates in labels
        for i, (concept, score) in enumerate(candidates)
    ]
    return tables.table(rows, schemas.SCORES)
