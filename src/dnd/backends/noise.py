"""An embedder that is worse by as much as is asked for, to measure what that costs."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

from dnd.backends.embedder import Embedder

Values = npt.NDArray[np.float32]


def digest(image: Image.Image) -> str:
    """Return what tells an image from others: a digest of its pixels and their layout."""
    shape = f"{image.mode} {image.width} {image.height} "
    return hashlib.sha256(shape.encode() + image.tobytes()).hexdigest()


class NoisyEmbedder(Embedder):
    """An embedder whose images lie aside: each by a vector of its own, that follows from its pixels alone.

    The cosine of an image with any text then has normal noise of a standard deviation ``noise``. Vectors are not made
    one long again, which would shrink the cosines themselves. Products of two images' vectors [d] have more noise, a
    variance of 2 noise^2 + d noise^4.

    Parameters
    ----------
    embedder : gives unit vectors.
    noise : standard deviation of a cosine's noise.
    """

    def __init__(self, embedder: Embedder, noise: float) -> None:
        self._embedder, self._noise = embedder, noise

    def embed(self, images: Sequence[Image.Image]) -> Values:
        """Return vectors float32 [n, d]."""
        return next(self.embed_groups([images]))

    def embed_groups(self, groups: Iterable[Sequence[Image.Image]]) -> Iterator[Values]:
        """Yield vectors float32 [n, d] of each group."""
        coming = deque[list[str]]()

        def seen() -> Iterator[Sequence[Image.Image]]:
            for group in groups:
                coming.append([digest(image) for image in group])
                yield group

        for vectors in self._embedder.embed_groups(seen()):
            yield vectors + self._noise * aside(coming.popleft(), vectors.shape[1])


def aside(digests: Sequence[str], dimensions: int) -> Values:
    """Return vectors float32 [n, dimensions] of standard normal numbers, each of a digest alone."""
    drawn = [np.random.default_rng(int(name[:32], 16)).standard_normal(dimensions) for name in digests]
    return np.array(drawn, np.float32).reshape(len(digests), dimensions)
