"""The tables of what to describe, sweep.tsv and layers.tsv, checked before any job starts."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from dnd.config import SLUG, Config, ConfigError

OWN_FOLDERS = {
    "activations",
    "audits",
    "benchmarks",
    "concepts",
    "dissection",
    "evaluation",
    "images",
    "importance",
    "logs",
    "modules",
    "probe",
    "report",
    "provenance.json",
}
"""What a run's results folder holds besides one folder per sweep name."""
MOST_UNITS = 10_000_000


class UnknownLayer(ConfigError):
    """The sweep names a layer that layers.tsv lacks: a mistake, or the inventory has yet to be taken."""


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
LAYER_COLUMNS = ["model", "layer", "slug", "units"]


def units(text: str) -> tuple[int, ...]:
    """Parse ``0-99,512`` to sorted unit numbers.

    Raises
    ------
    ValueError
        Something else than numbers and ranges, or a number twice.
    """
    numbers: list[int] = []
    for part in text.replace(" ", "").split(","):
        match = re.fullmatch(r"(\d+)(?:-(\d+))?", part)
        if match is None:
            raise ValueError(f"{part!r} is neither a unit nor a range such as 0-99")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise ValueError(f"range {part!r} runs backwards")
        if last >= MOST_UNITS:
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


def layers_table(config: Config) -> Path:
    """Return where the table of known layers is: beside the sweep."""
    return config.sweep.parent / "layers.tsv"


def rows(path: Path, columns: list[str]) -> list[tuple[str, dict[str, str]]]:
    """Return the rows of a table, each with its file and line.

    Raises
    ------
    ConfigError
        Other columns, or a row with more or fewer of them.
    """
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file, delimiter="\t")
        if reader.fieldnames != columns:
            raise ConfigError(f"{path}: the columns are {reader.fieldnames}, expected {columns}, separated by tabs")
        found = [(f"{path} line {reader.line_num}", row) for row in reader if any(row.values())]
    for where, row in found:
        if None in row or None in row.values():
            raise ConfigError(f"{where}: expected {len(columns)} columns, separated by tabs")
    return found


def sweep_rows(config: Config) -> list[SweepRow]:
    """Return the rows of sweep.tsv.

    Raises
    ------
    ConfigError
        A row names something unknown, or there is none.
    """
    found = [_sweep_row(config, where, row) for where, row in rows(config.sweep, SWEEP_COLUMNS)]
    if not found:
        raise ConfigError(f"{config.sweep}: no rows")
    return found


def _sweep_row(config: Config, where: str, row: dict[str, str]) -> SweepRow:
    if not re.fullmatch(SLUG, row["name"]):
        raise ConfigError(f"{where}: name {row['name']!r} must be letters, digits, '_', '.' and '-'")
    if row["name"] in OWN_FOLDERS:
        raise ConfigError(f"{where}: name {row['name']!r} is the name of another results folder; choose another")
    for column, section in (("model", config.models), ("probe", config.probes), ("recipe", config.recipes)):
        if row[column] not in section:
            raise ConfigError(f"{where}: unknown {column} {row[column]!r}; config.yaml has {sorted(section)}")
    try:
        wanted = units(row["units"]) if row["units"] else None
    except ValueError as error:
        raise ConfigError(f"{where}: units: {error}") from None
    names = tuple(row["layers"].replace(" ", "").split(","))
    return SweepRow(where, row["name"], row["model"], names, row["probe"], row["recipe"], wanted)


def layers(config: Config) -> list[Layer]:
    """Return every layer of the sweep, in the order of the table.

    Raises
    ------
    UnknownLayer
        layers.tsv does not hold a layer that the sweep names.
    ConfigError
        A layer is listed twice, one name stands for layers of the same name of two models, or a row asks for units
        that its layer does not have.
    """
    known = known_layers(config)
    found: dict[tuple[str, str], Layer] = {}
    judged: dict[tuple[str, str], str] = {}
    for row in sweep_rows(config):
        for layer_name in (one for name in row.layers for one in _named(config, row, name, known)):
            layer = _layer(row, layer_name, known, layers_table(config))
            if (layer.name, layer.slug) in found:
                raise ConfigError(f"{row.where}: name {layer.name!r} with layer {layer.slug!r} is listed twice")
            # metrics are told apart by name and layer, whatever the model
            if judged.setdefault((layer.name, layer.layer), layer.model) != layer.model:
                raise ConfigError(
                    f"{row.where}: name {layer.name!r} stands for layer {layer.layer!r} of another model already; "
                    "choose another name"
                )
            found[layer.name, layer.slug] = layer
    return list(found.values())


