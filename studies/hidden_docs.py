"""The first section of docs/evaluation.md: units that nobody planted, judged by what their labels say of them."""

from __future__ import annotations

import numpy as np
import pandas as pd

from dnd.evaluation import agreement
from dnd.evaluation.baselines import BASELINES
from dnd.evaluation.judgements import RANKED, TRUE_R
from dnd.evaluation.metrics.statistics import bootstrap, compare, holm
from studies.methods_tables import NONE, Against, against_table, markdown, ordered, winner
from studies.results import PLANTED, Results

OURS = "dnd"
SORTS = {"random": "random directions", "latents": "latents"}
"""End of the name of a network with a basis -> what its units are; else they are called by their layer."""
SORTED = ("layer3", "layer4", *SORTS.values(), "fc")
EMPTY = pd.Series(dtype=float)
UNIT = ["model", "layer", "unit"]
COLUMNS = {TRUE_R: "true r", "true_share": "share of the best", "true_share_pair": "share of the best pair"}


def sort_of(model: str, layer: str) -> str:
    """Return what units are, for people."""
    return SORTS.get(model.rpartition("-")[2], layer)


def values(results: Results, metric: str) -> pd.DataFrame:
    """Return a metric of the hidden units that our own method was asked about: units (rows) by method.

    Baselines are those of our own method. Units whose activations do not vary are left out.
    """
    rows = results.units
    rows = rows[(rows["layer"] != PLANTED) & ~rows["half"]]
    rows = rows[~rows["method"].isin(BASELINES) | (rows["recipe"] == OURS)]
    wide = {
        name: rows[rows["metric"] == name].pivot_table(index=UNIT, columns="method", values="value", aggfunc="first")
        for name in (TRUE_R, metric)
    }
    asked = wide[TRUE_R].get(OURS, EMPTY).dropna().index
    return wide[metric].reindex(asked).dropna(axis=1, how="all")


def interval(of_units: pd.Series) -> str:
    """Return the mean of some units with its 95 % bootstrap interval."""
    known = of_units.dropna().tolist()
    low, high = bootstrap(known)
    return f"{np.mean(known):.2f} [{low:.2f}, {high:.2f}]"


def table(results: Results) -> str:
    """Return what labels of hidden units are worth: by method, the best first, over all units and by sort of unit."""
    metrics = {metric: values(results, metric) for metric in (*COLUMNS, RANKED, agreement.ABSTAINED)}
    r = metrics[TRUE_R]
    means = r.mean()
    of_methods = means.drop(list(BASELINES), errors="ignore")
    leading = set(of_methods.index[np.isclose(of_methods, of_methods.max())])
    sorts = [sort_of(model, layer) for model, layer, _ in r.index]
    by_sort = r.groupby(sorts).mean()
    named = [sort for sort in SORTED if sort in by_sort.index]
    rows = []
    for method in ordered(list(r.columns), lambda method: means[method]):
        first, *others = (interval(metrics[metric][method]) for metric in COLUMNS)
        rows.append(
            [
                f"*{method}*" if method in BASELINES else f"`{method}`",
                f"**{first}**" if method in leading else first,
                *others,
                *(figure(by_sort[method][sort]) for sort in named),
                figure(metrics[RANKED].get(method, EMPTY).mean()),
                figure(1 - metrics[agreement.ABSTAINED].get(method, EMPTY).mean()),
                str(r[method].count()),
            ]
        )
    return markdown(["method", *COLUMNS.values(), *named, "nothing withheld", "described", "units"], rows)


def figure(mean: float) -> str:
    """Return a mean for people, nothing of no units."""
    return NONE if np.isnan(mean) else f"{round(mean, 2) + 0:.2f}"  # no -0.00


def pairs_table(results: Results, metric: str) -> str:
    """Return our method against every other on the hidden units that both described, p-values corrected by Holm."""
    wide = values(results, metric)
    both = {other: wide[[OURS, other]].dropna() for other in wide.columns if other not in (OURS, *BASELINES)}
    tests = {other: compare(pair[OURS].tolist(), pair[other].tolist()) for other, pair in both.items() if len(pair)}
    adjusted = holm([test.pvalue for test in tests.values()])
    return against_table(
        OURS,
        [
            Against(other, test.difference, test.low, test.high, p, test.units)
            for (other, test), p in zip(tests.items(), adjusted, strict=True)
        ],
    )


def parts(results: Results) -> dict[str, str]:
    """Return what the template shows of hidden units: who tells best, tables; nothing where none were described."""
    r, ranked = (values(results, metric).mean().drop(list(BASELINES), errors="ignore") for metric in (TRUE_R, RANKED))
    if not len(r):
        return {}
    return {
        "best": winner("units that nobody planted, true r", r),
        "best_ranked": winner("the same where nothing is withheld", ranked),
        "table": table(results),
        "pairs": pairs_table(results, TRUE_R),
        "pairs_share": pairs_table(results, "true_share"),
        "pairs_ranked": pairs_table(results, RANKED),
    }
