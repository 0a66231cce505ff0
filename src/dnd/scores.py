"""Score candidates by how strongly and exclusively their images excite the unit (paper section 3, step 3)."""

from __future__ import annotations

import io
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image
from tqdm import tqdm

from dnd import compat, pictures, tables
from dnd.backends.embedder import Embedder
from dnd.batches import BatchSize
from dnd.components import combine, image_similarity, rank_scores, ranks
from dnd.metrics.cosy import auc, mad
from dnd.settings import ScoreSettings
from dnd.targets import Target, responses

log = logging.getLogger(__name__)
BATCH = 32
CHUNK = 128
"""Images whose pixels are in memory at once."""
IMAGE_COLUMNS = ["concept", "sample", "image", "problem"]
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
    unknown = dict.fromkeys(("auc", "mad", "rank_score", "image_similarity", "activations"))
    rows = [
        {"unit": row["unit"], "candidate": row["candidate"], "concept": row["concept"], "source": "llm"}
        | {"votes": row["votes"], "score": row["votes"] / answers[row["unit"]], **unknown}
        for row in sorted(concepts, key=lambda row: (row["unit"], row["candidate"]))
    ]
    return tables.table(rows, tables.SCORES)


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
) -> pa.Table:
    """Return the SCORES table of some units, without candidates none of whose images can be used.

    Parameters
    ----------
    concepts : rows of CONCEPTS for these units only.
    images : files of IMAGES that hold all their concepts.
    exemplars : EXEMPLARS of these units.
    topk : TOPK of the layer, for the activations of the control images.
    square : side of the square that exemplars are stretched to.
    """
    by_unit: dict[int, list[Mapping[str, Any]]] = {}
    for row in concepts:
        by_unit.setdefault(row["unit"], []).append(row)
    drawn = _drawn(target, layer, embedder, concepts, images, pooling, weights.shrink)
    shown = _shown(embedder, exemplars, probe_shards, square)
    control = {
        row["unit"]: _finite(np.array(row["controls"], np.float32))
        for row in tables.read(
            topk, tables.TOPK, ["unit", "controls"], pc.field("unit").isin(sorted(by_unit))
        ).to_pylist()
    }
    rows = []
    for unit, asked in sorted(by_unit.items()):
        candidates = [row for row in asked if row["concept"] in drawn]
        if not candidates or not len(control[unit]):
            continue
        answers = sum(row["votes"] for row in asked)
        activations = [drawn[row["concept"]].activations[unit] for row in candidates]
        # a picture without a finite activation counts like the control image that excites the unit least
        activations = [np.where(np.isfinite(own), own, control[unit].min()) for own in activations]
        vectors = [drawn[row["concept"]].vectors for row in candidates]
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
        totals = _totals(components, shares, activations, weights)
        rows += [
            {
                "unit": unit,
                "candidate": row["candidate"],
                "concept": row["concept"],
                "source": "llm",
                "votes": row["votes"],
                "score": total,
                "activations": own,
                **parts,
            }
            for row, own, parts, total in zip(candidates, activations, components, totals, strict=True)
        ]
    return tables.table(rows, tables.SCORES)


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
    """

    activations: dict[int, Values]
    vectors: Values


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
    groups = tables.row_groups(files, tables.IMAGES, IMAGE_COLUMNS, ("concept", set(users)))
    rows = (row for group in groups for row in group.to_pylist())
    absent, found, size = set(users), {}, BatchSize(BATCH, "scores")
    samples: dict[str, list[tuple[int, Values, Values]]] = {}
    with tqdm(desc="scores", unit="image", mininterval=5) as bar:
        while chunk := list(islice(rows, CHUNK)):
            absent -= {row["concept"] for row in chunk}
            usable = [row for row in chunk if row["problem"] is None]
            pixels = [Image.open(io.BytesIO(row["image"])).convert("RGB") for row in usable]
            if shrink is not None:
                pixels = [pictures.squared(image, shrink) for image in pixels]
            if pixels:
                excited, vectors = responses(target, layer, pixels, pooling, size), embedder.embed(pixels)
                for row, values, vector in zip(usable, excited, vectors, strict=True):
                    sample = row["sample"], values[users[row["concept"]]], vector
                    samples.setdefault(row["concept"], []).append(sample)
            bar.update(len(chunk))
    if absent:
        raise ValueError(f"no generated images of {min(absent)!r} and {len(absent) - 1} other concepts")
    for concept, own in samples.items():
        own.sort(key=lambda one: one[0])
        values = np.stack([one[1] for one in own], 1)
        found[concept] = _Drawn(dict(zip(users[concept], values, strict=True)), np.stack([one[2] for one in own]))
    unusable = sorted(set(users) - set(found))
    if unusable:
        log.warning("%d concepts are not scored: all images of %s are black or flagged", len(unusable), unusable[:5])
    return found


def _shown(embedder: Embedder, exemplars: pa.Table, shards: Sequence[Path], square: int | None) -> dict[int, Values]:
    """Return the embeddings [n, d] of each unit's exemplars, looking at some images at a time."""
    places = pictures.in_order(pictures.place(row) for row in exemplars.to_pylist())
    boxes: dict[str, list[pictures.Box | None]] = {}
    for name, box in places:
        boxes.setdefault(name, []).append(box)
    rows = pictures.rows(shards, set(boxes), ["image_id", "image"])
    vectors: dict[tuple[str, pictures.Box | None], Values] = {}
    while chunk := list(islice(rows, CHUNK)):
        views: dict[tuple[str, pictures.Box | None], Image.Image] = {}
        for row in chunk:
            whole = pictures.decode(row["image"])
            views |= {(row["image_id"], box): pictures.view(whole, box, square) for box in boxes[row["image_id"]]}
        vectors |= dict(zip(views, embedder.embed(list(views.values())), strict=True))
    by_unit: dict[int, list[Values]] = {}
    for row in exemplars.to_pylist():
        by_unit.setdefault(row["unit"], []).append(vectors[pictures.place(row)])
    return {unit: np.stack(own) for unit, own in by_unit.items()}
