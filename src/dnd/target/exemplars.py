"""Attention crops of a unit's most activating images, ranked with the whole images (paper section 3, step 1)."""

from __future__ import annotations

import io
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from dnd.backends.batches import BatchSize, prepared
from dnd.config.stages import ExemplarSettings
from dnd.io import halves, pictures, schemas, tables
from dnd.io.rows import Exemplar
from dnd.io.streams import ahead, chunks
from dnd.target import compat, crops
from dnd.target.network import Target, fixed_batches, pooled_of
from dnd.target.preprocess import Box
from dnd.target.units import Reading

BATCH = 32
CHUNK = 128
"""Images that are looked at together; as many again are decoded ahead."""

Pixels = Mapping[str, Image.Image]
"""Image id -> the image as it is looked at, which may be stretched to a square."""


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


class View(NamedTuple):
    """A whole image (box None) or a part of it."""

    image_id: str
    box: Box | None

    @property
    def order(self) -> tuple[str, Box]:
        """Sorting key that breaks ties: by image id, the whole image before its parts."""
        return self.image_id, self.box or (-1, -1, -1, -1)


class _Best(NamedTuple):
    """The columns of TOPK that tell at which images to look."""

    unit: int
    image_ids: list[str]
    activations: list[float]


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
    rows = tables.rows(topk, schemas.TOPK, _Best, wanted)
    images = {row.unit: spread(*_choosing(row, settings.halved), settings) for row in rows if row.image_ids}
    return run(target, layer, images, shards, pooling=pooling, settings=settings)


def _choosing(row: _Best, halved: bool) -> tuple[list[str], list[float]]:
    """The best images of a unit that may be exemplars, and their activations; all where none may."""
    best = list(zip(row.image_ids, row.activations, strict=True))
    chosen = [(name, value) for name, value in best if not halved or halves.chooses(name)] or best
    return [name for name, _ in chosen], [value for _, value in chosen]


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
    views = _Views(target, layer, top, pooling, settings, batch)
    with tqdm(desc="exemplars", unit="view", mininterval=5) as bar:
        for pixels in ahead(views.chunks(shards)):
            views.look_at_images(pixels)
            views.cut_out(pixels)
            bar.update(len(pixels))
            # only whole batches while there are more to come: one that is filled up takes as long
            bar.update(views.look_at_cutouts(len(views.waiting) - len(views.waiting) % views.size.items))
        bar.update(views.look_at_cutouts(len(views.waiting)))
    return tables.table(views.ranked(), schemas.EXEMPLARS)


