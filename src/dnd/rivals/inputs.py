"""What rival methods read of a layer: its units that can be described, their best images, and all activations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from dnd.io import schemas, tables
from dnd.probe import pack

Floats = npt.NDArray[np.float32]
CANDIDATES = 10
"""Best candidates of a unit that are kept."""


@dataclass(frozen=True)
class Activations:
    """Pooled activations of all probe images.

    Attributes
    ----------
    image_ids : in order.
    units : those that can be described, ascending.
    values : float32 [images, units]; what is not finite is the unit's smallest finite activation.
    """

    image_ids: list[str]
    units: list[int]
    values: Floats


def live_units(topk: Path) -> list[int]:
    """Return the units of a TOPK file that are not idle, ascending."""
    found = tables.read(topk, schemas.TOPK, ["unit", "idle"])
    return sorted(found.filter(pc.is_null(found["idle"]))["unit"].to_pylist())


def best_images(topk: Path, shards: Sequence[Path], count: int) -> dict[int, tuple[list[str], Floats]]:
    """Return unit -> its most activating images, best first, ties by image id, and their activations; no idle units.

    Raises
    ------
    ValueError
        Fewer images were kept of the units than are asked for, though the probe has more.
    """
    images = tables.count(shards)
    found = tables.read(topk, schemas.TOPK, ["unit", "idle", "image_ids", "activations", "nonfinite"])
    best = {}
    for row in found.filter(pc.is_null(found["idle"])).sort_by("unit").to_pylist():
        if len(row["image_ids"]) < min(count, images - row["nonfinite"]):
            kept = len(row["image_ids"])
            raise ValueError(
                f"{topk}: {kept} images were kept of unit {row['unit']}: set the recipe's `kept` to {count}"
            )
        best[row["unit"]] = row["image_ids"][:count], np.array(row["activations"][:count], np.float32)
    return best


def activations(topk: Path, shards: Sequence[Path]) -> Activations:
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
    found = tables.read(topk, schemas.TOPK, ["unit", "idle", "controls"])
    found = found.filter(pc.is_null(found["idle"])).sort_by("unit")
    kept = pc.max(pc.list_value_length(found["controls"])).as_py()
    if kept is not None and kept < images:
        raise ValueError(
            f"{topk}: activations of {kept} of {images} images were kept: set the recipe's `controls` to {images}"
        )
    ids = pack.controls(shards, images)
    columns = found["controls"].combine_chunks()
    values = np.asarray(columns.flatten() if isinstance(columns, pa.ListArray) else [], np.float32)
    return Activations(ids, found["unit"].to_pylist(), finite(values.reshape(len(found), -1).T))


def finite(values: Floats) -> Floats:
    """Return float32 [images, units] with the smallest finite value of its unit wherever one is not finite."""
    good = np.isfinite(values)
    if good.all():
        return values
    return np.where(good, values, np.where(good, values, np.inf).min(0))


def scores(best: Sequence[tuple[int, Sequence[tuple[str, float]]]], source: str) -> pa.Table:
    """Return a SCORES table of units with their candidates and scores, best first; other columns are null."""
    own = {"unit", "candidate", "concept", "source", "score"}
    absent = dict.fromkeys(name for name in schemas.SCORES.names if name not in own)
    rows = [
        {"unit": unit, "candidate": i, "concept": concept, "source": source, "score": score, **absent}
        for unit, candidates in best
        for i, (concept, score) in enumerate(candidates)
    ]
    return tables.table(rows, schemas.SCORES)
