"""Score candidates by how strongly and exclusively their images excite the unit (paper section 3, step 3)."""

from __future__ import annotations

import io
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image
from tqdm import tqdm

from dnd.backends import embeddings
from dnd.backends.batches import BatchSize, prepared
from dnd.backends.embedder import Embedder, TextEmbedder, TransformersTextEmbedder
from dnd.config.recipes import Recipe
from dnd.config.stages import ScoreSettings
from dnd.io import pictures, schemas, tables
from dnd.io.rows import Concept, Controls, Drawn, Score
from dnd.io.store import Store
from dnd.io.streams import ahead, chunks
from dnd.selection import activation_rate, probe_scores, verdict
from dnd.selection.components import DrawnCandidate, combine, image_similarity, rank_scores, ranks
from dnd.selection.cosy import auc, mad
from dnd.target import compat
from dnd.target.network import Target, responses

log = logging.getLogger(__name__)
BATCH = 32
CONCEPTS = 16
"""Concepts whose images are looked at together, ten of each fill five batches; as many again are decoded ahead."""
Values = npt.NDArray[np.float32]


@dataclass(frozen=True)
class DrawnShard:
    """Some units of a layer whose candidates are drawn.

    Attributes
    ----------
    concepts : of these units only.
    images : files of IMAGES that hold all their concepts.
    exemplars : EXEMPLARS of the units.
    topk : file of TOPK of the layer, for the activations of the control images.
    probe : its shards.
    counted : DRAWN of the units, where each counts the first so many images of a concept; all when None.
    """

    concepts: Sequence[Concept]
    images: Sequence[Path]
    exemplars: pa.Table
    topk: Path
    probe: Sequence[Path]
    counted: pa.Table | None = None


def by_votes(concepts: Sequence[Concept]) -> pa.Table:
    """Return the SCORES table of candidates that nobody has drawn: the score is the share of a unit's answers."""
    answers = Counter[int]()
    for concept in concepts:
        answers[concept.unit] += concept.votes
    rows = [
        Score(row.unit, row.candidate, row.concept, row.source, row.votes, row.votes / (answers[row.unit] or 1))
        for row in sorted(concepts, key=lambda row: (row.unit, row.candidate))
    ]
    return tables.table(rows, schemas.SCORES)


def of_units(target: Target, layer: str, recipe: Recipe, shard: DrawnShard, store: str | Path) -> pa.Table:
    """Return the SCORES table of candidates of some units of a layer, by votes where a recipe draws nothing.

    Parameters
    ----------
    store : folder of the item stores.
    """
    if recipe.generator is None or recipe.embedder is None:
        return by_votes(shard.concepts)
    return run(
        target,
        layer,
        embeddings.StoredEmbedder(recipe.embedder, Store(Path(store, "vectors"))),
        shard,
        pooling=recipe.pooling_of_views,
        weights=recipe.scores,
        square=recipe.square,
        texts=TransformersTextEmbedder(recipe.embedder) if recipe.scores.reads_probe else None,
    )


def run(
    target: Target,
    layer: str,
    embedder: Embedder,
    shard: DrawnShard,
    *,
    pooling: str,
    weights: ScoreSettings,
    square: int | None = None,
    texts: TextEmbedder | None = None,
) -> pa.Table:
    """Return the SCORES table of some units, without candidates none of whose images can be used.

    Parameters
    ----------
    square : side of the square that exemplars are stretched to.
    texts : the embedder's text side, where ``weights.reads_probe``.
    """
    drawn = _drawn(target, layer, embedder, shard, pooling, weights.shrink)
    units = _units(embedder, shard, square, drawn)
    if weights.combination == "activation-rate":
        units = [unit for unit in (_verified(unit, weights) for unit in units) if unit.candidates]
    if weights.verdict is None:
        rows = [score for unit in units for score in _scores(unit, weights)]
        return tables.table(rows, schemas.SCORES)
    if texts is None:
        raise ValueError("`scores.verdict` needs an embedder that reads texts")
    fitted = verdict.load(weights.verdict)
    shown: dict[int, list[str]] = {concept.unit: [] for concept in shard.concepts}
    for unit, (image, _) in _places(shard.exemplars):
        shown[unit].append(image)
    probe = probe_scores.read(embedder, shard.topk, shard.probe, shown)
    wording = dict(zip(sorted(drawn), texts.embed_texts(sorted(drawn)), strict=True))
    rows = []
    for scored in units:
        seen = probe_scores.of_unit(scored.unit, probe, shown[scored.unit], scored.exemplars)
        rows += probe_scores.judged(scored.candidates, _scores(scored, weights), wording, seen, weights, fitted)
    return tables.table(rows, schemas.SCORES)


