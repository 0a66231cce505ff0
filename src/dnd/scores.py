"""Score candidates by how strongly and exclusively their images excite the unit (paper section 3, step 3)."""

from __future__ import annotations

import io
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from dnd import pictures, tables
from dnd.backends.embedder import Embedder
from dnd.batches import BatchSize
from dnd.settings import ScoreSettings
from dnd.targets import Target, fixed_batches

log = logging.getLogger(__name__)
BATCH = 32
CHUNK = 128
"""Images whose pixels are in memory at once."""
IMAGE_COLUMNS = ["concept", "sample", "image", "problem"]
BEST = 5
"""Ranks that count in the rank score (``beta_images_param`` of the released driver)."""

Values = npt.NDArray[np.float32]


def rank_scores(activations: Sequence[Values], best: int = BEST) -> list[float]:
    """Return each candidate's mean squared rank of its best images among the images of all candidates; lower is better.

    Ranks start at 1 (released driver: 0, so that the best image counts nothing). Equal activations share the mean of
    their ranks, so that the order of the candidates does not matter.

    Source: ``topk_sq_mean`` of the released ``scoring_function.py``.
    """
    from scipy.stats import rankdata

    ranks = rankdata(-np.concatenate(activations), method="average")
    splits = np.cumsum([len(one) for one in activations])[:-1]
    return [float(np.mean(np.sort(part)[:best] ** 2)) for part in np.split(ranks, splits)]


def auc(generated: Values, controls: Values) -> float:
    """Return P(a generated image excites the unit more than a control image), ties counting half.

    Source: CoSy (Kopf et al., 2024), the area under the ROC curve with the generated images as positives.
    """
    above = generated[:, None] > controls[None, :]
    equal = generated[:, None] == controls[None, :]
    return float(above.mean() + 0.5 * equal.mean())


def mad(generated: Values, controls: Values) -> float:
    """Return (mean of generated - mean of controls) / standard deviation of controls; 0 when they do not vary.

    Source: CoSy (Kopf et al., 2024), mean activation difference.
    """
    spread = float(controls.std(dtype=np.float64))
    return float((generated.mean(dtype=np.float64) - controls.mean(dtype=np.float64)) / spread) if spread > 0 else 0.0


def image_similarity(exemplars: Values, generated: Values) -> float:
    """Return the mean cosine of all pairs of an exemplar and a generated image, both as unit vectors [n, d].

    Source: the "image products" of the paper's scoring functions, without the released driver's 32x32 shrink.
    """
    return float((exemplars.astype(np.float64) @ generated.T.astype(np.float64)).mean())


def combine(components: Mapping[str, float], weights: ScoreSettings, images: int) -> float:
    """Return the weighted sum of a candidate's components; every component grows with quality and most lie in [0, 1].

    Parameters
    ----------
    components : ``auc``, ``rank_score``, ``image_similarity`` and ``votes`` (share of the answers).
    images : of all candidates of the unit together: they give the largest possible mean squared rank.
    """
    worst = float(np.mean(np.arange(images, max(images - BEST, 0), -1, dtype=np.float64) ** 2))
    return (
        weights.auc * components["auc"]
        + weights.rank * (1 - components["rank_score"] / worst)
        + weights.image_similarity * components["image_similarity"]
        + weights.votes * components["votes"]
    )


def responses(target: Target, layer: str, images: Sequence[Image.Image], pooling: str, batch: BatchSize) -> Values:
    """Return the pooled activations float32 [n, units] of generated images."""

    def load(image: Image.Image) -> Tensor:
        return target.preprocess.image(image)

    def run_batch(part: Sequence[Image.Image], inputs: Tensor) -> Tensor:
        return target.read(inputs, [layer], lambda _, reading: reading.pooled(pooling).cpu())[layer][: len(part)]

    return torch.cat([found for _, found in fixed_batches(images, load, batch, run_batch)]).numpy()


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
) -> pa.Table:
    """Return the SCORES table of some units, without candidates none of whose images can be used.

    Parameters
    ----------
    concepts : rows of CONCEPTS for these units only.
    images : files of IMAGES that hold all their concepts.
    exemplars : EXEMPLARS of these units.
    topk : TOPK of the layer, for the activations of the control images.
    """
    by_unit: dict[int, list[Mapping[str, Any]]] = {}
    for row in concepts:
        by_unit.setdefault(row["unit"], []).append(row)
    drawn = _drawn(target, layer, embedder, concepts, images, pooling)
    shown = _shown(embedder, exemplars, probe_shards)
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
        for row, own, rank in zip(candidates, activations, rank_scores(activations), strict=True):
            components = {
                "auc": auc(own, control[unit]),
                "mad": mad(own, control[unit]),
                "rank_score": rank,
                "image_similarity": image_similarity(shown[unit], drawn[row["concept"]].vectors),
            }
            shares = components | {"votes": row["votes"] / answers}
            rows.append(
                {
                    "unit": unit,
                    "candidate": row["candidate"],
                    "concept": row["concept"],
                    "source": "llm",
                    "votes": row["votes"],
                    "score": combine(shares, weights, sum(map(len, activations))),
                    "activations": own,
                    **components,
                }
            )
    return tables.table(rows, tables.SCORES)


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


def _shown(embedder: Embedder, exemplars: pa.Table, shards: Sequence[Path]) -> dict[int, Values]:
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
            views |= {(row["image_id"], box): pictures.view(whole, box) for box in boxes[row["image_id"]]}
        vectors |= dict(zip(views, embedder.embed(list(views.values())), strict=True))
    by_unit: dict[int, list[Values]] = {}
    for row in exemplars.to_pylist():
        by_unit.setdefault(row["unit"], []).append(vectors[pictures.place(row)])
    return {unit: np.stack(own) for unit, own in by_unit.items()}
