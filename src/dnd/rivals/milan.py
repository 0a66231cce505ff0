"""MILAN: a trained describer reads a unit's most activating images, shown where the unit is active.

Source: Hernandez et al., ICLR 2022; exemplars as ``src/exemplars/compute.py`` of the released code makes them: whole
images, and of each the pixels at which the unit's map, enlarged, exceeds a quantile of its activations at all positions
of the probe.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
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
from dnd.rivals import inputs, milan_decoding, milan_files
from dnd.rivals.milan_model import Describer, joined
from dnd.rivals.thresholds import Maps, thresholds
from dnd.target.network import Target, fixed_batches

log = logging.getLogger(__name__)
BATCH = 32
CANDIDATES = 5
"""Descriptions of a unit that are kept."""


def mask(heat: Tensor, level: float, size: int) -> Tensor:
    """Return where an exemplar shows, float32 [1, 1, size, size] of zeros and ones.

    Parameters
    ----------
    heat : the unit's map float [h, w] on the image.
    level : the activation that is to be exceeded.
    """
    large = F.interpolate(heat[None, None].float(), size=(size, size), mode="bilinear", align_corners=False)
    return (large > level).float()


def picture(image: Image.Image, frame: Sequence[float], size: int) -> Tensor:
    """Return the part of an image that the target sees, float32 [3, size, size] in [0, 1]."""
    seen = image.crop(tuple(round(value) for value in frame))  # type: ignore[arg-type]  # of four
    pixels = np.array(seen.resize((size, size), Image.Resampling.BILINEAR))
    return torch.from_numpy(pixels.transpose(2, 0, 1).copy()).float() / 255


def of_layer(
    target: Target, layer: str, recipe: MilanRecipe, topk: str | Path, shards: Sequence[Path], units: Sequence[int]
) -> pa.Table:
    """Return the SCORES table of the asked units that are not idle: see :func:`run`.

    Parameters
    ----------
    topk : TOPK of the layer.
    shards : of the probe.

    Raises
    ------
    ModelError
        The describer cannot be read.
    ValueError
        TOPK keeps fewer images than the describer is to see.
    """
    kept, asked = inputs.best_images(topk, shards, recipe.images), set(units)
    best = {unit: row.image_ids for unit, row in kept.items() if unit in asked and row.image_ids}
    maps = Maps(target, layer, shards, list(best))
    return run(maps, best, thresholds(maps, 1 - recipe.quantile), milan_files.load(recipe.describer), recipe)


def run(
    maps: Maps,
    best: Mapping[int, Sequence[str]],
    levels: Tensor,
    describer: Describer,
    recipe: MilanRecipe,
    batch: int = BATCH,
) -> pa.Table:
    """Return the SCORES table of some units: up to five descriptions each, by log p(d | E) - penalty * log p(d).

    Parameters
    ----------
    maps, best, levels : as :func:`exemplar_features` takes them; as many exemplars as the describer is to see.
    """
    describer = describer.to(device())
    features = exemplar_features(maps, best, levels, describer, batch)
    labels = []
    for unit in tqdm(sorted(best), "describe", unit="unit", mininterval=5):
        ranked = milan_decoding.descriptions(
            describer, features[unit].to(device()), beam=recipe.beam, length=recipe.length, penalty=recipe.penalty
        )
        labels.append((unit, ranked[:CANDIDATES]))
    return inputs.scores(labels, recipe.method)


@torch.inference_mode()
def exemplar_features(
    maps: Maps, best: Mapping[int, Sequence[str]], levels: Tensor, describer: Describer, batch: int = BATCH
) -> dict[int, Tensor]:
    """Return unit -> what the describer's encoder sees of its exemplars, float32 [exemplars, features], best first.

    Parameters
    ----------
    maps : of the layer's units, in the order of the levels.
    best : unit -> the ids of its exemplars, best first.
    levels : float [units], the activations above which a pixel shows; not used where the layer has no positions.
    """
    places: dict[str, list[tuple[int, int]]] = {}
    for unit, names in best.items():
        for rank, name in enumerate(names):
            places.setdefault(name, []).append((unit, rank))
    encoder, columns = describer.encoder, {unit: i for i, unit in enumerate(maps.units)}
    heats: dict[tuple[int, str], Tensor] = {}
    for images, activations in maps.batches(set(places)):
        for image, heat in zip(images, activations, strict=True):
            for unit, _ in places.get(image.image_id, ()):
                heats[unit, image.image_id] = heat[columns[unit]].cpu().clone()

    def shown(unit: int, name: str) -> Tensor:
        if maps.grid is None:
            return torch.ones(1, 1, encoder.size, encoder.size)
        return mask(heats[unit, name], float(levels[columns[unit]]), encoder.size)

    def load(row: tuple[str, bytes]) -> Tensor:
        image = pictures.decode(row[1])
        return picture(image, maps.target.preprocess.frame(*image.size), encoder.size)

    def look(part: Sequence[object], inputs: Tensor) -> list[Tensor]:
        return encoder.maps(inputs.to(device()))

    features = {unit: torch.zeros(len(names), encoder.features) for unit, names in best.items()}
    read = pictures.rows(maps.shards, set(places), ["image_id", "image"])
    rows = ((row["image_id"], row["image"]) for row in read)
    with tqdm(total=len(places), desc="exemplars", unit="image", mininterval=5) as bar:
        for part, layers in fixed_batches(rows, load, BatchSize(batch, "describer"), look):
            for i, (name, _) in enumerate(part):
                # one at a time, so that a unit's features do not depend on who shares its images
                for unit, rank in places[name]:
                    visible = shown(unit, name).to(device())
                    features[unit][rank] = joined([layer[i : i + 1] for layer in layers], visible)[0].cpu()
            bar.update(len(part))
    empty = sum(bool((values == 0).all(1).any()) for values in features.values())
    if empty:
        log.info("%d of %d units have exemplars that show nothing above the quantile", empty, len(features))
    return features
