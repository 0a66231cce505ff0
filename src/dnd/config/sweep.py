"""The tables of what to describe, sweep.tsv and layers.tsv, checked before any job starts."""

from __future__ import annotations

import csv
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from dnd.config.layer_table import (
    Known,
    good_layers,
    good_rows,
    is_pattern,
    layers_table,
    matching,
    require_none,
    short,
)
from dnd.config.load import LETTERS, LONGEST_NAME, SLUG, Config, names
from dnd.config.sections import MOST

OWN_FOLDERS = {
    "activations",
    "audits",
    "benchmarks",
    "comparisons.parquet",
    "concepts",
    "dissection",
    "evaluation",
    "evaluation.parquet",
    "groups.tsv",
    "images",
    "importance",
    "logs",
    "modules",
    "probe",
    "provenance.json",
    "report",
    "status.html",
}
"""What a run's results folder holds besides one folder per sweep name."""


@dataclass(frozen=True)
class Layer:
    """One layer to describe: a sweep row and one of its layers."""

    name: str
    model: str
    layer: str
    slug: str
    probe: str
    recipe: str
    units: Sequence[int]


@dataclass(frozen=True)
class SweepRow:
    """A row of sweep.tsv; ``where`` is its file and line, ``units`` None when all are wanted."""

    where: str
    name: str
    model: str
    layers: tuple[str, ...]
    probe: str
    recipe: str
    units: tuple[int, ...] | None


SWEEP_COLUMNS = ["name", "model", "layers", "probe", "recipe", "units"]


def units(text: str) -> tuple[int, ...]:
    """Parse ``0-99,512`` to sorted unit numbers.

    Raises
    ------
    ValueError
        Something else than numbers and ranges, or a number twice.
    """
    numbers: list[int] = []
    for part in text.replace(" ", "").split(","):
        match = re.fullmatch(r"([0-9]+)(?:-([0-9]+))?", part)
        if match is None:
            raise ValueError(f"{short(part)!r} is neither a unit nor a range such as 0-99")
        if len(part) > len("0000000000-0000000000"):
            raise ValueError(f"{short(part)!r} is beyond any layer")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise ValueError(f"range {part!r} runs backwards")
        if last >= MOST:
            raise ValueError(f"{part!r} is beyond any layer")
        numbers += range(first, last + 1)
    if len(set(numbers)) != len(numbers):
        raise ValueError("a unit is listed twice")
    return tuple(sorted(numbers))


def spell(numbers: Sequence[int]) -> str:
    """Return sorted unit numbers as :func:`units` reads them: ``0-99,512``."""
    parts, first = [], 0
    for i, number in enumerate(numbers):
        if i + 1 == len(numbers) or numbers[i + 1] != number + 1:
            parts.append(f"{numbers[first]}-{number}" if number > numbers[first] else str(number))
            first = i + 1
    return ",".join(parts)


class Tables(NamedTuple):
    """What both tables say.

    Attributes
    ----------
    rows : the good rows of sweep.tsv.
    known : (model, layer) -> what the good rows of layers.tsv say of it.
    layers : of the sweep, in its order, whose model, probe and recipe are sound.
    mistakes : one line each.
    unknown : one line for each layer that layers.tsv lacks: a mistake, or the inventory has yet to be taken.
    """

    rows: list[SweepRow]
    known: dict[tuple[str, str], Known]
    layers: list[Layer]
    mistakes: list[str]
    unknown: list[str]


def examined(config: Config, values: Mapping[str, object]) -> Tables:
    """Return what is sound in the tables of a configuration, and what is not.

    Parameters
    ----------
    config : what is sound in ``values``.
    values : of config.yaml, whose names may be used whether their sections are sound or not.
    """
    mistakes: list[str] = []
    unknown: list[str] = []
    named = {kind: names(values, kind) for kind in ("models", "probes", "recipes")}
    sweep = _sweep_rows(config, named, mistakes)
    known = good_layers(config, mistakes)
    layers: dict[tuple[str, str], Layer] = {}
    models: dict[tuple[str, str], str] = {}
    for row in sweep:
        for name in (layer for asked in row.layers for layer in _named(config, row, asked, known, unknown)):
            place = known.get((row.model, name))
            if place is None:
                have = sorted(layer for model, layer in known if model == row.model)
                unknown.append(
                    f"{row.where}: unknown layer {name!r} of model {row.model!r}; {layers_table(config)} has {have}. "
                    "`snakemake inventory` adds the layers that the model has"
                )
            elif row.units and row.units[-1] >= place.units:
                mistakes.append(f"{row.where}: unit {row.units[-1]} of layer {name!r}, which has {place.units}")
            elif (row.name, place.slug) in layers:
                mistakes.append(f"{row.where}: name {row.name!r} with layer {place.slug!r} is listed twice")
            # metrics are told apart by name and layer, whatever the model
            elif models.setdefault((row.name, name), row.model) != row.model:
                mistakes.append(
                    f"{row.where}: name {row.name!r} stands for layer {name!r} of another model already; "
                    "choose another name"
                )
            else:
                units = row.units or range(place.units)
                layers[row.name, place.slug] = Layer(
                    row.name, row.model, name, place.slug, row.probe, row.recipe, units
                )
    sound = [
        layer
        for layer in layers.values()
        if layer.model in config.models and layer.probe in config.probes and layer.recipe in config.recipes
    ]
    return Tables(sweep, known, sound, mistakes, unknown)


