"""How much of a unit's behaviour its label predicts, and whether it predicts more than a label of another unit would.

``explains`` is Pearson's r, over images of the probe that chose neither exemplars nor labels, of how likely an image
shows the label and of the activation. It needs no known answers and no fitted file, for any network and any method.
Source: simulation by Oikarinen & Weng, "Linear Explanations for Individual Neurons", ICML 2024, section 4.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from scipy.stats import false_discovery_control, norm

from dnd.backends import embeddings
from dnd.backends.embedder import Embedder, TextEmbedder, TransformersTextEmbedder
from dnd.config.backends import EmbedderSettings
from dnd.io import halves, schemas, tables
from dnd.io.rows import Explained, Scales
from dnd.io.store import key
from dnd.probe import pack
from dnd.selection import evidence, ranking
from dnd.selection import scales as embedder_scales
from dnd.selection.evidence import Shown, Values, pearson

FEW = 19
"""Fewest concepts of other units that a label is held against: fewer cannot reach a p-value of .05."""
MANY = 2000
"""Most of them: those of the smallest hashes."""
RATE = 0.05
"""Share of the labels of a layer that are said and are no better than labels of other units."""


class Estimate(NamedTuple):
    """Pearson's r with its 95 % interval."""

    r: float
    low: float
    high: float


def estimate(shown: Shown, activations: Values) -> Estimate:
    """Return Pearson's r of two variables [n], and its 95 % interval.

    The interval is normal on Fisher's scale; its width follows from the influence function of r, so that it holds for
    variables that are far from normal, as probabilities and activations are. Source: Devlin, Gnanadesikan & Kettenring,
    Biometrika 62 (1975), section 3.
    """
    r = float(pearson(np.asarray(shown)[:, None], np.asarray(activations)[:, None])[0])
    if len(shown) < 3 or r == 0.0:  # any two images lie on a line
        return Estimate(r, -1.0, 1.0)
    if abs(r) == 1.0:
        return Estimate(r, r, r)
    first, second = ((values - values.mean()) / values.std() for values in (np.float64(shown), np.float64(activations)))
    influence = first * second - r / 2 * (first**2 + second**2)
    width = norm.ppf(0.975) * influence.std(ddof=1) / np.sqrt(len(shown)) / (1 - r**2)
    low, high = np.tanh(np.arctanh(r) + width * np.array([-1, 1]))
    return Estimate(r, float(low), float(high))


def chance(label: Estimate, rivals: Values) -> float:
    """Return how often a concept of another unit explains a unit as well as its label does: a p-value.

    Where there are few such concepts, the p-value is that of r = 0.

    Parameters
    ----------
    rivals : r of concepts of other units with this unit [concepts].
    """
    if len(rivals) >= FEW:
        return float((1 + (rivals >= label.r).sum()) / (1 + len(rivals)))
    if label.low == -1.0 or label.high == 1.0:  # of few images or of a perfect label
        return 0.0 if label.low == 1.0 else 1.0
    width = (np.arctanh(label.high) - np.arctanh(label.low)) / 2 / norm.ppf(0.975)
    return float(norm.sf(np.arctanh(label.r) / width))


def parts_of(label: str) -> list[str]:
    """Return the concepts that a label joins by ``or``."""
    return label.split(evidence.OR)


def told_apart(chances: Sequence[float]) -> npt.NDArray[np.bool_]:
    """Return which labels of a layer [n] are better for their units than labels of others are.

    Source: Benjamini & Hochberg, Journal of the Royal Statistical Society B 57 (1995), at a rate of :data:`RATE`.
    """
    return false_discovery_control(chances, method="bh") <= RATE if len(chances) else np.empty(0, bool)


def of_units(
    labels: Mapping[int, str],
    concepts: Iterable[str],
    layer: JudgingImages,
    texts: TextEmbedder,
    scales: Scales,
) -> pa.Table:
    """Return the EXPLAINS table of a layer's labels, one row for each; none where no image judges.

    Parameters
    ----------
    labels : unit -> label.
    concepts : that the layer's units were described with, or might have been.
    """
    others = sorted(sorted(set(concepts), key=lambda concept: key("explains", concept))[:MANY])
    named = sorted({part for label in labels.values() for part in parts_of(label)} | set(others))
    if not named or not len(layer.vectors):
        return tables.table([], schemas.EXPLAINS)
    places = {concept: place for place, concept in enumerate(named)}
    shown = evidence.shown(layer.vectors, texts.embed_texts(named), scales.scale, scales.bias)
    distinct = sorted(set(labels.values()))
    said = np.stack([shown[:, [places[part] for part in parts_of(label)]].max(1) for label in distinct], 1)
    rivals = shown[:, [places[concept] for concept in others]]
    alike = evidence.overlaps(said, rivals) > evidence.APART
    fits = evidence.correlations(layer.activations, rivals)
    rows = []
    for unit, label in sorted(labels.items()):
        place, column = layer.units.index(unit), distinct.index(label)
        explained = estimate(said[:, column], layer.activations[:, place])
        rows.append(Explained(unit, label, *explained, chance(explained, fits[place][~alike[column]])))
    return tables.table(rows, schemas.EXPLAINS)


class JudgingImages(NamedTuple):
    """The control images of the half of a probe that chooses nothing.

    Attributes
    ----------
    vectors : unit vectors float32 [n, d].
    units : ascending.
    activations : float64 [n, units]; what is not finite is the unit's smallest finite activation.
    """

    vectors: npt.NDArray[np.float32]
    units: list[int]
    activations: npt.NDArray[np.float64]


def judging_images(embedder: Embedder, topk: str | Path, shards: Sequence[Path], units: Iterable[int]) -> JudgingImages:
    """Read the activations of units on the control images that chose nothing, and embed these."""
    kept = tables.read(topk, schemas.TOPK, ["unit", "controls"], pc.field("unit").isin(sorted(units))).sort_by("unit")
    values = kept["controls"].combine_chunks().flatten().to_numpy().reshape(len(kept), -1)  # no Python lists of these
    names = pack.controls(shards, values.shape[1])
    judges = ~halves.choosing(names)
    judging = [name for name, judge in zip(names, judges, strict=True) if judge]
    vectors = embeddings.of_places(embedder, ((name, None) for name in judging), shards)
    activations = values[:, judges].T.astype(np.float64)
    good = np.isfinite(activations)
    activations = np.where(good, activations, np.where(good, activations, np.inf).min(0, initial=np.inf))
    embedded = np.array([vectors[name, None] for name in judging], np.float32)
    return JudgingImages(embedded, kept["unit"].to_pylist(), activations)


def of_layer(
    scores: pa.Table,
    ours: bool,
    topk: str | Path,
    shards: Sequence[Path],
    settings: EmbedderSettings,
    scales: Sequence[str | Path],
    store: str | Path,
) -> pa.Table:
    """Return the EXPLAINS table of a layer from its SCORES.

    Parameters
    ----------
    ours : whether scores choose the label; the first candidate is that of another method.
    scales : files of SCALES, where the embedder's are fitted; without any nothing can be said.
    store : folder of the item stores.
    """
    best = {unit: candidates[0].concept for unit, candidates in ranking.by_unit(scores, ours).items()}
    known = embedder_scales.read(settings, scales)
    if not best or known is None:
        return tables.table([], schemas.EXPLAINS)
    embedder = embeddings.load(settings, store)
    layer = judging_images(embedder, topk, shards, best)
    concepts = (part for concept in scores["concept"].to_pylist() for part in parts_of(concept))
    return of_units(best, concepts, layer, TransformersTextEmbedder(settings), known)
