"""What each method of an evaluation run asked of the models, and how long its jobs took."""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dnd.config.load import Config
from dnd.config.rivals import LineRecipe
from dnd.config.sweep import Layer, layers
from dnd.io import schemas, tables

NOT_OF_A_ROW = {
    "activations",
    "concepts",
    "dissection",
    "images",
    "judgements",
    "listing",
    "probe",
    "refinement",
    "label_images",
}
"""Folders of benchmark files of jobs that serve several rows of the sweep."""


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
    folder = Path("results", config.run)
    found: dict[str, Cost] = {}
    methods = [layer for layer in layers(config) if not config.recipes[layer.recipe].oracles]
    asked = [layer for layer in methods if config.probes[layer.probe].part is None]
    for layer in asked:
        one = found.setdefault(layer.recipe, Cost())
        one.units += len(layer.units)
        stem = re.compile(rf"{re.escape(f'{layer.name}-{layer.slug}')}(-\d+-\d+)?")  # a layer's shards, or all of it
        for path in sorted((folder / "benchmarks").glob("*/*.tsv")):
            if stem.fullmatch(path.stem) and path.parent.name not in NOT_OF_A_ROW:
                one.seconds[path.parent.name] += _seconds(path)
        _rounds(config, folder, layer, one)
    for recipe in {layer.recipe for layer in asked if config.recipes[layer.recipe].method == "dnd"}:
        one = found[recipe]
        for model, probe in {(layer.model, layer.probe) for layer in asked if layer.recipe == recipe}:
            for path in sorted((folder / "concepts" / model / probe / recipe).glob("*-answers.parquet")):
                one.questions += tables.count(path)
            for path in sorted((folder / "refinement" / model / probe / recipe).glob("*-rounds.parquet")):
                one.questions += tables.count(path)
            drawn = sorted((folder / "images" / model / probe / recipe).rglob("*.parquet"))
            one.pictures += tables.count(drawn)
            one.pictures += _distinct(
                path
                for layer in asked
                if (layer.model, layer.probe, layer.recipe) == (model, probe, recipe)
                for path in (folder / layer.name / layer.slug / "stopping").glob("*[0-9].parquet")
            )
            for stage in ("concepts", "refinement", "images"):
                timed = (folder / "benchmarks" / stage / model / probe / recipe).rglob("*.tsv")
                one.seconds[stage] += sum(map(_seconds, timed))
    return found


def _rounds(config: Config, folder: Path, layer: Layer, one: Cost) -> None:
    recipe = config.recipes[layer.recipe]
    if not isinstance(recipe, LineRecipe):
        return
    for path in sorted((folder / layer.name / layer.slug / "line").glob("*-rounds.parquet")):
        rounds = tables.read(path, schemas.LINE_ROUNDS, ["concept"])
        one.questions += len(rounds)
        one.pictures += len(set(rounds["concept"].drop_null().to_pylist())) * recipe.generator.images


def _distinct(images: Iterable[Path]) -> int:
    """How many pictures there are in tables of IMAGES that may share some."""
    return len(set(tables.read(sorted(images), schemas.IMAGES, ["key"])["key"].to_pylist()))


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
