"""One pass of the target over the probe for all layers: streaming top-k, statistics and control activations."""

from __future__ import annotations

import heapq
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor
from tqdm import tqdm

from dnd import pictures, tables
from dnd.batches import BatchSize
from dnd.targets import Target, fixed_batches, pool

log = logging.getLogger(__name__)
BATCH = 32
QUANTILES = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 0.995, 1.0)


@dataclass
class Running:
    """What is kept of one layer while images stream by; memory is units x k, not units x images.

    Attributes
    ----------
    values : float32 [units, <= k], largest first.
    places : int64 [units, <= k], which image each value came from.
    """

    k: int
    values: Tensor = field(default_factory=lambda: torch.empty(0))
    places: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.int64))
    count: int = 0
    total: Tensor = field(default_factory=lambda: torch.zeros(()))
    squares: Tensor = field(default_factory=lambda: torch.zeros(()))
    zeros: Tensor = field(default_factory=lambda: torch.zeros((), dtype=torch.int64))
    low: Tensor = field(default_factory=lambda: torch.tensor(torch.inf))
    high: Tensor = field(default_factory=lambda: torch.tensor(-torch.inf))

    def add(self, pooled: Tensor) -> None:
        """Take in pooled activations float32 [n, units] of the next n images; of equal ones the earlier stays first."""
        columns = pooled.T.contiguous()
        places = torch.arange(self.count, self.count + len(pooled)).expand(len(columns), -1)
        if self.count:
            columns = torch.cat([self.values, columns], 1)
            places = torch.cat([self.places, places], 1)
        order = columns.argsort(dim=1, descending=True, stable=True)[:, : self.k]
        self.values, self.places = columns.gather(1, order), places.gather(1, order)
        self.count += len(pooled)
        exact = pooled.double()
        self.total = self.total + exact.sum(0)
        self.squares = self.squares + exact.square().sum(0)
        self.zeros = self.zeros + (pooled == 0).sum(0)
        self.low = torch.minimum(self.low, pooled.amin(0))
        self.high = torch.maximum(self.high, pooled.amax(0))


def run(
    target: Target,
    layers: Mapping[str, str],
    shard: Path,
    controls: Sequence[str],
    *,
    pooling: str,
    k: int,
    batch: int = BATCH,
) -> tuple[pa.Table, pa.Table, pa.Table]:
    """Pass one probe shard through the target.

    Parameters
    ----------
    layers : slug -> dotted layer name.
    shard : probe shard, in order of image id.
    controls : image ids whose activations are kept for every unit.
    pooling : ``mean`` or ``max``.
    k : images kept per unit.

    Returns
    -------
    Tables TOPK_PART, STATISTICS_PART and CONTROLS_PART.
    """
    rows = tables.read(shard, tables.PROBE, ["image_id", "image"])
    ids, files = rows["image_id"].to_pylist(), rows["image"]
    running = {slug: Running(k) for slug in layers}
    kept = set(controls)
    control_rows = []

    def load(i: int) -> Tensor:
        return target.preprocess.image(pictures.decode(files[i].as_py()))

    def run_batch(inputs: Tensor) -> dict[str, Tensor]:
        outputs = target.outputs(inputs, list(layers.values()))
        return {slug: pool(outputs[layer], pooling).float().cpu() for slug, layer in layers.items()}

    bar = tqdm(total=len(ids), desc="activations", unit="image", mininterval=5)
    for part, found in fixed_batches(range(len(ids)), load, BatchSize(batch, "activations"), run_batch):
        for slug in layers:
            pooled = found[slug][: len(part)]
            running[slug].add(pooled)
            control_rows += [
                {"slug": slug, "image_id": ids[i], "activations": pooled[j].numpy()}
                for j, i in enumerate(part)
                if ids[i] in kept
            ]
        bar.update(len(part))
    bar.close()
    return (
        pa.concat_tables([_topk_rows(slug, one, ids) for slug, one in running.items()]),
        pa.concat_tables([_statistics_rows(slug, one) for slug, one in running.items()]),
        tables.table(control_rows, tables.CONTROLS_PART),
    )


def _topk_rows(slug: str, one: Running, ids: Sequence[str]) -> pa.Table:
    units, k = one.values.shape
    columns = [
        pa.array([slug] * (units * k), pa.string()),
        pa.array(np.repeat(np.arange(units, dtype=np.int32), k)),
        pa.array(np.asarray(ids, object)[one.places.numpy().ravel()], pa.string()),
        pa.array(one.values.numpy().ravel()),
    ]
    return pa.Table.from_arrays(columns, schema=tables.TOPK_PART)


def _statistics_rows(slug: str, one: Running) -> pa.Table:
    units = len(one.values)
    columns = [
        pa.array([slug] * units, pa.string()),
        pa.array(np.arange(units, dtype=np.int32)),
        pa.array([one.count] * units, pa.int64()),
        pa.array(one.total.numpy()),
        pa.array(one.squares.numpy()),
        pa.array(one.zeros.numpy()),
        pa.array(one.low.numpy()),
        pa.array(one.high.numpy()),
    ]
    return pa.Table.from_arrays(columns, schema=tables.STATISTICS_PART)


def merge(topk: Sequence[Path], statistics: Sequence[Path], controls: Sequence[Path], slug: str, k: int) -> pa.Table:
    """Join the parts of all probe shards to one TOPK row per unit of a layer; ties break by image id."""
    import pyarrow.compute as pc

    where = pc.field("slug") == slug
    best: dict[int, list[tuple[float, str]]] = {}
    for row in tables.read(topk, tables.TOPK_PART, where=where).to_pylist():
        best.setdefault(row["unit"], []).append((-row["activation"], row["image_id"]))
    sums = tables.read(statistics, tables.STATISTICS_PART, where=where).to_pandas()
    held = sorted(tables.read(controls, tables.CONTROLS_PART, where=where).to_pylist(), key=lambda row: row["image_id"])
    matrix = np.array([row["activations"] for row in held], np.float32)
    grouped = sums.groupby("unit").agg(
        {"count": "sum", "total": "sum", "total_squares": "sum", "zeros": "sum", "low": "min", "high": "max"}
    )
    rows = []
    for unit, sums_of_unit in grouped.iterrows():
        top = heapq.nsmallest(k, best[int(unit)])
        mean = sums_of_unit["total"] / sums_of_unit["count"]
        variance = max(0.0, sums_of_unit["total_squares"] / sums_of_unit["count"] - mean**2)
        rows.append(
            {
                "unit": int(unit),
                "image_ids": [name for _, name in top],
                "activations": [-value for value, _ in top],
                "mean": mean,
                "std": variance**0.5,
                "fraction_zero": sums_of_unit["zeros"] / sums_of_unit["count"],
                "idle": idle(sums_of_unit["low"], sums_of_unit["high"]),
                "low": sums_of_unit["low"],
                "high": sums_of_unit["high"],
                "quantiles": np.quantile(matrix[:, int(unit)], QUANTILES).astype(np.float32),
                "controls": matrix[:, int(unit)],
            }
        )
    return tables.table(rows, tables.TOPK)


def idle(low: float, high: float, tolerance: float = 1e-6) -> str | None:
    """Return why a unit cannot be described: ``dead`` (zero for every image), ``constant``, or None.

    ``tolerance`` is the spread of a constant unit relative to its size, a few units in the last place of float32.
    """
    if low == high == 0:
        return "dead"
    return "constant" if high - low <= tolerance * max(abs(high), abs(low)) else None
