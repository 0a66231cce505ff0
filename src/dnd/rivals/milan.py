"""MILAN: a trained describer reads a unit's most activating images, shown where the unit is active.

Source: Hernandez et al., ICLR 2022; exemplars as ``src/exemplars/compute.py`` of the released code makes them: whole
images, and of each the pixels at which the unit's map, enlarged, exceeds a quantile of its activations at all positions
of the probe.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from dnd.backends.batches import BatchSize
from dnd.backends.loading import device
from dnd.config.rivals import MilanRecipe
from dnd.io import pictures
from dnd.io.streams import chunks
from dnd.rivals import inputs, milan_decoding
from dnd.rivals.milan_model import Describer, joined
from dnd.target.network import Target, fixed_batches
from dnd.target.units import Reading

log = logging.getLogger(__name__)
BATCH = 32
CHUNK = 128
"""Images whose pixels are in memory at once."""
CANDIDATES = 5
"""Descriptions of a unit that are kept."""

Places = Mapping[int, Sequence[str]]
"""Unit -> its exemplars, best first."""


def mask(heat: Tensor | None, level: float, size: int) -> Tensor:
    """Return where an exemplar shows, float32 [1, 1, size, size] of zeros and ones.

    Parameters
    ----------
    heat : the unit's map float [h, w] on the image; None for a layer without positions, whose exemplars show whole.
    level : the activation that is to be exceeded.
    """
    if heat is None:
        return torch.ones(1, 1, size, size)
    large = F.interpolate(heat[None, None].float(), size=(size, size), mode="bilinear", align_corners=False)
    return (large > level).float()


def picture(image: Image.Image, frame: Sequence[float], size: int) -> Tensor:
    """Return the part of an image that the target sees, float32 [3, size, size] in [0, 1]."""
    seen = image.crop(tuple(round(value) for value in frame))  # type: ignore[arg-type]  # of four
    pixels = np.array(seen.resize((size, size), Image.Resampling.BILINEAR))
    return torch.from_numpy(pixels.transpose(2, 0, 1).copy()).float() / 255


def run(
    target: Target,
    layer: str,
    best: Places,
    shards: Sequence[Path],
    levels: Mapping[int, float],
    describer: Describer,
    settings: MilanRecipe,
    batch: int = BATCH,
) -> pa.Table:
    """Return the SCORES table of some units: up to five descriptions each, by log p(d | E) - penalty * log p(d).

    Parameters
    ----------
    best : unit -> its exemplars, best first, as many as the describer is to see.
    shards : of the probe, with these images.
    levels : unit -> the activation above which a pixel shows; ignored for a layer without positions.
    """
    describer = describer.to(device())
    features = exemplar_features(target, layer, best, shards, levels, describer, batch)
    found = []
    for unit in tqdm(sorted(best), "describe", unit="unit", mininterval=5):
        ranked = milan_decoding.descriptions(
            describer,
            features[unit].to(device()),
            beam=settings.beam,
            length=settings.length,
            penalty=settings.penalty,
            count=CANDIDATES,
        )
        found.append((unit, ranked))
    return inputs.scores(found, settings.method)


def exemplar_features(
    target: Target,
    layer: str,
    best: Places,
    shards: Sequence[Path],
    levels: Mapping[int, float],
    describer: Describer,
    batch: int = BATCH,
) -> dict[int, Tensor]:
    """Return unit -> what the describer's encoder sees of its exemplars, float32 [exemplars, features], best first."""
    places: dict[str, list[tuple[int, int]]] = {}
    for unit, names in best.items():
        for rank, name in enumerate(names):
            places.setdefault(name, []).append((unit, rank))
    found = {unit: torch.zeros(len(names), describer.encoder.features) for unit, names in best.items()}
    sizes = BatchSize(batch, "exemplars"), BatchSize(batch, "describer")
    with tqdm(total=len(places), desc="exemplars", unit="image", mininterval=5) as bar:
        for pixels in _chunks(shards, set(places)):
            heats = _maps(target, layer, pixels, places, sizes[0])
            for name, maps in _seen(target, describer, pixels, sizes[1]):
                for (unit, rank), heat in zip(places[name], heats[name], strict=True):
                    # one at a time, so that a unit's features do not depend on who shares its images
                    shown = mask(heat, levels.get(unit, 0.0), describer.encoder.size).to(device())
                    found[unit][rank] = joined(maps, shown)[0].cpu()
            bar.update(len(pixels))
    empty = sum(bool((one == 0).all(1).any()) for one in found.values())
    if empty:
        log.info("%d of %d units have exemplars that show nothing above the quantile", empty, len(found))
    return found


def _chunks(shards: Sequence[Path], wanted: set[str]) -> Iterator[dict[str, Image.Image]]:
    """Image id -> pixels, of some images at a time."""
    rows = pictures.rows(shards, wanted, ["image_id", "image"])
    for chunk in chunks(rows, CHUNK):
        yield {row["image_id"]: pictures.decode(row["image"]) for row in chunk}


def _maps(
    target: Target,
    layer: str,
    pixels: Mapping[str, Image.Image],
    places: Mapping[str, Sequence[tuple[int, int]]],
    size: BatchSize,
) -> dict[str, list[Tensor | None]]:
    """Image id -> the maps of the units that it is an exemplar of."""

    def load(name: str) -> Tensor:
        return target.preprocess.image(pixels[name])

    def run_batch(part: Sequence[str], batch: Tensor) -> list[list[Tensor | None]]:
        def take(_: str, reading: Reading) -> list[list[Tensor | None]]:
            found: list[list[Tensor | None]] = []
            for i, name in enumerate(part):
                maps = reading.maps(i, torch.tensor([unit for unit, _ in places[name]]))
                found.append([None] * len(places[name]) if maps is None else list(maps.cpu()))
            return found

        return target.read(batch, [layer], take)[layer]

    heats: dict[str, list[Tensor | None]] = {}
    for part, maps in fixed_batches(list(pixels), load, size, run_batch):
        heats.update(zip(part, maps, strict=True))
    return heats


@torch.inference_mode()
def _seen(
    target: Target, describer: Describer, pixels: Mapping[str, Image.Image], size: BatchSize
) -> Iterator[tuple[str, list[Tensor]]]:
    """Yield image ids with the encoder's maps [1, channels, h, w] of each layer."""

    def load(name: str) -> Tensor:
        return picture(pixels[name], target.preprocess.frame(*pixels[name].size), describer.encoder.size)

    def run_batch(part: Sequence[str], images: Tensor) -> list[Tensor]:
        return describer.encoder.maps(images.to(device()))

    for part, maps in fixed_batches(list(pixels), load, size, run_batch):
        for i, name in enumerate(part):
            yield name, [one[i : i + 1] for one in maps]
