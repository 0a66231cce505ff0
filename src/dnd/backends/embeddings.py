"""Vectors of images and of parts of them, for whoever compares pictures: each place is embedded once."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from tqdm import tqdm

from dnd.backends.embedder import BATCH, Embedder, TransformersEmbedder
from dnd.backends.loading import precision
from dnd.backends.noise import NoisyEmbedder
from dnd.config.backends import EmbedderSettings
from dnd.io import pictures
from dnd.io.pictures import Place
from dnd.io.store import Store, key, revision
from dnd.io.streams import chunks

GROUP = BATCH
"""Images whose vectors are kept together."""
TOLERANCE = 1e-3
"""How far from 1 the length of a vector may be that was made one long in float32."""
Values = npt.NDArray[np.float32]


def load(settings: EmbedderSettings, store: str | Path) -> Embedder:
    """Return the embedder that settings ask for, which finds again what it has embedded before.

    Parameters
    ----------
    store : folder of the item stores; vectors are kept as the model gives them, without noise.
    """
    stored = StoredEmbedder(settings, Store(Path(store, "vectors")))
    return NoisyEmbedder(stored, settings.noise) if settings.noise else stored


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
        return next(self.embed_groups([images]))

    def embed_groups(self, groups: Iterable[Sequence[Image.Image]]) -> Iterator[Values]:
        """Yield unit vectors float32 [n, d] of each group; the model is loaded for the first that was not embedded."""
        coming = deque[tuple[str, Values | None]]()

        def missing() -> Iterator[Sequence[Image.Image]]:
            for group in groups:
                name = self._name(group)
                known = self._store.load(name, partial(_stored, count=len(group)))
                coming.append((name, known))
                if known is None:
                    yield group

        for vectors in self._embedded(missing()):
            while (known := coming[0][1]) is not None:
                yield known
                coming.popleft()
            self._store.put(coming.popleft()[0], vectors.tobytes())
            yield vectors
        yield from (known for _, known in coming if known is not None)

    def _embedded(self, groups: Iterator[Sequence[Image.Image]]) -> Iterator[Values]:
        for first in groups:
            self._embedder = self._embedder or TransformersEmbedder(self._settings)
            yield from self._embedder.embed_groups(chain([first], groups))

    def _name(self, images: Sequence[Image.Image]) -> str:
        shown = [[image.mode, *image.size, hashlib.sha256(image.tobytes()).hexdigest()] for image in images]
        settings = self._settings
        return key("vectors", revision(settings.model, settings.revision), precision(settings.dtype), shown)


def _stored(item: bytes, count: int) -> Values:
    """The unit vectors [count, d] that an item holds."""
    vectors = np.frombuffer(item, np.float32).reshape(count, -1)
    if not np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=TOLERANCE):
        raise ValueError("no unit vectors")
    return vectors


def of_places(
    embedder: Embedder, places: Iterable[Place], shards: Sequence[Path], square: int | None = None
) -> dict[Place, Values]:
    """Return the unit vector [d] of each place."""
    wanted = set(places)
    views = pictures.views(wanted, shards, square, torch.get_num_threads())
    vectors_of: dict[Place, Values] = {}
    named = deque[tuple[Place, ...]]()

    def groups() -> Iterator[Sequence[Image.Image]]:
        for chunk in chunks(views, GROUP):
            group, images = zip(*chunk, strict=True)
            named.append(group)
            yield images

    with tqdm(desc="embed", total=len(wanted), unit="image", mininterval=5) as bar:
        for vectors in embedder.embed_groups(groups()):
            vectors_of |= dict(zip(named.popleft(), vectors, strict=True))
            bar.update(len(vectors))
    return vectors_of
