"""Attention crops: the parts of an image around what a unit's activation map shows brightest (paper section 3)."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy.ndimage import find_objects, label
from skimage.filters import threshold_otsu
from torch import Tensor
from torch.nn import functional

from dnd.config.stages import ExemplarSettings
from dnd.target import compat
from dnd.target.preprocess import Box, Frame


def stretched(heat: Tensor) -> npt.NDArray[np.uint8] | None:
    """Stretch a map float [h, w] to 0-255 by its own minimum and maximum; None for a flat map.

    The released driver casts the raw map to bytes, so that values above one wrap around.
    """
    low, high = float(heat.min()), float(heat.max())
    if high <= low:
        return None
    return np.rint((heat.double().cpu().numpy() - low) * (255 / (high - low))).astype(np.uint8)


def iou(a: Box, b: Box) -> float:
    """Return intersection over union of two boxes."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def regions(mask: npt.NDArray[np.bool_]) -> list[Box]:
    """Return the bounding boxes of the connected parts of a mask [h, w], largest first, equal ones in reading order."""
    parts = find_objects(label(mask, np.ones((3, 3)))[0])  # skimage's properties of regions take ten times as long
    corners = [(across.start, down.start, across.stop, down.stop) for down, across in parts]
    return sorted(corners, key=lambda box: (-(box[2] - box[0]) * (box[3] - box[1]), box[1], box[0]))


def boxes(
    heat: Tensor, frame: Frame, size: tuple[int, int], shape: tuple[int, int], settings: ExemplarSettings
) -> list[Box]:
    """Return the attention crops of one image for one unit, in pixels of the image.

    Parameters
    ----------
    heat : float [h, w], the unit's activation map.
    frame : the part of the image that the map covers.
    size : width and height of the image.
    shape : height and width in pixels to which the map is enlarged, those of the network's input.
    """
    if settings.wrap_heatmaps:
        grey: npt.NDArray[np.uint8] | None = compat.enlarged(compat.wrapped(heat), shape)
    else:
        grey = stretched(functional.interpolate(heat[None, None].float(), size=shape, mode="bilinear")[0, 0])
    if grey is None:
        return []
    mask = grey > threshold_otsu(grey)
    across, down = (frame[2] - frame[0]) / shape[1], (frame[3] - frame[1]) / shape[0]
    kept: list[Box] = []
    for x0, y0, x1, y1 in regions(compat.without_holes(mask) if settings.outer_parts else mask):
        left, top = max(0, math.floor(frame[0] + x0 * across)), max(0, math.floor(frame[1] + y0 * down))
        right, bottom = min(size[0], math.ceil(frame[0] + x1 * across)), min(size[1], math.ceil(frame[1] + y1 * down))
        box = left, top, right, bottom
        if len(kept) == settings.crops_per_image:
            break
        if min(right - left, bottom - top) < max(1, settings.min_side * min(size)):
            continue  # it may lie in the border around a padded image
        if iou(box, (0, 0, *size)) < settings.max_frame and all(
            iou(box, larger) <= settings.max_overlap for larger in kept
        ):
            kept.append(box)
    return kept