class _Views:
    """What is known so far of the views of some units' images.

    Boxes are in pixels of images as they are looked at, which may be stretched to squares.

    Attributes
    ----------
    size : of batches.
    users : image id -> the units that it excites.
    sizes : image id -> width and height of the original image.
    frames : image id -> the part of it that maps cover.
    activations : of a unit for a view.
    heatmaps : PNG of a unit's map on a whole image.
    cutouts : attention crops -> the units they are of.
    waiting : attention crops that are to be looked at -> the network's inputs [channels, h, w] of them.
    """

    def __init__(
        self,
        target: Target,
        layer: str,
        top: Mapping[int, Sequence[str]],
        pooling: str,
        settings: ExemplarSettings,
        batch: int,
    ) -> None:
        self.target, self.layer, self.pooling, self.settings = target, layer, pooling, settings
        self.size = BatchSize(batch, "exemplars")
        self.users: dict[str, list[int]] = {}
        for unit, names in top.items():
            for name in names:
                self.users.setdefault(name, []).append(unit)
        self.sizes: dict[str, tuple[int, int]] = {}
        self.frames: dict[str, list[int]] = {}
        self.activations: dict[tuple[int, View], float] = {}
        self.heatmaps: dict[tuple[int, str], bytes] = {}
        self.cutouts: dict[View, list[int]] = {}
        self.waiting: dict[View, Tensor] = {}

    def chunks(self, shards: Sequence[Path]) -> Iterator[Pixels]:
        """Yield some images at a time, and take down the sizes that they have of their own."""
        square = self.settings.square

        def decoded(row: pictures.Encoded) -> tuple[str, Image.Image]:
            image = pictures.decode(row.image)
            self.sizes[row.image_id] = image.size
            return row.image_id, image if square is None else pictures.squared(image, square)

        rows = pictures.encoded(shards, set(self.users))
        yield from map(dict, chunks(prepared(decoded, rows, BATCH), CHUNK))

    def look_at_images(self, pixels: Pixels) -> None:
        """Take down activations and maps of whole images, and which crops are to be looked at."""
        preprocess, settings = self.target.preprocess, self.settings

        def run_batch(names: Sequence[str], inputs: Tensor) -> tuple[Tensor, list[Tensor | None]]:
            def take(_: str, reading: Reading) -> tuple[Tensor, list[Tensor | None]]:
                maps = [maps_of(reading, i, self.users[name], settings) for i, name in enumerate(names)]
                return reading.pooled(self.pooling).cpu(), [None if heats is None else heats.cpu() for heats in maps]

            return self.target.read(inputs, [self.layer], take)[self.layer]

        batches = fixed_batches(pixels, lambda name: preprocess.image(pixels[name]), self.size, run_batch)
        for names, (pooled, maps) in batches:
            for name, values, heats in zip(names, pooled, maps, strict=False):  # the batch is filled up
                size = pixels[name].size
                frame, shape = preprocess.frame(*size), preprocess.size
                self.frames[name] = [round(value) for value in frame]
                if settings.whole_image_boxes:
                    frame, shape = (0, 0, *size), (size[1], size[0])
                units = self.users[name]
                for unit, value in zip(units, values[units].tolist(), strict=True):
                    self.activations[unit, View(name, None)] = value
                for unit, heat in () if heats is None else zip(units, heats, strict=True):
                    grey = compat.wrapped(heat) if settings.wrap_heatmaps else crops.stretched(heat)
                    if grey is not None:
                        self.heatmaps[unit, name] = _png(grey)
                    for box in crops.boxes(heat, frame, size, shape, settings):
                        self.cutouts.setdefault(View(name, box), []).append(unit)

    def cut_out(self, pixels: Pixels) -> None:
        """Let the attention crops of some images wait."""
        preprocess, square = self.target.preprocess, self.settings.square

        def load(view: View) -> Tensor:
            assert view.box is not None
            if square is not None:
                return preprocess.image(pictures.squared(pixels[view.image_id].crop(view.box), square))
            return preprocess.cutout(pixels[view.image_id], view.box)

        views = sorted((view for view in self.cutouts if view.image_id in pixels), key=lambda view: view.order)
        with ThreadPoolExecutor(torch.get_num_threads(), "cut") as pool:
            self.waiting |= zip(views, pool.map(load, views), strict=True)

    def look_at_cutouts(self, count: int) -> int:
        """Take down the activations of the first so many attention crops that wait, and return the number."""

        def run_batch(views: Sequence[View], inputs: Tensor) -> Tensor:
            return pooled_of(self.target, self.layer, inputs, self.pooling)

        first = list(islice(self.waiting, count))
        for views, pooled in fixed_batches(first, self.waiting.__getitem__, self.size, run_batch):
            for view, values in zip(views, pooled, strict=False):  # the batch is filled up
                for unit in self.cutouts[view]:
                    self.activations[unit, view] = float(values[unit])
        for view in first:
            del self.waiting[view]
        return count

    def ranked(self) -> list[Exemplar]:
        """Return the best views of each unit."""
        by_unit: dict[int, list[tuple[float, View]]] = {}
        for (unit, view), value in self.activations.items():
            if math.isfinite(value):
                by_unit.setdefault(unit, []).append((value, view))
        exemplars = []
        for unit, views in sorted(by_unit.items()):
            taken: Counter[str] = Counter()
            for value, (name, box) in sorted(views, key=lambda view: (-view[0], view[1].order)):
                rank = taken.total()
                if rank < self.settings.keep and taken[name] < self.settings.views_per_image:
                    taken[name] += 1
                    heatmap = self.heatmaps.get((unit, name))
                    boxes = self._original(name, box), self._original(name, self.frames[name])
                    exemplars.append(Exemplar(unit, rank, name, boxes[0], value, heatmap, boxes[1]))
        return exemplars

    def _original(self, name: str, box: Sequence[int] | None) -> Sequence[int] | None:
        """A box in pixels of the original image."""
        square = self.settings.square
        return box if box is None or square is None else pictures.rescaled(box, (square, square), self.sizes[name])


def maps_of(reading: Reading, image: int, units: Sequence[int], settings: ExemplarSettings) -> Tensor | None:
    """Return the maps float [units, h, w] of one image; None where there are none."""
    if settings.token_maps and reading.output.cls is not None:
        return compat.token_map(reading.output.cls[image].float()).expand(len(units), -1, -1)
    return reading.maps(image, torch.tensor(units))


def _png(grey: npt.NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(grey).save(buffer, "PNG")
    return buffer.getvalue()
