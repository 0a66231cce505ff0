"""Which of two methods is better, unit by unit: paired tests over the units that both described."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import pandas as pd
import pyarrow as pa

from dnd.config.known_answers import CONCEPT_KINDS
from dnd.evaluation.baselines import BASELINES
from dnd.evaluation.metrics.statistics import PairedTest, compare, holm
from dnd.io import schemas, tables
from dnd.io.rows import Comparison


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
    rows = []
    for (layer, metric), part in units.groupby(["layer", "metric"], sort=True):
        rows += _pairs(part, layer, None, metric)
        rows += _pairs(part[part["kind"].isin(CONCEPT_KINDS)], layer, "concept", metric)
    return tables.table(rows, schemas.COMPARISONS)


def _pairs(part: pd.DataFrame, layer: str, kind: str | None, metric: str) -> list[Comparison]:
    """Compare every two methods of some units; none where there are no units."""
    wide = part.pivot_table(index=["model", "probe", "unit"], columns="method", values="value", aggfunc="first")
    tests: dict[tuple[str, str], PairedTest] = {}
    for first, second in combinations(wide.columns, 2):
        both = wide[[first, second]].dropna()
        if len(both):
            tests[first, second] = compare(both[first].tolist(), both[second].tolist())
    adjusted = holm([test.pvalue for test in tests.values()])
    return [
        Comparison(layer, kind, metric, first, second, *test, corrected)
        for ((first, second), test), corrected in zip(tests.items(), adjusted, strict=True)
    ]
