"""CLIP-Dissect (Oikarinen & Weng, ICLR 2023): the words whose CLIP scores over the probe resemble a unit's activations.

The five similarities are functions of P, float [images, concepts], the cosines of images and concepts, and of
activations, float [images, units]; each returns float64 [units, concepts], higher is better. Equal activations rank in
the order of the images.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy.special import logsumexp, softmax
from tqdm import tqdm

from dnd.backends import embeddings
from dnd.backends.embedder import Embedder, TextEmbedder
from dnd.config.rivals import ClipDissectRecipe
from dnd.io import pictures
from dnd.rivals import inputs

log = logging.getLogger(__name__)
SOURCE = "clip-dissect"
CONCEPTS_AT_ONCE = 1024
SMALLEST_PROBABILITY = 1e-7
SMALLEST_NORM = 1e-3
"""``min_prob`` and ``min_norm`` of the released code."""
SMALLEST_MEAN = 1e-6
"""Of a concept's cosines in rank reorder: the released code has no number for a mean below zero."""

Array = npt.NDArray[Any]


def cosine(p: Array, activations: Array) -> Array:
    """Return the cosine of a unit's activations with a concept's scores.

    Source: ``cos_similarity`` of the released ``similarity.py``.
    """
    return _unit(activations).T @ _unit(p)


def cosine_cubed(p: Array, activations: Array) -> Array:
    """Return the cosine of the cubes of both, less their means over the images: outliers count most.

    Source: ``cos_similarity_cubed`` of the released ``similarity.py``.
    """
    cubes = [(one - one.mean(0, dtype=np.float64)) ** 3 for one in (activations, p)]
    return _unit(cubes[0], SMALLEST_NORM).T @ _unit(cubes[1], SMALLEST_NORM)


def _unit(columns: Array, smallest: float = np.finfo(np.float64).tiny) -> Array:
    columns = columns.astype(np.float64)
    return columns / np.maximum(np.linalg.norm(columns, axis=0), smallest)


def rank_reorder(p: Array, activations: Array, top: int, power: float = 3, scale: float = 0.5) -> Array:
    """Return minus the error made by dealing a unit's best activations out anew in the order of a concept's scores.

    Source: ``rank_reorder`` of the released ``similarity.py``, where ``top`` is 5 % of the images. Its errors are in
    parts of that of five random orders; here of the mean over all orders, so that results repeat. That is one factor a
    unit: the order of its concepts does not depend on it.
    """
    best = best_images(activations, top)
    return np.stack(
        [_reorder_errors(p[rows], one[rows], power, scale) for rows, one in zip(best.T, activations.T, strict=True)]
    )


def _reorder_errors(p: Array, best: Array, power: float = 3, scale: float = 0.5) -> Array:
    """Scores [concepts] of one unit from the rows of P for its best images, best first, and their activations."""
    best = best.astype(np.float64)
    places = np.argsort(np.argsort(p, axis=0, kind="stable"), axis=0, kind="stable")
    errors = np.mean(np.abs(best[:, None] - best[::-1][places]) ** power, axis=0)
    chance = np.mean(np.abs(best[:, None] - best[None, :]) ** power)
    mean = np.maximum(p.mean(0, dtype=np.float64), SMALLEST_MEAN)
    return -errors / (chance if chance > 0 else 1.0) / mean**scale


def soft_wpmi(
    p: Array,
    activations: Array,
    top: int = 100,
    scale: float = 10.0,
    penalty: float = 1.0,
    inclusion: tuple[float, float] = (0.998, 0.97),
) -> Array:
    """Return the pointwise mutual information of a concept and a unit's best images, each of which counts by a chance.

    Parameters
    ----------
    scale : multiplier of the cosines before the softmax over the concepts.
    penalty : weight of the logarithm of a concept's mean over the units.
    inclusion : chance that the best image counts, and that which the chances fall to behind the last.

    Source: ``soft_wpmi`` of the released ``similarity.py``; paper section 3.
    """
    best = best_images(activations, top)
    chances = inclusion_chances(best.shape[0], inclusion)
    shares = softmax(scale * p.astype(np.float64), axis=1)
    return mutual_information(np.stack([log_evidence(shares[rows], chances) for rows in best.T]), penalty)


def wpmi(p: Array, activations: Array, top: int = 28, scale: float = 2.0, penalty: float = 0.6) -> Array:
    """Return the same where every image counts for certain.

    Source: ``wpmi`` of the released ``similarity.py``.
    """
    return soft_wpmi(p, activations, top, scale, penalty, (1.0, 1.0))


def best_images(activations: Array, top: int) -> npt.NDArray[np.intp]:
    """Return the rows [min(top, images), units] of each unit's most activating images, best first."""
    return np.argsort(-activations, axis=0, kind="stable")[:top]


def inclusion_chances(top: int, inclusion: tuple[float, float]) -> Array:
    """Return float64 [top]: chances that fall evenly, from the first, by a ``top``-th of the difference each."""
    first, last = inclusion
    return first - np.arange(top) / top * (first - last)