def read(config: Config) -> Tables:
    """Return what the tables say.

    Raises
    ------
    ConfigError
        With one line per mistake; that layers.tsv lacks a layer is none yet.
    """
    tables = examined(config, {"models": config.models, "probes": config.probes, "recipes": config.recipes})
    require_none(tables.mistakes)
    return tables


def sweep_rows(config: Config) -> list[SweepRow]:
    """Return the rows of sweep.tsv; errors are those of :func:`read`."""
    return read(config).rows


def known_layers(config: Config) -> dict[tuple[str, str], Known]:
    """Return what layers.tsv says of each layer, by model and layer; a mistake in it is a ConfigError."""
    mistakes: list[str] = []
    known = good_layers(config, mistakes)
    require_none(mistakes)
    return known


def _sweep_rows(config: Config, named: Mapping[str, Collection[str]], mistakes: list[str]) -> list[SweepRow]:
    """The good rows of sweep.tsv; of the others lines are added to the mistakes."""
    asked = []
    told = len(mistakes)
    table = good_rows(config.sweep, SWEEP_COLUMNS, mistakes)
    if not table and len(mistakes) == told:
        mistakes.append(f"{config.sweep}: no rows")
    for where, row in table:
        wrong = list(_wrong_in_row(row, named))
        mistakes += [f"{where}: {problem}" for problem in wrong]
        if not wrong:
            wanted = units(row["units"]) if row["units"] else None
            layers = tuple(row["layers"].replace(" ", "").split(","))
            asked.append(SweepRow(where, row["name"], row["model"], layers, row["probe"], row["recipe"], wanted))
    return asked


def _wrong_in_row(row: Mapping[str, str], named: Mapping[str, Collection[str]]) -> Iterator[str]:
    if not re.fullmatch(SLUG, row["name"]):
        yield f"name {row['name']!r} must be {LETTERS}, {LONGEST_NAME} at most"
    if row["name"] in OWN_FOLDERS:
        yield f"name {row['name']!r} is the name of another results folder; choose another"
    for column in ("model", "probe", "recipe"):
        known = named[f"{column}s"]
        if known and row[column] not in known:  # without any, the section as a whole was told already
            yield f"unknown {column} {row[column]!r}; config.yaml has {sorted(known)}"
    try:
        units(row["units"] or "0")
    except ValueError as error:
        yield f"units: {error}"


def layers(config: Config) -> list[Layer]:
    """Return every layer of the sweep, in the order of the table.

    Raises
    ------
    ConfigError
        With one line per mistake, or for each layer that the sweep names and layers.tsv does not hold.
    """
    tables = read(config)
    require_none(tables.unknown)
    return tables.layers


MODULES = "modules/{model}.tsv"
"""Where the table of a network's modules lies, below the results."""


def modules_table(config: Config, model: str) -> Path:
    """Return where the inventory leaves the table of a network's modules."""
    return config.results / MODULES.format(model=model)


def _named(config: Config, row: SweepRow, name: str, known: Iterable[tuple[str, str]], unknown: list[str]) -> list[str]:
    """The layers that a name of a row stands for: itself, or all that fit a pattern and are known or in the inventory.

    Where none fits, a line of what is ``unknown`` is added.
    """
    if not is_pattern(name):
        return [name]
    layers = [layer for model, layer in known if model == row.model]
    table = modules_table(config, row.model)
    if table.exists():
        with table.open(newline="", encoding="utf-8") as file:
            modules = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
            layers += [module["layer"] for module in modules if module["units"]]
    named = matching(name, dict.fromkeys(layers))
    if not named:
        unknown.append(
            f"{row.where}: {layers_table(config)} has no layer of model {row.model!r} that is named like {name!r}. "
            "`snakemake inventory` adds the layers that the model has"
        )
    return named
