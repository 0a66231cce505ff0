"""Which annotated concepts the active positions of a layer's units overlap, counted pixel by pixel.

A *pattern* is the set of concepts that hold at a pixel. How many pixels a unit shares with any formula of concepts
follows from how many it shares with each pattern, so that one pass serves every method that looks at pixel masks.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from scipy.sparse import csr_array
from torch import Tensor
from tqdm import tqdm

from dnd.io import pictures, rows, schemas, tables
from dnd.probe.masks import Annotation, Mask, by_image
from dnd.rivals.overlaps import Share
from dnd.rivals.thresholds import Maps, Seen, thresholds
from dnd.target.network import Target
from dnd.target.preprocess import Frame, Preprocess

log = logging.getLogger(__name__)
SIDE = 512
"""Pixels that are looked at along the longer side of an image; of a larger one every second, third ..."""
MOST_PIXELS = 2**25
"""Pixels of enlarged maps that are held at once: 128 MiB."""
MOST_COUNTS = 2**22
"""Counts of units and patterns that wait to be added up."""

Integers = npt.NDArray[np.int64]
Tag = tuple[str, str]
"""Category and concept."""


class Tags(NamedTuple):
    """What is known of a pixel: the concepts that hold, and the categories of which its image has an annotation."""

    concepts: frozenset[Tag]
    categories: frozenset[str]


class Pixels(NamedTuple):
    """The pixels of an image that the network sees: their columns and rows, int64."""

    xs: Integers
    ys: Integers


def pixels_seen(frame: Frame, width: int, height: int) -> Pixels:
    """Return the pixels whose centres lie in the frame; of an image longer than ``SIDE`` evenly spread ones."""
    step = -(-max(width, height) // SIDE)

    def inside(low: float, high: float, length: int) -> Integers:
        places = np.arange(step // 2, length, step)
        return places[(places + 0.5 >= low) & (places + 0.5 < high)]

    return Pixels(inside(frame[0], frame[2], width), inside(frame[1], frame[3], height))


def enlarged(maps: Tensor, frame: Frame, pixels: Pixels) -> Tensor:
    """Return maps at pixels of the image, by bilinear interpolation between the centres of their positions.

    Outside of the outermost centres a map goes on as it ends, as Pillow and torch (``align_corners=False``) have it.

    Parameters
    ----------
    maps : float32 [units, h, w], which cover the frame.

    Returns
    -------
    float32 [units, rows, columns].

    Source: ``upsample_features`` of the released Compositional Explanations, ``imresize`` in NetDissect-Lite.
    """
    for axis, places, low, high in ((1, pixels.ys, frame[1], frame[3]), (2, pixels.xs, frame[0], frame[2])):
        length = maps.shape[axis]
        at = np.clip((places + 0.5 - low) / (high - low) * length - 0.5, 0, length - 1)
        before = np.floor(at).astype(np.int64)
        weight = torch.from_numpy((at - before).astype(np.float32)).to(maps.device)
        first = maps.index_select(axis, torch.from_numpy(before).to(maps.device))
        second = maps.index_select(axis, torch.from_numpy(np.minimum(before + 1, length - 1)).to(maps.device))
        maps = first + (weight[:, None] if axis == 1 else weight) * (second - first)
    return maps


def patterns_of(annotations: Sequence[Annotation], pixels: Pixels) -> tuple[Integers, list[Tags]]:
    """Return for each pixel the number of its pattern, int64 [rows x columns], and the patterns of the image."""
    everywhere = {(known.category, known.concept) for known in annotations if known.mask is None}
    categories = frozenset(known.category for known in annotations)
    tags: dict[int, list[Tag]] = {}
    masks: dict[int, Mask] = {}
    for category, concept, mask in annotations:
        if mask is not None:
            tags.setdefault(id(mask), []).append((category, concept))
            if id(mask) not in masks:
                masks[id(mask)] = mask[np.ix_(pixels.ys, pixels.xs)].ravel()
    numbers = np.zeros(len(pixels.ys) * len(pixels.xs), np.int64)
    for i, mask in enumerate(masks.values()):
        numbers = 2 * numbers + mask
        if i % 40 == 39:  # before they outgrow 64 bits
            numbers = np.unique(numbers, return_inverse=True)[1]
    _, places, numbers = np.unique(numbers, return_index=True, return_inverse=True)
    patterns = [
        Tags(frozenset(everywhere.union(*(tags[key] for key, mask in masks.items() if mask[place]))), categories)
        for place in places
    ]
    return numbers, patterns


def active_counts(maps: Tensor, least: Tensor, frame: Frame, pixels: Pixels, numbers: Tensor, kinds: int) -> Tensor:
    """Return at how many pixels of each pattern each unit is active, int64 [units, kinds].

    Parameters
    ----------
    maps : float32 [units, h, w].
    least : float32 [units]; a unit is active where its enlarged map exceeds its own.
    numbers : int64 [rows x columns], the pattern of each pixel.
    kinds : how many patterns there are.
    """
    maps = torch.where(maps.isfinite(), maps, torch.finfo(torch.float32).min / 2)
    counts = numbers.new_zeros(len(maps), kinds)
    awake = (maps.flatten(1).amax(1) > least).nonzero()[:, 0]  # a map nowhere exceeds its largest position
    for units in awake.split(max(1, MOST_PIXELS // max(1, len(numbers)))):
        above = enlarged(maps[units], frame, pixels).flatten(1) > least[units, None]
        unit, pixel = above.nonzero(as_tuple=True)
        pixels_of = torch.bincount(unit * kinds + numbers[pixel], minlength=len(units) * kinds)
        counts[units] = pixels_of.view(len(units), kinds)
    return counts


@dataclass
class Tally:
    """Pixels of each pattern, all and active ones, while images stream by; patterns are numbered as they are met."""

    numbers: dict[Tags, int] = field(default_factory=dict)
    pixels: list[int] = field(default_factory=list)
    _waiting: list[Integers] = field(default_factory=list)

    def add(self, patterns: Sequence[Tags], pixels: Integers, active: Integers) -> None:
        """Take in an image: its patterns, pixels of each [patterns], and active ones [rows, patterns]."""
        numbers = np.array([self.numbers.setdefault(pattern, len(self.numbers)) for pattern in patterns])
        self.pixels += [0] * (len(self.numbers) - len(self.pixels))
        for number, count in zip(numbers, pixels.tolist(), strict=True):
            self.pixels[number] += count
        row, kind = active.nonzero()
        self._waiting.append(np.stack([row, numbers[kind], active[row, kind]]))
        # a fresh pile may grow as large as the sorted one, so that sorting stays a small part of the work
        if sum(part.shape[1] for part in self._waiting[1:]) > max(MOST_COUNTS, self._waiting[0].shape[1]):
            self._waiting = [self.active()]

    def active(self) -> Integers:
        """Return row, pattern and pixels, int64 [3, n], in order of row and pattern; nothing without a pixel."""
        if not self._waiting:
            return np.empty((3, 0), np.int64)
        row, pattern, pixels = np.concatenate(self._waiting, 1)
        counts = csr_array((pixels, (row, pattern)))
        counts.sum_duplicates()
        places = counts.tocoo()
        return np.stack([places.row.astype(np.int64), places.col, places.data])


def run(
    target: Target,
    layer: str,
    shards: Sequence[Path],
    annotations: Sequence[Path],
    *,
    units: Sequence[int],
    quantiles: Sequence[Share],
) -> tuple[pa.Table, pa.Table]:
    """Count the active pixels of units at each pattern.

    Only the part of an image that the network sees counts, and only images that have an annotation.

    Parameters
    ----------
    shards, annotations : all PROBE and ANNOTATIONS files of the probe, in order of image id.
    quantiles : share of all positions at which a unit is active, or ``otsu``; each gives overlaps of its own.

    Returns
    -------
    Tables PATTERNS and OVERLAPS, the latter in order of quantile, unit and pattern.

    Raises
    ------
    ValueError
        No image is annotated, or a mask has not the size of its image.

    Source: Bau et al., CVPR 2017, section 2.3.
    """
    units, quantiles = sorted(units), sorted(set(quantiles), key=str)
    maps = Maps(target, layer, shards, units)
    least = torch.stack([thresholds(maps, quantile) for quantile in quantiles]).to(target.device)
    ids = (row["image_id"] for row in pictures.rows(shards, columns=["image_id"]))
    known = by_image(annotations, ids)
    tally = Tally()
    with tqdm(total=tables.count(shards), desc="dissection", unit="image", mininterval=5) as bar:
        for images, activations in maps.batches():
            for image, image_maps, shown in zip(images, activations, islice(known, len(images)), strict=True):
                if shown:
                    _add(tally, image, shown, image_maps, least, target.preprocess)
            bar.update(len(images))
    next(known, None)  # complains about annotations of other images
    if not tally.pixels:
        raise ValueError(f"{annotations[0]}: no image of the probe has an annotation")
    log.info("%d patterns at %d pixels", len(tally.pixels), sum(tally.pixels))
    return _patterns(tally), _overlaps(tally, units, quantiles)


def _add(
    tally: Tally,
    image: Seen,
    annotations: Sequence[Annotation],
    maps: Tensor,
    least: Tensor,
    preprocess: Preprocess,
) -> None:
    """Count the pixels of one image; ``least`` float32 [quantiles, units]."""
    size = image.width, image.height
    for _, concept, mask in annotations:
        if mask is not None and mask.shape != size[::-1]:
            shape = "x".join(map(str, mask.shape[::-1]))
            raise ValueError(f"image {image.image_id!r}: the mask of {concept!r} has {shape} pixels, not {size}")
    frame = preprocess.frame(*size)
    pixels = pixels_seen(frame, *size)
    numbers, patterns = patterns_of(annotations, pixels)
    placed = torch.from_numpy(numbers).to(maps.device)
    active = torch.cat([active_counts(maps, levels, frame, pixels, placed, len(patterns)) for levels in least])
    tally.add(patterns, np.bincount(numbers, minlength=len(patterns)), active.cpu().numpy())


def _patterns(tally: Tally) -> pa.Table:
    kinds = []
    for (concepts, categories), number in tally.numbers.items():
        tags = [{"category": category, "concept": concept} for category, concept in sorted(concepts)]
        kinds.append(rows.Pattern(number, tags, sorted(categories), tally.pixels[number]))
    return tables.table(kinds, schemas.PATTERNS)


def _overlaps(tally: Tally, units: Sequence[int], quantiles: Sequence[Share]) -> pa.Table:
    row, pattern, pixels = tally.active()
    quantile, unit = np.divmod(row, max(1, len(units)))
    names = pa.array(map(str, quantiles), pa.string()).take(pa.array(quantile))
    numbers = [np.array(units, np.int32)[unit], pattern.astype(np.int32), pixels]
    return pa.Table.from_arrays([names, *map(pa.array, numbers)], schema=schemas.OVERLAPS)
