"""Pictures as every stage reads them: rows of the probe, decoded bytes, parts of an image."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pillow_heif
import pyarrow as pa
from PIL import ExifTags, Image, UnidentifiedImageError

from dnd.io import schemas, tables
from dnd.io.streams import made

Box = tuple[int, ...]
"""x0, y0, x1, y1 as a table holds them."""
Place = tuple[str, Box | None]
"""Image id, and the part of the image; None for the whole."""
AHEAD = 32
"""Images that threads decode ahead."""

FORMATS = ("AVIF", "BMP", "GIF", "HEIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
"""What may be decoded. Pillow knows more, for one of which it starts another program."""

pillow_heif.register_heif_opener()

UNREAD = {
    "JPEG XL": re.compile(rb"\xff\x0a|\0\0\0\x0cJXL "),
    "SVG": re.compile(rb"\s*(?:<\?xml[^>]*>\s*)?<svg\b"),
}
"""Formats of images that users have and Pillow does not read -> how their bytes begin, whatever the file is called."""

UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation -> what turns the image upright."""


def decode(data: bytes) -> Image.Image:
    """Return the RGB image of a file's bytes: upright by its EXIF orientation, of an animation the first frame.

    Transparent parts show white. 16-bit grey and floats in [0, 1] are scaled to 8 bits; colour profiles are ignored.

    Raises
    ------
    OSError
        The bytes are no image that Pillow can read to its end, have more pixels than Pillow deems safe, or integers or
        floats of a range that is not known.
    """
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
        image.load()
        return rgb(image)
    except MemoryError:
        raise
    except UnidentifiedImageError:
        if kind := next((name for name, marks in UNREAD.items() if marks.match(data)), None):
            raise OSError(f"{kind} is not read: convert the image to PNG or JPEG") from None
        raise OSError(f"cannot identify image file: none of {', '.join(FORMATS)}") from None
    except Exception as error:  # broken bytes lead Pillow's plugins to all kinds
        raise OSError(str(error) or type(error).__name__) from error


def rgb(image: Image.Image) -> Image.Image:
    """Return an image of Pillow as ``decode`` returns that of a file's bytes.

    Raises
    ------
    OSError
        It cannot be read to its end, or holds integers or floats of a range that is not known.
    ValueError
        Its colours cannot become RGB.
    """
    return _coloured(_upright(image))


def _upright(image: Image.Image) -> Image.Image:
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # a broken tag says nothing of the pixels
        return image
    return image.transpose(UPRIGHT[orientation]) if orientation in UPRIGHT else image


def _coloured(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        return _grey(np.asarray(image), 65535)
    if image.mode == "F":
        return _grey(np.asarray(image), 1)
    if image.has_transparency_data:
        seen = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", seen.size, "white"), seen).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _grey(pixels: npt.NDArray[Any], white: int) -> Image.Image:
    """The image of brightness 0 to ``white``; Pillow would cut off what is above 255."""
    if not (pixels.min() >= 0 and pixels.max() <= white):
        raise OSError(f"pixels from {pixels.min()} to {pixels.max()}, expected 0 to {white}")
    return Image.fromarray(np.rint(pixels * (255 / white)).astype(np.uint8)).convert("RGB")


def rows(
    shards: Sequence[Path], wanted: set[str] | None = None, columns: Sequence[str] | None = None
) -> Iterator[Mapping[str, Any]]:
    """Yield the rows of probe shards, all or only some image ids, in order of image id, as they are read."""
    only = None if wanted is None else ("image_id", wanted)
    for group in tables.row_groups(shards, schemas.PROBE, columns, only):
        yield from group.to_pylist()


class Encoded(NamedTuple):
    """An image of a probe, as the bytes of its file."""

    image_id: str
    image: bytes


def encoded(shards: Sequence[Path], wanted: set[str] | None = None) -> Iterator[Encoded]:
    """Yield the images of probe shards, all or only some image ids, in order of image id, as they are read."""
    only = None if wanted is None else ("image_id", wanted)
    for group in tables.row_groups(shards, schemas.PROBE, Encoded._fields, only):
        yield from tables.rows_of(group, Encoded)


def squared(image: Image.Image, side: int) -> Image.Image:
    """Return an image stretched to a square, bicubic as the driver does."""
    return image.resize((side, side), Image.Resampling.BICUBIC)


def rescaled(box: Sequence[int], size: tuple[int, int], to: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return a box of an image of one size (width, height) in pixels of another size, a pixel wide at least.

    Edges are rounded, so that a box returns unchanged from a size that is no smaller.
    """
    across, down = to[0] / size[0], to[1] / size[1]
    x0, y0 = min(round(box[0] * across), to[0] - 1), min(round(box[1] * down), to[1] - 1)
    return x0, y0, max(x0 + 1, round(box[2] * across)), max(y0 + 1, round(box[3] * down))


def view(image: Image.Image, box: Sequence[int] | None, square: int | None = None) -> Image.Image:
    """Return an exemplar's pixels: the image, or the part inside the box.

    Parameters
    ----------
    square : side of a square that the image is stretched to first, and its part again, as the released driver does;
        None keeps the proportions.
    """
    if square is not None:
        whole = squared(image, square)
        return whole if box is None else squared(whole.crop(rescaled(box, image.size, whole.size)), square)
    return image if box is None else image.crop((box[0], box[1], box[2], box[3]))


def places_of(table: pa.Table) -> list[Place]:
    """Return what the rows of a table with ``image_id`` and ``box`` show: an image, and which part of it."""
    boxes = (tuple(box) if box else None for box in table["box"].to_pylist())
    return list(zip(table["image_id"].to_pylist(), boxes, strict=True))


def in_order(places: Iterable[Place]) -> list[Place]:
    """Return the distinct places by image id, the whole image before its parts."""
    return sorted(set(places), key=lambda one: (one[0], one[1] or ()))


def views(
    places: Iterable[Place], shards: Sequence[Path], square: int | None, threads: int
) -> Iterator[tuple[Place, Image.Image]]:
    """Yield distinct places in their order, each with its pixels; an image is decoded once.

    Parameters
    ----------
    threads : that decode some images ahead: see :func:`dnd.io.streams.made`.
    """
    boxes: dict[str, list[Box | None]] = {}
    for name, box in in_order(places):
        boxes.setdefault(name, []).append(box)

    def look(row: Mapping[str, Any]) -> list[tuple[Place, Image.Image]]:
        name, whole = row["image_id"], decode(row["image"])
        return [((name, box), view(whole, box, square)) for box in boxes[name]]

    read = rows(shards, set(boxes), ["image_id", "image"])
    return chain.from_iterable(made(look, read, threads, AHEAD))
