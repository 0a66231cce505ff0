"""What single settings of a recipe are worth: a table of variants becomes a configuration that scores them all.

``python -m studies.ablation config/ablation/config.yaml config/ablations.tsv results/ablation`` writes the
configuration, its sweep and its layers into the last folder and runs nothing; ``make ablate`` goes on from there.
"""

from __future__ import annotations

import argparse
import copy
import re
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from dnd.config import mistakes
from dnd.config.layer_table import LAYER_COLUMNS, rows
from dnd.config.load import LETTERS, LONGEST_NAME, SLUG, ConfigError, config_file
from dnd.config.recipes import Recipe
from dnd.config.sweep import SWEEP_COLUMNS, layers
from dnd.evaluation.baselines import BASELINES
from dnd.io.files import replaced
from dnd.run.contents import load

BASE = "dnd"
"""The recipe that variants change."""
COLUMNS = ["variant", "key", "value", "question"]
KEY = r"[^\s.]+(\.[^\s.]+)*"


@dataclass(frozen=True)
class Change:
    """A row of the table: a dotted key of the recipe, such as ``exemplars.reach``, and its other value."""

    where: str
    key: str
    value: Any


@dataclass(frozen=True)
class Variant:
    """The recipe with some settings changed, and what that is to find out."""

    name: str
    question: str
    changes: tuple[Change, ...]


def read(path: Path) -> list[Variant]:
    """Read the table of variants; rows of one name make one variant, whose question stands in any of them.

    Raises
    ------
    ConfigError
        With one line per bad row.
    """
    wrong: list[str] = []
    questions: dict[str, str] = {}
    found: dict[str, list[Change]] = {}
    for where, row in rows(path, COLUMNS):
        name = row["variant"]
        if problem := _problem(row, found.get(name, ())):
            wrong.append(f"{where}: {problem}")
            continue
        found.setdefault(name, []).append(Change(where, row["key"], yaml.safe_load(row["value"])))
        questions[name] = questions.get(name) or row["question"]
    wrong += [f"{found[name][0].where}: variant {name!r} has no question" for name, one in questions.items() if not one]
    if not found and not wrong:
        wrong.append(f"{path}: no rows")
    if wrong:
        raise ConfigError("\n".join(wrong))
    return [Variant(name, questions[name], tuple(changes)) for name, changes in found.items()]


def _problem(row: Mapping[str, str], others: Sequence[Change]) -> str | None:
    """What is wrong with a row, whatever the recipe."""
    if not re.fullmatch(SLUG, row["variant"]):
        return f"variant {row['variant']!r} must be {LETTERS}, {LONGEST_NAME} at most"
    if not re.fullmatch(KEY, row["key"]):
        return f"key {row['key']!r} must be that of a setting, such as exemplars.reach"
    if any(one.key == row["key"] for one in others):
        return f"variant {row['variant']!r} changes {row['key']} twice"
    if not row["value"].strip():
        return "value is missing; null stands for none"
    try:
        yaml.safe_load(row["value"])
    except yaml.YAMLError as error:
        return f"value {row['value']!r} is no YAML: {' '.join(str(error).split())}"
    return None


def changed(recipe: Mapping[str, Any], changes: Sequence[Change]) -> dict[str, Any]:
    """Return the values of a recipe with some of them changed; sections that are missing appear."""
    result: dict[str, Any] = copy.deepcopy(dict(recipe))
    for change in changes:
        *sections, last = change.key.split(".")
        place = result
        for name in sections:
            if not isinstance(place.get(name), dict):
                place[name] = {}
            place = place[name]
        place[last] = copy.deepcopy(change.value)
    return result


def recipes(base: Mapping[str, Any], variants: Sequence[Variant], taken: Collection[str]) -> dict[str, dict[str, Any]]:
    """Return the values of each variant's recipe.

    Parameters
    ----------
    base : values of the recipe that they change, which are right.
    taken : names of the configuration's own recipes, and of what else the tables of a run call a method.

    Raises
    ------
    ConfigError
        With one line per bad row: an unknown key, a bad value, a variant that equals the recipe or another variant.
    """
    found = {one.name: changed(base, one.changes) for one in variants}
    known = {Recipe.model_validate(base).model_dump_json(): BASE}
    wrong: list[str] = []
    for one in variants:
        where = one.changes[0].where
        if one.name in taken:
            wrong.append(f"{where}: variant {one.name!r} has the name of another recipe or baseline; choose another")
            continue
        try:
            recipe = Recipe.model_validate(found[one.name])
        except ValidationError as error:
            told = [(mistakes.spelt(key), message) for key, message in mistakes.of(error, found[one.name])]
            wrong += [f"{_blamed(one, key).where}: {key}: {message}" for key, message in told]
            continue
        if (same := known.setdefault(recipe.model_dump_json(), one.name)) != one.name:
            wrong.append(f"{where}: variant {one.name!r} has the settings of {same!r}")
    if wrong:
        raise ConfigError("\n".join(wrong))
    return found


