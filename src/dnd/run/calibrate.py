"""Read the labels of a finished run over networks whose units are known, and fit on them how sure a label is.

``dnd fit-verdict config/calibration/config.yaml config/verdict.json`` writes the file that ``scores.verdict`` names;
`make calibrate` makes the run, too. Beside the file lies a plot of how reliable it is, `config/verdict.png`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import JsonValue

from dnd.config.load import Config, ConfigError, config_file
from dnd.config.recipes import Recipe
from dnd.config.sweep import Layer
from dnd.config.targets import TargetSettings
from dnd.evaluation.agreement import rightness
from dnd.evaluation.fit_verdict import Case, fit, held_out, report
from dnd.evaluation.metrics.reliability import reliability
from dnd.evaluation.reliability_plot import draw
from dnd.io import schemas, tables
from dnd.io.files import replaced
from dnd.io.rows import Figure
from dnd.run.contents import load
from dnd.run.paths import Paths
from dnd.run.tasks import plan_of
from dnd.selection import explains
from dnd.selection.verdict import features, settings_of


class _Described(NamedTuple):
    unit: int
    label: str | None
    explains: float | None
    candidates: list[dict[str, Any]]


def known_units(config: Config) -> dict[tuple[str, str, int], tuple[str, bool]]:
    """Return row of the sweep, layer and unit -> its kind and whether its label is right, of units that are known."""
    plan = plan_of(config)
    layers: dict[tuple[str, str], list[Figure]] = {}
    for row in tables.rows(Paths(plan).file("evaluation"), schemas.EVALUATION, Figure):
        layers.setdefault((row.name, row.layer), []).append(row)
    known: dict[tuple[str, str, int], tuple[str, bool]] = {}
    for layer in plan.layers:
        rows = layers.get((layer.name, layer.layer), [])
        kinds = {row.unit: row.kind for row in rows if row.unit is not None}
        for unit, right in rightness(rows, layer.recipe).items():
            known[layer.name, layer.layer, unit] = kinds[unit] or layer.layer, right
    return known


def read(config: Config, rows: str = "*") -> tuple[list[Case], dict[str, JsonValue]]:
    """Return the cases of a finished run, and the settings of their recipe.

    Parameters
    ----------
    rows : of the sweep, as a pattern of their names.

    Raises
    ------
    ValueError
        The rows have recipes of different settings.
    """
    first: dict[tuple[str, ...], str] = {}  # two models may be one network, with other units
    network = {name: first.setdefault(_weights_of(model), name) for name, model in config.models.items()}
    plan, known = plan_of(config), known_units(config)
    cases: list[Case] = []
    settings: dict[str, JsonValue] = {}
    for layer in plan.layers:
        recipe = config.recipes[layer.recipe]
        if isinstance(recipe, Recipe) and fnmatch(layer.name, rows):
            cases += _of_layer(layer, Paths(plan).of_layer("descriptions", layer), network[layer.model], known)
            if settings and settings != settings_of(recipe):
                raise ValueError("the rows have recipes of different settings: choose some by `--rows`")
            settings = settings_of(recipe)
    return cases, settings


def _weights_of(model: TargetSettings) -> tuple[str, ...]:
    """What tells networks apart: the files and folders of their weights, or else how they are made."""
    named = (model.weights, *model.arguments.values())
    files = tuple(str(value) for value in named if isinstance(value, str | Path) and os.path.exists(value))
    return files or (model.source, model.factory, repr(model.arguments), repr(model.weights))


def _of_layer(layer: Layer, path: str, network: str, known: dict[tuple[str, str, int], tuple[str, bool]]) -> list[Case]:
    cases = []
    for row in tables.rows(path, schemas.DESCRIPTIONS, _Described):
        place = layer.name, layer.layer, row.unit
        if row.label is not None and row.explains is not None and place in known:
            best, (kind, right) = row.candidates[0], known[place]
            totals = [candidate["score"] for candidate in row.candidates]
            parts = len(explains.parts_of(best["concept"]))
            values = features(row.explains, best["precision"] or 0.0, best["drawn"] or 0.0, totals, parts)
            cases.append(Case(network, kind, values, right))
    return cases


def main(arguments: Sequence[str] | None = None) -> int:
    """Fit how sure labels are on a finished run over networks whose units are known."""
    parser = argparse.ArgumentParser(
        prog="dnd fit-verdict",
        description=main.__doc__,
        epilog="example: dnd fit-verdict my/config.yaml my/verdict.json",
    )
    parser.add_argument("config", type=Path, help="configuration of the run, such as config/calibration/config.yaml")
    parser.add_argument("verdict", type=Path, help="file to write, such as config/verdict.json")
    parser.add_argument("--rows", default="*", help="rows of the sweep, as a pattern of their names")
    chosen = parser.parse_args(arguments)
    try:
        config = load(config_file(chosen.config), chosen.config)
        cases, settings = read(config, chosen.rows)
    except (ConfigError, OSError, ValueError) as error:
        parser.error(str(error))
    if not cases:
        print(f"{config.results}: no described units of rows {chosen.rows!r} that are known", file=sys.stderr)
        return 2
    try:
        networks: list[JsonValue] = [*sorted({case.network for case in cases})]
        judge = fit(cases, settings, {"networks": networks, "units": len(cases)})
    except ValueError as error:
        print(f"{config.results}: {error}", file=sys.stderr)
        return 2
    with replaced(chosen.verdict) as partial:
        partial.write_text(json.dumps(judge.model_dump(), indent=1) + "\n")
    confidences, plot = held_out(cases), chosen.verdict.with_suffix(".png")
    draw({f"{len(cases)} units": reliability(confidences, [case.right for case in cases])}, plot)
    print(f"{report(cases, confidences)}\nwrote {chosen.verdict}, and how reliable it is to {plot}")
    return 0
