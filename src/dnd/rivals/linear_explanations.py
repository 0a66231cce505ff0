"""Linear Explanations (Oikarinen & Weng, ICML 2024): concepts whose probabilities, summed, predict a unit's activation.

With one term an explanation is the concept whose probability correlates best with the activation over all images of
the probe. With several it is a weighted sum, found on one half of the images and checked on the other by the released
greedy search. Sources are functions of the released ``linear_explanation.py``; what is done otherwise:

- weights are not negative, so that the terms can be joined by "or"; least squares are solved, not descended to;
- only concepts that correlate best on the first half are searched, so that long lists cost matrix products alone;
- halves are by hashes of the images' ids, in place of 70 and 10 % at random: nothing is kept back for a test, which is
  of other images here.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from sklearn.linear_model import ElasticNet, LinearRegression
from sklearn.preprocessing import StandardScaler
from tqdm import tqdm

from dnd.backends.embedder import Embedder, TextEmbedder
from dnd.config.rivals import LinearExplanationsRecipe
from dnd.io import halves, schemas, tables
from dnd.io.rows import Score
from dnd.rivals import embedded, inputs
from dnd.rivals.embedded import Vectors
from dnd.selection import evidence

log = logging.getLogger(__name__)
SOURCE = "linear-explanations"
SCREENED = 200
"""Concepts of a unit that are searched for terms: those that correlate best alone."""
LIKELIEST = 5
"""Images of a concept that tell whether the probe shows it at all (``concept_top5``)."""
SPARSITY, L1 = 0.05, 0.99
"""Strength of the elastic net that orders the concepts, and its share of the L1 norm (``train_glm_model``)."""
WIDTH = 10
"""Concepts that are tried for the next term (``greedy_search``)."""

Array = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.intp]


class Explanation(NamedTuple):
    """A sum of concepts.

    Attributes
    ----------
    terms : numbers of concepts, the largest weight first; none where no concept predicts the activation.
    weights : of each, above zero.
    r : Pearson's r of the sum and the activation over the images that it was checked with.
    """

    terms: list[int]
    weights: list[float]
    r: float


class Half(NamedTuple):
    """Half of the images: probabilities that they show concepts [images, concepts], and activations [images]."""

    p: Array
    activations: Array


def shown(recipe: LinearExplanationsRecipe, vectors: Vectors, words: Vectors) -> Array:
    """Return how likely images [images, d] show concepts [concepts, d]: [images, concepts]."""
    scale, bias = recipe.embedder.scale, recipe.embedder.bias
    assert scale is not None and bias is not None
    return evidence.shown(vectors, words, scale, bias)


def correlations(
    activations: Array, vectors: Vectors, words: Vectors, recipe: LinearExplanationsRecipe, fit: Numbers
) -> Array:
    """Return Pearson's r of each unit's activation and each concept's probability, float64 [units, concepts].

    It is -inf of a concept that the probe hardly shows, and 0 where either does not vary.

    Parameters
    ----------
    activations : [images, units].
    vectors, words : unit vectors of all images [images, d] and of the concepts [concepts, d].
    fit : places of the images that r is of.

    Source: the choice of ``active_concepts`` in the released ``explain_neurons.py``.
    """
    standard = StandardScaler().fit_transform(activations[fit])
    columns = []
    for part in embedded.parts(words):
        p = shown(recipe, vectors, part)
        likeliest = np.sort(p, axis=0)[-LIKELIEST:].mean(0)
        r = standard.T @ StandardScaler().fit_transform(p[fit]) / len(fit)
        columns.append(np.where(likeliest >= recipe.least, r, -np.inf))
    return np.concatenate(columns, axis=1)


def order(half: Half) -> list[int]:
    """Return concepts by their weights in an elastic net, the largest first; those without a weight as they come.

    Source: ``train_glm_model``; columns and activations are standardised as in ``get_glm_datasets``.
    """
    standard = StandardScaler().fit_transform(np.column_stack([half.p, half.activations]))
    net = ElasticNet(alpha=SPARSITY, l1_ratio=L1, positive=True, precompute=True).fit(standard[:, :-1], standard[:, -1])
    return [int(concept) for concept in np.argsort(-net.coef_, kind="stable")]


def search(fit: Half, check: Half, most: int, tolerance: float) -> Explanation:
    """Return the explanation of a unit by greedy search.

    The next term is that of the first ten concepts in order with which the refitted sum predicts the other half best.
    Of a concept that does not raise r by the tolerance no more is heard; where none does, the explanation is complete.

    Parameters
    ----------
    fit, check : the images that sums are fitted to, and those that r is of.
    most : terms at most.

    Source: ``greedy_search``.
    """
    waiting = order(fit)
    best = Explanation([], [], 0.0)
    while len(best.terms) < most:
        least = best.r + tolerance if best.terms else 0.0
        tried = {concept: weigh(fit, check, [*best.terms, concept]) for concept in waiting[:WIDTH]}
        leader = max(tried, key=lambda concept: tried[concept].r, default=None)
        if leader is None or tried[leader].r <= best.r or tried[leader].r < least:
            break
        dropped = {leader, *(concept for concept, sums in tried.items() if best.terms and sums.r < least)}
        best = tried[leader]
        waiting = [concept for concept in waiting if concept not in dropped]
    return best


def weigh(fit: Half, check: Half, terms: Sequence[int]) -> Explanation:
    """Return the sum of these concepts that predicts the activation best; those whose weight is zero are no terms.

    Source: ``train_linear_model``.
    """
    columns = list(terms)
    model = LinearRegression(positive=True).fit(fit.p[:, columns], fit.activations)
    r = evidence.pearson(model.predict(check.p[:, columns])[:, None], check.activations[:, None])
    weighted = sorted(zip(model.coef_.tolist(), columns, strict=True), key=lambda pair: -pair[0])
    kept = [(weight, term) for weight, term in weighted if weight > 0]
    return Explanation([term for _, term in kept], [weight for weight, _ in kept], float(r[0]))


def rows(unit: int, explanation: Explanation, concepts: Sequence[str]) -> list[Score]:
    """Return the SCORES rows of a unit: the terms joined by "or", with r, then each with its weight.

    Parameters
    ----------
    concepts : what the numbers of the terms name.
    """
    names = [concepts[term] for term in explanation.terms]
    if len(names) < 2:
        return [Score(unit, 0, name, SOURCE, None, explanation.r) for name in names]
    parts = list(range(1, len(names) + 1))
    whole = Score(unit, 0, evidence.phrase(names), SOURCE, None, explanation.r, parts=parts)
    named = zip(parts, names, explanation.weights, strict=True)
    return [whole, *(Score(unit, part, name, SOURCE, None, weight) for part, name, weight in named)]


def run(
    recipe: LinearExplanationsRecipe,
    images: Embedder,
    texts: TextEmbedder,
    topk: str | Path,
    shards: Sequence[Path],
    units: Sequence[int],
) -> pa.Table:
    """Return the SCORES table of the asked units that are not idle.

    With one term these are the ten concepts of largest r, otherwise what :func:`rows` makes of the explanation.

    Parameters
    ----------
    topk : TOPK of the layer with the activations of all images.
    units : the asked units.

    Raises
    ------
    ConceptSetError
        The recipe's file of concepts cannot be used.
    ValueError
        Activations of a part of the images only were kept.
    """
    concepts, words = embedded.concepts(recipe, texts)
    layer = inputs.activations(topk, shards)
    asked = sorted(set(units) & set(layer.units))
    if not asked:
        return tables.table([], schemas.SCORES)
    activations = layer.values[:, [layer.units.index(unit) for unit in asked]].astype(np.float64)
    by_image = embedded.of_images(images, shards, layer.image_ids)
    vectors = np.stack([by_image[name] for name in layer.image_ids])
    chooses = halves.choosing(layer.image_ids)
    first, second = np.flatnonzero(chooses), np.flatnonzero(~chooses)
    places = np.arange(len(vectors)) if recipe.terms == 1 else first
    scores: list[Score] = []
    every_r = correlations(activations, vectors, words, recipe, places)
    for unit, r, values in zip(tqdm(asked, SOURCE, unit="unit", mininterval=5), every_r, activations.T, strict=True):
        screened = [int(i) for i in np.argsort(-r, kind="stable")[:SCREENED] if r[i] > 0]
        if recipe.terms == 1:
            candidates = enumerate(screened[: inputs.CANDIDATES])
            scores += [Score(unit, number, concepts[i], SOURCE, None, float(r[i])) for number, i in candidates]
        elif screened:
            p = shown(recipe, vectors, words[screened])
            fit, check = (Half(p[half], values[half]) for half in (first, second))
            explanation = search(fit, check, recipe.terms, recipe.tolerance)
            log.info("unit %d: %d terms, r %.6f", unit, len(explanation.terms), explanation.r)
            scores += rows(unit, explanation, [concepts[i] for i in screened])
    return tables.table(scores, schemas.SCORES)
