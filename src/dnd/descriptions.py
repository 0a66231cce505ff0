"""The final table of a layer: best labels, confidence, abstention and the evidence, one row per requested unit."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from dnd import pictures, tables
from dnd.atomic import replaced

LABELS = 3


def ranked(candidates: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return candidates best first: by score, then votes, then the concept's spelling."""
    return sorted(candidates, key=lambda one: (-one["score"], -one["votes"], one["concept"]))


def confidence(best: Mapping[str, Any], answers: int) -> float:
    """Return a first, uncalibrated estimate in [0, 1] that a label is right.

    The product of how clearly its images beat the control images (AUC .5 -> 0, 1 -> 1) and the share of the LLM's
    answers that named it, pulled half way to one: a lone vote for a label whose images all excite the unit still
    counts.
    """
    separation = float(np.clip(2 * best["auc"] - 1, 0, 1))
    return separation * (0.5 + 0.5 * best["votes"] / answers)


def run(
    facts: Mapping[str, str],
    units: Sequence[int],
    topk: pa.Table,
    exemplars: pa.Table,
    captions: pa.Table,
    scores: pa.Table,
) -> pa.Table:
    """Return the DESCRIPTIONS table, sorted by unit.

    Parameters
    ----------
    facts : ``model``, ``layer``, ``probe`` and ``recipe`` of the layer.
    units : the requested units.
    """
    idle = {row["unit"]: row["idle"] for row in topk.select(["unit", "idle"]).to_pylist()}
    wording = {pictures.place(row): row["caption"] for row in captions.to_pylist()}
    shown: dict[int, list[dict[str, Any]]] = {}
    for row in exemplars.select(["unit", "rank", "image_id", "box", "activation"]).to_pylist():
        shown.setdefault(row["unit"], []).append(row)
    candidates: dict[int, list[dict[str, Any]]] = {}
    for row in scores.drop_columns(["activations"]).to_pylist():
        candidates.setdefault(row["unit"], []).append(row)
    names = [field.name for field in tables.CANDIDATE]
    rows = []
    for unit in sorted(units):
        best_first = ranked(candidates.get(unit, []))
        evidence = sorted(shown.get(unit, []), key=lambda row: row["rank"])
        reason = idle[unit] or (None if best_first else "no_concept")
        labels = [] if reason else [one["concept"] for one in best_first[:LABELS]]
        answers = sum(one["votes"] for one in best_first)
        rows.append(
            {
                **facts,
                "unit": unit,
                "label": labels[0] if labels else None,
                "labels": labels,
                "confidence": confidence(best_first[0], answers) if labels else 0.0,
                "abstained": reason,
                "score": best_first[0]["score"] if labels else None,
                "candidates": [{name: one[name] for name in names} for one in best_first],
                "exemplars": [{name: row[name] for name in ("image_id", "box", "activation")} for row in evidence],
                "captions": [wording[pictures.place(row)] for row in evidence],
            }
        )
    return tables.table(rows, tables.DESCRIPTIONS)


def write_csv(path: str | Path, rows: pa.Table) -> None:
    """Write the table for spreadsheets: lists joined by `` | ``, one file that appears whole or not at all."""
    with replaced(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(rows.schema.names)
        for row in rows.to_pylist():
            row["candidates"] = [f"{one['concept']} ({one['score']:.3f})" for one in row["candidates"]]
            row["exemplars"] = [
                one["image_id"] + (f" [{' '.join(map(str, one['box']))}]" if one["box"] else "")
                for one in row["exemplars"]
            ]
            writer.writerow([" | ".join(value) if isinstance(value, list) else value for value in row.values()])
