"""Score candidates by how strongly and exclusively their images excite the unit (paper section 3, step 3)."""

from __future__ import annotations

import io
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, groupby
from pathlib import Path
from typing import Any

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
from dnd.io.store import Store
from dnd.io.streams import ahead, chunks
from dnd.selection import probe_scores
from dnd.selection import verdict as verdicts
from dnd.selection.components import combine, image_similarity, rank_scores, ranks
from dnd.selection.cosy import auc, mad
from dnd.target import compat
from dnd.target.network import Target, responses

log = logging.getLogger(__name__)
BATCH = 32
CONCEPTS = 16
"""Concepts whose images are looked at together, ten of each fill five batches; as many again are decoded ahead."""
IMAGE_COLUMNS = ["concept", "sample", "image", "problem"]
PROBED = ("fit", "gap", "hard", "agreement", "bimodality", "parts", "shares")
"""Columns that only the probe can tell."""
Values = npt.NDArray[np.float32]


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
        return [image_similarity(exemplars, own) for own in vectors]
    found = []
    for own, chosen in zip(vectors, compat.among_best(activations, weights.compare_best), strict=True):
        if chosen.any() or weights.absent_similarity is None:
            found.append(image_similarity(exemplars, own[chosen] if chosen.any() else own))
        else:
            found.append(weights.absent_similarity)
    return found