def log_evidence(shares: Array, chances: Array) -> Array:
    """Return log p(concept | unit), float64 [concepts].

    Parameters
    ----------
    shares : p(concept | image) of the unit's best images, [top, concepts].
    chances : that an image counts, [top].
    """
    return np.log1p(chances[:, None] * (shares - 1) + SMALLEST_PROBABILITY).sum(0)


def mutual_information(evidence: Array, penalty: float) -> Array:
    """Return log p(concept | unit) less ``penalty`` x log of its mean over the units, all [units, concepts]."""
    prior = logsumexp(evidence, axis=0) - np.log(len(evidence))
    return evidence - penalty * prior


def run(
    recipe: ClipDissectRecipe,
    concepts: Sequence[str],
    images: Embedder,
    texts: TextEmbedder,
    *,
    topk: Path,
    shards: Sequence[Path],
    units: Sequence[int],
) -> pa.Table:
    """Return the SCORES table of the asked units that are not idle: the ten best concepts of each.

    A concept's mean over the units is that of all units of the layer that are not idle, whichever are asked for.

    Parameters
    ----------
    concepts : the words, as labels; ``recipe.prompt`` makes texts of them.
    topk : TOPK of the layer; for ``cosine`` and ``cosine-cubed`` with the activations of all images.
    units : the asked units.

    Raises
    ------
    ValueError
        The table of the layer keeps fewer images than the recipe needs.
    """
    words = texts.embed_texts([recipe.prompt.replace("{concept}", concept) for concept in concepts]).astype(np.float64)
    whole = recipe.similarity in ("cosine", "cosine-cubed")
    rows = _of_all(recipe, words, images, topk, shards) if whole else _of_best(recipe, words, images, topk, shards)
    live, found = rows
    wanted, best = set(units), []
    for unit, values in zip(live, found, strict=True):
        if unit in wanted:
            order = np.argsort(-values, kind="stable")[: inputs.CANDIDATES]
            best.append((unit, [(concepts[i], float(values[i])) for i in order]))
    return inputs.scores(best, SOURCE)


def _of_all(
    recipe: ClipDissectRecipe, words: Array, images: Embedder, topk: Path, shards: Sequence[Path]
) -> tuple[list[int], Array]:
    """Units and their scores [units, concepts] by a similarity that looks at all images, some concepts at a time."""
    compare = {"cosine": cosine, "cosine-cubed": cosine_cubed}[recipe.similarity]
    read = inputs.activations(topk, shards)
    vectors, _ = embedded(images, shards, None)
    parts = [compare(vectors @ some.T, read.values) for some in _some(words)]
    return read.units, np.concatenate(parts, axis=1)


def _of_best(
    recipe: ClipDissectRecipe, words: Array, images: Embedder, topk: Path, shards: Sequence[Path]
) -> tuple[list[int], Array]:
    """Units and their scores [units, concepts] by a similarity that looks at their best images alone."""
    best = inputs.best_images(topk, shards, recipe.top)
    vectors, places = embedded(images, shards, {name for ids, _ in best.values() for name in ids})

    def evidence(ids: Sequence[str], activations: Array) -> Array:
        shares = softmax(recipe.scale * (vectors[[places[name] for name in ids]] @ words.T), axis=1)
        return log_evidence(shares, inclusion_chances(len(ids), chances))

    def errors(ids: Sequence[str], activations: Array) -> Array:
        rows = vectors[[places[name] for name in ids]]
        return np.concatenate([_reorder_errors(rows @ some.T, activations) for some in _some(words)])

    chances = recipe.inclusion if recipe.similarity == "soft-wpmi" else (1.0, 1.0)
    one: Callable[[Sequence[str], Array], Array] = errors if recipe.similarity == "rank-reorder" else evidence
    found = np.stack([one(*own) for own in tqdm(best.values(), SOURCE, unit="unit", mininterval=5)])
    return list(best), found if recipe.similarity == "rank-reorder" else mutual_information(found, recipe.penalty)


def _some(words: Array) -> Iterator[Array]:
    """Vectors of some concepts at a time, so that no matrix of all images and all concepts is in memory."""
    for start in range(0, len(words), CONCEPTS_AT_ONCE):
        yield words[start : start + CONCEPTS_AT_ONCE]


def embedded(images: Embedder, shards: Sequence[Path], wanted: set[str] | None) -> tuple[Array, Mapping[str, int]]:
    """Return vectors float64 [n, d] of probe images, all or the wanted ones, and image id -> row, in order of id."""
    if wanted is None:
        wanted = {row["image_id"] for row in pictures.rows(shards, columns=["image_id"])}
    vectors = embeddings.of_places(images, ((name, None) for name in wanted), shards)
    order = sorted(wanted)
    stacked = np.stack([vectors[name, None] for name in order]).astype(np.float64)
    return stacked, {name: row for row, name in enumerate(order)}
