"""Score candidates by how strongly and exclusively their images excite the unit (paper section 3, step 3)."""

from __future__ import annotations

import io
import logging
from collections.abc import Mapping, Sequence
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
from dnd.targets import Target, fixed_batches, pool

log = logging.getLogger(__name__)
BATCH = 32
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


def combine(components: Mapping[str, float], weights: ScoreSettings, candidates: int, images: int) -> float:
    """Return the weighted sum of a candidate's components; every component grows with quality and most lie in [0, 1].

    Parameters
    ----------
    components : ``auc``, ``rank_score``, ``image_similarity`` and ``votes`` (share of the answers).
    candidates, images : of the unit and per candidate: they give the largest possible mean squared rank.
    """
    last = candidates * images
    worst = float(np.mean(np.arange(last, last - BEST, -1, dtype=np.float64) ** 2))
    return (
        weights.auc * components["auc"]
        + weights.rank * (1 - components["rank_score"] / worst)
        + weights.image_similarity * components["image_similarity"]
        + weights.votes * components["votes"]
    )


def responses(target: Target, layer: str, images: Sequence[Image.Image], pooling: str, batch: int = BATCH) -> Values:
    """Return the pooled activations float32 [n, units] of generated images."""

    def load(i: int) -> Tensor:
        return target.preprocess.image(images[i])

    def run_batch(inputs: Tensor) -> Tensor:
        return pool(target.outputs(inputs, [layer])[layer], pooling).float().cpu()

    parts = []
    with tqdm(total=len(images), desc="scores", unit="image", mininterval=5) as bar:
        for part, found in fixed_batches(range(len(images)), load, BatchSize(batch, "scores"), run_batch):
            parts.append(found[: len(part)])
            bar.update(len(part))
    return torch.cat(parts).numpy()


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
    """Return the SCORES table of some units.

    Parameters
    ----------
    concepts : rows of CONCEPTS for these units only.
    images : files of IMAGES that hold all their concepts.
    exemplars : EXEMPLARS of these units.
    topk : TOPK of the layer, for the activations of the control images.
    """
    drawn = _drawn(images, sorted({row["concept"] for row in concepts}))
    if not concepts:
        return tables.SCORES.empty_table()
    flat = [image for pictures in drawn.values() for image in pictures]
    starts = dict(zip(drawn, np.cumsum([0, *map(len, drawn.values())]), strict=False))
    excited = responses(target, layer, flat, pooling)
    generated = embedder.embed(flat)
    order = pictures.in_order(pictures.place(row) for row in exemplars.to_pylist())
    probed = {
        row["image_id"]: pictures.decode(row["image"])
        for row in pictures.rows(probe_shards, {name for name, _ in order})
    }
    vectors = embedder.embed([pictures.view(probed[name], box) for name, box in order])
    place = {one: i for i, one in enumerate(order)}
    shown: dict[int, list[int]] = {}
    for row in exemplars.to_pylist():
        shown.setdefault(row["unit"], []).append(place[pictures.place(row)])
    control = {
        row["unit"]: np.array(row["controls"], np.float32)
        for row in tables.read(topk, tables.TOPK, ["unit", "controls"]).to_pylist()
    }
    by_unit: dict[int, list[Mapping[str, Any]]] = {}
    for row in concepts:
        by_unit.setdefault(row["unit"], []).append(row)
    rows = []
    for unit, candidates in sorted(by_unit.items()):
        spans = [
            slice(starts[row["concept"]], starts[row["concept"]] + len(drawn[row["concept"]])) for row in candidates
        ]
        activations = [excited[span, unit] for span in spans]
        answers = sum(row["votes"] for row in candidates)
        for row, span, own, rank in zip(candidates, spans, activations, rank_scores(activations), strict=True):
            components = {
                "auc": auc(own, control[unit]),
                "mad": mad(own, control[unit]),
                "rank_score": rank,
                "image_similarity": image_similarity(vectors[shown[unit]], generated[span]),
            }
            shares = components | {"votes": row["votes"] / answers}
            rows.append(
                {
                    "unit": unit,
                    "candidate": row["candidate"],
                    "concept": row["concept"],
                    "source": "llm",
                    "votes": row["votes"],
                    "score": combine(shares, weights, len(candidates), len(own)),
                    "activations": own,
                    **components,
                }
            )
    return tables.table(rows, tables.SCORES)


def _drawn(files: Sequence[Path], concepts: Sequence[str]) -> dict[str, list[Image.Image]]:
    """Concept -> its generated images in order of sample.

    Raises
    ------
    ValueError
        A concept has not been drawn.
    """
    rows = tables.read(
        files, tables.IMAGES, ["concept", "sample", "image"], pc.field("concept").isin(pa.array(concepts, pa.string()))
    )
    found: dict[str, list[Image.Image]] = {concept: [] for concept in concepts}
    for row in sorted(rows.to_pylist(), key=lambda row: (row["concept"], row["sample"])):
        found[row["concept"]].append(Image.open(io.BytesIO(row["image"])).convert("RGB"))
    absent = [concept for concept, pictures in found.items() if not pictures]
    if absent:
        raise ValueError(f"no generated images of {absent[0]!r} and {len(absent) - 1} other concepts")
    return found
