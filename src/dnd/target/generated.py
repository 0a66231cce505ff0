"""What generated images excite: the activations of a layer for rows of IMAGES."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from PIL import Image

from dnd.backends.batches import BatchSize
from dnd.backends.generator import ImagesError
from dnd.io import tables
from dnd.io.rows import Picture
from dnd.target.network import Target, responses

log = logging.getLogger(__name__)
BATCH = 32
CHUNK = 128
"""Images whose pixels are in memory at once."""
CONCEPTS = 200
"""Concepts whose image files are in memory at once."""
Values = npt.NDArray[np.float32]


def read(
    target: Target, layer: str, pictures: Sequence[Picture], pooling: str, size: BatchSize
) -> Iterator[tuple[Picture, Values]]:
    """Yield the usable pictures, each with the pooled activations float32 [units], in order.

    Parameters
    ----------
    size : of batches, ``BatchSize(BATCH, ...)`` at first.
    """
    usable = [picture for picture in pictures if picture.problem is None]
    for start in range(0, len(usable), CHUNK):
        part = usable[start : start + CHUNK]
        pixels = [Image.open(io.BytesIO(picture.image)).convert("RGB") for picture in part]
        yield from zip(part, responses(target, layer, pixels, pooling, size), strict=True)


@dataclass
class Reader:
    """Draws concepts and reads what their pictures excite; every concept only once.

    Attributes
    ----------
    units : whose activations are read.
    draw : concepts -> their IMAGES table: ``functools.partial`` of ``dnd.selection.images.run``, say.
    stage : whose batches these are, for the log.
    known : concept -> activations, as :meth:`__call__` returns them.
    """

    target: Target
    layer: str
    units: Sequence[int]
    pooling: str
    draw: Callable[[Collection[str]], pa.Table]
    stage: str
    known: dict[str, Values] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._size = BatchSize(BATCH, self.stage)

    def __call__(self, concepts: Collection[str]) -> dict[str, Values]:
        """Return concept -> activations float32 [usable pictures, units], in order of sample.

        Raises
        ------
        ImagesError
            Nothing that was drawn so far can be used.
        """
        missing = sorted(set(concepts) - set(self.known))
        for start in range(0, len(missing), CONCEPTS):
            new = missing[start : start + CONCEPTS]
            self.known |= {concept: np.zeros((0, len(self.units)), np.float32) for concept in new}
            try:
                drawn = self.draw(new)
            except ImagesError as error:
                if not any(map(len, self.known.values())):
                    raise
                log.warning("%s", error)  # of these few concepts; others could be drawn
            else:
                self._read(drawn)
        return {concept: self.known[concept] for concept in concepts}

    def _read(self, drawn: pa.Table) -> None:
        pictures = sorted(tables.rows_of(drawn, Picture), key=lambda picture: (picture.concept, picture.sample))
        for picture, values in read(self.target, self.layer, pictures, self.pooling, self._size):
            known = self.known[picture.concept]
            self.known[picture.concept] = np.concatenate([known, values[None, list(self.units)]])
