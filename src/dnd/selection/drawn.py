"""Pictures of concepts as the network and the embedder see them."""

from __future__ import annotations

import io
import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image
from tqdm import tqdm

from dnd.backends.batches import BatchSize, prepared
from dnd.backends.embedder import Embedder
from dnd.io import pictures, schemas, tables
from dnd.io.streams import ahead, chunks
from dnd.target.network import Target, responses

log = logging.getLogger(__name__)
BATCH = 32
CONCEPTS = 16
"""Concepts whose images are looked at together, ten of each fill five batches; as many again are decoded ahead."""
Values = npt.NDArray[np.float32]


@dataclass(frozen=True)
class DrawnConcept:
    """The usable images of a concept, in order of sample.

    Attributes
    ----------
    activations : unit -> float32 [n], of the units that the concept is a candidate of.
    vectors : embeddings, float32 [n, d].
    """

    activations: dict[int, Values]
    vectors: Values


class _Image(NamedTuple):
    concept: str
    sample: int
    image: bytes
    problem: str | None


def _decoded(files: Sequence[Path], concepts: Collection[str], shrink: int | None = None) -> Iterator[_Pictures]:
    """Each of some concepts with its images, by sample, of IMAGES files; those that cannot be used are None.

    Parameters
    ----------
    shrink : side of the square that images are shrunk to, as released; None leaves them as they are.
    """

    def opened(row: _Image) -> tuple[_Image, Image.Image | None]:
        if row.problem is not None:
            return row, None
        image = Image.open(io.BytesIO(row.image)).convert("RGB")
        return row, image if shrink is None else pictures.squared(image, shrink)

    groups = tables.row_groups(files, schemas.IMAGES, _Image._fields, ("concept", set(concepts)))
    looked = prepared(opened, (row for group in groups for row in tables.rows_of(group, _Image)), BATCH)
    for concept, images in groupby(looked, lambda pair: pair[0].concept):
        yield _Pictures(concept, sorted(((row.sample, image) for row, image in images), key=lambda pair: pair[0]))


class _Pictures(NamedTuple):
    concept: str
    samples: list[tuple[int, Image.Image | None]]

    @property
    def usable(self) -> list[Image.Image]:
        return [image for _, image in self.samples if image is not None]


def usable(files: Sequence[Path], concepts: Collection[str]) -> Iterator[tuple[str, list[Image.Image]]]:
    """Yield each of some concepts with its usable images, of IMAGES files, so that not all are in memory at once."""
    return ((pictured.concept, pictured.usable) for pictured in _decoded(files, concepts))


def look(
    target: Target,
    layer: str,
    embedder: Embedder,
    files: Sequence[Path],
    users: Mapping[str, Sequence[int]],
    *,
    pooling: str,
    shrink: int | None = None,
) -> dict[str, DrawnConcept]:
    """Look at the images of concepts, some at a time; a concept without a usable one is left out.

    Parameters
    ----------
    users : concept -> units whose activations are wanted.

    Raises
    ------
    ValueError
        A concept has not been drawn.
    """
    absent, size = set(users), BatchSize(BATCH, "scores")
    samples: dict[str, list[tuple[int, Values, Values]]] = {}
    with tqdm(desc="scores", unit="image", mininterval=5) as bar:
        for chunk in ahead(chunks(_decoded(files, users, shrink), CONCEPTS)):
            absent -= {pictured.concept for pictured in chunk}
            pixels = [pictured.usable for pictured in chunk if pictured.usable]
            if pixels:
                excited = responses(target, layer, list(chain(*pixels)), pooling, size)
                vectors = np.concatenate(list(embedder.embed_groups(pixels)))
                used = (
                    (pictured.concept, sample)
                    for pictured in chunk
                    for sample, image in pictured.samples
                    if image is not None
                )
                for (concept, sample), values, vector in zip(used, excited, vectors, strict=True):
                    samples.setdefault(concept, []).append((sample, values[list(users[concept])], vector))
            bar.update(sum(len(pictured.samples) for pictured in chunk))
    if absent:
        raise ValueError(f"no generated images of {min(absent)!r} and {len(absent) - 1} other concepts")
    unusable = sorted(set(users) - set(samples))
    if unusable:
        log.warning("%d concepts are not scored: all images of %s are black or flagged", len(unusable), unusable[:5])
    return {concept: _gathered(users[concept], images) for concept, images in samples.items()}


def _gathered(units: Sequence[int], images: Sequence[tuple[int, Values, Values]]) -> DrawnConcept:
    """The images of a concept, each its sample, activations of the units and vector, in order of sample."""
    _, values, vectors = zip(*sorted(images, key=lambda image: image[0]), strict=True)
    return DrawnConcept(dict(zip(units, np.stack(values, 1), strict=True)), np.stack(vectors))
