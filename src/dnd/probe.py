"""The probe: images packed into Parquet shards, bytes unchanged; what cannot be read is listed, not fatal."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from tqdm import tqdm

from dnd import pictures, tables
from dnd.folders import listing

log = logging.getLogger(__name__)


def pack(folder: Path, shard: int, shards: int) -> tuple[pa.Table, pa.Table]:
    """Return one of several nearly equal parts of a folder's images, in order of image id.

    Returns
    -------
    Tables PROBE and REJECTED: the readable images, and the others with the reason.
    """
    paths = listing(folder)
    part = paths[shard * len(paths) // shards : (shard + 1) * len(paths) // shards]
    rows, refused = [], []
    for path in tqdm(part, "probe", unit="image", mininterval=5):
        row, reason = _row(folder, path)
        if row is None:
            log.warning("rejected %s: %s", path, reason)
            refused.append({"image_id": path.relative_to(folder).as_posix(), "reason": reason})
        else:
            rows.append(row)
    log.info("%d images, %d rejected", len(rows), len(refused))
    return tables.table(rows, tables.PROBE), tables.table(refused, tables.REJECTED)


def require_images(shards: Sequence[str | Path], rejected: pa.Table) -> None:
    """Log every rejected image.

    Raises
    ------
    ValueError
        No image of the probe can be read.
    """
    for row in rejected.to_pylist():
        log.warning("rejected %s: %s", row["image_id"], row["reason"])
    if not len(tables.read(shards, tables.PROBE, ["image_id"])):
        first = rejected.to_pylist()[0]
        raise ValueError(f"none of {len(rejected)} images can be read; {first['image_id']}: {first['reason']}")


def _row(folder: Path, path: Path) -> tuple[dict[str, Any] | None, str]:
    try:
        data = path.read_bytes()
        width, height = pictures.decode(data).size
    except OSError as error:
        return None, str(error) or type(error).__name__
    return {
        "image_id": path.relative_to(folder).as_posix(),
        "digest": hashlib.sha256(data).hexdigest(),
        "width": width,
        "height": height,
        "image": data,
    }, ""


def controls(shards: Sequence[Path], count: int) -> list[str]:
    """Return the ids of a fixed random sample of the probe: the images whose ids have the smallest hashes, sorted."""
    ids = tables.read(list(shards), tables.PROBE, ["image_id"])["image_id"].to_pylist()
    return sorted(sorted(ids, key=lambda name: hashlib.sha256(name.encode()).digest())[:count])
