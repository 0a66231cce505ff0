"""What generated images excite: the activations of a layer for rows of IMAGES."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from PIL import Image

from dnd.backends.batches import BatchSize
from dnd.backends.generator import ImagesError
from dnd.target.network import Target, responses

log = logging.getLogger(__name__)
BATCH = 32
CHUNK = 128
"""Images whose pixels are in memory at once."""
CONCEPTS = 200
"""Concepts whose image files are in memory at once."""
Values = npt.NDArray[np.float32]


def read(
    target: Target, layer: str, rows: Sequence[Mapping[str, Any]], pooling: str, size: BatchSize
) -> Iterator[tuple[Mapping[str, Any], Values]]:
    """Yield the usable ones among rows of IMAGES, each with the pooled activations float32 [units], in the rows' order.

    Parameters
    ----------
    size : of batches, ``BatchSize(BATCH, ...)`` at first.
    """
    usable = [row for row in rows if row["problem"] is None]
    for start in range(0, len(usable), CHUNK):
        part = usable[start : start + CHUNK]
        pixels = [Image.open(io.BytesIO(row["image"])).convert("RGB") for row in part]
        yield from zip(part, responses(target, layer, pixels, pooling, size), strict=True)


class Reader:
    """Draws concepts and reads what their pictures excite; every concept only once.

    Parameters
    ----------
    units : whose activations are read.
    draw : concepts -> their IMAGES table: ``functools.partial`` of ``dnd.selection.images.run``, say.
    stage : whose batches these are, for the log.
    """

    def __init__(
        self,
        target: Target,
        layer: str,
        units: Sequence[int],
        pooling: str,
        draw: Callable[[Collection[str]], pa.Table],
        stage: str,
    ) -> None:
        self.target = target
        self.layer = layer
        self.units = list(units)
        self.pooling = pooling
        self.draw = draw
        self.size = BatchSize(BATCH, stage)
        self.known: dict[str, Values] = {}

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
        rows = sorted(drawn.to_pylist(), key=lambda row: (row["concept"], row["sample"]))
        for row, values in read(self.target, self.layer, rows, self.pooling, self.size):
            own = values[None, self.units]
            self.known[row["concept"]] = np.concatenate([self.known[row["concept"]], own])
