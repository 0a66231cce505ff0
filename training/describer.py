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

from dnd.evaluation.agreement import agreement
from dnd.rivals import milan_decoding, milan_files
from dnd.rivals.milan_model import (
    PYRAMID,
    DecoderSizes,
    Describer,
    EncoderSettings,
    LanguageModelSizes,
    PyramidEncoder,
    Vocabulary,
)
from dnd.shapeworld.target import configuration, load
from dnd.shapeworld.world import SHAPE, everything, word_extension
from training.annotations import annotation, conjunctions, disjunctions
from training.exemplar_sets import CLASS, Seen, Unit, look, planted_of
from training.loop import fit
from training.pool import Pool
from training.target import MEAN, STD

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
SHARES = {"planted": 0.45, "class": 0.1, "word": 0.17, "conjunction": 0.18, "disjunction": 0.1}
"""Of a batch: units as they are planted, and those that are put together, by what they stand for."""
PREFERENCE = 1.0
"""How much a unit may prefer some of the images that it stands for, of half of the units: see :func:`exemplars`."""
NOISE = 0.1
"""Added to the features in training, in standard deviations of each."""
DECODER: DecoderSizes = {"embedding": 40, "hidden": 144, "attention": 48, "dropout": 0.3}
LANGUAGE_MODEL: LanguageModelSizes = {"embedding": 24, "hidden": 64, "layers": 2}


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


def trunk(models: Path) -> tuple[PyramidEncoder, EncoderSettings]:
    """Return the encoder, the maps of a training network, and its part of the configuration."""
    found = configuration(models / TRUNK)
    config: EncoderSettings = {
        "network": "shapeworld",
        "widths": found["widths"],
        "blocks": found["blocks"],
        "size": 64,
        "mean": MEAN,
        "std": STD,
    }
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


def exemplars(seen: Seen, labels: Tensor, rng: np.random.Generator) -> Tensor:
    """Return features float32 [15, features] of the best images, by mean or maximum, of a random subset of renders.

    Half of the time the unit is given a taste of its own: as every trained unit prefers some of the images it stands
    for, a unit for triangles those on water, say, it gets random weights for all values of the attributes, up to
    ``PREFERENCE``. Otherwise the describer would know no tastes but those of the training networks.

    Parameters
    ----------
    labels : int64 [images, attributes], of the renders.
    """
    order = seen.orders[int(rng.integers(len(seen.orders)))]
    share = np.exp(rng.uniform(np.log(SUBSET / IMAGES), 0))
    kept = np.flatnonzero(rng.random(len(order)) < share)
    if len(kept) < EXEMPLARS:  # what follows the candidates is not known
        kept = np.sort(rng.permutation(len(order))[:EXEMPLARS])
    if rng.random() < 0.5:
        scores = 1 - kept / len(order)
        shown = labels[seen.images[order[torch.from_numpy(kept)]]].numpy()
        strength = rng.uniform(0, PREFERENCE)
        for column, values in zip(shown.T, SHAPE, strict=True):
            scores = scores + strength * rng.normal(size=values)[column]
        kept = kept[np.argsort(-scores, kind="stable")]
    return seen.features[order[torch.from_numpy(kept[:EXEMPLARS])]].float()


def group_of(unit: Unit) -> str:
    """Return which of ``SHARES`` a unit belongs to."""
    if unit.number is not None:
        return "class" if unit.kind == CLASS else "planted"
    if len(unit.clauses) > 1:
        return "disjunction"
    return "word" if len(unit.clauses[0]) == 1 else "conjunction"


