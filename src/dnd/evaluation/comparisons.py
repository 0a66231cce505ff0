"""Which of two methods is better, unit by unit: paired tests over the units that both described."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import pandas as pd
import pyarrow as pa

from dnd.evaluation.baselines import BASELINES
from dnd.evaluation.metrics.statistics import Comparison, compare, holm
from dnd.io import schemas, tables
from dnd.shapeworld.known_answers import CONCEPT_KINDS


def run(evaluation: pa.Table, models: Mapping[str, str], probes: Mapping[str, str]) -> pa.Table:
    """Return the COMPARISONS table: for each layer, kind and metric, every pair of methods.

    Units of networks that have a layer of the same name are taken together. p-values are corrected (Holm) over the
    pairs of one layer, kind and metric.

    Parameters
    ----------
    evaluation : EVALUATION of a run.
    models, probes : row of the sweep -> its network, its probe; other rows are not compared, and methods on the same
        probe only.
    """
    units = evaluation.to_pandas()
    units = units[units["unit"].notna() & ~units["method"].isin(BASELINES)]
    units = units[units["name"].isin(models)]
    units = units.assign(model=units["name"].map(models), probe=units["name"].map(probes))
    rows: list[dict[str, Any]] = []
    for (layer, metric), part in units.groupby(["layer", "metric"], sort=True):
        for kind, own in _kinds(part):
            rows += _pairs(own, {"layer": layer, "kind": kind, "metric": metric})
    return tables.table(rows, schemas.COMPARISONS)


def _kinds(part: pd.DataFrame) -> Sequence[tuple[str | None, pd.DataFrame]]:
    """All units, and those with one concept to name."""
    named = part[part["kind"].isin(CONCEPT_KINDS)]
    return [(None, part), *([("concept", named)] if len(named) else [])]


def _pairs(part: pd.DataFrame, place: Mapping[str, Any]) -> list[dict[str, Any]]:
    wide = part.pivot_table(index=["model", "probe", "unit"], columns="method", values="value", aggfunc="first")
    rows = []
    for one, other in combinations(wide.columns, 2):
        both = wide[[one, other]].dropna()
        if not len(both):
            continue
        found = compare(both[one].tolist(), both[other].tolist())
        rows.append({**place, "method": one, "other": other, "p": found.pvalue, **_figures(found)})
    for row, adjusted in zip(rows, holm([row["p"] for row in rows]), strict=True):
        row["p_adjusted"] = float(adjusted)
    return rows


def _figures(found: Comparison) -> dict[str, Any]:
    return {name: getattr(found, name) for name in ("units", "difference", "low", "high", "test")}
