"""Train MILAN's describer on annotated units of the training networks; the networks of the evaluation stay unseen."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from dnd.baselines import milan_decoding, milan_files
from dnd.baselines.milan_model import PYRAMID, Describer, PyramidEncoder, Vocabulary
from dnd.evaluation import agreement
from dnd.shapeworld.target import configuration, load
from dnd.shapeworld.train.annotations import annotation, conjunctions, disjunctions
from dnd.shapeworld.train.exemplar_sets import CLASS, Seen, Unit, look, planted_of
from dnd.shapeworld.train.loop import fit
from dnd.shapeworld.train.pool import Pool
from dnd.shapeworld.train.target import MEAN, STD
from dnd.shapeworld.world import everything, word_extension

log = logging.getLogger(__name__)
MINUTES = {"decoder": 5.0, "lm": 0.7}
NETWORKS = ("target", "target-tuning")
"""Whose units are annotated."""
TRUNK = "target"
"""Whose trunk is the encoder."""
IMAGES = 10000
"""Renders that the units' exemplars are chosen from."""
EXEMPLARS, ANNOTATORS, BATCH, LENGTH = 15, 3, 64, 15
SUBSET = 1200
"""Images of the smallest subset of renders that exemplars are the best of; a probe has about as many."""
MADE = 150
"""Disjunctions that are put together from the maps of a network's units, beside all conjunctions."""
PLANTED = 0.6
"""Share of a batch that are planted units."""
NOISE = 0.1
"""Added to the features in training, in standard deviations of each."""
SIZES: dict[str, Any] = {
    "decoder": {"embedding": 40, "hidden": 144, "attention": 48, "dropout": 0.3},
    "lm": {"embedding": 24, "hidden": 64, "layers": 2},
}


@dataclass(frozen=True)
class Annotated:
    """A unit's possible exemplars with what annotators wrote, int64 [annotations, <= 15] without start and stop."""

    seen: Seen
    texts: list[list[int]]