def train(
    data: Pool, models: Path, work: Path, out: set[Unit] | None = None, seen: Sequence[Seen] | None = None
) -> tuple[Describer, milan_files.DescriberSettings]:
    """Train decoder and language model on three annotations of every unit.

    Parameters
    ----------
    out : units that are held out, none when empty.
    seen : as :func:`annotated` finds them, to save time.

    Returns
    -------
    The describer, and its configuration for :func:`dnd.rivals.milan_files.save`.
    """
    torch.manual_seed(0)
    encoder, settings = trunk(models)
    seen = annotated(models, data, encoder) if seen is None else seen
    seen = [one for one in seen if spared(one.unit, out or set())]
    rng = np.random.default_rng(0)
    texts = [[annotation(one.unit.clauses, rng) for _ in range(ANNOTATORS)] for one in seen]
    vocabulary = Vocabulary(tuple(sorted({word for lines in texts for line in lines for word in line.split()})))
    units = [
        Annotated(one, [vocabulary.tokens(line) for line in lines]) for one, lines in zip(seen, texts, strict=True)
    ]
    config: milan_files.DescriberSettings = {"encoder": settings, "decoder": DECODER, "lm": LANGUAGE_MODEL}
    model = milan_files.build(config, vocabulary)
    model.encoder = encoder
    suffix = "" if out is None else "-held-out"
    _train_decoder(model, units, torch.from_numpy(data.labels), work / f"describer{suffix}.pt")
    _train_lm(model, units, work / f"describer-lm{suffix}.pt")
    return model.eval(), config


def save(model: Describer, config: milan_files.DescriberSettings, folder: Path) -> None:
    """Write the describer, for :func:`dnd.rivals.milan_files.load`."""
    milan_files.save(model, config, folder)


def _grouped(units: Sequence[Annotated]) -> list[list[Annotated]]:
    """The units of each of ``SHARES``, in its order."""
    return [[one for one in units if group_of(one.seen.unit) == name] for name in SHARES]


def _draw(groups: Sequence[Sequence[Annotated]], rng: np.random.Generator) -> list[Annotated]:
    chosen = rng.choice(len(groups), size=BATCH, p=list(SHARES.values()))
    return [groups[i][int(rng.integers(len(groups[i])))] for i in chosen]


def _rows(units: Sequence[Annotated], vocabulary: Vocabulary, rng: np.random.Generator) -> Tensor:
    """Annotations int64 [n, length + 2] with start and stop, padded."""
    lines = [one.texts[int(rng.integers(len(one.texts)))][:LENGTH] for one in units]
    rows = torch.full((len(lines), max(map(len, lines)) + 2), vocabulary.pad)
    for row, line in zip(rows, lines, strict=True):
        row[: len(line) + 2] = torch.tensor([vocabulary.start, *line, vocabulary.stop])
    return rows


def _train_decoder(model: Describer, units: Sequence[Annotated], labels: Tensor, checkpoint: Path) -> None:
    scale = torch.cat([one.seen.features[::7].float() for one in units]).std(0).clamp(min=1e-3)
    decoder = torch.nn.ModuleDict(
        {name: part for name, part in model.named_children() if name not in ("encoder", "lm")}
    )
    groups = _grouped(units)
    model.train()
    model.encoder.eval()

    def loss(step: int) -> Tensor:
        rng = np.random.default_rng([1, step])
        batch = _draw(groups, rng)
        features = torch.stack([exemplars(one.seen, labels, rng) for one in batch]) / scale
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
    lm, groups = model.lm, _grouped(units)

    def loss(step: int) -> Tensor:
        rng = np.random.default_rng([2, step])
        rows = _rows(_draw(groups, rng), model.vocabulary, rng)
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


def measure(model: Describer, seen: Sequence[Seen], labels: Tensor, penalties: Sequence[float]) -> list[dict[str, Any]]:
    """Describe units from the best of one subset of renders, and return a record for each with each penalty."""
    records = []
    for i, one in enumerate(seen):
        features = exemplars(one, labels, np.random.default_rng([3, i]))
        for penalty in penalties:
            found = milan_decoding.descriptions(model, features, beam=50, length=LENGTH, penalty=penalty)
            label = found[0][0] if found else None
            scores = agreement(label, truth(one.unit))
            records.append({"unit": one.unit, "penalty": penalty, "label": label, **scores})
    return records
