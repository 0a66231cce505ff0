"""Pictures as every stage reads them: rows of the probe, decoded bytes, parts of an image."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image, ImageOps

from dnd import tables

Box = tuple[int, ...]
"""x0, y0, x1, y1 as a table holds them."""


def decode(data: bytes) -> Image.Image:
    """Return the RGB image of a file's bytes, upright by its EXIF orientation.

    Raises
    ------
    OSError
        The bytes are no image that Pillow can read to its end.
    """
    try:
        image = Image.open(io.BytesIO(data))
        image.load()
    except (Image.DecompressionBombError, SyntaxError, ValueError) as error:  # Pillow's plugins raise all of these
        raise OSError(str(error)) from error
    return ImageOps.exif_transpose(image).convert("RGB")


def rows(shards: Sequence[Path], wanted: set[str] | None = None) -> Iterator[Mapping[str, Any]]:
    """Yield the rows of probe shards, all or only some image ids, in order of image id."""
    where = None if wanted is None else pc.field("image_id").isin(pa.array(sorted(wanted), pa.string()))
    for shard in shards:
        yield from tables.read(shard, tables.PROBE, where=where).to_pylist()


def view(image: Image.Image, box: Sequence[int] | None) -> Image.Image:
    """Return an exemplar's pixels: the image, or the part inside the box."""
    return image if box is None else image.crop((box[0], box[1], box[2], box[3]))


def place(row: Mapping[str, Any]) -> tuple[str, Box | None]:
    """Return what a row with ``image_id`` and ``box`` shows: an image, and which part of it (None is the whole)."""
    return row["image_id"], tuple(row["box"]) if row["box"] else None


def in_order(places: Iterable[tuple[str, Box | None]]) -> list[tuple[str, Box | None]]:
    """Return the distinct places by image id, the whole image before its parts."""
    return sorted(set(places), key=lambda one: (one[0], one[1] or ()))