@dataclass(frozen=True)
class _Unit:
    """A unit and those of its candidates that have usable images.

    Attributes
    ----------
    controls : finite activations of the control images [n].
    exemplars : their unit vectors [k, d].
    """

    unit: int
    candidates: Sequence[DrawnCandidate]
    controls: Values
    exemplars: Values


def _units(
    embedder: Embedder, shard: DrawnShard, square: int | None, drawn: Mapping[str, _DrawnConcept]
) -> list[_Unit]:
    """The units that can be scored, sorted."""
    named: dict[int, list[Concept]] = {}
    for concept in shard.concepts:
        named.setdefault(concept.unit, []).append(concept)
    exemplars = _exemplars(embedder, shard, square)
    counted = tables.rows_of(shard.counted, Drawn) if shard.counted is not None else []
    first = {(row.unit, row.concept): row.images for row in counted}
    units = []
    for row in tables.rows(shard.topk, schemas.TOPK, Controls, pc.field("unit").isin(sorted(named))):
        controls = np.array(row.controls, np.float32)
        controls = controls[np.isfinite(controls)]
        if not len(controls):
            continue
        answers = sum(concept.votes for concept in named[row.unit]) or 1  # candidates of another recipe have none
        candidates = []
        for concept in named[row.unit]:
            images = drawn.get(concept.concept, NOTHING).first(first.get((row.unit, concept.concept)))
            if len(images.samples):
                activations = images.activations[row.unit]
                # a picture without a finite activation counts like the control image that excites the unit least
                finite = np.where(np.isfinite(activations), activations, controls.min())
                candidates.append(DrawnCandidate(concept, concept.votes / answers, finite, images.vectors))
        if candidates:
            units.append(_Unit(row.unit, candidates, controls, exemplars[row.unit]))
    return sorted(units, key=lambda unit: unit.unit)


def _scores(unit: _Unit, weights: ScoreSettings) -> list[Score]:
    """The rows of a unit's candidates, as their images tell them."""
    activations = [candidate.activations for candidate in unit.candidates]
    ranked = rank_scores(activations, first=weights.first_rank)
    near = similarities(unit.exemplars, [candidate.vectors for candidate in unit.candidates], activations, weights)
    components = [
        {"auc": auc(values, unit.controls), "mad": mad(values, unit.controls), "rank_score": rank}
        | {"image_similarity": similarity}
        for values, rank, similarity in zip(activations, ranked, near, strict=True)
    ]
    totals = _totals(components, unit, weights)
    scores = []
    for candidate, parts, total in zip(unit.candidates, components, totals, strict=True):
        row = candidate.concept
        score = Score(unit.unit, row.candidate, row.concept, row.source, row.votes, total)
        scores.append(Score(**{**score._asdict(), **parts, "activations": candidate.activations.tolist()}))
    return scores


def similarities(
    exemplars: Values, vectors: Sequence[Values], activations: Sequence[Values], weights: ScoreSettings
) -> list[float]:
    """Return the image similarity of each candidate of a unit.

    Parameters
    ----------
    exemplars : unit vectors [n, d].
    vectors, activations : of each candidate's images, unit vectors [m, d] and [m].
    weights : which images count, and what a candidate has none of whose images does.
    """
    if weights.compare_best is None:
        return [image_similarity(exemplars, images) for images in vectors]
    similar = []
    for images, best in zip(vectors, compat.among_best(activations, weights.compare_best), strict=True):
        if best.any() or weights.absent_similarity is None:
            similar.append(image_similarity(exemplars, images[best] if best.any() else images))
        else:
            similar.append(weights.absent_similarity)
    return similar


def _verified(unit: _Unit, weights: ScoreSettings) -> _Unit:
    return replace(unit, candidates=activation_rate.verified(unit.candidates, unit.controls, weights))


def _totals(components: Sequence[Mapping[str, float]], unit: _Unit, weights: ScoreSettings) -> list[float]:
    """The score of each candidate of a unit."""
    activations = [candidate.activations for candidate in unit.candidates]
    if weights.combination == "weighted":
        images = sum(map(len, activations))
        shares = [candidate.share for candidate in unit.candidates]
        each = zip(components, shares, strict=True)
        return [combine({**parts, "votes": share}, weights, images) for parts, share in each]
    if weights.combination == "activation-rate":
        return activation_rate.scores(activations, unit.controls, weights.rate_quantile)
    means = [float(part.mean()) for part in ranks(activations, weights.first_rank)]
    each_rank = zip(components, means, strict=True)
    return compat.combined(weights.combination, [{**parts, "mean_rank": mean} for parts, mean in each_rank])


