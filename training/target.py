"""Train the target network: a classifier whose ``concepts`` layer is taught to show the planted predicates in place."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from dnd.shapeworld.render import SIZE
from dnd.shapeworld.target import CONFIG, PREPROCESS, UNITS, WEIGHTS, ConceptResNet
from dnd.shapeworld.world import ATTRIBUTES
from training.augment import degrade, scaled
from training.loop import device, fit, mixed
from training.planting import EMBEDDED, Planted, class_names, class_units, planted_units
from training.pool import Pool
from training.views import Views, background_boxes, cut, random_boxes, whole_boxes

log = logging.getLogger(__name__)
BATCH = 48
CROPPED = 20  # of a batch: two in five
WIDTHS, BLOCKS = (32, 64, 96, 112), (1, 1, 2, 2)
MEAN, STD = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)
MARGIN = 0.15  # below zero, where inactive locations shall lie before the ReLU
SCALING = 512  # renders that say how strongly a random unit answers
SHAPE_AXIS, PLACE_AXIS = list(ATTRIBUTES).index("shape"), list(ATTRIBUTES).index("background")


def normalised(x: Tensor) -> Tensor:
    """Normalise float [n, 3, h, w] in [0, 1] as ``preprocess.json`` says."""
    mean, std = torch.tensor(MEAN, device=x.device), torch.tensor(STD, device=x.device)
    return ((x - mean[:, None, None]) / std[:, None, None]).contiguous(memory_format=torch.channels_last)


class Truth:
    """What every taught unit must show in the object and in the background, given what of a scene can be seen.

    A cut-out may hide the object's outline or the background. A predicate is then certain when it holds for every
    value of the hidden attribute, ruled out when it holds for none, and otherwise it is not taught there.
    """

    def __init__(self, units: list[Planted]) -> None:
        tables = []
        for region in ("object", "background"):
            extension = np.stack([unit.extension(region) for unit in units], axis=-1)
            for axes in ((), (SHAPE_AXIS,), (PLACE_AXIS,), (SHAPE_AXIS, PLACE_AXIS)):
                certain = np.broadcast_to(extension.all(axis=axes, keepdims=True), extension.shape)
                possible = np.broadcast_to(extension.any(axis=axes, keepdims=True), extension.shape)
                tables.append(np.stack([certain, certain == possible]))
        # [region, hidden, (value, known), colour, texture, shape, background, unit]
        self._tables = torch.from_numpy(np.stack(tables)).reshape(2, 4, 2, *extension.shape)

    def __call__(self, labels: Tensor, views: Views) -> tuple[Tensor, Tensor]:
        """Return values and whether they are known, bool [n, units, region] each, for attribute indices [n, 4]."""
        hidden = (~views.outline_seen()).long() + 2 * (views.covered > 0.97).long()
        rows = self._tables[:, hidden, :, *labels.T]  # indices apart from one another: [n, region, 2, units]
        return rows[:, :, 0].movedim(1, 2), rows[:, :, 1].movedim(1, 2)


def batch_views(images: Tensor, masks: Tensor, generator: torch.Generator) -> Views:
    """Return the views of a batch: whole images, random cut-outs and a few cut-outs of background alone.

    Parameters
    ----------
    images : uint8 [n, 64, 64, 3]
    masks : bool [n, 64, 64]
    """
    boxes = whole_boxes(len(images))
    boxes[:CROPPED] = random_boxes(CROPPED, generator)
    boxes[:3] = background_boxes(masks[:3], generator)
    views = cut(scaled(images), masks, boxes)
    return Views(degrade(views.images, generator), views.masks, views.visible, views.covered)


def sharpened(share: Tensor) -> Tensor:
    """Return shares below a quarter as 0 and above three quarters as 1, so that maps do not spill over the outline."""
    return ((share - 0.25) * 2).clamp(0, 1)


def map_loss(raw: Tensor, covered: Tensor, value: Tensor, known: Tensor, weight: Tensor) -> Tensor:
    """Return the mean squared error of the maps before the ReLU, with a margin where they shall be inactive.

    Parameters
    ----------
    raw : float [n, units, h, w]
    covered : float [n, 1, h, w], share of each location that is object
    value, known : bool [n, units, 2] for the object and the background region
    weight : float [units], of active locations against inactive ones.
    """
    share = torch.stack([covered, 1 - covered], dim=2)  # [n, 1, 2, h, w]
    wanted = (share * value[..., None, None]).sum(2)
    taught = (share * known[..., None, None]).sum(2)
    active = (wanted - raw).square() * weight[:, None, None]
    inactive = F.relu(raw + MARGIN).square()
    return (torch.where(wanted > 0.02, active, inactive) * taught).mean()


@dataclass(frozen=True)
class Network:
    """A target network to be trained.

    Attributes
    ----------
    seed : of its first weights and of its batches.
    planted : seed of what its units stand for.
    minutes : of training.
    """

    seed: int = 0
    planted: int = EMBEDDED
    minutes: float = 18.0


NETWORKS = {
    "target": Network(),
    "target-tuning": Network(seed=1, planted=21, minutes=12.0),
    "target-test-1": Network(seed=2, planted=22, minutes=12.0),
    "target-test-2": Network(seed=3, planted=23, minutes=12.0),
    "target-test-3": Network(seed=4, planted=24, minutes=12.0),
}
"""Folder -> network: the embedded one, one more to tune methods on, and those that nothing but evaluation uses."""


def train(data: Pool, work: Path, name: str = "target") -> ConceptResNet:
    """Train trunk, concepts and classifier together; then plant the dead, constant and random units."""
    network = NETWORKS[name]
    torch.manual_seed(network.seed)
    units = planted_units(network.planted)
    taught = [unit for unit in units if unit.words]
    model = ConceptResNet(WIDTHS, BLOCKS, len(units), len(class_names()))
    model = model.to(device()).train()
    truth = Truth(taught)
    frequency = torch.tensor([unit.extension().mean() for unit in taught]).float().to(device())
    weight = (0.5 / frequency).clamp(min=1).sqrt()
    images, masks, labels = (torch.from_numpy(part) for part in (data.images, data.masks, data.labels))
    shapes = len(ATTRIBUTES["shape"])

    def loss(step: int) -> Tensor:
        rng = torch.Generator().manual_seed(network.seed * 1_000_000 + step)
        pick = torch.randint(len(images), (BATCH,), generator=rng)
        views = batch_views(images[pick], masks[pick], rng)
        value, known = (part.to(device()) for part in truth(labels[pick], views))
        with mixed():
            maps = model.features(normalised(views.images.to(device())))
            raw = model.concepts[0](maps)[:, : len(taught)]
            logits = model.fc(model.avgpool(maps).flatten(1))
        covered = sharpened(F.avg_pool2d(views.masks.to(device()), SIZE // maps.shape[-1]))
        classes = (labels[pick, 0] * shapes + labels[pick, SHAPE_AXIS]).to(device())
        seen = views.outline_seen().to(device())
        naming = F.cross_entropy(logits.float()[seen], classes[seen])
        return 4 * map_loss(raw.float(), covered, value, known, weight) + 0.3 * naming

    optimisers = [torch.optim.AdamW(model.parameters(), lr=2e-3, betas=(0.9, 0.98), weight_decay=0.01, fused=True)]
    fit(model, loss, optimisers, minutes=network.minutes, checkpoint=work / f"{name}.pt")
    model.eval()
    plant_meaningless(model, units, images[:SCALING], 11 + network.seed)
    return model


@torch.no_grad()
def plant_meaningless(model: ConceptResNet, units: list[Planted], images: Tensor, seed: int) -> None:
    """Overwrite the dead, constant and random units of ``concepts``; images uint8 [n, 64, 64, 3] scale the latter.

    Dead units are 0 and constant units one positive value for every input; random ones are :func:`random_unit`.
    """
    rng = torch.Generator().manual_seed(seed)
    layer = model.concepts[0]
    assert isinstance(layer, nn.Conv2d) and layer.bias is not None
    maps = model.features(normalised(scaled(images).to(layer.weight.device)))
    for unit in (unit for unit in units if not unit.words):
        layer.weight[unit.unit] = 0
        layer.bias[unit.unit] = -1.0 if unit.kind == "dead" else 0.5
        if unit.kind == "random":
            weight, bias = random_unit(maps, rng)
            layer.weight[unit.unit], layer.bias[unit.unit] = weight[:, None, None], bias


def random_unit(maps: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return weight [c] and bias [] of a random direction in feature maps [n, c, h, w], with a ReLU behind it.

    It has unit variance and is active at three locations in ten.
    """
    direction = torch.randn(maps.shape[1], generator=rng).to(maps.device)
    response = torch.einsum("nchw,c->nhw", maps, direction).flatten()
    scale = response.std()
    return direction / scale, -torch.quantile(response[::7], 0.7) / scale


def save_target(model: ConceptResNet, folder: Path, planted: int = EMBEDDED) -> None:
    """Write the weights in float16, the configurations and the ground truth, for :func:`dnd.shapeworld.target.load`."""
    folder.mkdir(parents=True, exist_ok=True)
    half = {
        name: (value.half() if value.is_floating_point() else value).contiguous()
        for name, value in model.state_dict().items()
    }
    save_file(half, folder / WEIGHTS)
    config = {
        "architecture": "dnd.shapeworld.target:load",
        "widths": WIDTHS,
        "blocks": BLOCKS,
        "units": len(planted_units(planted)),
        "classes": class_names(),
    }
    (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n")
    preprocess = {"size": SIZE, "mean": MEAN, "std": STD}
    (folder / PREPROCESS).write_text(json.dumps(preprocess) + "\n")
    layers = {"concepts": planted_units(planted), "fc": class_units()}
    lines = []
    for name, units in layers.items():
        rows = ",\n".join("  " + json.dumps(unit.record()) for unit in units)
        lines.append(f"{json.dumps(name)}: [\n{rows}\n]")
    (folder / UNITS).write_text("{\n" + ",\n".join(lines) + "\n}\n")