def counterpart(layers: Iterable[Layer], layer: Layer, recipe: str) -> Layer | None:
    """Return the first layer of the sweep that describes all units of another by a recipe, with the same probe."""
    place = layer.model, layer.layer, layer.probe, recipe
    same = (one for one in layers if (one.model, one.layer, one.probe, one.recipe) == place)
    return next((one for one in same if set(layer.units) <= set(one.units)), None)


def known_layers(config: Config) -> dict[tuple[str, str], tuple[str, int]]:
    """Return (model, layer) -> slug and number of units; nothing while there is no layers.tsv.

    Raises
    ------
    ConfigError
        A row is malformed, a layer is listed twice, or two layers of a model have one slug.
    """
    known: dict[tuple[str, str], tuple[str, int]] = {}
    holders: dict[tuple[str, str], str] = {}
    table = layers_table(config)
    for where, row in rows(table, LAYER_COLUMNS) if table.exists() else []:
        if not re.fullmatch(SLUG, row["slug"]):
            raise ConfigError(f"{where}: slug {row['slug']!r} must be letters, digits, '_', '.' and '-'")
        if not row["units"].isdigit() or not int(row["units"]):
            raise ConfigError(f"{where}: units is {row['units']!r}, expected a number above zero")
        if (row["model"], row["layer"]) in known:
            raise ConfigError(f"{where}: model {row['model']!r}, layer {row['layer']!r} is listed twice")
        # activations and all files of a layer are told apart by its slug
        holder = holders.setdefault((row["model"], row["slug"]), row["layer"])
        if holder != row["layer"]:
            raise ConfigError(
                f"{where}: slug {row['slug']!r} is that of layer {holder!r} of model {row['model']!r} already; "
                "each layer of a model needs its own"
            )
        known[row["model"], row["layer"]] = row["slug"], int(row["units"])
    return known


def is_pattern(name: str) -> bool:
    """Tell whether a layer's name stands for several, such as ``encoder.layers.*.mlp``."""
    return any(mark in name for mark in "*?[")


def matching(pattern: str, names: Iterable[str]) -> list[str]:
    """Return the names that a pattern stands for, in their order; ``*`` ends at a dot."""
    parts = pattern.split(".")
    return [
        name for name in names if name.count(".") + 1 == len(parts) and all(map(fnmatchcase, name.split("."), parts))
    ]


def modules_table(config: Config, model: str) -> Path:
    """Return where the inventory leaves the table of a network's modules."""
    return Path("results", config.run, "modules", f"{model}.tsv")


def _named(config: Config, row: SweepRow, name: str, known: Iterable[tuple[str, str]]) -> list[str]:
    """The layers that a name of a row stands for: itself, or all that fit a pattern and are known or in the inventory.

    Raises
    ------
    UnknownLayer
        None fits.
    """
    if not is_pattern(name):
        return [name]
    layers = [layer for model, layer in known if model == row.model]
    table = modules_table(config, row.model)
    if table.exists():
        with table.open(newline="", encoding="utf-8") as file:
            modules = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
            layers += [one["layer"] for one in modules if one["units"]]
    found = matching(name, dict.fromkeys(layers))
    if not found:
        raise UnknownLayer(
            f"{row.where}: {layers_table(config)} has no layer of model {row.model!r} that is named like {name!r}. "
            "`snakemake inventory` adds the layers that the model has"
        )
    return found


def _layer(row: SweepRow, name: str, known: Mapping[tuple[str, str], tuple[str, int]], table: Path) -> Layer:
    if (row.model, name) not in known:
        have = sorted(layer for model, layer in known if model == row.model)
        raise UnknownLayer(
            f"{row.where}: unknown layer {name!r} of model {row.model!r}; {table} has {have}. "
            "`snakemake inventory` adds the layers that the model has"
        )
    slug, count = known[row.model, name]
    if row.units and row.units[-1] >= count:
        raise ConfigError(f"{row.where}: unit {row.units[-1]} of layer {name!r}, which has {count}")
    return Layer(row.name, row.model, name, slug, row.probe, row.recipe, row.units or range(count))
