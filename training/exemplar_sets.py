"""Exemplars of training networks' units as the describer sees them: pooled activations, and features under masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from dnd.config import known_answers
from dnd.rivals.milan_model import PyramidEncoder
from dnd.shapeworld.render import SIZE
from dnd.shapeworld.target import UNITS, load
from dnd.shapeworld.world import attribute_of
from training.augment import scaled
from training.planting import Words
from training.target import normalised

BATCH = 64
CANDIDATES = 200
"""Best images of a unit that may be exemplars, by the mean and by the maximum of its map."""
QUANTILE = 0.99
CLASS = "class"
"""Kind of the units of ``fc``, which have no positions."""


@dataclass(frozen=True)
class Unit:
    """A unit that is annotated.

    Attributes
    ----------
    network : folder of its network.
    number : of a planted unit; None of one that is put together from the maps of planted units.
    kind : single, conjunction, abstraction, polysemantic, random, class, or made.
    clauses : a disjunction of conjunctions; empty of a random unit.
    """

    network: str
    number: int | None
    kind: str
    clauses: tuple[Words, ...]

    @property
    def concept(self) -> frozenset[frozenset[str]]:
        """What it stands for, whatever the order of the words."""
        return frozenset(frozenset(words) for words in self.clauses)


@dataclass(frozen=True)
class Seen:
    """The images that may be exemplars of one unit.

    Attributes
    ----------
    unit : the unit.
    orders : places in ``features`` of its best images, best first: int64 [ways of pooling, candidates].
    images : numbers of the images, int64 [kept], ascending.
    features : float16 [kept, features] of these images under the unit's masks.
    """

    unit: Unit
    orders: Tensor
    images: Tensor
    features: Tensor


def planted_of(models: Path, network: str) -> list[Unit]:
    """Return a network's planted units that are described, random ones included, and its classes."""
    layers = known_answers.load(models / network / UNITS)
    found = [
        Unit(network, answer.unit, answer.kind, answer.words or ())
        for name in ("concepts", "fc")
        for answer in layers[name].values()
    ]
    return [unit for unit in found if unit.kind not in ("dead", "constant")]


class Maps:
    """The maps of a network's units on some images, and those of concepts that are put together from them.

    A conjunction shows where the maps of all its words do; a disjunction where one of its clauses does. A word for a
    background shows elsewhere than what lies on it, so of a conjunction it says in which images.
    """

    def __init__(self, maps: Tensor, logits: Tensor, units: Sequence[Unit], scale: Tensor) -> None:
        self._maps, self._logits, self._scale = maps, logits, scale
        self._words = {unit.clauses[0][0]: unit.number for unit in units if unit.kind == "single" or _group(unit)}

    def __call__(self, unit: Unit) -> Tensor:
        """Return the maps float [n, h, w] of a unit; of a class [n, 1, 1]."""
        if unit.kind == CLASS:
            return self._logits[:, unit.number, None, None]
        if unit.number is not None:
            return self._maps[:, unit.number]
        return torch.stack([self._clause(words) for words in unit.clauses]).amax(0)

    def _clause(self, words: Words) -> Tensor:
        own = [self._word(word) for word in words if attribute_of(word) != "background"]
        places = [self._word(word) for word in words if attribute_of(word) == "background"]
        if not own:
            return places[0]
        found = torch.stack(own).amin(0)
        for place in places:
            found = found * place.amax((1, 2), keepdim=True).clamp(0, 1)
        return found

    def _word(self, word: str) -> Tensor:
        number = self._words[word]
        return self._maps[:, number] / self._scale[number]


def _group(unit: Unit) -> bool:
    return unit.kind == "abstraction" and len(unit.clauses[0]) == 1


@torch.inference_mode()
def look(models: Path, network: str, units: Sequence[Unit], images: Tensor, encoder: PyramidEncoder) -> list[Seen]:
    """Return what may be exemplars of a network's units among images uint8 [n, 64, 64, 3]."""
    model: Any = load(models / network)
    own = planted_of(models, network)
    concepts: list[Tensor] = []
    hook = model.concepts.register_forward_hook(lambda _module, _input, output: concepts.append(output.half()))
    logits = torch.cat([model(normalised(scaled(part))) for part in tqdm(images.split(BATCH), f"look with {network}")])
    hook.remove()
    maps = torch.cat(concepts).float()
    # the 99.5th percentile is about what a unit shows where its concept is
    scale = torch.stack([torch.quantile(one.flatten()[::97], 0.995) for one in maps.movedim(1, 0)]).clamp(min=1e-3)
    of = Maps(maps, logits, own, scale)
    ranked = [_ranked(of(unit)) for unit in tqdm(units, f"rank for {network}", mininterval=5)]
    return _features(of, units, ranked, images, encoder)


def _ranked(maps: Tensor) -> tuple[Tensor, float]:
    """The best images by mean and by maximum, int64 [2, candidates], and the level that a pixel has to exceed."""
    pooled = torch.stack([maps.mean((1, 2)), maps.amax((1, 2))])
    level = float(np.quantile(maps.flatten()[::7].numpy(), QUANTILE))
    return pooled.argsort(dim=1, descending=True, stable=True)[:, :CANDIDATES], level


def _features(
    of: Maps, units: Sequence[Unit], ranked: Sequence[tuple[Tensor, float]], images: Tensor, encoder: PyramidEncoder
) -> list[Seen]:
    """Run every image through the encoder once, and pool its maps under the masks of the units that it may show."""
    kept = [orders.unique() for orders, _ in ranked]
    found = [torch.empty(len(one), encoder.features, dtype=torch.float16) for one in kept]
    masks = [_masks(of(unit)[one], level, unit.kind) for unit, one, (_, level) in zip(units, kept, ranked, strict=True)]
    users: dict[int, list[tuple[int, int]]] = {}
    for i, one in enumerate(kept):
        for place, image in enumerate(one.tolist()):
            users.setdefault(image, []).append((i, place))
    for part in tqdm(torch.tensor(sorted(users)).split(BATCH), "features", mininterval=5):
        layers = encoder.maps(scaled(images[part]).contiguous())
        for row, image in enumerate(part.tolist()):
            shown = torch.stack([masks[i][place] for i, place in users[image]])[:, None].float()
            pooled = torch.cat([_pooled(layer[row], shown) for layer in layers], 1).half()
            for (i, place), values in zip(users[image], pooled, strict=True):
                found[i][place] = values
    return [
        Seen(unit, torch.searchsorted(one, orders), one, values)
        for unit, one, values, (orders, _) in zip(units, kept, found, ranked, strict=True)
    ]


def _masks(maps: Tensor, level: float, kind: str) -> Tensor:
    """Where images show, bool [n, 64, 64]."""
    if kind == CLASS:
        return torch.ones(len(maps), SIZE, SIZE, dtype=torch.bool)
    return F.interpolate(maps[:, None], size=(SIZE, SIZE), mode="bilinear", align_corners=False)[:, 0] > level


def _pooled(maps: Tensor, masks: Tensor) -> Tensor:
    """As :func:`dnd.rivals.milan_model.pooled`, of one image's maps [channels, h, w] under many masks."""
    weights = F.interpolate(masks, size=maps.shape[-2:], mode="bilinear", align_corners=False).flatten(1)
    total = weights.sum(1, keepdim=True)
    return (weights / torch.where(total > 0, total, 1)) @ maps.flatten(1).T
