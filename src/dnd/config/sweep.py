"""The tables of what to describe, sweep.tsv and layers.tsv, checked before any job starts."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

from dnd.config.backends import MOST
from dnd.config.load import LETTERS, LONGEST_NAME, SLUG, Config, ConfigError, names
from dnd.io import documents

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
    "refinement",
    "report",
    "status.html",
}
"""What a run's results folder holds besides one folder per sweep name."""
LONGEST_SLUG = 80
"""With two names and the numbers of a pass it makes the longest name of a log, of 255 bytes."""
LAYER_SLUG = rf"[A-Za-z0-9][A-Za-z0-9_.-]{{0,{LONGEST_SLUG - 1}}}"
"""A layer's name in paths."""
MOST_UNITS = MOST


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
        match = re.fullmatch(r"([0-9]+)(?:-([0-9]+))?", part)
        if match is None:
            raise ValueError(f"{_short(part)!r} is neither a unit nor a range such as 0-99")
        if len(part) > len("0000000000-0000000000"):
            raise ValueError(f"{_short(part)!r} is beyond any layer")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise ValueError(f"range {part!r} runs backwards")
        if last >= MOST_UNITS:
            raise ValueError(f"{part!r} is beyond any layer")
        numbers += range(first, last + 1)
    if len(set(numbers)) != len(numbers):
        raise ValueError("a unit is listed twice")
    return tuple(sorted(numbers))


