"""The table of known layers, layers.tsv, and how a table is read that users write."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

from dnd.config.load import LETTERS, Config, ConfigError
from dnd.config.sections import MOST
from dnd.io import documents

LAYER_COLUMNS = ["model", "layer", "slug", "units"]
LONGEST_SLUG = 80
"""With two names and the numbers of a pass it makes the longest name of a log, of 255 bytes."""
LAYER_SLUG = rf"[A-Za-z0-9][A-Za-z0-9_.-]{{0,{LONGEST_SLUG - 1}}}"
"""A layer's name in paths."""


def rows(path: Path, columns: list[str]) -> list[tuple[str, dict[str, str]]]:
    """Return the rows of a table, each with its file and line.

    Raises
    ------
    ConfigError
        It is no text in UTF-8, has other columns, or with one line per row that has more or fewer of them.
    """
    mistakes: list[str] = []
    table = good_rows(path, columns, mistakes)
    require_none(mistakes)
    return table


def require_none(mistakes: Sequence[str]) -> None:
    """Raise ConfigError with one line per mistake, if there are any."""
    if mistakes:
        raise ConfigError("\n".join(mistakes))


def good_rows(path: Path, columns: list[str], mistakes: list[str]) -> list[tuple[str, dict[str, str]]]:
    """Return the good rows of a table as :func:`rows` does; of the others a line each is added to the mistakes."""
    good = []
    try:
        reader = csv.DictReader(io.StringIO(documents.read_text(path), newline=""), delimiter="\t")
        if reader.fieldnames != columns:
            mistakes.append(f"{path}: the columns are {reader.fieldnames}, expected {columns}, separated by tabs")
            return []
        for row in reader:
            where = f"{path} line {reader.line_num}"
            if None in row or None in row.values():
                mistakes.append(f"{where}: expected {len(columns)} columns, separated by tabs")
            elif any(row.values()):
                good.append((where, row))
    except documents.DocumentError as error:
        mistakes.append(str(error))
    except csv.Error as error:
        mistakes.append(f"{path}: no table: {error}")
    return good


class Known(NamedTuple):
    """A layer of layers.tsv: its name in paths, and how many units it has."""

    slug: str
    units: int


def layers_table(config: Config) -> Path:
    """Return where the table of known layers is: beside the sweep."""
    return config.sweep.parent / "layers.tsv"


def good_layers(config: Config, mistakes: list[str]) -> dict[tuple[str, str], Known]:
    """Return what the good rows of layers.tsv say; of the others a line each is added to the mistakes."""
    known: dict[tuple[str, str], Known] = {}
    holders: dict[tuple[str, str], str] = {}
    path = layers_table(config)
    for where, row in good_rows(path, LAYER_COLUMNS, mistakes) if path.exists() else []:
        if not re.fullmatch(LAYER_SLUG, row["slug"]):
            mistakes.append(f"{where}: slug {row['slug']!r} must be {LETTERS}, {LONGEST_SLUG} at most")
        elif not re.fullmatch("[0-9]{1,9}", row["units"]) or not 0 < int(row["units"]) <= MOST:
            mistakes.append(
                f"{where}: units is {short(row['units'])!r}, expected a number above zero, {MOST:,} at most"
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
            known[row["model"], row["layer"]] = Known(row["slug"], int(row["units"]))
    return known


def short(text: str) -> str:
    """Return the beginning of a text that may be long, for a message."""
    return text if len(text) <= 40 else f"{text[:40]}..."


def is_pattern(name: str) -> bool:
    """Tell whether a layer's name stands for several, such as ``encoder.layers.*.mlp``."""
    return any(mark in name for mark in "*?[")


def matching(pattern: str, names: Iterable[str]) -> list[str]:
    """Return the names that a pattern stands for, in their order; ``*`` ends at a dot."""
    parts = pattern.split(".")
    return [
        name for name in names if name.count(".") + 1 == len(parts) and all(map(fnmatchcase, name.split("."), parts))
    ]
