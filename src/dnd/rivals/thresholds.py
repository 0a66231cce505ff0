"""The activation above which a unit counts as active at a position: a quantile over all positions of the probe."""

from __future__ import annotations

import hashlib
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from tqdm import tqdm

from dnd.backends.batches import BatchSize
from dnd.io import pictures, schemas, tables
from dnd.target.network import Target, fixed_batches
from dnd.target.units import Reading

log = logging.getLogger(__name__)
BATCH = 32
MOST_VALUES = 2**26
"""Activations that are held at most, 256 MiB. Where the share asked for is more, a sample of the images decides; where
all of a layer's are fewer, the network runs only once."""
COLUMNS = ["image_id", "width", "height", "image"]

Share = float | Literal["otsu"]
Batch = tuple[Sequence[Mapping[str, Any]], Tensor]
"""Rows of the probe, and their maps float32 [rows, units, h, w] on the target's device."""


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
    def positions(self) -> int:
        """How many positions a map has."""
        _, maps = next(self._batches(islice(pictures.rows(self.shards, columns=COLUMNS), 1)))
        return maps[0, 0].numel()

    def batches(self, wanted: set[str] | None = None) -> Iterator[Batch]:
        """Yield rows of the probe (without bytes) and their maps float32 [rows, units, h, w], in order of image id.

        Parameters
        ----------
        wanted : ids of the images; all of them when empty.
        """
        if self._remembered:
            yield from self._remembered
            return
        held = self.positions * len(self.units) * tables.count(self.shards)
        remembered: list[Batch] | None = [] if wanted is None and held <= MOST_VALUES else None
        for rows, maps in self._batches(pictures.rows(self.shards, wanted, COLUMNS)):
            batch = [{key: row[key] for key in COLUMNS if key != "image"} for row in rows], maps
            if remembered is not None:
                remembered.append(batch)
            yield batch
        self._remembered = remembered or []

    def _batches(self, rows: Iterator[Mapping[str, Any]]) -> Iterator[Batch]:
        units = torch.tensor(self.units, dtype=torch.int64, device=self.target.device)

        def load(row: Mapping[str, Any]) -> Tensor:
            return self.target.preprocess.image(pictures.decode(row["image"]))

        def run(part: Sequence[Mapping[str, Any]], inputs: Tensor) -> Tensor:
            found = self.target.read(inputs, [self.layer], lambda _, reading: maps_of(reading, units))
            return found[self.layer][: len(part)]

        yield from fixed_batches(rows, load, self._size, run)


def maps_of(reading: Reading, units: Tensor) -> Tensor:
    """Return activation maps float32 [n, units, h, w] of a batch; a layer without positions has one, of 1 x 1."""
    if reading.output.grid is None:
        return reading.pooled("mean")[:, units, None, None]
    found = [reading.maps(i, units) for i in range(len(reading.output.positions))]
    return torch.stack([one for one in found if one is not None])


@dataclass
class Largest:
    """The largest values of each unit, while more of them stream by; memory is about three times units x k.

    Attributes
    ----------
    k : values that are kept of each unit.
    """

    k: int
    _parts: list[Tensor] = field(default_factory=list)
    _held: int = 0

    def add(self, values: Tensor) -> None:
        """Take in values float32 [units, n]; those that are not finite count as the smallest of all."""
        self._parts.append(torch.where(values.isfinite(), values, -torch.inf))
        self._held += values.shape[1]
        if self._held >= max(2 * self.k, MOST_VALUES // 16 // len(values)):
            self._shrink()

    def values(self) -> Tensor:
        """Return the values of each unit, in no order, float32 [units, <= k]."""
        self._shrink()
        return self._parts[0]

    def _shrink(self) -> None:
        joined = torch.cat(self._parts, 1)
        if joined.shape[1] > self.k:
            joined = joined.topk(self.k, dim=1, sorted=False).values
        self._parts, self._held = [joined], joined.shape[1]


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


def thresholds(target: Target, layer: str, shards: Sequence[Path], share: Share, units: Sequence[int]) -> Tensor:
    """Return for each unit the activation above which it counts as active, float32 [units] on the CPU.

    See :func:`limits`.

    Parameters
    ----------
    shards : all shards of the probe.
    share : of the positions, in (0, 1), or ``otsu``.
    """
    return limits(Maps(target, layer, shards, units), share)


def limits(maps: Maps, share: Share) -> Tensor:
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
    images, wanted = tables.count(maps.shards), None
    enough = max(1, int(MOST_VALUES / (len(maps.units) * maps.positions * part)))
    if enough < images:
        log.info("thresholds of %s from %d of %d images", maps.layer, enough, images)
        ids = tables.read(list(maps.shards), schemas.PROBE, ["image_id"])["image_id"].to_pylist()
        images, wanted = enough, set(sorted(ids, key=lambda one: hashlib.sha256(one.encode()).digest())[:enough])
    largest = Largest(math.floor(part * images * maps.positions) + 1)
    with tqdm(total=images, desc="thresholds", unit="image", mininterval=5) as bar:
        for rows, found in maps.batches(wanted):
            largest.add(found.transpose(0, 1).flatten(1))
            bar.update(len(rows))
    values = largest.values()
    return torch.tensor([otsu(one) for one in values]) if share == "otsu" else values.amin(1).cpu()
