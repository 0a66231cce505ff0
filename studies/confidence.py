"""How far the confidence of our own recipes can be trusted, over every unit with a known answer."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from dnd.config.load import Config
from dnd.evaluation import agreement
from dnd.evaluation.metrics.reliability import Reliability, reliability
from dnd.io import schemas, tables
from dnd.run.paths import Paths
from dnd.run.tasks import plan_of
from studies.methods_tables import cell, markdown
from studies.results import Results

DRAWN = ("dnd",)
"""Recipes with a reliability diagram."""
KEYS = ["model", "layer", "recipe", "unit"]


def confidences(config: Config) -> pd.DataFrame:
    """Return ``confidence`` by KEYS, of the recipes whose confidence is meant as a probability, on whole probes."""
    found = []
    plan = plan_of(config)
    for layer in plan.layers:
        recipe = config.recipes[layer.recipe]
        if recipe.method == "dnd" and not recipe.oracles and config.probes[layer.probe].part is None:
            path = Paths(plan).of_layer("descriptions", layer)
            found.append(tables.read(path, schemas.DESCRIPTIONS, [*KEYS, "confidence"]).to_pandas())
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=[*KEYS, "confidence"])


def exactness(results: Results) -> pd.DataFrame:
    """Return ``right`` by KEYS, 0 or 1, of all units with a known answer: 0 where there is nothing to name."""
    own = results.units
    own = own[~own["half"] & own["kind"].notna() & (own["method"] == own["recipe"])]
    known = own.loc[own["metric"] == agreement.ABSTAINED, KEYS]
    exact = own[own["metric"] == agreement.EXACT].set_index(KEYS)["value"]
    return known.join(exact.rename("right"), on=KEYS).fillna({"right": 0.0})


def units(results: Results, shown: Sequence[str]) -> pd.DataFrame:
    """Return ``confidence`` and ``right`` by KEYS, in the order of the layers that are shown."""
    both = confidences(results.config).merge(exactness(results), on=KEYS)
    both = both[both["layer"].isin(shown)]
    return both.sort_values("layer", key=lambda column: column.map(list(shown).index), kind="stable")


def diagrams(found: pd.DataFrame) -> dict[str, Reliability]:
    """Return recipe -> its reliability over the units of all networks and layers."""
    own = {recipe: found[found["recipe"] == recipe] for recipe in DRAWN}
    return {recipe: reliability(part["confidence"], part["right"]) for recipe, part in own.items() if len(part)}


def errors(found: pd.DataFrame) -> pd.DataFrame:
    """Return the expected calibration error by recipe (rows) and network (columns)."""
    rows = [
        (recipe, model, reliability(part["confidence"], part["right"]).error)
        for (recipe, model), part in found.groupby(["recipe", "model"])
    ]
    return pd.DataFrame(rows, columns=["recipe", "model", "error"]).pivot(
        index="recipe", columns="model", values="error"
    )


def table(found: pd.DataFrame) -> str:
    """Return a Markdown table of calibration errors, by recipe, for each layer and for all units of a network."""
    columns = {layer: errors(found[found["layer"] == layer]) for layer in dict.fromkeys(found["layer"])}
    columns["all units"] = errors(found)
    counts = found.groupby("recipe").size()
    medians = columns["all units"].median(axis=1).sort_values(kind="stable")
    rows = [
        [f"`{recipe}`", *(cell(values, recipe) for values in columns.values()), str(counts[recipe])]
        for recipe in medians.index
    ]
    return markdown(["method", *columns, "units"], rows)
