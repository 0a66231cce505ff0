"""How an image becomes a network's input, and where a place of the input lies in the image."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from dnd.config.targets import PreprocessSettings

Box = tuple[int, int, int, int]
"""x0, y0, x1, y1 in pixels; the right and lower edges are exclusive."""
Frame = tuple[float, float, float, float]
"""x0, y0, x1, y1 in pixels, fractions allowed."""


class _Placed(NamedTuple):
    """An image resized to width x height; the input begins at (left, top) of it, outside of it where below 0."""

    width: int
    height: int
    left: int
    top: int


@dataclass(frozen=True)
class Preprocess:
    """Resize, cut or pad to the input's shape, normalise: what published vision networks are given.

    Attributes
    ----------
    settings : what the configuration or the publisher of the weights says.
    size : height and width of the input in pixels.
    """

    settings: PreprocessSettings
    size: tuple[int, int] = field(init=False)
    _levels: npt.NDArray[np.float32] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        size = self.settings.size
        object.__setattr__(self, "size", (size, size) if isinstance(size, int) else size)
        mean, std = (np.array(channels, np.float32)[:, None] for channels in (self.settings.mean, self.settings.std))
        object.__setattr__(self, "_levels", (np.arange(256, dtype=np.float32) / np.float32(255) - mean) / std)

    def image(self, image: Image.Image) -> Tensor:
        """Return the network's input float32 [channels, h, w] of a whole RGB image."""
        placed = self._placed(*image.size)
        resized = self._resized(image, placed.width, placed.height)
        return self._normalised(self._window(resized, placed.left, placed.top))

    def cutout(self, image: Image.Image, box: Box) -> Tensor:
        """Return the input of a part of an image: padded where whole images are, else stretched to the input's shape.

        The released driver stretches, too (``get_attention_crops``).
        """
        # cut first: resize(box=...) lets pixels from outside the box bleed in
        part = image.crop(box)
        if self.settings.fit == "letterbox":
            return self.image(part)
        return self._normalised(self._resized(part, self.size[1], self.size[0]))

    def frame(self, width: int, height: int) -> Frame:
        """Return the part of an image that :meth:`image` shows the network, in pixels of the original image.

        It reaches beyond the image where the input is padded.
        """
        placed = self._placed(width, height)
        across, down = width / placed.width, height / placed.height
        return (
            placed.left * across,
            placed.top * down,
            (placed.left + self.size[1]) * across,
            (placed.top + self.size[0]) * down,
        )

    def _placed(self, width: int, height: int) -> _Placed:
        h, w = self.size
        enlarged = 1.0 if self.settings.resize is None else self.settings.resize / min(h, w)
        wide, high = round(w * enlarged), round(h * enlarged)
        if self.settings.fit == "squash":
            scaled = wide, high
        elif self.settings.fit == "letterbox":
            scale = min(wide / width, high / height)
            scaled = max(1, round(width * scale)), max(1, round(height * scale))
        # the longer side is rounded down, as torchvision and transformers do
        elif wide / width > high / height:
            scaled = wide, max(high, int(wide * height / width))
        else:
            scaled = max(wide, int(high * width / height)), high
        return _Placed(*scaled, _middle(scaled[0] - w), _middle(scaled[1] - h))

    def _resized(self, image: Image.Image, width: int, height: int) -> Image.Image:
        if image.size == (width, height):
            return image
        return image.resize((width, height), Image.Resampling[self.settings.interpolation.upper()])

    def _window(self, image: Image.Image, left: int, top: int) -> Image.Image:
        height, width = self.size
        if image.size == (width, height) and left == top == 0:
            return image
        if left >= 0 and top >= 0:
            return image.crop((left, top, left + width, top + height))
        fill = self.settings.fill
        canvas = Image.new("RGB", (width, height), (fill,) * 3 if isinstance(fill, int) else fill)
        canvas.paste(image, (-left, -top))
        return canvas

    def _normalised(self, image: Image.Image) -> Tensor:
        mode = "L" if len(self.settings.mean) == 1 else "RGB"
        pixels = np.asarray(image if image.mode == mode else image.convert(mode))
        if self.settings.channels == "bgr" and mode == "RGB":
            pixels = pixels[:, :, ::-1]
        # a pixel has 256 values, and a look-up in their table is faster than arithmetic
        values = np.empty((len(self._levels), *pixels.shape[:2]), np.float32)
        for band, levels in enumerate(self._levels):
            np.take(levels, pixels if mode == "L" else pixels[:, :, band], out=values[band], mode="clip")
        return torch.from_numpy(values)


def _middle(spare: int) -> int:
    """Where the input begins along a side that is longer by so many pixels: as torchvision cuts, and as timm pads."""
    return round(spare / 2) if spare >= 0 else -(-spare // 2)
