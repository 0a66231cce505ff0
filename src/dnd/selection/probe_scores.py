"""Candidates of a unit before the probe: concepts of other units that join them, their evidence, and alternatives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from dnd.backends import embeddings
from dnd.backends.embedder import Embedder
from dnd.config.stages import ScoreSettings
from dnd.io import halves, schemas, tables
from dnd.io.rows import Scales, Score
from dnd.probe import pack
from dnd.selection import evidence
from dnd.selection.components import DrawnCandidate
from dnd.selection.evidence import Shown

BORROWED, UNION = "layer", "union"
"""Sources of a candidate that other units of the layer have, and of one that joins others."""
AT_ONCE = 1024
"""Concepts that are held against the units at once."""
TIE = 9
"""Decimals of correlations that count: products of matrices round as their shapes have it."""
UNIONS = 3
"""Alternatives of a unit that are kept: the best."""

Values = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Probe:
    """What candidates of a layer's units are compared with: images of the half of the probe that chooses.

    Attributes
    ----------
    controls : ids of the random images.
    vectors : image id -> unit vector [d] of its whole image, of random images and exemplars.
    activations : unit -> image id -> activation, of random images and of the unit's exemplars, finite ones.
    """

    controls: Sequence[str]
    vectors: Mapping[str, Values]
    activations: Mapping[int, Mapping[str, float]]


class _Activations(NamedTuple):
    unit: int
    image_ids: list[str]
    activations: list[float]
    controls: list[float]


def read(embedder: Embedder, topk: Path, shards: Sequence[Path], shown: Mapping[int, Sequence[str]]) -> Probe:
    """Read the activations of units, and embed the random images and all exemplars.

    Parameters
    ----------
    topk : TOPK of the layer.
    shown : unit -> ids of its exemplars.
    """
    units = tables.rows(topk, schemas.TOPK, _Activations, pc.field("unit").isin(sorted(shown)))
    names = pack.controls(shards, max((len(unit.controls) for unit in units), default=0))
    chooses = halves.choosing(names)
    controls = [name for name, chosen in zip(names, chooses, strict=True) if chosen]
    activations: dict[int, dict[str, float]] = {}
    for unit in units:
        known = dict(zip(controls, np.array(unit.controls)[chooses].tolist(), strict=True))
        best = dict(zip(unit.image_ids, unit.activations, strict=True))
        known |= {name: best[name] for name in shown[unit.unit] if name in best}
        activations[unit.unit] = {name: value for name, value in known.items() if np.isfinite(value)}
    exemplars = {name for names in shown.values() for name in names}
    vectors: dict[str, Values] = {}
    for wanted in (set(controls), exemplars - set(controls)):  # apart, since all layers have the same random images
        embedded = embeddings.of_places(embedder, ((name, None) for name in wanted), shards)
        vectors |= {name: vector for (name, _), vector in embedded.items()}
    return Probe(controls, vectors, activations)


def borrowed(
    probe: Probe, texts: Mapping[str, Values], candidates: Mapping[int, Sequence[str]], count: int, scales: Scales
) -> dict[int, list[str]]:
    """Return unit -> concepts that correlate best with it over the random images, none of its own candidates.

    Parameters
    ----------
    texts : concept of the layer -> unit vector [d].
    candidates : unit -> its own candidates.
    """
    if not count or not probe.controls:
        return {unit: [] for unit in candidates}
    vectors = np.stack([probe.vectors[name] for name in probe.controls])
    columns = []
    for unit in candidates:
        known = probe.activations[unit]
        least = min(known.values(), default=0.0)
        columns.append([known.get(name, least) for name in probe.controls])
    activations, concepts = np.array(columns).T, sorted(texts)
    best: dict[int, list[tuple[float, str]]] = {unit: [] for unit in candidates}
    for start in range(0, len(concepts), AT_ONCE):
        part = concepts[start : start + AT_ONCE]
        words = np.stack([texts[name] for name in part])
        shown = evidence.shown(vectors, words, scales.scale, scales.bias)
        for unit, fits in zip(candidates, evidence.correlations(activations, shown), strict=True):
            pairs = zip((-fits).round(TIE).tolist(), part, strict=True)
            other = [(fit, name) for fit, name in pairs if name not in candidates[unit]]
            best[unit] = sorted([*best[unit], *other])[:count]
    return {unit: [name for _, name in fits] for unit, fits in best.items()}


@dataclass(frozen=True)
class UnitProbe:
    """The images that the candidates of a unit are compared with: random ones and the whole images of its exemplars.

    Attributes
    ----------
    activations : of these images, float64 [n].
    level : the same in units of the exemplars' median: see :func:`dnd.selection.evidence.scaled`.
    vectors : their unit vectors [n, d].
    exemplars : unit vectors of the exemplars by rank [k, d], of crops where they are crops.
    """

    activations: npt.NDArray[np.float64]
    level: npt.NDArray[np.float64]
    vectors: Values
    exemplars: Values


def of_unit(unit: int, probe: Probe, shown: Sequence[str], exemplars: Values) -> UnitProbe:
    """Return what the probe has for a unit.

    Parameters
    ----------
    shown : ids of its exemplars by rank.
    exemplars : their unit vectors [k, d].
    """
    known = probe.activations[unit]
    activations = np.array([known[name] for name in sorted(known)])
    level = evidence.scaled(activations, np.array([known[name] for name in shown if name in known] or activations))
    return UnitProbe(activations, level, np.stack([probe.vectors[name] for name in sorted(known)]), exemplars)


def judged(
    candidates: Sequence[DrawnCandidate],
    scores: Sequence[Score],
    texts: Mapping[str, Values],
    probe: UnitProbe,
    weights: ScoreSettings,
    scales: Scales,
) -> list[Score]:
    """Return the rows of a unit: its candidates with the evidence of the probe, then the alternatives that join them.

    Parameters
    ----------
    scores : of the candidates, as their generated images tell them.
    texts : concept -> unit vector [d].
    """
    words = np.stack([texts[score.concept] for score in scores])

    def shown(vectors: Values) -> Shown:
        return evidence.shown(vectors, words, scales.scale, scales.bias)

    images, exemplars = shown(probe.vectors), shown(probe.exemplars)
    drawn = shown(np.concatenate([candidate.vectors for candidate in candidates]))
    excited = np.concatenate([candidate.activations for candidate in candidates])
    fits = evidence.pearson(images, probe.activations[:, None])
    groups: list[tuple[int, ...]] = [(place,) for place in range(len(scores))]
    groups += [group for group in evidence.alternatives(fits, weights.join) if _apart(images[:, group])]
    weighed = _weighed(groups, images, drawn, excited, probe, weights)
    alone = [
        Score(**{**score._asdict(), **measured._asdict()})
        for score, measured in zip(scores, weighed[: len(scores)], strict=True)
    ]
    better = [
        (group, measured)
        for group, measured in zip(groups[len(scores) :], weighed[len(scores) :], strict=True)
        if measured.score > max(weighed[place].score for place in group)
    ]
    unions: list[Score] = []
    for group, measured in sorted(better, key=lambda pair: -pair[1].score)[:UNIONS]:
        number = max(score.candidate for score in scores) + 1 + len(unions)
        parts = [alone[place] for place in group], [candidates[place] for place in group]
        union = _union(number, *parts, exemplars[:, group], probe)
        unions.append(Score(**{**union._asdict(), **measured._asdict()}))
    return alone + unions


def _apart(shown: Shown) -> bool:
    """Whether concepts are several things, of how likely images show each [n, concepts]."""
    overlaps = evidence.overlaps(shown, shown)
    return bool((overlaps[np.triu_indices(len(overlaps), 1)] <= evidence.APART).all())


class Weighed(NamedTuple):
    """Columns of SCORES that the probe and drawn pictures fill."""

    correlation: float
    precision: float
    drawn: float
    score: float
    bimodality: float


def _weighed(
    groups: Sequence[tuple[int, ...]],
    images: Shown,
    drawn: Shown,
    excited: Values,
    probe: UnitProbe,
    weights: ScoreSettings,
) -> list[Weighed]:
    """What the probe and the drawn pictures say of groups of candidates.

    Parameters
    ----------
    groups : places of the candidates that each joins.
    images, drawn : how likely images of the probe [n, candidates], and pictures [m, candidates], show each candidate.
    excited : activations of the pictures [m].
    """
    joined, pictured = (np.stack([shown[:, group].max(1) for group in groups], 1) for shown in (images, drawn))
    correlation = evidence.pearson(joined, probe.activations[:, None])
    precision = evidence.precision(joined, probe.level)
    causal = evidence.pearson(pictured, excited[:, None])
    totals = evidence.score(correlation, precision, causal, np.array(list(map(len, groups))), weights)
    answers = evidence.bimodality(probe.level)
    columns = (correlation.tolist(), precision.tolist(), causal.tolist(), totals.tolist())
    return [Weighed(fit, level, drawn, total, answers) for fit, level, drawn, total in zip(*columns, strict=True)]


def _union(
    number: int, scores: Sequence[Score], candidates: Sequence[DrawnCandidate], exemplars: Shown, probe: UnitProbe
) -> Score:
    """The alternatives of some candidates, without what the probe says.

    Parameters
    ----------
    exemplars : how likely each exemplar shows each candidate [k, candidates].
    """
    similar = [(probe.exemplars.astype(np.float64) @ part.vectors.T.astype(np.float64)).mean(1) for part in candidates]
    return Score(
        scores[0].unit,
        number,
        evidence.phrase([score.concept for score in scores]),
        UNION,
        max(score.votes or 0 for score in scores),
        None,
        auc=min(score.auc or 0.0 for score in scores),
        mad=min(score.mad or 0.0 for score in scores),
        image_similarity=float(np.maximum.reduce(similar).mean()),
        parts=[score.candidate for score in scores],
        shares=exemplars.argmax(1).tolist(),
        activations=np.concatenate([part.activations for part in candidates]).tolist(),
    )
