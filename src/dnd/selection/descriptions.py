"""The final table of a layer: best labels, confidence, abstention and the evidence, one row per requested unit."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from dnd.io import pictures, schemas, tables
from dnd.io.files import replaced
from dnd.selection.facets import mass
from dnd.selection.verdict import Verdict

LABELS = 3
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
"""How a cell begins that a spreadsheet runs."""


def ranked(candidates: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return our own candidates best first: by score, then votes, then the concept's spelling."""
    return sorted(candidates, key=lambda one: (-one["score"], -one["votes"], one["concept"]))


def confidence(best: Mapping[str, Any], answers: int) -> float:
    """Return a first, uncalibrated estimate in [0, 1] that a label is right.

    The product of how clearly its images beat the control images (AUC .5 -> 0, 1 -> 1) and the share of the LLM's
    answers that named it, pulled half way to one: a lone vote for a label whose images all excite the unit still
    counts. Where nobody drew the label, so that nothing speaks for or against it, one half stands for the first.
    """
    separation = 0.5 if best["auc"] is None else float(np.clip(2 * best["auc"] - 1, 0, 1))
    return separation * (0.5 + 0.5 * best["votes"] / answers)


def labels(best_first: Sequence[Mapping[str, Any]], evidence: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return up to three labels, best first.

    They are the parts of alternatives, by share of the exemplars' activation as in FACETS, or the best candidates.

    Parameters
    ----------
    evidence : the unit's exemplars by rank, with their ``activation``.
    """
    best = best_first[0]
    if best.get("parts"):
        named = {one["candidate"]: one["concept"] for one in best_first}
        strengths = [max(one["activation"], 0.0) for one in evidence]
        masses = [mass(strengths, best["shares"], part) for part in range(len(best["parts"]))]
        order = sorted(range(len(masses)), key=lambda part: (-masses[part], part))
        return [named[best["parts"][part]] for part in order]
    return [one["concept"] for one in best_first if not one.get("parts")][:LABELS]


def rival_confidence(best: Mapping[str, Any]) -> float:
    """Return a first, uncalibrated estimate in [0, 1] that a rival's label is right.

    The score itself where it may be a share or a probability; one half where it is on another scale or not known.
    """
    score = best["score"]
    return float(score) if score is not None and 0 <= score <= 1 else 0.5


def run(
    facts: Mapping[str, str],
    units: Sequence[int],
    topk: pa.Table,
    exemplars: pa.Table,
    captions: pa.Table,
    scores: pa.Table,
    verdict: Verdict | None = None,
) -> pa.Table:
    """Return the DESCRIPTIONS table of our own method, sorted by unit.

    Parameters
    ----------
    facts : ``model``, ``layer``, ``probe`` and ``recipe`` of the layer.
    units : the requested units.
    topk : TOPK of the layer; columns ``unit`` and ``idle`` are enough.
    verdict : fitted weights, by which the scores are log odds; without, confidence is a rough estimate and nothing that
        has a candidate is withheld.
    """
    wording = {pictures.place(row): row["caption"] for row in captions.to_pylist()}
    shown: dict[int, list[dict[str, Any]]] = {}
    for row in exemplars.select(["unit", "rank", "image_id", "box", "activation"]).to_pylist():
        shown.setdefault(row["unit"], []).append(row)
    candidates = _by_unit(scores)
    rows = []
    for row in _of_units(topk, units):
        best_first = ranked(candidates.get(row["unit"], []))
        evidence = sorted(shown.get(row["unit"], []), key=lambda one: one["rank"])
        sure, withheld = 0.0, None
        if best_first and verdict is not None:
            odds, bimodality = best_first[0]["score"], best_first[0]["bimodality"]
            sure, withheld = verdict.confidence(odds, bimodality), verdict.abstention(odds, bimodality)
        elif best_first:
            sure = confidence(best_first[0], sum(one["votes"] for one in best_first))
        texts = [wording[pictures.place(one)] for one in evidence]
        rows.append(_row(facts, row, best_first, sure, evidence, texts, withheld))
    return tables.table(rows, schemas.DESCRIPTIONS)


def of_rival(facts: Mapping[str, str], units: Sequence[int], topk: pa.Table, scores: pa.Table, shown: int) -> pa.Table:
    """Return the DESCRIPTIONS table of another method, sorted by unit: without captions, exemplars are whole images.

    Parameters
    ----------
    topk : TOPK of the layer; columns ``unit``, ``idle``, ``image_ids`` and ``activations`` are enough.
    scores : SCORES of the method, in whose order of candidates the labels come.
    shown : how many of a unit's most activating images are its exemplars.
    """
    candidates = _by_unit(scores)
    rows = []
    for row in _of_units(topk, units):
        best_first = sorted(candidates.get(row["unit"], []), key=lambda one: one["candidate"])
        sure = rival_confidence(best_first[0]) if best_first else 0.0
        evidence = [
            {"image_id": name, "box": None, "activation": value}
            for name, value in zip(row["image_ids"][:shown], row["activations"][:shown], strict=True)
        ]
        rows.append(_row(facts, row, best_first, sure, evidence, [None] * len(evidence)))
    return tables.table(rows, schemas.DESCRIPTIONS)


def _by_unit(scores: pa.Table) -> dict[int, list[dict[str, Any]]]:
    found: dict[int, list[dict[str, Any]]] = {}
    for row in scores.drop_columns(["activations"]).to_pylist():
        found.setdefault(row["unit"], []).append(row)
    return found


def _of_units(topk: pa.Table, units: Sequence[int]) -> list[dict[str, Any]]:
    """The rows of units, sorted by unit."""
    by_unit = {row["unit"]: row for row in topk.to_pylist()}
    return [by_unit[unit] for unit in sorted(units)]


def _row(
    facts: Mapping[str, str],
    unit: Mapping[str, Any],
    best_first: Sequence[Mapping[str, Any]],
    confidence: float,
    evidence: Sequence[Mapping[str, Any]],
    captions: Sequence[str | None],
    withheld: str | None = None,
) -> dict[str, Any]:
    """A row of DESCRIPTIONS; a unit without candidates abstains, an idle one among them.

    Parameters
    ----------
    withheld : why the best candidate is not said; the confidence is that it would be right.
    """
    best = best_first[0] if best_first and withheld is None else None
    return {
        **facts,
        "unit": unit["unit"],
        "label": best["concept"] if best else None,
        "labels": labels(best_first, evidence) if best else [],
        "confidence": confidence,
        "abstained": None if best else unit["idle"] or withheld or "no_concept",
        "score": best_first[0]["score"] if best_first else None,
        "candidates": [{field.name: one[field.name] for field in schemas.CANDIDATE} for one in best_first],
        "exemplars": [{field.name: one[field.name] for field in schemas.EXEMPLAR} for one in evidence],
        "captions": list(captions),
    }


def write_csv(path: str | Path, rows: pa.Table) -> None:
    r"""Write the table for spreadsheets: lists joined by `` | ``, one file that appears whole or not at all.

    A ``|`` in what is joined is written ``\|``. A text that a spreadsheet would run as a formula gets an apostrophe
    before it, as in the site's export.
    """
    with replaced(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(rows.schema.names)
        for row in rows.to_pylist():
            row["candidates"] = [
                one["concept"] + ("" if one["score"] is None else f" ({one['score']:.3f})") for one in row["candidates"]
            ]
            row["captions"] = [text for text in row["captions"] if text is not None]
            row["exemplars"] = [
                one["image_id"] + (f" [{' '.join(map(str, one['box']))}]" if one["box"] else "")
                for one in row["exemplars"]
            ]
            writer.writerow([_cell(value) for value in row.values()])


def _cell(value: Any) -> Any:
    if isinstance(value, list):
        value = " | ".join(text.replace("|", r"\|") for text in value)
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value
