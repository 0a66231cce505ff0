"""What labels would be worth if a part of the method were perfect: the truth in the place of one model at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pandas as pd

from dnd.config.load import Config
from dnd.evaluation import agreement
from studies.methods_tables import NONE, cell, markdown
from studies.results import Results, expand

OURS = "dnd"
PARTS = {
    "captions": ("the captioner", "captions say what each exemplar shows, from its scene"),
    "concepts": ("the language model", "each unit's known answer is its only candidate"),
    "generator": ("the generator", "candidates are drawn exactly, as scenes that they denote"),
}
"""Part of a recipe -> the model that it asks, and what the truth is there."""
COLUMNS = {
    "concept": (agreement.EXACT, "concept"),
    "gain": (agreement.EXACT, "concept"),
    "polysemantic": (agreement.EXACT, "polysemantic"),
    "gain, polysemantic": (agreement.EXACT, "polysemantic"),
    "F1, concept": (agreement.F1, "concept"),
    "F1, polysemantic": (agreement.F1, "polysemantic"),
    "abstained, concept": (agreement.ABSTAINED, "concept"),
}


def parts(config: Config) -> dict[str, tuple[str, ...]]:
    """Return recipe -> its parts that the truth stands in for, of recipes with such parts."""
    return {name: recipe.oracles for name, recipe in config.recipes.items() if recipe.oracles}


def values(results: Results, layer: str) -> dict[str, pd.DataFrame]:
    """Return column -> figures of our method and of the recipes with the truth in them, by network.

    A gain is the difference to our method on the same network.
    """
    own = results.units[results.units["method"] == OURS]
    both = replace(results, units=pd.concat([own, results.oracles], ignore_index=True))
    found = {name: both.values(layer, metric, expand(kind)) for name, (metric, kind) in COLUMNS.items()}
    for name in (one for one in COLUMNS if one.startswith("gain")):
        base = found[name]
        found[name] = base - base.loc[OURS] if OURS in base.index else base * float("nan")
    return found


def table(results: Results, layer: str, replaced: Mapping[str, Sequence[str]]) -> str:
    """Return a Markdown table: our method, then the truth in the place of its parts.

    Parameters
    ----------
    replaced : recipe -> its parts that the truth stands in for.
    """
    columns = values(results, layer)
    rows = []
    for recipe in (OURS, *replaced):
        names = [PARTS[part][0] for part in replaced.get(recipe, ())]
        cells = [
            NONE if recipe == OURS and name.startswith("gain") else _cell(one, recipe, name)
            for name, one in columns.items()
        ]
        rows.append([f"`{recipe}`", " and ".join(names) or "nothing", *cells])
    return markdown(["recipe", "the truth in the place of", *columns], rows)


def _cell(figures: pd.DataFrame, recipe: str, name: str) -> str:
    """A median with its range; of a gain the median, with its sign."""
    if not name.startswith("gain"):
        return cell(figures, recipe)
    found = figures.loc[recipe].dropna() if recipe in figures.index else figures.iloc[:0].stack()
    return f"{found.median():+.2f}" if len(found) else NONE


def weakest(results: Results, layer: str, replaced: Mapping[str, Sequence[str]]) -> str:
    """Say which part would gain most if it were perfect, for units of one concept and of two, and what none reaches."""
    columns = values(results, layer)
    lines = []
    for column, gain, what in (
        ("concept", "gain", "units with one concept"),
        ("polysemantic", "gain, polysemantic", "units of two concepts"),
    ):
        gains = columns[gain].reindex(list(replaced)).median(axis=1).dropna().sort_values(ascending=False)
        if not len(gains):
            continue
        recipe, most = gains.index[0], float(gains.iloc[0])
        names = " and ".join(PARTS[part][0] for part in replaced[recipe])
        reached = f"{columns[column].loc[recipe].median():.2f} of {what}"
        if round(most, 2) > 0:
            lines.append(f"- a perfect stand-in for {names} would gain most, {most:+.2f}: {reached} exactly")
        else:
            lines.append(f"- no perfect part would gain anything: {reached} exactly at best")
    return "\n".join(lines)


def notes(replaced: Mapping[str, Sequence[str]]) -> str:
    """Return what the truth is, for each part that it stands in for."""
    used = dict.fromkeys(part for own in replaced.values() for part in own)
    return "\n".join(f"- {PARTS[part][0]}: {PARTS[part][1]}" for part in used)
