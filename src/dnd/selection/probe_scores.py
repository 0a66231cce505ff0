"""Candidates of a unit before the probe: their evidence, alternatives that join some, and the fitted score of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from dnd.backends import embeddings
from dnd.backends.embedder import Embedder
from dnd.config.stages import ScoreSettings
from dnd.io import schemas, tables
from dnd.io.rows import Score
from dnd.probe import pack
from dnd.selection import evidence
from dnd.selection.components import DrawnCandidate
from dnd.selection.verdict import Verdict

UNION = "union"
"""Source of a candidate that joins others."""

Values = npt.NDArray[np.float32]
Shows = npt.NDArray[np.float64]
"""How likely each of some images shows a concept."""


@dataclass(frozen=True)
class Probe:
    """What candidates of a layer's units are compared with.

    Attributes
    ----------
    vectors : image id -> unit vector [d] of its whole image.
    controls : ids of the random images.
    activations : unit -> image id -> activation, of random images and of the unit's best, finite ones.
    """

    vectors: Mapping[str, Values]
    controls: frozenset[str]
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
    controls = pack.controls(shards, max((len(unit.controls) for unit in units), default=0))
    activations: dict[int, dict[str, float]] = {}
    for unit in units:
        known = dict(zip(controls, unit.controls, strict=True))
        known |= dict(zip(unit.image_ids, unit.activations, strict=True))
        activations[unit.unit] = {name: value for name, value in known.items() if np.isfinite(value)}
    exemplars = {name for names in shown.values() for name in names}
    vectors: dict[str, Values] = {}
    for wanted in (set(controls), exemplars - set(controls)):  # apart, since all layers have the same random images
        embedded = embeddings.of_places(embedder, ((name, None) for name in wanted), shards)
        vectors |= {name: vector for (name, _), vector in embedded.items()}
    return Probe(vectors, frozenset(controls), activations)


@dataclass(frozen=True)
class UnitProbe:
    """The images that the candidates of a unit are compared with.

    Attributes
    ----------
    sample : activations of its random images and of the whole images of its exemplars, [n].
    vectors : unit vectors of these images [n, d].
    random : which of them are random ones, bool [n].
    exemplars : unit vectors of its exemplars by rank [k, d], of crops where they are crops.
    """

    sample: evidence.Sample
    vectors: Values
    random: npt.NDArray[np.bool_]
    exemplars: Values


def of_unit(unit: int, probe: Probe, shown: Sequence[str], exemplars: Values) -> UnitProbe:
    """Return what the probe has for a unit.

    Parameters
    ----------
    shown : ids of its exemplars by rank.
    exemplars : their unit vectors [k, d].
    """
    known = probe.activations[unit]
    names = sorted({*probe.controls, *shown} & set(known))
    sample = evidence.Sample(
        np.array([known[name] for name in names], np.float32), np.array([name in shown for name in names])
    )
    random = np.array([name in probe.controls for name in names])
    return UnitProbe(sample, np.stack([probe.vectors[name] for name in names]), random, exemplars)


@dataclass(frozen=True)
class Part:
    """A candidate that alternatives may join.

    Attributes
    ----------
    shows : how likely each image of the unit's sample shows it.
    exemplars : how likely each exemplar does.
    """

    candidate: DrawnCandidate
    score: Score
    shows: Shows
    exemplars: Shows


def judged(
    candidates: Sequence[DrawnCandidate],
    scores: Sequence[Score],
    texts: Mapping[str, Values],
    probe: UnitProbe,
    weights: ScoreSettings,
    verdict: Verdict,
) -> list[Score]:
    """Return the rows of a unit: its candidates with the evidence of the probe, then the alternatives that join them.

    Parameters
    ----------
    scores : of the candidates, as their generated images tell them.
    texts : concept -> unit vector [d].
    """
    parts = [
        _part(candidate, score, texts[score.concept], probe, weights, verdict)
        for candidate, score in zip(candidates, scores, strict=True)
    ]
    number = max(score.candidate for score in scores) + 1
    unions: list[Score] = []
    for places in evidence.alternatives([part.score.fit or 0.0 for part in parts], weights.join):
        union = _union([parts[place] for place in places], number + len(unions), probe, verdict)
        if union is not None:
            unions.append(union)
    return [part.score for part in parts] + unions


def _part(
    candidate: DrawnCandidate, score: Score, text: Values, probe: UnitProbe, weights: ScoreSettings, verdict: Verdict
) -> Part:
    tell = _telling(candidate, text, probe, weights)
    shows = tell(probe.vectors @ text)
    probed = _probed(shows, [candidate.activations], probe.sample)
    odds = verdict.log_odds({**_drawn(score), **probed, "votes": candidate.share, "joined": 0})
    judged = Score(**{**score._asdict(), **probed, "score": odds})
    return Part(candidate, judged, shows, tell(probe.exemplars @ text))


def _union(parts: Sequence[Part], number: int, probe: UnitProbe, verdict: Verdict) -> Score | None:
    """The alternatives of some candidates; None where one of them says nothing of its own, or they fit no better."""
    scores = [part.score for part in parts]
    shares = np.stack([part.exemplars for part in parts]).argmax(0)
    if len(set(shares.tolist())) < len(parts):
        return None  # a part that no exemplar shows best
    activations = [part.candidate.activations for part in parts]
    probed = _probed(np.maximum.reduce([part.shows for part in parts]), activations, probe.sample)
    if probed["fit"] < max(score.fit or 0.0 for score in scores) + evidence.ADDS:
        return None
    drawn = {name: min(_drawn(score)[name] for score in scores) for name in ("auc", "mad")}
    drawn["image_similarity"] = _similarity(probe.exemplars, [part.candidate.vectors for part in parts])
    share = max(part.candidate.share for part in parts)
    union = Score(
        scores[0].unit,
        number,
        evidence.phrase([score.concept for score in scores]),
        UNION,
        max(score.votes or 0 for score in scores),
        verdict.log_odds({**drawn, **probed, "votes": share, "joined": len(parts) - 1}),
        parts=[score.candidate for score in scores],
        shares=shares.tolist(),
        activations=np.concatenate(activations).tolist(),
    )
    return Score(**{**union._asdict(), **drawn, **probed})


def _drawn(score: Score) -> dict[str, float]:
    """What generated images tell of a candidate that has some."""
    known = {"auc": score.auc, "mad": score.mad, "image_similarity": score.image_similarity}
    return {name: value for name, value in known.items() if value is not None}


def _telling(
    candidate: DrawnCandidate, text: Values, probe: UnitProbe, weights: ScoreSettings
) -> Callable[[Values], Shows]:
    """Cosines with a candidate's text -> how likely images show it."""
    if weights.scale is not None and weights.bias is not None:
        scale, bias = weights.scale, weights.bias
        return lambda cosines: evidence.calibrated(cosines, scale, bias)
    random, generated = probe.vectors[probe.random] @ text, candidate.vectors @ text
    return lambda cosines: evidence.ramped(cosines, random, generated)


def _probed(shows: Shows, generated: Sequence[Values], sample: evidence.Sample) -> dict[str, float]:
    return {
        "fit": evidence.fit(shows, sample),
        "gap": evidence.gap(shows, sample),
        "hard": evidence.hard(shows, sample),
        "agreement": min(evidence.agreement(activations, sample) for activations in generated),
        "bimodality": sample.bimodality,
    }


def _similarity(exemplars: Values, parts: Sequence[Values]) -> float:
    """Mean over exemplars of their similarity with the part that resembles them most."""
    cosines = [(exemplars.astype(np.float64) @ vectors.T.astype(np.float64)).mean(1) for vectors in parts]
    return float(np.maximum.reduce(cosines).mean())
