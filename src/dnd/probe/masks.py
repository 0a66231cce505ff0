"""Annotations as tables hold them: concepts of images, each with a mask of the pixels that show it."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from dnd.io import schemas, tables
from dnd.io.rows import MaskedConcept

Mask = npt.NDArray[np.bool_]


class Annotation(NamedTuple):
    """A concept of a category, and where in the image it is: bool [height, width], None for the whole image."""

    category: str
    concept: str
    mask: Mask | None


def png(mask: Mask | None) -> bytes | None:
    """Return a mask as a PNG of one bit a pixel; None for one that holds everywhere."""
    if mask is None or mask.all():
        return None
    buffer = io.BytesIO()
    Image.fromarray(mask).save(buffer, "PNG")
    return buffer.getvalue()


def mask_of(data: bytes) -> Mask:
    """Return the mask bool [height, width] of a PNG as ANNOTATIONS holds it."""
    return np.asarray(Image.open(io.BytesIO(data), formats=["PNG"]).convert("1"))


def by_image(paths: Sequence[Path], ids: Iterable[str]) -> Iterator[list[Annotation]]:
    """Yield the annotations of one image after the other, as they are read.

    Parameters
    ----------
    paths : files of ANNOTATIONS, in order of image id.
    ids : of the images, in the same order; an image without annotations gets an empty list.

    Raises
    ------
    ValueError
        There are annotations of other images, or in another order.
    """
    groups = tables.row_groups(paths, schemas.ANNOTATIONS)
    rows = (row for group in groups for row in tables.rows_of(group, MaskedConcept))
    images = groupby(rows, key=lambda row: row.image_id)
    following = next(images, None)
    for name in ids:
        annotations: list[Annotation] = []
        if following is not None and following[0] == name:
            decoded: dict[bytes, Mask] = {}  # many concepts of an image share one mask
            for row in following[1]:
                if row.mask is not None and row.mask not in decoded:
                    decoded[row.mask] = mask_of(row.mask)
                mask = None if row.mask is None else decoded[row.mask]
                annotations.append(Annotation(row.category, row.concept, mask))
            following = next(images, None)
        yield annotations
    if following is not None:
        raise ValueError(
            f"{paths[0]}: image {following[0]!r} is not in the probe, or out of order: delete and run again"
        )
