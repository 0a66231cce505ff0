"""Units of the embedded target that mean several things at once, or one by degrees, made from its planted units.

No weights belong to it: which planted units go into a unit, and its noise, follow from a seed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from dnd.config import known_answers
from dnd.config.known_answers import KnownAnswer
from dnd.shapeworld import target
from dnd.shapeworld.target import ConceptResNet

LAYER = "superposed"
WEIGHTS = (1.0, 0.6, 0.3)
"""Of a unit's terms, the strongest first."""
PLANTED = ("single", "conjunction")
"""Kinds of planted units that terms are taken from."""
PEAK = 1.25
"""What the map of a planted unit reaches where its concept shows; in the embedded targets within two fifths."""
POWER = 0.5
"""Exponent of graded units: what they see a little of moves them much."""
FAINT = 1e-6
"""Below it a graded map is flat, where the root would have no slope."""
GRID = 8
"""Places along a side of the coarse image that noise follows from."""
TURNS = 30.0
"""Standard deviation in radians of the phase whose sine is the noise, for pixels of unit variance.

So large that scenes alike lie many turns apart: noise tells nothing of a scene.
"""
TERMS, NOISE = 1, 2
"""What sets the random numbers of a seed's terms apart from those of its noise."""


class Unit(NamedTuple):
    """What a unit is made of.

    Attributes
    ----------
    kind : ``graded`` (one term, to a power) or ``superposed`` (two or three).
    terms : planted units, the strongest first.
    """

    kind: str
    terms: tuple[int, ...]


def composition(answers: Mapping[int, KnownAnswer], units: int, seed: int) -> list[Unit]:
    """Return what each unit is made of: by turns one graded concept, a sum of two and a sum of three.

    The strongest terms are all different as long as there are planted units, and terms of a unit share no word.

    Parameters
    ----------
    answers : planted unit -> its known answer.
    """
    rng = np.random.default_rng([seed, TERMS])
    planted = sorted(unit for unit, answer in answers.items() if answer.kind in PLANTED)
    words = {unit: {word for words in answers[unit].words or () for word in words} for unit in planted}
    strongest = [int(unit) for unit in rng.permutation(planted)]
    made = []
    for number in range(units):
        terms = [strongest[number % len(strongest)]]
        for unit in map(int, rng.permutation(planted)):
            if len(terms) <= number % len(WEIGHTS) and not any(words[unit] & words[term] for term in terms):
                terms.append(unit)
        made.append(Unit("superposed" if terms[1:] else "graded", tuple(terms)))
    return made


class Superposition(nn.Module):
    """Weighted sums of maps, some to a power, with noise that follows from the image alone.

    Parameters
    ----------
    units : what each is made of.
    concepts : channels of the maps.
    noise : standard deviation over images, as a share of what a unit reaches where its strongest term shows.
    seed : of the noise.
    """

    weights: Tensor
    graded: Tensor
    directions: Tensor

    def __init__(self, units: Sequence[Unit], concepts: int, noise: float, seed: int) -> None:
        super().__init__()
        weights = torch.zeros(len(units), concepts)
        for row, unit in zip(weights, units, strict=True):
            row[list(unit.terms)] = torch.tensor(WEIGHTS[: len(unit.terms)])
        pixels = 3 * GRID**2
        drawn = np.random.default_rng([seed, NOISE]).standard_normal((len(units), pixels)) * TURNS / math.sqrt(pixels)
        self.noise = noise
        self.register_buffer("weights", weights)
        self.register_buffer("graded", torch.tensor([unit.kind == "graded" for unit in units]).view(-1, 1, 1))
        self.register_buffer("directions", torch.from_numpy(drawn).float())

    def forward(self, maps: Tensor, images: Tensor) -> Tensor:
        """Return maps [n, units, h, w] of 0 and more, for maps of concepts [n, c, h, w] of images [n, 3, H, W]."""
        sums = functional.conv2d(maps / PEAK, self.weights[..., None, None])
        sums = torch.where(self.graded, sums.clamp(min=FAINT) ** POWER, sums)
        phases = functional.linear(functional.adaptive_avg_pool2d(images, GRID).flatten(1), self.directions)
        waves = math.sqrt(2) * torch.sin(phases)  # of variance 1 over many turns
        return functional.relu(sums + self.noise * waves[..., None, None])


class SuperposedResNet(ConceptResNet):
    """The embedded target with a layer ``superposed``, which reads ``concepts`` and which nothing reads."""

    superposed: Superposition

    def forward(self, x: Tensor) -> Tensor:
        """Return class logits [n, classes]; hooks on ``superposed`` see its maps [n, units, h/4, w/4]."""
        maps = self.features(x)
        self.superposed(self.concepts(maps), x)
        return self.fc(torch.flatten(self.avgpool(maps), 1))


def load(folder: str | Path, seed: int = 0, units: int = 48, noise: float = 0.1) -> nn.Module:
    """Return the network of a folder with superposed and graded units, in evaluation mode, float32.

    Parameters
    ----------
    folder : of an embedded target, with its known answers.
    seed : chooses the terms and the noise.
    units : how many there are in ``superposed``.
    noise : its standard deviation, as a share of a unit's activation where its strongest term shows.
    """
    network = target.load_as(SuperposedResNet, folder)
    planted = known_answers.load(Path(folder) / target.UNITS)["concepts"]
    made = composition(planted, units, seed)
    network.superposed = Superposition(made, target.configuration(folder)["units"], noise, seed)
    return network.eval()


def answers(folder: str | Path, seed: int = 0, units: int = 48) -> dict[str, list[dict[str, object]]]:
    """Return the known answers of ``superposed`` as a file of them holds: a unit's strongest term is right.

    ``terms`` beside it names all terms, the strongest first.
    """
    planted = known_answers.load(Path(folder) / target.UNITS)["concepts"]
    rows: list[dict[str, object]] = []
    for number, unit in enumerate(composition(planted, units, seed)):
        strongest = planted[unit.terms[0]]
        terms = [planted[term].label for term in unit.terms]
        words = [list(part) for part in strongest.words or ()]
        rows.append({"unit": number, "kind": unit.kind, "words": words, "label": strongest.label, "terms": terms})
    return {LAYER: rows}
