"""Sprite sheets: many small pictures in one file, which a page loads at once and shows cell by cell."""

from __future__ import annotations

import io
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from dnd.io.files import unsynced

MOST = 16_000
"""Largest side of a sheet; WebP ends at 16,383 pixels."""
RAMP = np.array([(0, 0, 0), (96, 16, 84), (214, 54, 48), (252, 150, 30), (252, 240, 150)], float)
"""Colours of a heat map from its minimum to its maximum."""


@dataclass(frozen=True)
class Format:
    """How a kind of sheet looks.

    Attributes
    ----------
    side : of a cell in pixels.
    columns : cells in a row, unless the sheet would grow too high.
    quality : of WebP.
    mode : of its pixels.
    """

    side: int
    columns: int
    quality: int
    mode: str = "RGB"


def fitted(size: tuple[int, int], side: int) -> tuple[int, int, int, int]:
    """Return x, y, width and height of a picture of some size in a square cell, whole and centred."""
    scale = side / max(size)
    width, height = (max(1, round(edge * scale)) for edge in size)
    return (side - width) // 2, (side - height) // 2, width, height


def cell(image: Image.Image, side: int, ground: str | tuple[int, ...] = "black") -> Image.Image:
    """Return an image inside a square cell, small ones enlarged."""
    x, y, width, height = fitted(image.size, side)
    square = Image.new(image.mode, (side, side), ground)
    square.paste(image.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=3), (x, y))
    return square


def coloured(heatmap: bytes, side: int) -> Image.Image:
    """Return a grey heat map as RGBA stretched to a square: from clear (its minimum) to bright and covering."""
    grey = Image.open(io.BytesIO(heatmap)).convert("L").resize((side, side), Image.Resampling.BILINEAR)
    level = np.asarray(grey, float) / 255
    stops = np.linspace(0, 1, len(RAMP))
    colour = np.stack([np.interp(level, stops, RAMP[:, i]) for i in range(3)] + [230 * level**0.7], 2)
    return Image.fromarray(np.rint(colour).astype(np.uint8))


class Sheet:
    """Pictures of a sheet, each kept once however often it is shown."""

    def __init__(self, form: Format) -> None:
        self.form = form
        self._places: dict[Hashable, int] = {}
        self._cells: list[npt.NDArray[np.uint8]] = []

    def place(self, key: Hashable, make: Callable[[], Image.Image | npt.NDArray[np.uint8]]) -> int:
        """Return the number of a picture's cell; one that is not there yet is made."""
        if key not in self._places:
            self._places[key] = len(self._cells)
            self._cells.append(np.asarray(make()))
        return self._places[key]

    @property
    def columns(self) -> int:
        """Cells in a row."""
        rows = MOST // self.form.side
        return max(self.form.columns, -(-len(self._cells) // rows))

    @property
    def facts(self) -> dict[str, int]:
        """What the page must know to find a cell."""
        return {"side": self.form.side, "columns": self.columns, "count": len(self._cells)}

    def write(self, path: Path) -> None:
        """Write the sheet as WebP; none where there are no pictures."""
        if self._cells:
            save(path, dict(enumerate(self._cells)), self.form, self.columns)


def save(
    path: Path, cells: Mapping[int, npt.NDArray[np.uint8]], form: Format, columns: int, rows: int | None = None
) -> None:
    """Write cells by number as a sheet, in one step; cells without a picture stay black or clear."""
    side = form.side
    height = (-(-(max(cells) + 1) // columns) if rows is None else rows) * side
    pixels = np.zeros((height, columns * side, len(form.mode)), np.uint8)
    for number, picture in cells.items():
        y, x = (side * place for place in divmod(number, columns))
        pixels[y : y + side, x : x + side] = picture
    with unsynced(path) as partial:
        Image.fromarray(pixels).save(partial, "WEBP", quality=form.quality, method=4, alpha_quality=form.quality)