@dataclass(frozen=True)
class _DrawnConcept:
    """The usable images of a concept, in order of sample.

    Attributes
    ----------
    activations : unit -> float32 [n], of the units that the concept is a candidate of.
    vectors : embeddings, float32 [n, d].
    samples : their numbers, [n].
    """

    activations: dict[int, Values]
    vectors: Values
    samples: npt.NDArray[np.int64]

    def first(self, count: int | None) -> _DrawnConcept:
        """The images among the first so many samples; all when None."""
        if count is None:
            return self
        few = self.samples < count
        activations = {unit: values[few] for unit, values in self.activations.items()}
        return _DrawnConcept(activations, self.vectors[few], self.samples[few])


NOTHING = _DrawnConcept({}, np.empty((0, 0), np.float32), np.empty(0, np.int64))


class _Image(NamedTuple):
    concept: str
    sample: int
    image: bytes
    problem: str | None


def _drawn(
    target: Target, layer: str, embedder: Embedder, shard: DrawnShard, pooling: str, shrink: int | None
) -> dict[str, _DrawnConcept]:
    """Look at the images of concepts, some at a time; a concept without a usable one is left out.

    Raises
    ------
    ValueError
        A concept has not been drawn.
    """
    users: dict[str, list[int]] = {}
    for concept in shard.concepts:
        users.setdefault(concept.concept, []).append(concept.unit)

    def decoded(row: _Image) -> tuple[_Image, Image.Image | None]:
        if row.problem is not None:
            return row, None
        image = Image.open(io.BytesIO(row.image)).convert("RGB")
        return row, image if shrink is None else pictures.squared(image, shrink)

    groups = tables.row_groups(shard.images, schemas.IMAGES, _Image._fields, ("concept", set(users)))
    looked = prepared(decoded, (row for group in groups for row in tables.rows_of(group, _Image)), BATCH)
    concepts = (list(images) for _, images in groupby(looked, lambda pair: pair[0].concept))
    absent, size = set(users), BatchSize(BATCH, "scores")
    samples: dict[str, list[tuple[int, Values, Values]]] = {}
    with tqdm(desc="scores", unit="image", mininterval=5) as bar:
        for chunk in ahead(chunks(concepts, CONCEPTS)):
            absent -= {row.concept for images in chunk for row, _ in images}
            usable = [[(row, image) for row, image in images if image is not None] for images in chunk]
            pixels = [[image for _, image in images] for images in usable if images]
            if pixels:
                excited = responses(target, layer, list(chain(*pixels)), pooling, size)
                vectors = np.concatenate(list(embedder.embed_groups(pixels)))
                for (row, _), values, vector in zip(chain(*usable), excited, vectors, strict=True):
                    sample = row.sample, values[users[row.concept]], vector
                    samples.setdefault(row.concept, []).append(sample)
            bar.update(sum(map(len, chunk)))
    if absent:
        raise ValueError(f"no generated images of {min(absent)!r} and {len(absent) - 1} other concepts")
    unusable = sorted(set(users) - set(samples))
    if unusable:
        log.warning("%d concepts are not scored: all images of %s are black or flagged", len(unusable), unusable[:5])
    return {concept: _gathered(users[concept], images) for concept, images in samples.items()}


def _gathered(units: Sequence[int], images: Sequence[tuple[int, Values, Values]]) -> _DrawnConcept:
    """The images of a concept, each its sample, activations of the units and vector, in order of sample."""
    numbers, values, vectors = zip(*sorted(images, key=lambda image: image[0]), strict=True)
    activations = dict(zip(units, np.stack(values, 1), strict=True))
    return _DrawnConcept(activations, np.stack(vectors), np.array(numbers))


def _places(exemplars: pa.Table) -> list[tuple[int, pictures.Place]]:
    """The unit and the place of each exemplar, in the order of the table."""
    return list(zip(exemplars["unit"].to_pylist(), pictures.places_of(exemplars), strict=True))


def _exemplars(embedder: Embedder, shard: DrawnShard, square: int | None) -> dict[int, Values]:
    """Unit -> embeddings [k, d] of its exemplars."""
    places = _places(shard.exemplars)
    vectors = embeddings.of_places(embedder, (place for _, place in places), shard.probe, square)
    by_unit: dict[int, list[Values]] = {}
    for unit, place in places:
        by_unit.setdefault(unit, []).append(vectors[place])
    return {unit: np.stack(stacked) for unit, stacked in by_unit.items()}