def by_votes(concepts: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Return the SCORES table of candidates that nobody has drawn: the score is the share of a unit's answers.

    Parameters
    ----------
    concepts : rows of CONCEPTS of one layer.
    """
    answers = Counter[int]()
    for row in concepts:
        answers[row["unit"]] += row["votes"]
    unknown = dict.fromkeys(("auc", "mad", "rank_score", "image_similarity", *PROBED, "activations"))
    rows = [
        {"unit": row["unit"], "candidate": row["candidate"], "concept": row["concept"], "source": row["source"]}
        | {"votes": row["votes"], "score": row["votes"] / (answers[row["unit"]] or 1), **unknown}
        for row in sorted(concepts, key=lambda row: (row["unit"], row["candidate"]))
    ]
    return tables.table(rows, schemas.SCORES)


def of_units(
    target: Target,
    layer: str,
    recipe: Recipe,
    concepts: Sequence[Mapping[str, Any]],
    images: Sequence[Path],
    exemplars: pa.Table,
    topk: Path,
    shards: Sequence[Path],
    store: str | Path,
    drawn: pa.Table | None = None,
) -> pa.Table:
    """Return the SCORES table of candidates of some units of a layer, by votes where a recipe draws nothing.

    Parameters
    ----------
    concepts : rows of CONCEPTS of the units.
    images : files of IMAGES.
    topk : file of TOPK of the layer.
    shards : of the probe.
    store : folder of the item stores.
    drawn : DRAWN, where candidates were drawn unit by unit.
    """
    if recipe.generator is None or recipe.embedder is None:
        return by_votes(concepts)
    return run(
        target,
        layer,
        embeddings.StoredEmbedder(recipe.embedder, Store(Path(store, "vectors"))),
        concepts=concepts,
        images=images,
        exemplars=exemplars,
        topk=topk,
        probe_shards=shards,
        pooling=recipe.pooling_of_views,
        weights=recipe.scores,
        square=recipe.square,
        counted=drawn,
        texts=TransformersTextEmbedder(recipe.embedder) if recipe.scores.reads_probe else None,
    )


def run(
    target: Target,
    layer: str,
    embedder: Embedder,
    *,
    concepts: Sequence[Mapping[str, Any]],
    images: Sequence[Path],
    exemplars: pa.Table,
    topk: Path,
    probe_shards: Sequence[Path],
    pooling: str,
    weights: ScoreSettings,
    square: int | None = None,
    counted: pa.Table | None = None,
    texts: TextEmbedder | None = None,
) -> pa.Table:
    """Return the SCORES table of some units, without candidates none of whose images can be used.

    Parameters
    ----------
    concepts : rows of CONCEPTS for these units only.
    images : files of IMAGES that hold all their concepts.
    exemplars : EXEMPLARS of these units.
    topk : TOPK of the layer, for the activations of the control images.
    square : side of the square that exemplars are stretched to.
    texts : the embedder's text side, where ``weights.reads_probe``.
    counted : DRAWN of these units, where each counts the first so many images of a concept; all when None.
    """
    by_unit: dict[int, list[Mapping[str, Any]]] = {}
    for row in concepts:
        by_unit.setdefault(row["unit"], []).append(row)
    drawn = _drawn(target, layer, embedder, concepts, images, pooling, weights.shrink)
    shown = _shown(embedder, exemplars, probe_shards, square)
    control = {
        row["unit"]: _finite(np.array(row["controls"], np.float32))
        for row in tables.read(
            topk, schemas.TOPK, ["unit", "controls"], pc.field("unit").isin(sorted(by_unit))
        ).to_pylist()
    }
    first: dict[int, dict[str, int]] = {}
    for row in counted.to_pylist() if counted is not None else []:
        first.setdefault(row["unit"], {})[row["concept"]] = row["images"]
    names = _exemplars_of(exemplars)
    seen, verdict = None, None
    wording: dict[str, Values] = {}
    if weights.verdict is not None:
        if texts is None:
            raise ValueError("`scores.verdict` needs an embedder that reads texts")
        verdict = verdicts.load(weights.verdict)
        seen = probe_scores.read(embedder, topk, probe_shards, {unit: names[unit] for unit in by_unit})
        wording = dict(zip(sorted(drawn), texts.embed_texts(sorted(drawn)), strict=True))
    rows = []
    for unit, asked in sorted(by_unit.items()):
        counts = first.get(unit, {})
        own_images = {
            row["concept"]: drawn[row["concept"]].first(counts.get(row["concept"]))
            for row in asked
            if row["concept"] in drawn
        }
        candidates = [row for row in asked if row["concept"] in own_images and len(own_images[row["concept"]].samples)]
        if not candidates or not len(control[unit]):
            continue
        answers = sum(row["votes"] for row in asked) or 1  # candidates of another recipe have none
        activations = [own_images[row["concept"]].activations[unit] for row in candidates]
        # a picture without a finite activation counts like the control image that excites the unit least
        activations = [np.where(np.isfinite(own), own, control[unit].min()) for own in activations]
        vectors = [own_images[row["concept"]].vectors for row in candidates]
        ranked = rank_scores(activations, first=weights.first_rank)
        near = similarities(shown[unit], vectors, activations, weights)
        components = [
            {
                "auc": auc(own, control[unit]),
                "mad": mad(own, control[unit]),
                "rank_score": rank,
                "image_similarity": one,
            }
            for own, rank, one in zip(activations, ranked, near, strict=True)
        ]
        shares = [row["votes"] / answers for row in candidates]
        known = [
            {name: row[name] for name in ("unit", "candidate", "concept", "source", "votes")}
            | parts
            | {"activations": own}
            for row, own, parts in zip(candidates, activations, components, strict=True)
        ]
        if seen is not None and verdict is not None:
            judging = [
                probe_scores.Candidate(row, share, own, wording[row["concept"]])
                for row, share, own in zip(known, shares, vectors, strict=True)
            ]
            rows += probe_scores.judged(unit, judging, names[unit], shown[unit], seen, weights, verdict)
            continue
        totals = _totals(components, shares, activations, weights)
        unasked = dict.fromkeys(PROBED)
        rows += [{**row, "score": total, **unasked} for row, total in zip(known, totals, strict=True)]
    return tables.table(rows, schemas.SCORES)


def _totals(
    components: Sequence[Mapping[str, float]],
    shares: Sequence[float],
    activations: Sequence[Values],
    weights: ScoreSettings,
) -> list[float]:
    """The score of each candidate of a unit."""
    if weights.combination == "weighted":
        images = sum(map(len, activations))
        each = zip(components, shares, strict=True)
        return [combine({**parts, "votes": share}, weights, images) for parts, share in each]
    means = [float(part.mean()) for part in ranks(activations, weights.first_rank)]
    each_rank = zip(components, means, strict=True)
    return compat.combined(weights.combination, [{**parts, "mean_rank": mean} for parts, mean in each_rank])


def _finite(values: Values) -> Values:
    return values[np.isfinite(values)]


@dataclass(frozen=True)
class _Drawn:
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

    def first(self, count: int | None) -> _Drawn:
        """The images among the first so many samples; all when None."""
        if count is None:
            return self
        few = self.samples < count
        return _Drawn({unit: own[few] for unit, own in self.activations.items()}, self.vectors[few], self.samples[few])


def _drawn(
    target: Target,
    layer: str,
    embedder: Embedder,
    concepts: Sequence[Mapping[str, Any]],
    files: Sequence[Path],
    pooling: str,
    shrink: int | None,
) -> dict[str, _Drawn]:
    """Look at the images of concepts, some at a time; a concept without a usable one is left out.

    Raises
    ------
    ValueError
        A concept has not been drawn.
    """
    users: dict[str, list[int]] = {}
    for row in concepts:
        users.setdefault(row["concept"], []).append(row["unit"])
    groups = tables.row_groups(files, schemas.IMAGES, IMAGE_COLUMNS, ("concept", set(users)))
    rows = (row for group in groups for row in group.to_pylist())

    def decoded(row: Mapping[str, Any]) -> tuple[Mapping[str, Any], Image.Image | None]:
        if row["problem"] is not None:
            return row, None
        image = Image.open(io.BytesIO(row["image"])).convert("RGB")
        return row, image if shrink is None else pictures.squared(image, shrink)

    looked = prepared(decoded, rows, BATCH)
    looks = ahead(chunks((list(own) for _, own in groupby(looked, lambda one: one[0]["concept"])), CONCEPTS))
    absent, found, size = set(users), {}, BatchSize(BATCH, "scores")
    samples: dict[str, list[tuple[int, Values, Values]]] = {}
    with tqdm(desc="scores", unit="image", mininterval=5) as bar:
        for chunk in looks:
            absent -= {row["concept"] for own in chunk for row, _ in own}
            usable = [[(row, image) for row, image in own if image is not None] for own in chunk]
            pixels = [[image for _, image in own] for own in usable if own]
            if pixels:
                excited = responses(target, layer, list(chain(*pixels)), pooling, size)
                vectors = np.concatenate(list(embedder.embed_groups(pixels)))
                for (row, _), values, vector in zip(chain(*usable), excited, vectors, strict=True):
                    sample = row["sample"], values[users[row["concept"]]], vector
                    samples.setdefault(row["concept"], []).append(sample)
            bar.update(sum(map(len, chunk)))
    if absent:
        raise ValueError(f"no generated images of {min(absent)!r} and {len(absent) - 1} other concepts")
    for concept, own in samples.items():
        own.sort(key=lambda one: one[0])
        values = np.stack([one[1] for one in own], 1)
        vectors, numbers = np.stack([one[2] for one in own]), np.array([one[0] for one in own])
        found[concept] = _Drawn(dict(zip(users[concept], values, strict=True)), vectors, numbers)
    unusable = sorted(set(users) - set(found))
    if unusable:
        log.warning("%d concepts are not scored: all images of %s are black or flagged", len(unusable), unusable[:5])
    return found


def _exemplars_of(exemplars: pa.Table) -> dict[int, list[str]]:
    """Unit -> ids of its exemplars' images, in the order of the table."""
    found: dict[int, list[str]] = {}
    for row in exemplars.select(["unit", "image_id"]).to_pylist():
        found.setdefault(row["unit"], []).append(row["image_id"])
    return found


def _shown(embedder: Embedder, exemplars: pa.Table, shards: Sequence[Path], square: int | None) -> dict[int, Values]:
    """Return the embeddings [n, d] of each unit's exemplars."""
    places = [(row["unit"], pictures.place(row)) for row in exemplars.to_pylist()]
    vectors = embeddings.of_places(embedder, (place for _, place in places), shards, square)
    by_unit: dict[int, list[Values]] = {}
    for unit, place in places:
        by_unit.setdefault(unit, []).append(vectors[place])
    return {unit: np.stack(own) for unit, own in by_unit.items()}
