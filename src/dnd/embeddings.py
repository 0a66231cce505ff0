"""Vectors of images and of parts of them, for whoever compares pictures: each place is embedded once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dnd import pictures
from dnd.backends.embedder import Embedder

CHUNK = 128
"""Images whose pixels are in memory at once."""
Values = npt.NDArray[np.float32]
Place = tuple[str, pictures.Box | None]
"""Image id, and the part of the image; None for the whole."""


def of_places(
    embedder: Embedder, places: Iterable[Place], shards: Sequence[Path], square: int | None = None
) -> dict[Place, Values]:
    """Return the unit vector [d] of each place, looking at some images at a time."""
    boxes: dict[str, list[pictures.Box | None]] = {}
    for name, box in pictures.in_order(places):
        boxes.setdefault(name, []).append(box)
    rows = pictures.rows(shards, set(boxes), ["image_id", "image"])
    found: dict[Place, Values] = {}
    while chunk := list(islice(rows, CHUNK)):
        whole = {row["image_id"]: pictures.decode(row["image"]) for row in chunk}
        views = {(name, box): pictures.view(image, box, square) for name, image in whole.items() for box in boxes[name]}
        found |= dict(zip(views, embedder.embed(list(views.values())), strict=True))
    return found
