"""Score candidates by how strongly and exclusively their images excite the unit (paper section 3, step 3)."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from dnd.backends import embeddings
from dnd.backends.embedder import Embedder, TextEmbedder, TransformersTextEmbedder
from dnd.config.recipes import Recipe
from dnd.config.stages import ScoreSettings
from dnd.io import pictures, schemas, tables
from dnd.io.rows import Concept, Controls, Scales, Score
from dnd.selection import activation_rate, drawn, probe_scores
from dnd.selection import scales as embedder_scales
from dnd.selection.components import DrawnCandidate, image_similarity, rank_scores, ranks
from dnd.selection.cosy import auc, mad
from dnd.selection.drawn import DrawnConcept
from dnd.target import compat
from dnd.target.network import Target

log = logging.getLogger(__name__)
Values = npt.NDArray[np.float32]


@dataclass(frozen=True)
class DrawnShard:
    """Some units of a layer whose candidates are drawn.

    Attributes
    ----------
    concepts : of these units only.
    images : files of IMAGES that hold all concepts of the layer.
    exemplars : EXEMPLARS of the units.
    topk : file of TOPK of the layer, for the activations of the control images.
    probe : its shards.
    vocabulary : concepts of all units of the layer.
    scales : files of SCALES, where the embedder's are fitted.
    """

    concepts: Sequence[Concept]
    images: Sequence[Path]
    exemplars: pa.Table
    topk: Path
    probe: Sequence[Path]
    vocabulary: Sequence[str] = ()
    scales: Sequence[str | Path] = ()


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
    scales = embedder_scales.read(recipe.embedder, shard.scales)
    if recipe.scores.reads_probe and scales is None:
        log.warning("the answers alone decide: no pictures tell the embedder's scale; set `embedder.scale` and `bias`")
        return by_votes(shard.concepts)
    return run(
        target,
        layer,
        embeddings.load(recipe.embedder, store),
        shard,
        pooling=recipe.pooling_of_views,
        weights=recipe.scores,
        square=recipe.square,
        texts=TransformersTextEmbedder(recipe.embedder) if recipe.scores.reads_probe else None,
        scales=scales,
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
    scales: Scales | None = None,
) -> pa.Table:
    """Return the SCORES table of some units, without candidates none of whose images can be used.

    Parameters
    ----------
    square : side of the square that exemplars are stretched to.
    texts, scales : the embedder's text side and its scales, where ``weights.reads_probe``.
    """

    def units_of(concepts: Sequence[Concept]) -> list[_Unit]:
        users: dict[str, list[int]] = {}
        for concept in concepts:
            users.setdefault(concept.concept, []).append(concept.unit)
        pictured = drawn.look(target, layer, embedder, shard.images, users, pooling=pooling, shrink=weights.shrink)
        return _units(concepts, shard.topk, pictured, _exemplars(embedder, shard, square))

    if not weights.reads_probe:
        units = units_of(shard.concepts)
        if weights.combination == "activation-rate":
            units = [unit for unit in (_verified(unit, weights) for unit in units) if unit.candidates]
        return tables.table([score for unit in units for score in _scores(unit, weights)], schemas.SCORES)
    if texts is None or scales is None:
        raise ValueError("`combination: evidence` needs an embedder that reads texts, and its scales")
    shown: dict[int, list[str]] = {concept.unit: [] for concept in shard.concepts}
    for unit, (image, _) in _places(shard.exemplars):
        if unit in shown:  # all answers about another may be malformed
            shown[unit].append(image)
    probe = probe_scores.read(embedder, shard.topk, shard.probe, shown)
    vocabulary = sorted({*shard.vocabulary, *(concept.concept for concept in shard.concepts)})
    wording = dict(zip(vocabulary, texts.embed_texts(vocabulary), strict=True))
    rows = []
    for scored in units_of(_with_borrowed(shard.concepts, probe, wording, weights.borrow, scales)):
        seen = probe_scores.of_unit(scored.unit, probe, shown[scored.unit], scored.exemplars)
        rows += probe_scores.judged(scored.candidates, _scores(scored, weights), wording, seen, weights, scales)
    return tables.table(rows, schemas.SCORES)


def _with_borrowed(
    concepts: Sequence[Concept], probe: probe_scores.Probe, texts: Mapping[str, Values], count: int, scales: Scales
) -> list[Concept]:
    """The candidates of units, and after each unit's those that it borrows."""
    by_unit = _by_unit(concepts)
    named = {unit: [concept.concept for concept in candidates] for unit, candidates in by_unit.items()}
    joining = probe_scores.borrowed(probe, texts, named, count, scales)
    every = []
    for unit, candidates in by_unit.items():
        first = max(concept.candidate for concept in candidates) + 1
        every += candidates
        every += [
            candidates[0]._replace(
                candidate=first + place, concept=name, votes=0, samples=[], source=probe_scores.BORROWED
            )
            for place, name in enumerate(joining[unit])
        ]
    return every


def _by_unit(concepts: Sequence[Concept]) -> dict[int, list[Concept]]:
    by_unit: dict[int, list[Concept]] = {}
    for concept in concepts:
        by_unit.setdefault(concept.unit, []).append(concept)
    return by_unit


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
    concepts: Sequence[Concept], topk: Path, pictured: Mapping[str, DrawnConcept], exemplars: Mapping[int, Values]
) -> list[_Unit]:
    """The units that can be scored, sorted."""
    named = _by_unit(concepts)
    units = []
    for row in tables.rows(topk, schemas.TOPK, Controls, pc.field("unit").isin(sorted(named))):
        controls = np.array(row.controls, np.float32)
        controls = controls[np.isfinite(controls)]
        candidates = _candidates(named[row.unit], pictured, controls) if len(controls) else []
        if candidates:
            units.append(_Unit(row.unit, candidates, controls, exemplars[row.unit]))
    return sorted(units, key=lambda unit: unit.unit)


def _candidates(
    concepts: Sequence[Concept], pictured: Mapping[str, DrawnConcept], controls: Values
) -> list[DrawnCandidate]:
    """The candidates of a unit that have usable images."""
    candidates = []
    for concept in concepts:
        if (images := pictured.get(concept.concept)) is not None:
            activations = images.activations[concept.unit]
            # a picture without a finite activation counts like the control image that excites the unit least
            finite = np.where(np.isfinite(activations), activations, controls.min())
            candidates.append(DrawnCandidate(concept, finite, images.vectors))
    return candidates


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


def _totals(components: Sequence[Mapping[str, float]], unit: _Unit, weights: ScoreSettings) -> Sequence[float | None]:
    """The score of each candidate of a unit by a released function or its activation rate; by evidence, it follows."""
    activations = [candidate.activations for candidate in unit.candidates]
    if weights.combination == "evidence":
        return [None] * len(components)
    if weights.combination == "activation-rate":
        return activation_rate.scores(activations, unit.controls, weights.rate_quantile)
    means = [float(part.mean()) for part in ranks(activations, weights.first_rank)]
    each_rank = zip(components, means, strict=True)
    return compat.combined(weights.combination, [{**parts, "mean_rank": mean} for parts, mean in each_rank])


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
