"""The activation above which a unit counts as active at a position: a quantile over all positions of the probe."""

from __future__ import annotations

import hashlib
import logging
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from tqdm import tqdm

from dnd.backends.batches import BatchSize
from dnd.io import pictures, schemas, tables
from dnd.rivals.overlaps import Share
from dnd.target.network import Target, fixed_batches
from dnd.target.units import Reading

log = logging.getLogger(__name__)
BATCH = 32
MOST_VALUES = 2**26
"""Activations that are held at most, 256 MiB. Where the share asked for is more, a sample of the images decides; where
all of a layer's are fewer, the network runs only once."""


class Seen(NamedTuple):
    """An image of the probe: its id, and its size in pixels."""

    image_id: str
    width: int
    height: int


Batch = tuple[Sequence[Seen], Tensor]
"""Images of the probe, and their maps float32 [images, units, h, w] on the target's device."""


@dataclass
class Maps:
    """The activation maps of a layer's units on all images of a probe, to be gone through once or twice.

    Where they fit, the maps are remembered, so that the network runs only once.

    Attributes
    ----------
    shards : all of the probe.
    units : whose maps are wanted, in this order.
    """

    target: Target
    layer: str
    shards: Sequence[Path]
    units: Sequence[int]
    _size: BatchSize = field(default_factory=lambda: BatchSize(BATCH, "activation maps"))
    _remembered: list[Batch] = field(default_factory=list)

    @cached_property
    def grid(self) -> tuple[int, int] | None:
        """Rows and columns of a map; None for a layer without positions, whose maps are of 1 x 1."""
        row = next(iter(pictures.rows(self.shards, columns=["image"])))
        first = self.target.preprocess.image(pictures.decode(row["image"]))[None]
        return self.target.read(first, [self.layer], lambda _, reading: reading.output.grid)[self.layer]

    @property
    def positions(self) -> int:
        """How many positions a map has."""
        return math.prod(self.grid or (1, 1))

    def batches(self, wanted: set[str] | None = None) -> Iterator[Batch]:
        """Yield images and their maps float32 [images, units, h, w], in order of image id.

        Parameters
        ----------
        wanted : ids of the images; all of them when empty.
        """
        if self._remembered:
            yield from self._remembered
            return
        held = self.positions * len(self.units) * tables.count(self.shards)
        remembered: list[Batch] = []
        for batch in self._batches(wanted):
            if wanted is None and held <= MOST_VALUES:
                remembered.append(batch)
            yield batch
        self._remembered = remembered

    def _batches(self, wanted: set[str] | None) -> Iterator[Batch]:
        units = torch.tensor(self.units, dtype=torch.int64, device=self.target.device)
        rows = pictures.rows(self.shards, wanted, [*Seen._fields, "image"])

        def load(image: tuple[Seen, bytes]) -> Tensor:
            return self.target.preprocess.image(pictures.decode(image[1]))

        def run(part: Sequence[tuple[Seen, bytes]], inputs: Tensor) -> Tensor:
            maps = self.target.read(inputs, [self.layer], lambda _, reading: maps_of(reading, units))
            return maps[self.layer][: len(part)]

        images = ((Seen(row["image_id"], row["width"], row["height"]), row["image"]) for row in rows)
        for part, maps in fixed_batches(images, load, self._size, run):
            yield [seen for seen, _ in part], maps


def maps_of(reading: Reading, units: Tensor) -> Tensor:
    """Return activation maps float32 [n, units, h, w] of a batch; a layer without positions has one, of 1 x 1."""
    if reading.output.grid is None:
        return reading.pooled("mean")[:, units, None, None]
    maps = [reading.maps(i, units) for i in range(len(reading.output.positions))]
    return torch.stack([image for image in maps if image is not None])


def largest(parts: Iterable[Tensor], k: int) -> Tensor:
    """Return the largest values of each unit, in no order, float32 [units, <= k].

    It takes the memory of about three times units x k values.

    Parameters
    ----------
    parts : values float32 [units, n]; those that are not finite count as the smallest of all.
    k : values that are kept of each unit.
    """
    kept: list[Tensor] = []

    def shrunk() -> Tensor:
        joined = torch.cat(kept, 1)
        return joined.topk(k, dim=1, sorted=False).values if joined.shape[1] > k else joined

    for values in parts:
        kept.append(torch.where(values.isfinite(), values, -torch.inf))
        if sum(part.shape[1] for part in kept) >= max(2 * k, MOST_VALUES // 16 // len(values)):
            kept = [shrunk()]
    return shrunk()


def otsu(values: Tensor) -> float:
    """Return the T that parts a unit's activations into weak ones and strong ones, above T.

    It is the activation at which the variance between the two groups is largest. Activations equal to the smallest,
    which a ReLU makes of most, are left out, or the threshold would lie low between them and all others. Of units with
    one or two different activations T is the smallest.

    Parameters
    ----------
    values : float32 [n], in any order.

    Source: Otsu, 1979, without a histogram.
    """
    finite = values[values.isfinite()]
    if not len(finite):
        return 0.0
    low = finite.amin()
    exact = finite[finite > low].sort(descending=True).values.double()
    apart = exact[:-1] > exact[1:]
    if not apart.any():
        return float(low)
    count = torch.arange(1, len(exact), dtype=torch.float64, device=values.device)
    strong = exact.cumsum(0)
    between = count / (len(exact) - count) * (strong[:-1] / count - exact.mean()).square()
    return float(exact[1:][torch.where(apart, between, -1).argmax()])


def thresholds(maps: Maps, share: Share) -> Tensor:
    """Return for each unit the T that just a share of its activations exceeds, float32 [units] on the CPU.

    P(a > T) is at most the share and comes as close as the number of positions and equal activations allow: T is the
    unit's (floor(share x n) + 1)-th largest of n activations, one for each position of each probe image. With ``otsu``
    each unit has a share of its own: see :func:`otsu`. T is exact, save where more than ``MOST_VALUES`` activations
    would have to be kept: then the images whose ids have the smallest hashes stand for all of them.

    Source: Bau et al., CVPR 2017, section 2.2 (``quantile_threshold`` of the released NetDissect-Lite, which
    interpolates between two activations).
    """
    if not maps.units:
        return torch.empty(0)
    part = 1.0 if share == "otsu" else share
    count, wanted = tables.count(maps.shards), None
    enough = max(1, int(MOST_VALUES / (len(maps.units) * maps.positions * part)))
    if enough < count:
        log.info("thresholds of %s from %d of %d images", maps.layer, enough, count)
        ids = tables.read(list(maps.shards), schemas.PROBE, ["image_id"])["image_id"].to_pylist()
        count, wanted = enough, set(sorted(ids, key=lambda name: hashlib.sha256(name.encode()).digest())[:enough])
    most = math.floor(part * count * maps.positions) + 1
    with tqdm(total=count, desc="thresholds", unit="image", mininterval=5) as bar:

        def parts() -> Iterator[Tensor]:
            for images, activations in maps.batches(wanted):
                yield activations.transpose(0, 1).flatten(1)
                bar.update(len(images))

        values = largest(parts(), most)
    return torch.tensor([otsu(unit) for unit in values]) if share == "otsu" else values.amin(1).cpu()
