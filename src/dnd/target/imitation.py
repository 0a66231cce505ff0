"""How a publisher prepares images for a network, found out by giving pictures to the publisher's own code.

The same key means another thing, or nothing, from one image processor to the next, and only their code knows. So no key
is read: flat pictures tell the normalisation, a ramp how much is cut off, and pictures full of detail the rest, and
whether the inputs are the same.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import get_args

import numpy as np
import numpy.typing as npt
from PIL import Image
from torch import Tensor, nn

from dnd.config.targets import LONGEST_SIDE, Fit, Interpolation, PreprocessSettings
from dnd.target.preprocess import Preprocess

Transform = Callable[[Image.Image], Tensor]
"""A publisher's preparation of an RGB image: float [channels, h, w]."""
Values = npt.NDArray[np.float64]

WHITE = 255
TOLERANCE = 0.5
"""Mean difference of two inputs, in levels of 255, that counts as none. Over the image processors of transformers,
rounding alone makes up to 0.3, another filter or place at least 0.9."""
DIGITS = 6
"""That count of means and standard deviations, so that they are the same on every machine."""
PICTURES = ((200, 330), (1400, 1000))
"""Widths and heights: small and upright, so enlarged for most networks, and large and lying, so made smaller."""
SHIFTS = sorted(product((-1, 0, 1), repeat=2), key=lambda shift: np.abs(shift).sum())
"""Rows and columns by which two inputs may lie apart: where an odd number of pixels is cut off, libraries differ."""


class Inimitable(Exception):
    """Images are prepared as :class:`PreprocessSettings` cannot say; the message says how."""


Loaded = tuple[nn.Module, Callable[[], PreprocessSettings]]
"""A network, and what tells how the publisher of its weights prepares images, or raises :class:`Inimitable`."""


def unpublished() -> PreprocessSettings:
    """Raise :class:`Inimitable`, since nobody published how images are prepared."""
    raise Inimitable("nothing that could be read here says how its images are prepared")


def imitated(transform: Transform, name: str) -> PreprocessSettings:
    """Return the settings with which :class:`Preprocess` makes the inputs that a publisher's code makes.

    Parameters
    ----------
    name : of the publisher's code, as the message about it begins.

    Raises
    ------
    Inimitable
        There are none.
    """

    def applied(picture: Image.Image) -> Values:
        return transform(picture).double().numpy()

    pictures = [_detailed(width, height) for width, height in PICTURES]
    published = [applied(picture) for picture in pictures]
    shape, second = (values.shape for values in published)
    if shape != second:
        raise Inimitable(f"{name} makes inputs of several shapes, such as {list(shape)} and {list(second)}")
    if len(shape) != 3 or shape[0] not in (1, 3) or max(shape) > LONGEST_SIDE:
        raise Inimitable(f"{name} makes no input [3, h, w] of an image, but {list(shape)}")
    _, height, width = shape
    dark, bright, red = (
        applied(Image.new("RGB", PICTURES[0], colour))[:, height // 2, width // 2]
        for colour in ((0, 0, 0), (WHITE, WHITE, WHITE), (WHITE, 0, 0))
    )
    if not np.isfinite([dark, bright]).all():
        raise Inimitable(f"{name} makes no numbers of black or white: it divides by a standard deviation of 0, say")
    if (bright <= dark).any():
        raise Inimitable(f"{name} shows a black and a white image alike")
    std = 1 / (bright - dark)
    mean = (0 - dark) * std
    across = applied(_ramp(width, height))[0, height // 4 : -height // 4].mean(0) * std[0]
    shown = np.polyfit(np.linspace(0, 1, width), across, 1)[0]
    shorter = min(height, width)
    resize = round(shorter / shown) if shown > 0 else shorter
    if not shorter <= resize <= LONGEST_SIDE:
        raise Inimitable(f"{name} pads images in the middle that it has made smaller than its input")
    blue_first = len(red) == 3 and (red - dark)[2] > (red - dark)[0]
    corner = [round(WHITE * value) for value in (published[0][:, 0, 0] * std + mean).clip(0, 1).tolist()]
    colour = corner[::-1] if blue_first else corner  # of the padding, where there is one
    for fit, interpolation in product(get_args(Fit), get_args(Interpolation)):
        settings = PreprocessSettings(
            size=(height, width),
            fit=fit,
            resize=None if resize == shorter else resize,
            interpolation=interpolation,
            channels="bgr" if blue_first else "rgb",
            mean=tuple(float(f"{value:.{DIGITS}g}") for value in mean),
            std=tuple(float(f"{value:.{DIGITS}g}") for value in std),
            fill=0 if fit != "letterbox" else (colour[0], colour[1], colour[2]) if len(colour) == 3 else colour[0],
        )
        ours = Preprocess(settings)
        pairs = zip(pictures, published, strict=True)
        if all(_same(ours.image(picture).double().numpy(), values, std) for picture, values in pairs):
            return settings
    raise Inimitable(f"{name} does more than to resize, cut or pad around the middle, and normalise")


def _same(ours: Values, theirs: Values, std: Values) -> bool:
    """Whether two inputs [channels, h, w] show the same to within a pixel."""
    _, height, width = ours.shape
    inside = ours[:, 1:-1, 1:-1]
    levels = WHITE * std[:, None, None]
    return any(
        (np.abs(inside - theirs[:, 1 + down : height - 1 + down, 1 + right : width - 1 + right]) * levels).mean()
        <= TOLERANCE
        for down, right in SHIFTS
    )


def _detailed(width: int, height: int) -> Image.Image:
    """Spots of all colours, five pixels wide: fine enough to show a shift, and how pixels are put together."""
    spots = np.random.default_rng(0).integers(0, WHITE, (height // 5, width // 5, 3), np.uint8, endpoint=True)
    return Image.fromarray(spots).resize((width, height), Image.Resampling.BICUBIC)


def _ramp(width: int, height: int) -> Image.Image:
    """From black at the left to white at the right, rounded up or down at random, so that a column's mean is exact."""
    levels = np.linspace(0, WHITE, width) + np.random.default_rng(0).uniform(0, 1, (height, width))
    return Image.fromarray(np.repeat(levels.clip(0, WHITE).astype(np.uint8)[:, :, None], 3, axis=2))
