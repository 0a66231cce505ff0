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


class StoredEmbedder(Embedder):
    """An embedder that finds again what it has embedded before: the same images, in the same order, at once.

    One item of the store is a group of images: those of a concept, which many layers score, or a chunk of a probe, that
    every layer and every method that looks at it embeds.
    """

    def __init__(self, settings: EmbedderSettings, store: Store) -> None:
        self._settings, self._store = settings, store
        self._embedder: Embedder | None = None

    def embed(self, images: Sequence[Image.Image]) -> Values:
        """Return unit vectors float32 [n, d]."""
        return self.embed_groups([images])[0]

    def embed_groups(self, groups: Sequence[Sequence[Image.Image]]) -> list[Values]:
        """Return unit vectors float32 [n, d] of each group."""
        names = [self._name(group) for group in groups]
        found: dict[str, Values] = {}
        missing: dict[str, Sequence[Image.Image]] = {}
        for name, group in zip(names, groups, strict=True):
            known = self._store.get(name)
            if known is None:
                missing[name] = group
            else:
                found[name] = np.frombuffer(known, np.float32).reshape(len(group), -1)
        if missing:
            self._embedder = self._embedder or TransformersEmbedder(self._settings)
            for name, vectors in zip(missing, self._embedder.embed_groups(list(missing.values())), strict=True):
                self._store.put(name, vectors.tobytes())
                found[name] = vectors
        return [found[name] for name in names]

    def _name(self, images: Sequence[Image.Image]) -> str:
        shown = [[image.mode, *image.size, hashlib.sha256(image.tobytes()).hexdigest()] for image in images]
        settings = self._settings
        return key("vectors", revision(settings.model, settings.revision), precision(settings.dtype), shown)


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
