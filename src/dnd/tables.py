"""The Arrow schema of every table, and the one way to write and read them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dnd.atomic import replaced

BOX = pa.list_(pa.int32(), 4)
"""x0, y0, x1, y1 in pixels of the original image, the right and lower edges exclusive; null is the whole image."""

PROBE = pa.schema(
    [
        ("image_id", pa.string()),  # path inside the probe, with forward slashes
        ("digest", pa.string()),  # sha256 of the bytes
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("image", pa.binary()),  # the file's bytes, unchanged
    ]
)
REJECTED = pa.schema([("image_id", pa.string()), ("reason", pa.string())])

TOPK_PART = pa.schema(
    [("slug", pa.string()), ("unit", pa.int32()), ("image_id", pa.string()), ("activation", pa.float32())]
)
STATISTICS_PART = pa.schema(
    [
        ("slug", pa.string()),
        ("unit", pa.int32()),
        ("count", pa.int64()),
        ("total", pa.float64()),
        ("total_squares", pa.float64()),
        ("zeros", pa.int64()),
        ("low", pa.float32()),
        ("high", pa.float32()),
    ]
)
CONTROLS_PART = pa.schema(
    [("slug", pa.string()), ("image_id", pa.string()), ("activations", pa.list_(pa.float32()))]  # one value a unit
)
TOPK = pa.schema(
    [
        ("unit", pa.int32()),
        ("image_ids", pa.list_(pa.string())),  # best first
        ("activations", pa.list_(pa.float32())),
        ("mean", pa.float32()),
        ("std", pa.float32()),
        ("fraction_zero", pa.float32()),
        ("idle", pa.string()),  # dead or constant; null for a unit that can be described
        ("low", pa.float32()),
        ("high", pa.float32()),
        ("quantiles", pa.list_(pa.float32())),  # of the control images, at activations.QUANTILES
        ("controls", pa.list_(pa.float32())),  # activations of the control images, in order of image id
    ]
)
EXEMPLARS = pa.schema(
    [
        ("unit", pa.int32()),
        ("rank", pa.int32()),  # 0 is the best
        ("image_id", pa.string()),
        ("box", BOX),
        ("activation", pa.float32()),
        (
            "heatmap",
            pa.binary(),
        ),  # grey PNG of the unit's map on the whole image, stretched to 0-255; null without a map
        ("heatmap_box", BOX),  # the part of the original image that the map covers
    ]
)
CAPTIONS = pa.schema([("image_id", pa.string()), ("box", BOX), ("caption", pa.string())])
ANSWERS = pa.schema(
    [
        ("name", pa.string()),
        ("slug", pa.string()),
        ("unit", pa.int32()),
        ("sample", pa.int32()),
        ("prompt", pa.string()),  # JSON of the chat messages
        ("captions", pa.list_(pa.int32())),  # ranks of the exemplars, in the order shown
        ("answer", pa.string()),  # null when the request failed
        ("concept", pa.string()),  # null when the answer is malformed
        ("problem", pa.string()),  # null when all is well
    ]
)
CONCEPTS = pa.schema(
    [
        ("name", pa.string()),
        ("slug", pa.string()),
        ("unit", pa.int32()),
        ("candidate", pa.int32()),  # by votes, then first seen
        ("concept", pa.string()),
        ("votes", pa.int32()),
        ("samples", pa.list_(pa.int32())),  # the answers that gave it
    ]
)
IMAGES = pa.schema(
    [
        ("concept", pa.string()),
        ("sample", pa.int32()),
        ("seed", pa.int64()),
        ("key", pa.string()),
        ("image", pa.binary()),
    ]
)
SCORES = pa.schema(
    [
        ("unit", pa.int32()),
        ("candidate", pa.int32()),
        ("concept", pa.string()),
        ("source", pa.string()),
        ("votes", pa.int32()),
        ("score", pa.float32()),  # the recipe's combination; higher is better
        ("auc", pa.float32()),
        ("mad", pa.float32()),
        ("rank_score", pa.float32()),  # mean of the squared ranks of the best five; lower is better
        ("image_similarity", pa.float32()),
        ("activations", pa.list_(pa.float32())),  # of the generated images, in order of sample
    ]
)
CANDIDATE = pa.struct(
    [
        ("concept", pa.string()),
        ("score", pa.float32()),
        ("auc", pa.float32()),
        ("mad", pa.float32()),
        ("rank_score", pa.float32()),
        ("image_similarity", pa.float32()),
        ("source", pa.string()),
    ]
)
EXEMPLAR = pa.struct([("image_id", pa.string()), ("box", BOX), ("activation", pa.float32())])
DESCRIPTIONS = pa.schema(
    [
        ("model", pa.string()),
        ("layer", pa.string()),
        ("probe", pa.string()),
        ("recipe", pa.string()),
        ("unit", pa.int32()),
        ("label", pa.string()),  # null when abstained
        ("labels", pa.list_(pa.string())),
        ("confidence", pa.float32()),
        ("abstained", pa.string()),  # null when described
        ("score", pa.float32()),
        ("candidates", pa.list_(CANDIDATE)),
        ("exemplars", pa.list_(EXEMPLAR)),
        ("captions", pa.list_(pa.string())),
    ]
)
EVALUATION = pa.schema(
    [
        ("name", pa.string()),
        ("layer", pa.string()),
        ("unit", pa.int32()),  # null for aggregates
        ("kind", pa.string()),
        ("method", pa.string()),
        ("metric", pa.string()),
        ("value", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
    ]
)


def table(rows: Iterable[Mapping[str, Any]], schema: pa.Schema) -> pa.Table:
    """Build a table from rows; a missing or unknown column is an error.

    Raises
    ------
    ValueError
        A row's keys differ from the schema's names.
    """
    rows = list(rows)
    names = set(schema.names)
    for i, row in enumerate(rows):
        if set(row) != names:
            raise ValueError(f"row {i}: columns {sorted(set(row) ^ names)} are missing or unknown")
    return pa.Table.from_pylist(rows, schema=schema)


def write(path: str | Path, rows: pa.Table, schema: pa.Schema, row_group_size: int = 1024) -> None:
    """Write a table that has the schema, in one step: the file appears whole or not at all.

    Raises
    ------
    ValueError
        The table's schema is another one.
    OSError
        The disk is full, say; the message names the file and the reason.
    """
    if not rows.schema.equals(schema):
        raise ValueError(f"{path}: schema is {rows.schema}, not {schema}")
    try:
        with replaced(path) as partial:
            pq.write_table(rows, partial, compression="zstd", row_group_size=row_group_size)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise OSError(f"{path} cannot be written: {reason}") from error


def read(
    paths: str | Path | Sequence[str | Path],
    schema: pa.Schema,
    columns: Sequence[str] | None = None,
    where: pc.Expression | None = None,
) -> pa.Table:
    """Read and join files of one schema, only the columns and rows asked for.

    Raises
    ------
    ValueError
        A file has another schema; the message names it.
    """
    files = [paths] if isinstance(paths, str | Path) else list(paths)
    parts = []
    for file in files:
        found = pq.read_schema(file)
        if not found.equals(schema):
            raise ValueError(f"{file}: schema is {found.names}, expected {schema.names}: delete it and run again")
        parts.append(pq.read_table(file, columns=None if columns is None else list(columns), filters=where))
    wanted = schema if columns is None else pa.schema([schema.field(name) for name in columns])
    return pa.concat_tables(parts) if parts else wanted.empty_table()
