"""Exemplars as a vision-language model is shown them: RGB, of moderate size, JPEG."""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

from PIL import Image

from dnd.io import pictures
from dnd.io.pictures import Box, Place

SIDE = 512
"""Longest side in pixels; larger images become smaller, none becomes larger."""
QUALITY = 95


def name(digest: str, box: Box | None, square: int | None = None) -> str:
    """Return what a view is called: all that decides its pixels, for people to read.

    Parameters
    ----------
    digest : sha256 of the image's file, as in the PROBE table.
    square : side of the square that the view is stretched to.
    """
    part = "" if box is None else f" box {','.join(map(str, box))}"
    stretched = "" if square is None else f" stretched to {square} x {square}"
    return f"image sha256:{digest}{part}{stretched} within {SIDE} pixels"


def jpeg(image: Image.Image) -> bytes:
    """Return a picture as JPEG, its longer side at most ``SIDE`` pixels, its colours at full resolution."""
    small = image.convert("RGB")
    small.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)  # a copy: convert always makes one
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=QUALITY, subsampling=0)
    return buffer.getvalue()


def data_url(jpeg: bytes) -> str:
    """Return JPEG bytes as a URL that holds them."""
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"


def write(places: Iterable[Place], shards: Sequence[Path], folder: Path, square: int | None = None) -> dict[Place, str]:
    """Write the views of some places to a folder, and return their names.

    Memory holds one row group of the probe at a time: the views of a whole layer may be many gigabytes.
    """
    by_image: dict[str, set[Box | None]] = {}
    for image_id, box in places:
        by_image.setdefault(image_id, set()).add(box)
    names = {}
    for row in pictures.rows(shards, set(by_image), ["image_id", "digest", "image"]):
        image = pictures.decode(row["image"])
        for box in by_image[row["image_id"]]:
            names[row["image_id"], box] = called = name(row["digest"], box, square)
            _file(folder, called).write_bytes(jpeg(pictures.view(image, box, square)))
    return names


def url(folder: Path, called: str) -> str:
    """Return the data URL of a view that was written to a folder."""
    return data_url(_file(folder, called).read_bytes())


def _file(folder: Path, called: str) -> Path:
    return folder / f"{hashlib.sha256(called.encode()).hexdigest()}.jpg"
