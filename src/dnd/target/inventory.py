"""What a network consists of, and the table of layers that the sweep can name (layers.tsv)."""

from __future__ import annotations

import csv
import difflib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from dnd.config.layer_table import LAYER_COLUMNS, LAYER_SLUG, LONGEST_SLUG, is_pattern, matching
from dnd.config.load import ConfigError
from dnd.io.files import replaced

if TYPE_CHECKING:  # it loads torch
    from dnd.target.network import Target

CLOSEST = 5


class ModuleRow(NamedTuple):
    """A module of a network.

    Attributes
    ----------
    layer : dotted name.
    kind : class.
    shape : of its output for one image, such as ``256x7x7``; empty when it is no tensor or the module is never called.
    units : how many can be described; None when none.
    problem : why none can be described, else empty.
    """

    layer: str
    kind: str
    shape: str
    units: int | None
    problem: str


class Wanted(NamedTuple):
    """A layer that a row of the sweep names; ``where`` is the row's file and line."""

    where: str
    model: str
    layer: str


MODULE_COLUMNS = ["layer", "class", "shape", "units", "problem"]


def modules(target: Target) -> list[ModuleRow]:
    """Return all modules of a network, in the order in which it calls them for black images.

    A module that is called several times is listed with its last output, which is the one that is described. Modules
    that are never called come last.

    Raises
    ------
    TargetError
        The network does not take the images.
    """
    from PIL import Image

    from dnd.target import places, steadiness

    named = {name: module for name, module in target.model.named_modules(remove_duplicate=False) if name}
    height, width = target.preprocess.size
    black, white = (target.preprocess.image(Image.new("RGB", (width, height), colour)) for colour in ("black", "white"))
    unsteady = steadiness.differing(target, places.pictures(black, white), named)
    rows = [
        ModuleRow(layer, type(named[layer]).__name__, "x".join(map(str, called.shape)), called.units, called.problem)
        for layer, called in target.survey(named, black).items()
    ]
    return [row._replace(units=None, problem=steadiness.DIFFERS) if row.layer in unsteady else row for row in rows]


def write_modules(path: Path, rows: Sequence[ModuleRow]) -> None:
    """Write the table of a network's modules."""
    lines = [MODULE_COLUMNS, *([row.layer, row.kind, row.shape, str(row.units or ""), row.problem] for row in rows)]
    with replaced(path) as partial:
        partial.write_text("".join("\t".join(line) + "\n" for line in lines), encoding="utf-8")


def read_modules(path: Path) -> list[ModuleRow]:
    """Read the table of a network's modules."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        return [
            ModuleRow(row["layer"], row["class"], row["shape"], int(row["units"] or 0) or None, row["problem"])
            for row in rows
        ]


def slug_of(layer: str, taken: set[str]) -> str:
    """Return a layer's name in paths, unlike those that are taken: its own name where that is safe and free."""
    plain = re.sub(r"[^A-Za-z0-9_.-]", "-", layer).lstrip("_.-") or "layer"
    safe = layer if re.fullmatch(LAYER_SLUG, layer) else plain[: LONGEST_SLUG - 10]
    names = [safe, *(f"{safe}-{number}" for number in range(2, len(taken) + 3))]
    return next(name for name in names if name not in taken)


def merge(table: str, wanted: Sequence[Wanted], modules: Mapping[str, Sequence[ModuleRow]]) -> tuple[str, list[str]]:
    """Add the layers that are wanted to the text of layers.tsv.

    Rows that are there stay byte for byte and in order, but for a number of units that is not the network's.

    Parameters
    ----------
    table : empty when there is no table yet.
    modules : model -> its modules.

    Returns
    -------
    The new text, and one line for each change.

    Raises
    ------
    ConfigError
        With one line per wanted layer that its model lacks, that is never called, or that has no units, and per
        pattern of layers that stands for none.
    """
    known = {model: {row.layer: row for row in rows} for model, rows in modules.items()}
    wanted = expanded(wanted, modules)
    problems = [problem for row in dict.fromkeys(wanted) if (problem := _problem(row, known[row.model]))]
    if problems:
        raise ConfigError("\n".join(problems))
    end = "\r\n" if "\r\n" in table else "\n"
    lines = table.splitlines(keepends=True) or ["\t".join(LAYER_COLUMNS) + end]
    lines[-1] = lines[-1].rstrip("\r\n") + end
    changes = []
    slugs: dict[str, set[str]] = {}
    listed = set()
    for number, line in enumerate(lines[1:], 1):
        if not line.strip():
            continue
        model, layer, slug, units = line.rstrip("\r\n").split("\t")
        listed.add((model, layer))
        slugs.setdefault(model, set()).add(slug)
        row = known.get(model, {}).get(layer)
        if row and row.units and row.units != int(units):
            lines[number] = "\t".join([model, layer, slug, str(row.units)]) + end
            changes.append(f"corrected {model} {layer}: {units} -> {row.units} units")
    for _, model, layer in wanted:
        if (model, layer) not in listed:
            listed.add((model, layer))
            slug = slug_of(layer, slugs.setdefault(model, set()))
            slugs[model].add(slug)
            lines.append("\t".join([model, layer, slug, str(known[model][layer].units)]) + end)
            changes.append(f"added {model} {layer}: {known[model][layer].units} units")
    return ("".join(lines) if changes else table), changes


def expanded(wanted: Sequence[Wanted], modules: Mapping[str, Sequence[ModuleRow]]) -> list[Wanted]:
    """Replace patterns of layers by the layers with units that they stand for; a ConfigError tells those of none."""
    layers, problems = [], []
    for row in wanted:
        if not is_pattern(row.layer):
            layers.append(row)
            continue
        names = matching(row.layer, (module.layer for module in modules[row.model] if module.units))
        layers += [row._replace(layer=name) for name in names]
        if not names:
            problems.append(f"{row.where}: no layer of model {row.model!r} is named like {row.layer!r}")
    if problems:
        raise ConfigError("\n".join(problems))
    return layers


def listing(modules: Sequence[ModuleRow]) -> str:
    """Return a network's modules with units, aligned for reading."""
    lines = [("layer", "class", "shape", "units")]
    lines += [(row.layer, row.kind, row.shape, str(row.units)) for row in modules if row.units]
    layer, kind, shape = (max(len(line[i]) for line in lines) for i in range(3))
    return "".join(f"{line[0]:{layer}}  {line[1]:{kind}}  {line[2]:{shape}}  {line[3]}\n" for line in lines)


def _problem(wanted: Wanted, known: Mapping[str, ModuleRow]) -> str | None:
    """Return why a wanted layer cannot be described, or None."""
    place = f"{wanted.where}: layer {wanted.layer!r} of model {wanted.model!r}"
    if wanted.layer not in known:
        usable = [row.layer for row in known.values() if row.units]
        closest = difflib.get_close_matches(wanted.layer, usable, CLOSEST, cutoff=0)
        return f"{place} does not exist; the closest names are {', '.join(closest)}"
    return f"{place} {known[wanted.layer].problem}" if known[wanted.layer].units is None else None


def update(path: Path, wanted: Sequence[Wanted], modules: Mapping[str, Sequence[ModuleRow]]) -> list[str]:
    """Add the layers that are wanted to the file layers.tsv, as :func:`merge` does, at once or not at all."""
    path = path.resolve()  # a link stays a link
    table = path.read_bytes().decode() if path.exists() else ""
    text, changes = merge(table, wanted, modules)
    if changes:
        with replaced(path) as partial:
            partial.write_bytes(text.encode())
    return changes