def _short(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:40]}..."


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
        It is no text in UTF-8, has other columns, or with one line per row that has more or fewer of them.
    """
    found, mistakes = _rows(path, columns)
    _require_none(mistakes)
    return found


def _require_none(mistakes: Sequence[str]) -> None:
    if mistakes:
        raise ConfigError("\n".join(mistakes))


def _rows(path: Path, columns: list[str]) -> tuple[list[tuple[str, dict[str, str]]], list[str]]:
    """The good rows of a table, and one line for each of the others."""
    try:
        reader = csv.DictReader(io.StringIO(documents.read_text(path), newline=""), delimiter="\t")
        if reader.fieldnames != columns:
            told = f"{path}: the columns are {reader.fieldnames}, expected {columns}, separated by tabs"
            return [], [told]
        found = [(f"{path} line {reader.line_num}", row) for row in reader if any(row.values())]
    except (documents.DocumentError, csv.Error) as error:
        text = str(error)
        return [], [text if isinstance(error, documents.DocumentError) else f"{path}: no table: {text}"]
    bad = [where for where, row in found if None in row or None in row.values()]
    mistakes = [f"{where}: expected {len(columns)} columns, separated by tabs" for where in bad]
    return [(where, row) for where, row in found if where not in set(bad)], mistakes


class Tables(NamedTuple):
    """What both tables say.

    Attributes
    ----------
    rows : the good rows of sweep.tsv.
    known : (model, layer) -> slug and number of units, of the good rows of layers.tsv.
    layers : of the sweep, in its order, whose model, probe and recipe are sound.
    mistakes : one line each.
    unknown : one line for each layer that layers.tsv lacks: a mistake, or the inventory has yet to be taken.
    """

    rows: list[SweepRow]
    known: dict[tuple[str, str], tuple[str, int]]
    layers: list[Layer]
    mistakes: list[str]
    unknown: list[str]


def examined(config: Config, values: Mapping[str, Any]) -> Tables:
    """Return what is sound in the tables of a configuration, and what is not.

    Parameters
    ----------
    config : what is sound in ``values``.
    values : of config.yaml, whose names may be used whether their sections are sound or not.
    """
    asked, mistakes = _sweep_rows(config, {kind: names(values, kind) for kind in ("models", "probes", "recipes")})
    known, others = _known_layers(config)
    mistakes += others
    unknown: list[str] = []
    found: dict[tuple[str, str], Layer] = {}
    judged: dict[tuple[str, str], str] = {}
    for row in asked:
        for layer_name in (one for name in row.layers for one in _named(config, row, name, known, unknown)):
            try:
                layer = _layer(row, layer_name, known, layers_table(config))
            except UnknownLayer as error:
                unknown.append(str(error))
                continue
            except ConfigError as error:
                mistakes.append(str(error))
                continue
            if (layer.name, layer.slug) in found:
                mistakes.append(f"{row.where}: name {layer.name!r} with layer {layer.slug!r} is listed twice")
            # metrics are told apart by name and layer, whatever the model
            elif judged.setdefault((layer.name, layer.layer), layer.model) != layer.model:
                mistakes.append(
                    f"{row.where}: name {layer.name!r} stands for layer {layer.layer!r} of another model already; "
                    "choose another name"
                )
            found.setdefault((layer.name, layer.slug), layer)
    sound = [
        one
        for one in found.values()
        if one.model in config.models and one.probe in config.probes and one.recipe in config.recipes
    ]
    return Tables(asked, known, sound, mistakes, unknown)


def sweep_rows(config: Config) -> list[SweepRow]:
    """Return the rows of sweep.tsv.

    Raises
    ------
    ConfigError
        With one line per mistake: a row names something unknown, or there is none.
    """
    found, mistakes = _sweep_rows(config, {"models": config.models, "probes": config.probes, "recipes": config.recipes})
    _require_none(mistakes)
    return found


def _sweep_rows(config: Config, named: Mapping[str, Collection[str]]) -> tuple[list[SweepRow], list[str]]:
    found: list[SweepRow] = []
    table, mistakes = _rows(config.sweep, SWEEP_COLUMNS)
    for where, row in table:
        wrong = list(_wrong_in_row(row, named))
        mistakes += [f"{where}: {one}" for one in wrong]
        if not wrong:
            wanted = units(row["units"]) if row["units"] else None
            layers = tuple(row["layers"].replace(" ", "").split(","))
            found.append(SweepRow(where, row["name"], row["model"], layers, row["probe"], row["recipe"], wanted))
    return found, mistakes if table or mistakes else [f"{config.sweep}: no rows"]


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
    UnknownLayer
        With one line for each layer that the sweep names and layers.tsv does not hold.
    ConfigError
        With one line per mistake: a layer is listed twice, one name stands for layers of the same name of two models,
        or a row asks for units that its layer does not have.
    """
    tables = examined(config, {"models": config.models, "probes": config.probes, "recipes": config.recipes})
    _require_none(tables.mistakes)
    if tables.unknown:
        raise UnknownLayer("\n".join(tables.unknown))
    return tables.layers


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
        With one line per row that is malformed, lists a layer again, or gives it the slug of another one of its model.
    """
    known, mistakes = _known_layers(config)
    _require_none(mistakes)
    return known


def _known_layers(config: Config) -> tuple[dict[tuple[str, str], tuple[str, int]], list[str]]:
    known: dict[tuple[str, str], tuple[str, int]] = {}
    holders: dict[tuple[str, str], str] = {}
    path = layers_table(config)
    table, mistakes = _rows(path, LAYER_COLUMNS) if path.exists() else ([], [])
    for where, row in table:
        if not re.fullmatch(LAYER_SLUG, row["slug"]):
            mistakes.append(f"{where}: slug {row['slug']!r} must be {LETTERS}, {LONGEST_SLUG} at most")
        elif not re.fullmatch("[0-9]{1,9}", row["units"]) or not 0 < int(row["units"]) <= MOST_UNITS:
            mistakes.append(
                f"{where}: units is {_short(row['units'])!r}, expected a number above zero, {MOST_UNITS:,} at most"
            )
        elif (row["model"], row["layer"]) in known:
            mistakes.append(f"{where}: model {row['model']!r}, layer {row['layer']!r} is listed twice")
        # activations and all files of a layer are told apart by its slug
        elif (holder := holders.setdefault((row["model"], row["slug"]), row["layer"])) != row["layer"]:
            mistakes.append(
                f"{where}: slug {row['slug']!r} is that of layer {holder!r} of model {row['model']!r} already; "
                "each layer of a model needs its own"
            )
        else:
            known[row["model"], row["layer"]] = row["slug"], int(row["units"])
    return known, mistakes


def is_pattern(name: str) -> bool:
    """Tell whether a layer's name stands for several, such as ``encoder.layers.*.mlp``."""
    return any(mark in name for mark in "*?[")


def matching(pattern: str, names: Iterable[str]) -> list[str]:
    """Return the names that a pattern stands for, in their order; ``*`` ends at a dot."""
    parts = pattern.split(".")
    return [
        name for name in names if name.count(".") + 1 == len(parts) and all(map(fnmatchcase, name.split("."), parts))
    ]


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
            layers += [one["layer"] for one in modules if one["units"]]
    found = matching(name, dict.fromkeys(layers))
    if not found:
        unknown.append(
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