def held_out(units: Sequence[Unit], seed: int = 0) -> set[Unit]:
    """Return a fifth of the planted units, of each kind as many: what a describer is measured on."""
    rng = np.random.default_rng(seed)
    found: set[Unit] = set()
    for kind in sorted({unit.kind for unit in units if unit.clauses and unit.kind != CLASS}):
        of_kind = [unit for unit in units if unit.kind == kind]
        found |= {of_kind[i] for i in rng.permutation(len(of_kind))[: len(of_kind) // 5]}
    return found


def spared(unit: Unit, out: set[Unit]) -> bool:
    """Return whether a unit may be trained on: it is not held out, nor is a held-out conjunction or disjunction.

    Every network has units for single words and for groups, so that of these only the very unit is held out.
    """
    concepts = {one.concept for one in out if max(map(len, one.clauses)) > 1 or len(one.clauses) > 1}
    return unit not in out and (not unit.clauses or unit.concept not in concepts)


def trunk(models: Path) -> tuple[PyramidEncoder, dict[str, Any]]:
    """Return the encoder, the maps of a training network, and its part of the configuration."""
    found = configuration(models / TRUNK)
    config = {"network": "shapeworld", "widths": found["widths"], "blocks": found["blocks"]}
    config |= {"size": 64, "mean": MEAN, "std": STD}
    network: Any = load(models / TRUNK)
    network.concepts, network.fc = torch.nn.Sequential(), torch.nn.Identity()
    features = found["widths"][0] + sum(found["widths"])
    encoder = PyramidEncoder(network, PYRAMID, features, size=64, mean=MEAN, std=STD)
    return encoder.eval().requires_grad_(False), config


def annotated(models: Path, data: Pool, encoder: PyramidEncoder) -> list[Seen]:
    """Return all units of the training networks, planted and put together, with their possible exemplars."""
    images = torch.from_numpy(data.images[:IMAGES])
    found = []
    for seed, network in enumerate(NETWORKS):
        made = [(words,) for words in conjunctions()] + disjunctions(MADE, np.random.default_rng(seed))  # type: ignore[list-item]
        units = planted_of(models, network) + [Unit(network, None, "made", clauses) for clauses in made]
        found += look(models, network, units, images, encoder)
    return found


def exemplars(seen: Seen, rng: np.random.Generator) -> Tensor:
    """Return features float32 [15, features] of the best images, by mean or maximum, of a random subset of renders."""
    share = np.exp(rng.uniform(np.log(SUBSET / IMAGES), 0))
    order = seen.orders[int(rng.integers(len(seen.orders)))]
    kept = np.flatnonzero(rng.random(len(order)) < share)[:EXEMPLARS]
    if len(kept) < EXEMPLARS:  # what follows the candidates is not known
        kept = np.sort(rng.permutation(len(order))[:EXEMPLARS])
    return seen.features[order[torch.from_numpy(kept)]].float()


def train(
    data: Pool, models: Path, work: Path, out: set[Unit] | None = None, seen: Sequence[Seen] | None = None
) -> tuple[Describer, dict[str, Any]]:
    """Train decoder and language model on three annotations of every unit.

    Parameters
    ----------
    out : units that are held out, none when empty.
    seen : as :func:`annotated` finds them, to save time.

    Returns
    -------
    The describer, and its configuration for :func:`dnd.baselines.milan_files.save`.
    """
    torch.manual_seed(0)
    encoder, config = trunk(models)
    seen = annotated(models, data, encoder) if seen is None else seen
    seen = [one for one in seen if spared(one.unit, out or set())]
    rng = np.random.default_rng(0)
    texts = [[annotation(one.unit.clauses, rng) for _ in range(ANNOTATORS)] for one in seen]
    vocabulary = Vocabulary(tuple(sorted({word for lines in texts for line in lines for word in line.split()})))
    units = [
        Annotated(one, [vocabulary.tokens(line) for line in lines]) for one, lines in zip(seen, texts, strict=True)
    ]
    config = {"encoder": config, **SIZES}
    model = milan_files.build(config, vocabulary)
    model.encoder = encoder
    suffix = "" if out is None else "-held-out"
    _train_decoder(model, units, work / f"describer{suffix}.pt")
    _train_lm(model, units, work / f"describer-lm{suffix}.pt")
    return model.eval(), config


def save(model: Describer, config: dict[str, Any], folder: Path) -> None:
    """Write the describer, for :func:`dnd.baselines.milan_files.load`."""
    milan_files.save(model, config, folder)


def _draw(units: Sequence[Annotated], planted: Sequence[int], rng: np.random.Generator) -> list[Annotated]:
    """A batch of which a share are planted units."""
    count = round(PLANTED * BATCH)
    chosen = [planted[i] for i in rng.integers(len(planted), size=count)]
    return [units[i] for i in [*chosen, *rng.integers(len(units), size=BATCH - count)]]


def _rows(units: Sequence[Annotated], vocabulary: Vocabulary, rng: np.random.Generator) -> Tensor:
    """Annotations int64 [n, length + 2] with start and stop, padded."""
    lines = [one.texts[int(rng.integers(len(one.texts)))][:LENGTH] for one in units]
    rows = torch.full((len(lines), max(map(len, lines)) + 2), vocabulary.pad)
    for row, line in zip(rows, lines, strict=True):
        row[: len(line) + 2] = torch.tensor([vocabulary.start, *line, vocabulary.stop])
    return rows


def _planted(units: Sequence[Annotated]) -> list[int]:
    return [i for i, one in enumerate(units) if one.seen.unit.number is not None]


def _train_decoder(model: Describer, units: Sequence[Annotated], checkpoint: Path) -> None:
    scale = torch.cat([one.seen.features[::7].float() for one in units]).std(0).clamp(min=1e-3)
    decoder = torch.nn.ModuleDict(
        {name: part for name, part in model.named_children() if name not in ("encoder", "lm")}
    )
    planted = _planted(units)
    model.train()
    model.encoder.eval()

    def loss(step: int) -> Tensor:
        rng = np.random.default_rng([1, step])
        batch = _draw(units, planted, rng)
        features = torch.stack([exemplars(one.seen, rng) for one in batch]) / scale
        features = features + NOISE * torch.randn(features.shape, generator=torch.Generator().manual_seed(step))
        rows = _rows(batch, model.vocabulary, rng)
        logs, _ = model(features, rows[:, :-1])
        return F.nll_loss(logs.flatten(0, 1), rows[:, 1:].flatten(), ignore_index=model.vocabulary.pad)

    optimisers = [torch.optim.AdamW(decoder.parameters(), lr=2e-3, betas=(0.9, 0.98), weight_decay=0.02, fused=True)]
    fit(decoder, loss, optimisers, minutes=MINUTES["decoder"], checkpoint=checkpoint)
    scaled(model, scale)


@torch.no_grad()
def scaled(model: Describer, scale: Tensor) -> None:
    """Turn a decoder of features that were divided by ``scale`` [features] into one of the features themselves."""
    readers: list[Any] = [model.init_h[0], model.init_c[0], model.attend.key_to_hidden]  # torch types them too widely
    for layer in readers:
        layer.weight.div_(scale)
    model.lstm.weight_ih[:, model.embedding.embedding_dim :].div_(scale)


def _train_lm(model: Describer, units: Sequence[Annotated], checkpoint: Path) -> None:
    assert model.lm is not None
    lm, planted = model.lm, _planted(units)

    def loss(step: int) -> Tensor:
        rng = np.random.default_rng([2, step])
        rows = _rows(_draw(units, planted, rng), model.vocabulary, rng)
        return F.nll_loss(lm(rows[:, :-1]).flatten(0, 1), rows[:, 1:].flatten(), ignore_index=model.vocabulary.pad)

    optimisers = [torch.optim.AdamW(lm.parameters(), lr=3e-3, weight_decay=0.02, fused=True)]
    fit(lm.train(), loss, optimisers, minutes=MINUTES["lm"], checkpoint=checkpoint)


def truth(unit: Unit) -> Any:
    """Return the extension of a unit's concept."""
    found = ~everything()
    for words in unit.clauses:
        clause = everything()
        for word in words:
            clause &= word_extension(word)
        found |= clause
    return found


def measure(model: Describer, seen: Sequence[Seen], penalties: Sequence[float]) -> list[dict[str, Any]]:
    """Describe units from the best of one subset of renders, and return a record for each with each penalty."""
    records = []
    for i, one in enumerate(seen):
        features = exemplars(one, np.random.default_rng([3, i]))
        for penalty in penalties:
            found = milan_decoding.descriptions(model, features, beam=50, length=LENGTH, penalty=penalty, count=1)
            label = found[0][0] if found else None
            scores = agreement(label, truth(one.unit))
            records.append({"unit": one.unit, "penalty": penalty, "label": label, **scores})
    return records
