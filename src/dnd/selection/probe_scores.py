"""Candidates of a unit before the probe: their evidence, alternatives that join some, and the fitted score of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from dnd.backends import embeddings
from dnd.backends.embedder import Embedder
from dnd.config.stages import ScoreSettings
from dnd.io import schemas, tables
from dnd.probe import pack
from dnd.selection import evidence
from dnd.selection.verdict import Verdict

UNION = "union"
"""Source of a candidate that joins others."""

Values = npt.NDArray[np.float32]


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


def read(embedder: Embedder, topk: Path, shards: Sequence[Path], shown: Mapping[int, Sequence[str]]) -> Probe:
    """Read the activations of units, and embed the random images and all exemplars.

    Parameters
    ----------
    topk : TOPK of the layer.
    shown : unit -> ids of its exemplars.
    """
    own = pc.field("unit").isin(sorted(shown))
    rows = tables.read(topk, schemas.TOPK, ["unit", "image_ids", "activations", "controls"], own).to_pylist()
    controls = pack.controls(shards, max((len(row["controls"]) for row in rows), default=0))
    excited: dict[int, dict[str, float]] = {}
    for row in rows:
        known = dict(zip(controls, row["controls"], strict=True))
        known |= dict(zip(row["image_ids"], row["activations"], strict=True))
        excited[row["unit"]] = {name: value for name, value in known.items() if np.isfinite(value)}
    exemplars = {name for names in shown.values() for name in names}
    vectors: dict[str, Values] = {}
    for wanted in (set(controls), exemplars - set(controls)):  # apart, since all layers have the same random images
        found = embeddings.of_places(embedder, ((name, None) for name in wanted), shards)
        vectors |= {name: vector for (name, _), vector in found.items()}
    return Probe(vectors, frozenset(controls), excited)


@dataclass(frozen=True)
class Candidate:
    """A candidate as the generated images tell of it.

    Attributes
    ----------
    row : of SCORES, without what the probe tells.
    share : of the answers.
    vectors : of its images, unit vectors [m, d].
    text : unit vector [d].
    """

    row: Mapping[str, Any]
    share: float
    vectors: Values
    text: Values


def judged(
    unit: int,
    candidates: Sequence[Candidate],
    exemplars: Sequence[str],
    views: Values,
    seen: Probe,
    weights: ScoreSettings,
    verdict: Verdict,
) -> list[dict[str, Any]]:
    """Return the SCORES rows of a unit: its candidates, then the alternatives that join them.

    Parameters
    ----------
    exemplars : ids of the unit's exemplars by rank.
    views : their unit vectors [k, d], of crops where they are crops.
    """
    known = seen.activations[unit]
    shown = set(exemplars) & set(known)
    names = sorted({*seen.controls, *exemplars} & set(known))
    sample = evidence.Sample(
        np.array([known[name] for name in names], np.float32), np.array([name in shown for name in names])
    )
    images = np.stack([seen.vectors[name] for name in names])
    random = np.array([name in seen.controls for name in names])
    tell = [_telling(one, images[random] @ one.text, weights) for one in candidates]
    held = [own(images @ one.text) for own, one in zip(tell, candidates, strict=True)]
    near = np.stack([own(views @ one.text) for own, one in zip(tell, candidates, strict=True)])
    found = []
    for one, shows in zip(candidates, held, strict=True):
        activations = np.asarray(one.row["activations"])
        parts = _probed(shows, [activations], sample)
        score = verdict.log_odds({**one.row, **parts, "votes": one.share, "joined": 0})
        found.append({**one.row, **parts, "score": score, "parts": None, "shares": None})
    fits = [row["fit"] for row in found]
    number = max(row["candidate"] for row in found) + 1
    for chosen in evidence.alternatives(fits, weights.join):
        shares = near[list(chosen)].argmax(0)
        if len(set(shares.tolist())) < len(chosen):
            continue  # a part that no exemplar shows best says nothing of its own
        joined = [found[place] for place in chosen]
        ours = [np.asarray(row["activations"]) for row in joined]
        parts = _probed(np.maximum.reduce([held[place] for place in chosen]), ours, sample)
        if parts["fit"] < max(one["fit"] for one in joined) + evidence.ADDS:
            continue
        row = {
            "unit": unit,
            "candidate": number,
            "concept": evidence.phrase([one["concept"] for one in joined]),
            "source": UNION,
            "votes": max(one["votes"] for one in joined),
            "auc": min(one["auc"] for one in joined),
            "mad": min(one["mad"] for one in joined),
            "rank_score": None,
            "image_similarity": _similarity(views, [candidates[place].vectors for place in chosen]),
            "activations": np.concatenate(ours),
            **parts,
            "parts": [one["candidate"] for one in joined],
            "shares": shares.tolist(),
        }
        share = max(candidates[place].share for place in chosen)
        row["score"] = verdict.log_odds({**row, "votes": share, "joined": len(chosen) - 1})
        found.append(row)
        number += 1
    return found


def _telling(one: Candidate, random: Values, weights: ScoreSettings) -> Callable[[Values], npt.NDArray[np.float64]]:
    """Cosines with a candidate's text -> how likely images show it."""
    if weights.scale is not None and weights.bias is not None:
        scale, bias = weights.scale, weights.bias
        return lambda cosines: evidence.calibrated(cosines, scale, bias)
    own = one.vectors @ one.text
    return lambda cosines: evidence.ramped(cosines, random, own)


def _probed(shows: npt.NDArray[np.float64], generated: Sequence[Values], sample: evidence.Sample) -> dict[str, float]:
    return {
        "fit": evidence.fit(shows, sample),
        "gap": evidence.gap(shows, sample),
        "hard": evidence.hard(shows, sample),
        "agreement": min(evidence.agreement(own, sample) for own in generated),
        "bimodality": sample.bimodality,
    }


def _similarity(views: Values, parts: Sequence[Values]) -> float:
    """Mean over exemplars of their similarity with the part that resembles them most."""
    cosines = [(views.astype(np.float64) @ own.T.astype(np.float64)).mean(1) for own in parts]
    return float(np.maximum.reduce(cosines).mean())