def _blamed(variant: Variant, key: str) -> Change:
    """The change of a variant that a mistake at a key comes from: the last one that shares most of it."""
    parts = key.split(".")

    def shared(change: Change) -> int:
        pairs = zip(parts, change.key.split("."), strict=False)
        return next((i for i, (one, other) in enumerate(pairs) if one != other), len(parts))

    return max(reversed(variant.changes), key=shared)


def sweep(described: Sequence[Mapping[str, str]], names: Sequence[str]) -> list[list[str]]:
    """Return the rows of the sweep: every recipe on what the recipe itself describes.

    Parameters
    ----------
    described : rows of the recipe's own sweep.
    names : of the recipes.
    """
    return [
        [f"{row['name']}-{name}", row["model"], row["layers"], row["probe"], name, row["units"]]
        for row in described
        for name in names
    ]


def write(config: Path, table: Path, out: Path, only: Sequence[str] = ()) -> list[str]:
    """Write ``config.yaml``, ``sweep.tsv`` and ``layers.tsv`` of all variants, or of some; return the recipes' names.

    Tables of the configuration lie beside it: what ``dnd`` describes, and the layers.

    Raises
    ------
    ConfigError
        With one line per mistake in the configuration or the table.
    """
    values = config_file(config)
    variants = read(table)
    if unknown := sorted(set(only) - {one.name for one in variants}):
        raise ConfigError(f"{table}: no variant is named {unknown[0]!r}")
    chosen = [one for one in variants if not only or one.name in only]
    described = config.parent / "sweep.tsv"
    values["sweep"] = str(described)
    checked = load(values, config)  # mistakes of the configuration itself, before those of variants
    if not isinstance(checked.recipes.get(BASE), Recipe):
        raise ConfigError(f"{config}: expected a recipe {BASE!r} of our own method")
    layers(checked)
    wanted = rows(described, SWEEP_COLUMNS)
    if strange := [where for where, row in wanted if row["recipe"] != BASE]:
        raise ConfigError(f"{strange[0]}: recipe must be {BASE!r}, which variants change")
    written = values["recipes"]
    assert isinstance(written, dict)  # as the check has seen
    values["recipes"] = written | recipes(written[BASE], chosen, {*checked.recipes, *BASELINES})
    load(values, f"{config} + {table}")
    names = [BASE, *(one.name for one in chosen)]
    out.mkdir(parents=True, exist_ok=True)
    known = [row for _, row in rows(config.parent / "layers.tsv", LAYER_COLUMNS)]
    _lines(out / "layers.tsv", [LAYER_COLUMNS, *(list(row.values()) for row in known)])
    _lines(out / "sweep.tsv", [SWEEP_COLUMNS, *sweep([row for _, row in wanted], names)])
    values["sweep"] = str(out / "sweep.tsv")
    with replaced(out / "config.yaml") as partial:
        partial.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
    return names


def _lines(path: Path, table: Sequence[Sequence[str]]) -> None:
    with replaced(path) as partial:
        partial.write_text("".join("\t".join(row) + "\n" for row in table), encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the configuration of all variants."""
    parser = argparse.ArgumentParser(prog="python -m studies.ablation", description=__doc__)
    parser.add_argument("config", type=Path, help="networks, probe and the recipe `dnd` that variants change")
    parser.add_argument("table", type=Path, help=f"variants, in columns {', '.join(COLUMNS)}")
    parser.add_argument("out", type=Path, help="folder of the configuration of all variants")
    parser.add_argument("--only", nargs="+", default=[], metavar="VARIANT", help="these variants and no others")
    chosen = parser.parse_args(arguments)
    try:
        names = write(chosen.config, chosen.table, chosen.out, chosen.only)
    except (OSError, ConfigError) as error:
        print(f"ablation:\n{error}", file=sys.stderr)
        return 2
    print(f"{len(names)} recipes in {chosen.out / 'config.yaml'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
