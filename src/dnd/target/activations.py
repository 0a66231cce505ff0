"""One pass of the target over the probe for all layers: streaming top-k, statistics and control activations."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from torch import Tensor
from tqdm import tqdm

from dnd.backends.batches import BatchSize
from dnd.io import pictures, schemas, tables
from dnd.target import steadiness
from dnd.target.network import Target, fixed_batches
from dnd.target.outputs import TargetError
from dnd.target.units import Reading

log = logging.getLogger(__name__)
BATCH = 32
FIRST = 3
"""Images that are run twice before the pass, to see whether the network is the same each time."""
CHUNK = 256
"""Images whose activations are gathered before they are ranked."""
NEVER_FINITE = (
    "layer {layer!r} gives no finite activation for any of the first {images} images: its weights are damaged, or half "
    "precision overflows (models.NAME.dtype: float32)"
)
UNITS_AT_ONCE = 1024
"""Units whose best images are ranked together."""


@dataclass
class Running:
    """What is kept of one layer while images stream by; memory is units x k, not units x images.

    Activations that are not finite count as ``nonfinite`` and nowhere else. All lies where the activations are, so that
    a GPU is never waited for.

    Attributes
    ----------
    values : float32 [units, k], largest first; -inf stands for none.
    places : int64 [units, k], which image each value came from.
    seen : images so far.
    count, nonfinite, zeros : int64 [units].
    total, squares : float64 [units].
    low, high : float32 [units].
    """

    k: int
    values: Tensor = field(default_factory=lambda: torch.empty(0))
    places: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.int64))
    seen: int = 0
    count: Tensor = field(default_factory=lambda: torch.zeros((), dtype=torch.int64))
    nonfinite: Tensor = field(default_factory=lambda: torch.zeros((), dtype=torch.int64))
    zeros: Tensor = field(default_factory=lambda: torch.zeros((), dtype=torch.int64))
    total: Tensor = field(default_factory=lambda: torch.zeros(()))
    squares: Tensor = field(default_factory=lambda: torch.zeros(()))
    low: Tensor = field(default_factory=lambda: torch.tensor(torch.inf))
    high: Tensor = field(default_factory=lambda: torch.tensor(-torch.inf))
    _waiting: list[Tensor] = field(default_factory=list)

    def add(self, pooled: Tensor) -> None:
        """Take in pooled activations float32 [n, units] of the next n images."""
        finite = pooled.isfinite()
        exact = torch.where(finite, pooled, 0).double()
        self.count = self.count + finite.sum(0)
        self.nonfinite = self.nonfinite + (~finite).sum(0)
        self.zeros = self.zeros + (pooled == 0).sum(0)
        self.total = self.total + exact.sum(0)
        self.squares = self.squares + exact.square().sum(0)
        self.low = torch.minimum(self.low, torch.where(finite, pooled, torch.inf).amin(0))
        ranked = torch.where(finite, pooled, -torch.inf)
        self.high = torch.maximum(self.high, ranked.amax(0))
        self._waiting.append(ranked)
        if sum(map(len, self._waiting)) >= CHUNK:
            self.rank()

    def rank(self) -> None:
        """Put the activations that wait into the ranking; of equal ones the earlier stays first."""
        if not self._waiting:
            return
        columns = torch.cat(self._waiting).T
        self._waiting = []
        places = torch.arange(self.seen, self.seen + columns.shape[1], device=columns.device)
        self.seen += columns.shape[1]
        if not len(self.values):
            self.values = columns.new_full((len(columns), self.k), -torch.inf)
            self.places = places.new_zeros(self.values.shape)
        better = (columns.amax(1) > self.values[:, -1]).nonzero()[:, 0]  # most units have seen better after a while
        for rows in better.split(UNITS_AT_ONCE):
            values = torch.cat([self.values[rows], columns[rows]], 1)
            joined = torch.cat([self.places[rows], places.expand(len(rows), -1)], 1)
            order = values.argsort(dim=1, descending=True, stable=True)[:, : self.k]
            self.values[rows], self.places[rows] = values.gather(1, order), joined.gather(1, order)

    def finish(self) -> None:
        """Rank what waits, and bring everything into the memory of the CPU."""
        self.rank()
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                setattr(self, name, value.cpu())


class _Control(NamedTuple):
    """The activations of a layer for a control image, float32 [units]: a row of CONTROLS_PART."""

    slug: str
    image_id: str
    activations: npt.NDArray[np.float32]


def run(
    target: Target,
    layers: Mapping[str, str],
    shard: Path,
    controls: Sequence[str],
    *,
    pooling: str,
    k: int,
    batch: int = BATCH,
    units: Mapping[str, int] | None = None,
) -> tuple[pa.Table, pa.Table, pa.Table]:
    """Pass one probe shard through the target.

    Parameters
    ----------
    layers : slug -> dotted layer name.
    shard : probe shard, in order of image id.
    controls : image ids whose activations are kept for every unit.
    pooling : ``mean``, ``max`` or ``cls``.
    k : images kept per unit.
    units : slug -> how many units layers.tsv says that the layer has; None where there is no such table.

    Returns
    -------
    Tables TOPK_PART, STATISTICS_PART and CONTROLS_PART.

    Raises
    ------
    TargetError
        The network is random in evaluation, a layer has another number of units than ``units`` says, or gives no finite
        activation for any of the first images.
    """
    running = {slug: Running(k) for slug in layers}
    kept = set(controls)
    control_rows: list[_Control] = []
    slugs = {layer: slug for slug, layer in layers.items()}

    def load(row: pictures.Encoded) -> Tensor:
        return target.preprocess.image(pictures.decode(row.image))

    def take(layer: str, reading: Reading) -> Tensor:
        listed = reading.units if units is None else units[slugs[layer]]
        if listed != reading.units:
            raise TargetError(
                f"has {reading.units} units, and layers.tsv says {listed}: `snakemake inventory` corrects the table"
            )
        return reading.pooled(pooling)

    def run_batch(part: Sequence[pictures.Encoded], inputs: Tensor) -> dict[str, Tensor]:
        return {slugs[layer]: pooled[: len(part)] for layer, pooled in target.read(inputs, list(slugs), take).items()}

    first = [load(row) for row in islice(pictures.encoded([shard]), FIRST)]
    if first:  # none where no image of the shard can be read
        steadiness.require(target, torch.stack(first), layers.values())
    seen = 0
    with tqdm(total=tables.count(shard), desc="activations", unit="image", mininterval=5) as bar:
        batches = fixed_batches(pictures.encoded([shard]), load, BatchSize(batch, "activations"), run_batch)
        for part, by_slug in batches:
            for slug, pooled in by_slug.items():
                if not seen and not pooled.isfinite().any():
                    raise TargetError(NEVER_FINITE.format(layer=layers[slug], images=len(part)))
                running[slug].add(pooled)
                control_rows += [
                    _Control(slug, row.image_id, values.cpu().numpy())
                    for row, values in zip(part, pooled, strict=True)
                    if row.image_id in kept
                ]
            seen += len(part)
            bar.update(len(part))
    for slug, statistics in running.items():
        statistics.finish()
        if missing := int(statistics.nonfinite.sum()):
            log.warning("layer %s: %d activations are not finite and left out", layers[slug], missing)
    names = tables.read(shard, schemas.PROBE, ["image_id"])["image_id"]
    passed = running if seen else {}  # none where no image of the shard can be read
    topk, statistics_part = [schemas.TOPK_PART.empty_table()], [schemas.STATISTICS_PART.empty_table()]
    topk += [_topk_rows(slug, statistics, names) for slug, statistics in passed.items()]
    statistics_part += [_statistics_rows(slug, statistics) for slug, statistics in passed.items()]
    controls_part = tables.table(control_rows, schemas.CONTROLS_PART)
    return pa.concat_tables(topk), pa.concat_tables(statistics_part), controls_part


def _topk_rows(slug: str, running: Running, names: pa.ChunkedArray) -> pa.Table:
    """Rows of TOPK_PART, given the ids of all images of the shard."""
    values, places = running.values.numpy(), running.places.numpy()
    finite = np.isfinite(values)
    offsets = pa.array(np.concatenate([[0], finite.sum(1).cumsum()]), pa.int32())
    columns = [
        pa.array([slug] * len(values), pa.string()),
        pa.array(np.arange(len(values), dtype=np.int32)),
        pa.ListArray.from_arrays(offsets, names.take(pa.array(places[finite])).combine_chunks()),
        pa.ListArray.from_arrays(offsets, pa.array(values[finite])),
    ]
    return pa.Table.from_arrays(columns, schema=schemas.TOPK_PART)


def _statistics_rows(slug: str, running: Running) -> pa.Table:
    units = len(running.values)
    counts = (running.count, running.nonfinite, running.total, running.squares, running.zeros)
    columns = [
        pa.array([slug] * units, pa.string()),
        pa.array(np.arange(units, dtype=np.int32)),
        *(pa.array(values.numpy()) for values in (*counts, running.low, running.high)),
    ]
    return pa.Table.from_arrays(columns, schema=schemas.STATISTICS_PART)
