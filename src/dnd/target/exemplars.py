"""Attention crops of a unit's most activating images, ranked with the whole images (paper section 3, step 1)."""

from __future__ import annotations

import io
import logging
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import torch
from PIL import Image
from scipy.ndimage import find_objects, label
from skimage.filters import threshold_otsu
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from dnd.backends.batches import BatchSize, prepared
from dnd.config.stages import ExemplarSettings
from dnd.io import pictures, schemas, tables
from dnd.io.streams import ahead, chunks
from dnd.target import compat
from dnd.target.network import Target, fixed_batches
from dnd.target.preprocess import Box, Frame
from dnd.target.units import Reading

log = logging.getLogger(__name__)
BATCH = 32
CHUNK = 128
"""Images that are looked at together; as many again are decoded ahead."""


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


def regions(mask: npt.NDArray[np.bool_]) -> list[tuple[float, float, float, float]]:
    """Return the bounding boxes of the connected parts of a mask [h, w], largest area first.

    Returns
    -------
    x0, y0, x1, y1 in pixels of the map; equal areas in reading order.
    """
    parts = find_objects(label(mask, np.ones((3, 3)))[0])  # skimage's properties of regions take ten times as long
    boxes = [(across.start, down.start, across.stop, down.stop) for down, across in parts]
    return sorted(boxes, key=lambda box: (-(box[2] - box[0]) * (box[3] - box[1]), box[1], box[0]))


