"""Measure the shipped models on held-out renders: one function a model, each of which returns plain figures."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dnd.shapeworld.target import load
from training import captioner, embedder, measure, measure_captioner, measure_embedder, measure_target, sentences
from training.augment import scaled
from training.autoencoder import encode
from training.generator import load_generator
from training.judge import load_judge
from training.loop import device
from training.planting import planted_units
from training.pool import Pool, pool
from training.target import NETWORKS, normalised
from training.views import background_boxes, cut, inside_boxes, object_boxes, random_boxes, whole_boxes

log = logging.getLogger(__name__)
RENDERS = 2000
VIEWS = 600


def held_out(work: Path) -> Pool:
    """Return the renders that all measurements share."""
    return pool("held_out", RENDERS, work)


@torch.no_grad()
def decoded(models: Path, images: Tensor) -> Tensor:
    """Return uint8 images [n, 64, 64, 3] as the generator's autoencoder gives them back."""
    vae = load_generator(models / "generator").vae.to(device())
    parts = [vae.decode(part.to(device())).sample.cpu() for part in encode(vae, images).split(128)]
    pixels = (torch.cat(parts) / 2 + 0.5).clamp(0, 1)
    return (pixels * 255).round().to(torch.uint8).permute(0, 2, 3, 1)


def judge(models: Path, work: Path) -> dict[str, Any]:
    """Return accuracies on renders, and on renders that went through the generator's autoencoder."""
    renders, model = held_out(work), load_judge(models / "judge")
    passed = decoded(models, torch.from_numpy(renders.images[:VIEWS])).numpy()
    return {
        "held_out": measure.judge_accuracy(model, renders.images, renders.labels),
        "decoded": measure.judge_accuracy(model, passed, renders.labels[:VIEWS]),
    }


def generator(models: Path, work: Path) -> dict[str, Any]:
    """Return what the judge reads in pictures of whole captions and of every one-word concept."""
    return measure.generator_quality(load_generator(models / "generator"), load_judge(models / "judge"))


def target(name: str, models: Path, work: Path) -> dict[str, Any]:
    """Return how well the planted units of a network show what they stand for, and where."""
    renders, units = held_out(work), planted_units(NETWORKS[name].planted)
    model: Any = load(models / name)
    maps, logits = measure_target.concept_maps(model, normalised(scaled(torch.from_numpy(renders.images))))
    records = measure_target.planted_quality(maps, renders.masks, renders.labels, units)
    return {"summary": measure_target.target_summary(records, maps, logits, renders.labels, units), "units": records}


def captions(models: Path, work: Path) -> dict[str, Any]:
    """Return what captions get right and what they invent, by kind of cut-out."""
    renders = held_out(work)
    images, masks = (torch.from_numpy(part[:VIEWS]) for part in (renders.images, renders.masks))
    labels = renders.labels[:VIEWS]
    model, tools = captioner.load_captioner(models / "captioner")
    rng = torch.Generator().manual_seed(9)
    whole = cut(scaled(images), masks, whole_boxes(VIEWS)).images
    figures: dict[str, Any] = {
        "whole": measure_captioner.caption_accuracy(captioner.describe(model, tools, whole), labels)
    }
    cut_outs = {
        "object": object_boxes(masks, rng),
        "anywhere": random_boxes(VIEWS, rng),
        "inside": inside_boxes(masks, rng),
        "background": background_boxes(masks, rng),
    }
    for name, boxes in cut_outs.items():
        views = cut(scaled(images), masks, boxes)
        lines = captioner.describe(model, tools, views.images)
        figures[name] = measure_captioner.view_captions(lines, labels, views.visible.numpy(), views.covered.numpy())
    lines = captioner.describe(model, tools, scaled(decoded(models, images)))
    figures["decoded"] = measure_captioner.caption_accuracy(lines, labels)
    return figures


def embeddings(models: Path, work: Path) -> dict[str, Any]:
    """Return how well captions, values and concepts are found, and captions of cut-outs."""
    renders = held_out(work)
    images, masks = (torch.from_numpy(part[:VIEWS]) for part in (renders.images, renders.masks))
    model, tools = embedder.load_embedder(models / "embedder")

    def see(views: Tensor) -> Tensor:
        return embedder.embed_images(model, tools, views)

    def read(lines: Any) -> Tensor:
        return embedder.embed_texts(model, tools, lines)

    figures = measure_embedder.embedder_quality(see, read, scaled(images), renders.labels[:VIEWS])
    boxes = random_boxes(VIEWS, torch.Generator().manual_seed(4))
    views = cut(scaled(images), masks, boxes)
    lines = captioner.captions_of(renders, range(VIEWS), boxes, np.random.default_rng(0))
    return figures | {"cut-out retrieval": measure_embedder.distinct_retrieval(see(views.images), read, lines)}


def texts(models: Path, work: Path) -> dict[str, Any]:
    """Return how the sentence encoder's cosines follow what phrases denote, which takes no renders."""
    return sentences.sentences_quality(*sentences.load_sentences(models / "sentences"))


MEASURES: dict[str, Callable[[Path, Path], dict[str, Any]]] = {
    "judge": judge,
    "generator": generator,
    **{name: partial(target, name) for name in NETWORKS},
    "captioner": captions,
    "embedder": embeddings,
    "sentences": texts,
}
"""Model -> its measurement, a function of the folder of models and the work folder. The summariser is measured through
a server: ``python -m training.measure_summariser``."""
