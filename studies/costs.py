"""What each method of an evaluation run asked of the models, and how long its jobs took."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dnd.config.load import Config
from dnd.config.rivals import LineRecipe
from dnd.config.sweep import Layer
from dnd.io import schemas, tables
from dnd.run.paths import OUTPUTS, PATTERNS, Paths, job
from dnd.run.tasks import plan_of


@dataclass
class Cost:
    """Of one method over all rows of the sweep on whole probes.

    Attributes
    ----------
    units : described.
    questions : put to the language model.
    pictures : generated ones that the method needs, whoever has drawn them.
    seconds : of jobs of its own, by stage.
    """

    units: int = 0
    questions: int = 0
    pictures: int = 0
    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))


def costs(config: Config) -> Mapping[str, Cost]:
    """Return recipe -> cost, from the tables and benchmark files of a finished run."""
    plan = plan_of(config)
    paths = Paths(plan)
    found: dict[str, Cost] = {}
    methods = [layer for layer in plan.layers if not config.recipes[layer.recipe].oracles]
    asked = [layer for layer in methods if config.probes[layer.probe].part is None]
    for layer in asked:
        one = found.setdefault(layer.recipe, Cost())
        one.units += len(layer.units)
        for rule in (*PATTERNS, *OUTPUTS):
            if job(rule).startswith("{name}-{slug}"):
                for path in Paths.existing(paths.benchmark(rule), name=layer.name, slug=layer.slug):
                    one.seconds[rule] += _seconds(path)
        _rounds(config, paths, layer, one)
    for recipe in {layer.recipe for layer in asked if config.recipes[layer.recipe].method == "dnd"}:
        one = found[recipe]
        for model, probe in {(layer.model, layer.probe) for layer in asked if layer.recipe == recipe}:
            place = {"model": model, "probe": probe, "recipe": recipe}
            for kind in ("answers", "rounds"):
                one.questions += tables.count(Paths.existing(paths.pattern(kind), **place))
            one.pictures += tables.count(Paths.existing(paths.pattern("images"), **place))
            for stage in ("concepts", "refinement", "images"):
                one.seconds[stage] += sum(map(_seconds, Paths.existing(paths.benchmark(stage), **place)))
    return found


def _rounds(config: Config, paths: Paths, layer: Layer, one: Cost) -> None:
    recipe = config.recipes[layer.recipe]
    if not isinstance(recipe, LineRecipe):
        return
    for path in Paths.existing(paths.pattern("rounds_of_line"), name=layer.name, slug=layer.slug):
        rounds = tables.read(path, schemas.LINE_ROUNDS, ["concept"])
        one.questions += len(rounds)
        one.pictures += len(set(rounds["concept"].drop_null().to_pylist())) * recipe.generator.images


def _seconds(path: Path) -> float:
    with path.open(newline="", encoding="utf-8") as file:
        return sum(float(row["s"]) for row in csv.DictReader(file, delimiter="\t"))


def table(config: Config) -> str:
    """Return a Markdown table of the costs of a unit, by method."""
    lines = [
        "| method | questions to the LLM | generated images | seconds of jobs of its own |",
        "|---|---|---|---|",
    ]
    for recipe, one in sorted(costs(config).items()):
        figures = [one.questions / one.units, one.pictures / one.units, sum(one.seconds.values()) / one.units]
        lines.append(f"| `{recipe}` | " + " | ".join(f"{figure:.1f}" for figure in figures) + " |")
    return "\n".join(lines)