def crops(
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
        grey = stretched(F.interpolate(heat[None, None].float(), size=shape, mode="bilinear")[0, 0])
    if grey is None:
        return []
    mask = grey > threshold_otsu(grey)
    whole: Box = (0, 0, *size)
    across, down = (frame[2] - frame[0]) / shape[1], (frame[3] - frame[1]) / shape[0]
    kept: list[Box] = []
    for x0, y0, x1, y1 in regions(compat.without_holes(mask) if settings.outer_parts else mask):
        box = (
            max(0, math.floor(frame[0] + x0 * across)),
            max(0, math.floor(frame[1] + y0 * down)),
            min(size[0], math.ceil(frame[0] + x1 * across)),
            min(size[1], math.ceil(frame[1] + y1 * down)),
        )
        if len(kept) == settings.crops_per_image:
            break
        if min(box[2] - box[0], box[3] - box[1]) < max(1, settings.min_side * min(size)):
            continue  # it may lie in the border around a padded image
        if iou(box, whole) < settings.max_frame and all(iou(box, other) <= settings.max_overlap for other in kept):
            kept.append(box)
    return kept


def spread(image_ids: Sequence[str], activations: Sequence[float], settings: ExemplarSettings) -> list[str]:
    """Choose the images to look at, evenly spread in rank over those that excite the unit well.

    The very best images of a unit resemble one another in more than what the unit responds to: the ten best of a unit
    for red things are ten red circles, since circles are large. Spreading them over all images that reach a share of
    the best activation shows what they have in common. (Quantile sampling, as in EleutherAI's delphi.)

    Parameters
    ----------
    image_ids, activations : best first.
    """
    best = activations[0]
    reached = sum(value >= settings.reach * best for value in activations[: settings.pool]) if best > 0 else 0
    last = max(reached, min(settings.images, len(image_ids))) - 1
    places = np.linspace(0, last, min(settings.images, len(image_ids))).round().astype(int)
    return [image_ids[i] for i in places]


@dataclass(frozen=True)
class View:
    """A whole image (box None) or a part of it."""

    image_id: str
    box: Box | None

    @property
    def order(self) -> tuple[str, Box]:
        """Sorting key that breaks ties: by image id, the whole image before its parts."""
        return self.image_id, self.box or (-1, -1, -1, -1)


def of_units(
    target: Target,
    layer: str,
    topk: str | Path,
    units: Iterable[int],
    shards: Sequence[Path],
    *,
    pooling: str,
    settings: ExemplarSettings,
) -> pa.Table:
    """Return the EXEMPLARS table of some units of a layer; idle units have none, unless they are asked for.

    Parameters
    ----------
    topk : file of TOPK of the layer.
    shards : of the probe.
    """
    wanted = pc.field("unit").isin(list(units))
    if not settings.idle_units:
        wanted &= pc.field("idle").is_null()
    rows = tables.read(topk, schemas.TOPK, ["unit", "image_ids", "activations"], wanted).to_pylist()
    images = {row["unit"]: spread(row["image_ids"], row["activations"], settings) for row in rows if row["image_ids"]}
    return run(target, layer, images, shards, pooling=pooling, settings=settings)


def run(
    target: Target,
    layer: str,
    top: Mapping[int, Sequence[str]],
    shards: Sequence[Path],
    *,
    pooling: str,
    settings: ExemplarSettings,
    batch: int = BATCH,
) -> pa.Table:
    """Return the EXEMPLARS table of some units.

    Parameters
    ----------
    top : unit -> the images to look at; units without images get no rows.
    shards : probe shards that hold these images.
    pooling : ``mean``, ``max`` or ``cls``, the same as in the probe pass.
    """
    found = _Found({}, {}, {}, {}, {})
    users: dict[str, list[int]] = {}
    for unit, names in top.items():
        for name in names:
            users.setdefault(name, []).append(unit)
    size = BatchSize(batch, "exemplars")
    waiting: dict[View, Tensor] = {}
    with tqdm(desc="exemplars", unit="view", mininterval=5) as bar:
        for pixels in ahead(_chunks(shards, set(users), settings.square, found.sizes)):
            _look_at_images(target, layer, pixels, users, found, pooling, settings, size)
            waiting |= _cutouts(target, pixels, found, settings)
            bar.update(len(pixels))
            whole_batches = len(waiting) - len(waiting) % size.items
            bar.update(_look_at_cutouts(target, layer, waiting, whole_batches, found, pooling, size))
        bar.update(_look_at_cutouts(target, layer, waiting, len(waiting), found, pooling, size))
    return tables.table(_ranked(found, settings), schemas.EXEMPLARS)


@dataclass(frozen=True)
class _Found:
    """What is known so far. Places are in pixels of images as they are looked at, which may be stretched to squares.

    Attributes
    ----------
    sizes : width and height of the original images.
    activation : of a unit for a view.
    heatmaps : PNG of a unit's map on a whole image.
    frames : the part of an image that maps cover.
    cutouts : attention crops, and the units they are of.
    """

    sizes: dict[str, tuple[int, int]]
    activation: dict[tuple[int, View], float]
    heatmaps: dict[tuple[int, str], bytes]
    frames: dict[str, list[int]]
    cutouts: dict[View, list[int]]


def _chunks(
    shards: Sequence[Path], wanted: set[str], square: int | None, sizes: dict[str, tuple[int, int]]
) -> Iterator[dict[str, Image.Image]]:
    """Image id -> pixels as they are looked at, of some images at a time; their own sizes are taken down."""

    def decoded(row: Mapping[str, Any]) -> tuple[str, Image.Image]:
        image = pictures.decode(row["image"])
        sizes[row["image_id"]] = image.size
        return row["image_id"], image if square is None else pictures.squared(image, square)

    rows = pictures.rows(shards, wanted, ["image_id", "image"])
    yield from map(dict, chunks(prepared(decoded, rows, BATCH), CHUNK))


def _maps(reading: Reading, image: int, units: Sequence[int], settings: ExemplarSettings) -> Tensor | None:
    """The maps [units, h, w] of one image; None where there are none."""
    if settings.token_maps and reading.output.cls is not None:
        return compat.token_map(reading.output.cls[image].float()).expand(len(units), -1, -1)
    return reading.maps(image, torch.tensor(units))


def _look_at_images(
    target: Target,
    layer: str,
    pixels: Mapping[str, Image.Image],
    users: Mapping[str, Sequence[int]],
    found: _Found,
    pooling: str,
    settings: ExemplarSettings,
    size: BatchSize,
) -> None:
    """Take down activations and maps of whole images, and which crops are to be looked at."""

    def load(name: str) -> Tensor:
        return target.preprocess.image(pixels[name])

    def run_batch(part: Sequence[str], inputs: Tensor) -> tuple[Tensor, list[Tensor | None]]:
        def take(_: str, reading: Reading) -> tuple[Tensor, list[Tensor | None]]:
            maps = [_maps(reading, i, users[name], settings) for i, name in enumerate(part)]
            return reading.pooled(pooling).cpu(), [None if one is None else one.cpu() for one in maps]

        return target.read(inputs, [layer], take)[layer]

    for part, (pooled, maps) in fixed_batches(list(pixels), load, size, run_batch):
        for i, name in enumerate(part):
            whole = pixels[name].size
            frame = target.preprocess.frame(*whole)
            found.frames[name] = [round(value) for value in frame]
            shape = target.preprocess.size
            if settings.whole_image_boxes:
                frame, shape = (0, 0, *whole), (whole[1], whole[0])
            for unit, value in zip(users[name], pooled[i, users[name]].tolist(), strict=True):
                found.activation[unit, View(name, None)] = value
            heats = maps[i]
            for unit, heat in zip(users[name], () if heats is None else heats, strict=False):
                grey = compat.wrapped(heat) if settings.wrap_heatmaps else stretched(heat)
                if grey is not None:
                    found.heatmaps[unit, name] = _png(grey)
                for box in crops(heat, frame, whole, shape, settings):
                    found.cutouts.setdefault(View(name, box), []).append(unit)


def _cutouts(
    target: Target, pixels: Mapping[str, Image.Image], found: _Found, settings: ExemplarSettings
) -> dict[View, Tensor]:
    """The network's inputs of the attention crops of some images."""

    def load(view: View) -> Tensor:
        assert view.box is not None
        if settings.square is not None:
            part = pixels[view.image_id].crop(view.box)
            return target.preprocess.image(pictures.squared(part, settings.square))
        return target.preprocess.cutout(pixels[view.image_id], view.box)

    views = sorted((view for view in found.cutouts if view.image_id in pixels), key=lambda view: view.order)
    with ThreadPoolExecutor(torch.get_num_threads(), "cut") as pool:
        return dict(zip(views, pool.map(load, views), strict=True))


def _look_at_cutouts(
    target: Target,
    layer: str,
    waiting: dict[View, Tensor],
    count: int,
    found: _Found,
    pooling: str,
    size: BatchSize,
) -> int:
    """Take the first so many attention crops off those that wait, take their activations down, and return the number.

    Only whole batches are taken while there are more to come: one that is filled up takes as long.
    """

    def run_batch(part: Sequence[View], inputs: Tensor) -> Tensor:
        return target.read(inputs, [layer], lambda _, reading: reading.pooled(pooling).cpu())[layer]

    views = list(islice(waiting, count))
    for part, pooled in fixed_batches(views, waiting.__getitem__, size, run_batch):
        for view, values in zip(part, pooled, strict=False):  # the batch is filled up
            for unit in found.cutouts[view]:
                found.activation[unit, view] = float(values[unit])
    for view in views:
        del waiting[view]
    return len(views)


def _ranked(found: _Found, settings: ExemplarSettings) -> list[dict[str, Any]]:
    by_unit: dict[int, list[tuple[float, View]]] = {}
    for (unit, view), value in found.activation.items():
        if math.isfinite(value):
            by_unit.setdefault(unit, []).append((value, view))
    rows = []
    for unit in sorted(by_unit):
        kept: list[tuple[float, View]] = []
        taken: Counter[str] = Counter()
        for value, view in sorted(by_unit[unit], key=lambda one: (-one[0], one[1].order)):
            if len(kept) < settings.keep and taken[view.image_id] < settings.views_per_image:
                taken[view.image_id] += 1
                kept.append((value, view))
        rows += [
            {
                "unit": unit,
                "rank": rank,
                "image_id": view.image_id,
                "box": _original(view.box, found.sizes[view.image_id], settings.square),
                "activation": value,
                "heatmap": found.heatmaps.get((unit, view.image_id)),
                "heatmap_box": _original(found.frames[view.image_id], found.sizes[view.image_id], settings.square),
            }
            for rank, (value, view) in enumerate(kept)
        ]
    return rows


def _original(box: Sequence[int] | None, size: tuple[int, int], square: int | None) -> Sequence[int] | None:
    """A box in pixels of the original image."""
    return box if box is None or square is None else pictures.rescaled(box, (square, square), size)


def _png(grey: npt.NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(grey).save(buffer, "PNG")
    return buffer.getvalue()
