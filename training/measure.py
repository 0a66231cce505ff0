"""Held-out measurements of the judge and the generator, and what measurements of all models share.

Every measurement is a pure function of models and pictures that returns plain figures.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from diffusers import StableDiffusionPipeline
from scipy.stats import rankdata

from dnd.shapeworld import grammar
from dnd.shapeworld.world import ATTRIBUTES, GROUPS, SHAPE, Extension, attribute_of, conjunction, sample_scene
from training.judge import Judge, judge_images

Images = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]

ABSTRACT: tuple[tuple[str, ...], ...] = (
    ("red",),
    ("striped",),
    ("star",),
    ("grass",),
    ("warm",),
    ("round",),
    ("pointed",),
    ("patterned",),
    ("blue", "square"),
    ("dotted", "circle"),
    ("yellow", "water"),
    ("cool", "star"),
)
"""Concepts whose prompts leave attributes open."""

SINGLE: tuple[tuple[str, ...], ...] = tuple(
    (word,) for word in (*(value for values in ATTRIBUTES.values() for value in values), *GROUPS)
)
"""Every concept of one word: all values, then all groups."""


def area_under_curve(scores: npt.NDArray[np.float64], positive: npt.NDArray[np.bool_]) -> float:
    """Return the area under the ROC curve (Mann-Whitney U, ties count half); NaN when one class is empty."""
    ups = int(positive.sum())
    downs = len(positive) - ups
    if not ups or not downs:
        return float("nan")
    return float((rankdata(scores)[positive].sum() - ups * (ups + 1) / 2) / (ups * downs))


def members(extension: Extension, labels: Labels) -> npt.NDArray[np.bool_]:
    """Return which of the images of attribute indices [n, 4] are in a concept, bool [n]."""
    return extension[tuple(labels.T)]


def judge_accuracy(model: Judge, images: Images, labels: Labels) -> dict[str, float]:
    """Return accuracy by attribute on images uint8 [n, 64, 64, 3] of attribute indices [n, 4]."""
    hits = judge_images(model, images) == labels
    return {name: round(float(hits[:, i].mean()), 4) for i, name in enumerate(ATTRIBUTES)}


def generate(
    pipeline: Any,
    prompts: Sequence[str],
    *,
    guidance: float,
    steps: int,
    seed: int,
    batch: int,
) -> Images:
    """Draw one image per prompt, uint8 [n, 64, 64, 3]; image ``i`` depends on ``seed`` and ``i`` alone."""
    drawn = []
    for start in range(0, len(prompts), batch):
        part = list(prompts[start : start + batch])
        noise = [torch.Generator().manual_seed(seed * 100003 + start + i) for i in range(len(part))]
        output = pipeline(
            part,
            num_inference_steps=steps,
            guidance_scale=guidance,
            generator=noise,
            output_type="np",
            height=64,
            width=64,
        )
        drawn.append(np.round(output.images * 255).astype(np.uint8))
    return np.concatenate(drawn)


def normalised_entropy(values: npt.NDArray[np.int64], size: int) -> float:
    """Return the entropy of a sample of ``size`` possible values: 0 for one value alone, 1 for a uniform sample.

    The largest entropy a sample of its length can have is taken as 1, so that short samples are not marked down.
    A sample of less than two values has an entropy of 0.
    """
    if len(values) < 2:
        return 0.0
    counts = np.bincount(values, minlength=size)
    share = counts[counts > 0] / counts.sum()
    return float(-(share * np.log(share)).sum() / np.log(min(size, len(values))))


def judge_concepts(
    pipeline: StableDiffusionPipeline,
    judge: Judge,
    concepts: Sequence[Sequence[str]] = ABSTRACT,
    *,
    each: int = 5,
    guidance: float = 2.0,
    steps: int = 12,
    seed: int = 0,
    batch: int = 30,
) -> dict[str, dict[str, float]]:
    """Draw pictures of concepts, prompted as the workflow does, and read them.

    Returns
    -------
    Phrase -> ``share`` of its pictures that are in the concept; ``variety`` and ``variety_least``, the mean and the
    least normalised entropy of what the phrase leaves open: the attributes it does not name, and which of its values
    stands for a group word (in the pictures that are in the concept).
    """
    phrases = [grammar.phrase(words) for words in concepts]
    prompts = [f"one realistic image of {phrase}" for phrase in phrases for _ in range(each)]
    images = generate(pipeline, prompts, guidance=guidance, steps=steps, seed=seed, batch=batch)
    read = judge_images(judge, images).reshape(len(concepts), each, -1)
    figures = {}
    for phrase, words, rows in zip(phrases, concepts, read, strict=True):
        right = members(conjunction(words), rows)
        entropies = open_entropies(words, rows, right)
        figures[phrase] = {
            "share": float(right.mean()),
            "variety": float(np.mean(entropies)),
            "variety_least": min(entropies),
        }
    return figures


def open_entropies(words: Sequence[str], labels: Labels, right: npt.NDArray[np.bool_]) -> list[float]:
    """Return the normalised entropies of what a concept leaves open, in pictures of attribute indices [n, 4].

    ``right`` are the pictures in the concept, bool [n]: among these the values of its group words are counted.
    """
    named = {attribute_of(word): word for word in words}
    entropies = []
    for i, name in enumerate(ATTRIBUTES):
        if name not in named:
            entropies.append(normalised_entropy(labels[:, i], SHAPE[i]))
        elif named[name] in GROUPS:
            entropies.append(normalised_entropy(labels[right, i], len(GROUPS[named[name]][1])))
    return entropies


def judge_captions(
    pipeline: StableDiffusionPipeline,
    judge: Judge,
    *,
    count: int = 60,
    guidance: float = 2.0,
    steps: int = 12,
    seed: int = 0,
    batch: int = 30,
) -> dict[str, float]:
    """Draw pictures of whole captions of random scenes; return the accuracy of each attribute and of ``all`` four."""
    rng = np.random.default_rng(seed)
    scenes = [sample_scene(rng) for _ in range(count)]
    prompts = [grammar.caption(scene, rng) for scene in scenes]
    images = generate(pipeline, prompts, guidance=guidance, steps=steps, seed=seed, batch=batch)
    hits = judge_images(judge, images) == np.array([scene.index for scene in scenes])
    return {name: float(hits[:, i].mean()) for i, name in enumerate(ATTRIBUTES)} | {"all": float(hits.all(1).mean())}


def judge_pipeline(
    pipeline: StableDiffusionPipeline,
    judge: Judge,
    *,
    full: int = 60,
    each: int = 5,
    guidance: float = 2.0,
    steps: int = 12,
    seed: int = 0,
    batch: int = 30,
) -> dict[str, float]:
    """Score a text-to-image pipeline by the judge's reading of its pictures.

    Parameters
    ----------
    full : prompts that are whole captions of random scenes.
    each : pictures for each of the ``ABSTRACT`` concepts.

    Returns
    -------
    Accuracy of the attributes in full captions, of all four together (``all``), the mean and least share of abstract
    pictures in their concept (``abstract``, ``abstract_worst``), and their mean ``variety``.
    """
    result = judge_captions(pipeline, judge, count=full, guidance=guidance, steps=steps, seed=seed, batch=batch)
    concepts = judge_concepts(
        pipeline, judge, each=each, guidance=guidance, steps=steps, seed=seed + 1, batch=batch
    ).values()
    shares = [figures["share"] for figures in concepts]
    result |= {
        "abstract": float(np.mean(shares)),
        "abstract_worst": min(shares),
        "variety": float(np.mean([figures["variety"] for figures in concepts])),
    }
    return {name: round(value, 3) for name, value in result.items()}


def generator_quality(
    pipeline: StableDiffusionPipeline,
    judge: Judge,
    *,
    full: int = 60,
    each: int = 30,
    guidance: float = 2.0,
    steps: int = 12,
    batch: int = 30,
) -> dict[str, Any]:
    """Score a text-to-image pipeline on whole captions and on every concept of one word.

    Parameters
    ----------
    each : pictures of each concept; the entropy of six values is 5 % too low in a sample of 30.

    Returns
    -------
    ``full``: accuracies of :func:`judge_captions`; ``prompts``: figures of :func:`judge_concepts`; ``abstract``: mean
    and least of those; and how it was asked.
    """
    asked: dict[str, Any] = {"guidance": guidance, "steps": steps, "batch": batch}
    whole = judge_captions(pipeline, judge, count=full, **asked)
    prompts = judge_concepts(pipeline, judge, SINGLE, each=each, seed=1, **asked)
    shares = [figures["share"] for figures in prompts.values()]
    varieties = [figures["variety"] for figures in prompts.values()]
    return {
        "asked": {"guidance": guidance, "steps": steps, "full": full, "each": each},
        "full": {name: round(value, 4) for name, value in whole.items()},
        "abstract": {
            "share": round(float(np.mean(shares)), 4),
            "share_least": round(min(shares), 4),
            "variety": round(float(np.mean(varieties)), 4),
            "variety_least": round(min(varieties), 4),
        },
        "prompts": {
            phrase: {name: round(value, 4) for name, value in figures.items()} for phrase, figures in prompts.items()
        },
    }
