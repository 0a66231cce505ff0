"""CLIP-Dissect (Oikarinen & Weng, ICLR 2023): the words whose CLIP scores over the probe resemble a unit's activations.

The similarities are functions of P, float [images, concepts], the cosines of images and concepts, and of activations;
higher is better. ``cosine`` and ``cosine-cubed`` compare all images, the others a unit's most activating ones: their P
has a row for each of these, best first. Sources are functions of the released ``similarity.py``.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy.special import logsumexp, softmax
from tqdm import tqdm

from dnd.backends.embedder import Embedder, TextEmbedder
from dnd.config.rivals import ClipDissectRecipe
from dnd.rivals import embedded, inputs

log = logging.getLogger(__name__)
SOURCE = "clip-dissect"
SMALLEST_PROBABILITY = 1e-7
SMALLEST_NORM = 1e-3
"""``min_prob`` and ``min_norm`` of the released code."""
SMALLEST_MEAN = 1e-6
"""Of a concept's cosines in rank reorder: the released code has no number for a mean below zero."""

Array = npt.NDArray[np.floating]


def cosine(p: Array, activations: Array) -> Array:
    """Return the cosine of units' activations [images, units] with concepts' scores: float64 [units, concepts].

    Source: ``cos_similarity``.
    """
    return _unit(activations).T @ _unit(p)


def cosine_cubed(p: Array, activations: Array) -> Array:
    """Return the same of the cubes of both, less their means over the images: outliers count most.

    Source: ``cos_similarity_cubed``.
    """
    cubes = [(values - values.mean(0, dtype=np.float64)) ** 3 for values in (activations, p)]
    return _unit(cubes[0], SMALLEST_NORM).T @ _unit(cubes[1], SMALLEST_NORM)


def _unit(columns: Array, smallest: float = np.finfo(np.float64).tiny) -> Array:
    columns = columns.astype(np.float64)
    return columns / np.maximum(np.linalg.norm(columns, axis=0), smallest)


def rank_reorder(p: Array, best: Array, power: float = 3, scale: float = 0.5) -> Array:
    """Return minus the error made by dealing a unit's best activations out anew in the order of a concept's scores.

    Parameters
    ----------
    best : the unit's activations [images], falling.

    Returns
    -------
    float64 [concepts].

    Source: ``rank_reorder``, where the best are 5 % of the images. Its errors are in parts of that of five random
    orders; here of the mean over all orders, so that results repeat. That is one factor a unit: the order of its
    concepts does not depend on it.
    """
    best = best.astype(np.float64)
    places = np.argsort(np.argsort(p, axis=0, kind="stable"), axis=0, kind="stable")
    errors = np.mean(np.abs(best[:, None] - best[::-1][places]) ** power, axis=0)
    chance = np.mean(np.abs(best[:, None] - best[None, :]) ** power)
    mean = np.maximum(p.mean(0, dtype=np.float64), SMALLEST_MEAN)
    return -errors / (chance if chance > 0 else 1.0) / mean**scale


def log_evidence(p: Array, scale: float, inclusion: tuple[float, float]) -> Array:
    """Return log p(concept | unit), float64 [concepts], from a unit's best images, each of which counts by a chance.

    Parameters
    ----------
    scale : multiplier of the cosines before the softmax over the concepts.
    inclusion : chance that the best image counts, and that which the chances fall to behind the last. With 1 and 1
        every image counts for certain: WPMI, otherwise soft-WPMI.

    Source: ``soft_wpmi`` and ``wpmi``; paper section 3.
    """
    first, last = inclusion
    chances = first - np.arange(len(p)) / len(p) * (first - last)
    shares = softmax(scale * p, axis=1)
    return np.log1p(chances[:, None] * (shares - 1) + SMALLEST_PROBABILITY).sum(0)


def mutual_information(evidence: Array, penalty: float) -> Array:
    """Return log p(concept | unit) less ``penalty`` x log of its mean over the units, all [units, concepts]."""
    return evidence - penalty * (logsumexp(evidence, axis=0) - np.log(len(evidence)))


def run(
    recipe: ClipDissectRecipe,
    images: Embedder,
    texts: TextEmbedder,
    topk: str | Path,
    shards: Sequence[Path],
    units: Sequence[int],
) -> pa.Table:
    """Return the SCORES table of the asked units that are not idle: the ten best concepts of each.

    A concept's mean over the units is that of all units of the layer that are not idle, whichever are asked for.

    Parameters
    ----------
    topk : TOPK of the layer; for ``cosine`` and ``cosine-cubed`` with the activations of all images.
    units : the asked units.

    Raises
    ------
    ConceptSetError
        The recipe's file of concepts cannot be used.
    ValueError
        The table of the layer keeps fewer images than the recipe needs.
    """
    concepts, words = embedded.concepts(recipe, texts)
    compare = _of_all if recipe.similarity in ("cosine", "cosine-cubed") else _of_best
    live, scores = compare(recipe, words, images, topk, shards)
    wanted, labels = set(units), []
    for unit, values in zip(live, scores, strict=True):
        if unit in wanted:
            order = np.argsort(-values, kind="stable")[: inputs.CANDIDATES]
            labels.append((unit, [(concepts[i], float(values[i])) for i in order]))
    return inputs.scores(labels, SOURCE)


def _of_all(
    recipe: ClipDissectRecipe, words: Array, images: Embedder, topk: str | Path, shards: Sequence[Path]
) -> tuple[Sequence[int], Array]:
    """Units and their scores [units, concepts] by a similarity that looks at all images, some concepts at a time."""
    similarity = cosine if recipe.similarity == "cosine" else cosine_cubed
    layer = inputs.activations(topk, shards)
    vectors = embedded.of_images(images, shards, layer.image_ids)
    matrix = np.stack([vectors[name] for name in layer.image_ids])
    scores = [similarity(matrix @ part.T, layer.values) for part in embedded.parts(words)]
    return layer.units, np.concatenate(scores, axis=1)


def _of_best(
    recipe: ClipDissectRecipe, words: Array, images: Embedder, topk: str | Path, shards: Sequence[Path]
) -> tuple[Sequence[int], Array]:
    """Units and their scores [units, concepts] by a similarity that looks at their best images alone."""
    best = inputs.best_images(topk, shards, recipe.top)
    vectors = embedded.of_images(images, shards, (name for row in best.values() for name in row.image_ids))
    inclusion = recipe.inclusion if recipe.similarity == "soft-wpmi" else (1.0, 1.0)
    rows = []
    for names, activations in tqdm(best.values(), SOURCE, unit="unit", mininterval=5):
        seen = np.stack([vectors[name] for name in names])
        if recipe.similarity == "rank-reorder":
            rows.append(np.concatenate([rank_reorder(seen @ part.T, activations) for part in embedded.parts(words)]))
        else:
            rows.append(log_evidence(seen @ words.T, recipe.scale, inclusion))
    scores = np.stack(rows)
    return list(best), scores if recipe.similarity == "rank-reorder" else mutual_information(scores, recipe.penalty)
