"""Sheets of pictures: exemplars with what a unit attends to, and generated images, row by row."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

SIDE, GAP, TEXT_WIDTH, FONT_SIZE, CHARACTERS = 112, 6, 220, 16, 24
"""In pixels, but for the characters of a line of text."""
DIMMEST = 90
"""Brightness, of 255, where a unit is least active."""
FRAME = (255, 60, 0)


def exemplar(
    image: Image.Image,
    box: Sequence[int] | None,
    heatmap: bytes | None = None,
    heatmap_box: Sequence[int] | None = None,
    side: int = SIDE,
) -> Image.Image:
    """Return an exemplar as a square: darker where the unit is less active, a frame around its attention crop.

    Parameters
    ----------
    image : RGB, the whole image.
    box, heatmap, heatmap_box : as in a row of EXEMPLARS.
    """
    if heatmap is not None and heatmap_box is not None:
        x0, y0, x1, y1 = heatmap_box
        heat = Image.open(io.BytesIO(heatmap)).resize((x1 - x0, y1 - y0), Image.Resampling.BILINEAR)
        light = Image.new("L", image.size, DIMMEST)
        light.paste(heat.point([DIMMEST + round(value * (255 - DIMMEST) / 255) for value in range(256)]), (x0, y0))
        image = Image.composite(image, Image.new("RGB", image.size), light)
    if box is not None:
        image = image.copy()
        width = max(2, min(image.size) // 50)
        ImageDraw.Draw(image).rectangle((box[0], box[1], box[2] - 1, box[3] - 1), outline=FRAME, width=width)
    return image.resize((side, side), Image.Resampling.LANCZOS)


def sheet(rows: Sequence[tuple[str, Sequence[Image.Image]]], side: int = SIDE) -> Image.Image:
    """Return one picture of rows, each of a text and of pictures, which are made squares."""
    columns = max((len(pictures) for _, pictures in rows), default=0)
    size = TEXT_WIDTH + columns * (side + GAP), max(1, len(rows)) * (side + GAP) + GAP
    whole = Image.new("RGB", size, "white")
    pen, font = ImageDraw.Draw(whole), ImageFont.load_default(FONT_SIZE)
    for i, (text, pictures) in enumerate(rows):
        top = i * (side + GAP) + GAP
        folded = [part for line in text.splitlines() for part in textwrap.wrap(line, CHARACTERS)]
        pen.multiline_text((GAP, top), "\n".join(folded), "black", font)
        for j, picture in enumerate(pictures):
            whole.paste(picture.resize((side, side)), (TEXT_WIDTH + j * (side + GAP), top))
    return whole
