"""Vectors of images and of parts of them, for whoever compares pictures: each place is embedded once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from tqdm import tqdm

from dnd import pictures
from dnd.backends.embedder import BATCH, Embedder, TransformersEmbedder
from dnd.backends.loading import precision
from dnd.batches import prepared
from dnd.settings import EmbedderSettings
from dnd.store import Store, key, revision
from dnd.streams import ahead, chunks

CHUNK = 128
"""Images that are looked at together; as many again are decoded ahead."""
Values = npt.NDArray[np.float32]
Place = tuple[str, pictures.Box | None]
"""Image id, and the part of the image; None for the whole."""


class StoredEmbedder:
    """An embedder that finds again what it has embedded before: the same images, in the same order, at once.

    Every layer and every method that looks at a probe embeds it, chunk by chunk; one item of the store is a chunk.
    """

    def __init__(self, settings: EmbedderSettings, store: Store) -> None:
        self._settings, self._store = settings, store
        self._embedder: Embedder | None = None

    def embed(self, images: Sequence[Image.Image]) -> Values:
        """Return unit vectors float32 [n, d]."""
        shown = [[image.mode, *image.size, hashlib.sha256(image.tobytes()).hexdigest()] for image in images]
        settings = self._settings
        name = key("vectors", revision(settings.model, settings.revision), precision(settings.dtype), shown)
        if (known := self._store.get(name)) is not None:
            return np.frombuffer(known, np.float32).reshape(len(images), -1)
        self._embedder = self._embedder or TransformersEmbedder(settings)
        vectors = self._embedder.embed(images)
        self._store.put(name, vectors.tobytes())
        return vectors


def of_places(
    embedder: Embedder, places: Iterable[Place], shards: Sequence[Path], square: int | None = None
) -> dict[Place, Values]:
    """Return the unit vector [d] of each place, looking at some images at a time."""
    boxes: dict[str, list[pictures.Box | None]] = {}
    for name, box in pictures.in_order(places):
        boxes.setdefault(name, []).append(box)
    rows = pictures.rows(shards, set(boxes), ["image_id", "image"])
    found: dict[Place, Values] = {}

    def look(row: Mapping[str, Any]) -> dict[Place, Image.Image]:
        whole, name = pictures.decode(row["image"]), row["image_id"]
        return {(name, box): pictures.view(whole, box, square) for box in boxes[name]}

    looked = prepared(look, rows, BATCH)
    with tqdm(desc="embed", total=len(boxes), unit="image", mininterval=5) as bar:
        for chunk in ahead(chunks(looked, CHUNK)):
            views = {place: view for one in chunk for place, view in one.items()}
            found |= dict(zip(views, embedder.embed(list(views.values())), strict=True))
            bar.update(len(chunk))
    return found
