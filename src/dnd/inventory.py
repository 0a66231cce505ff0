"""What a network consists of, and the table of layers that the sweep can name (layers.tsv)."""

from __future__ import annotations

import csv
import difflib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from dnd.atomic import replaced
from dnd.config import SLUG, ConfigError
from dnd.sweep import LAYER_COLUMNS

CLOSEST = 5


class ModuleRow(NamedTuple):
    """A module of a network.

    Attributes
    ----------
    layer : dotted name.
    kind : class.
    shape : of its output for one image, such as ``256x7x7``; the type of an output that is no tensor; empty when the
        module is never called.
    units : channels of an output [n, units, h, w] or [n, units], whose units can be described; else None.
    """

    layer: str
    kind: str
    shape: str
    units: int | None


class Wanted(NamedTuple):
    """A layer that a row of the sweep names; ``where`` is the row's file and line."""

    where: str
    model: str
    layer: str


MODULE_COLUMNS = ["layer", "class", "shape", "units"]


def modules(target: Any) -> list[ModuleRow]:
    """Run one black image through a :class:`dnd.targets.Target` and return all its modules, in order of first call.

    A module that is called several times is listed with its last output, which is the one that is described. Modules
    that are never called come last.
    """
    import torch
    from PIL import Image
    from torch.utils.hooks import RemovableHandle

    found: dict[str, tuple[str, int | None]] = {}

    def watch(layer: str, module: torch.nn.Module) -> list[RemovableHandle]:
        def before(module: torch.nn.Module, inputs: Any) -> None:
            found.setdefault(layer, ("", None))  # takes its place before its children, although it ends after them

        def after(module: torch.nn.Module, inputs: Any, output: Any) -> None:
            found[layer] = _shape(output)

        return [module.register_forward_pre_hook(before), module.register_forward_hook(after)]

    named = {name: module for name, module in target.model.named_modules(remove_duplicate=False) if name}
    handles = [handle for name, module in named.items() for handle in watch(name, module)]
    side = target.preprocess.crop
    try:
        with torch.inference_mode():
            target.model(target.preprocess.image(Image.new("RGB", (side, side)))[None].to(target.device))
    finally:
        for handle in handles:
            handle.remove()
    order = [*found, *(name for name in named if name not in found)]
    return [ModuleRow(name, type(named[name]).__name__, *found.get(name, ("", None))) for name in order]


def _shape(output: Any) -> tuple[str, int | None]:
    if not hasattr(output, "shape"):
        return type(output).__name__, None
    size = tuple(output.shape)
    units = size[1] if len(size) in (2, 4) and size[0] == 1 else None
    return "x".join(map(str, size[1:])), units


def write_modules(path: Path, found: Sequence[ModuleRow]) -> None:
    """Write the table of a network's modules."""
    lines = [MODULE_COLUMNS, *([row.layer, row.kind, row.shape, str(row.units or "")] for row in found)]
    with replaced(path) as partial:
        partial.write_text("".join("\t".join(line) + "\n" for line in lines), encoding="utf-8")


def read_modules(path: Path) -> list[ModuleRow]:
    """Read the table of a network's modules."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        return [ModuleRow(row["layer"], row["class"], row["shape"], int(row["units"] or 0) or None) for row in rows]


def slug_of(layer: str, taken: set[str]) -> str:
    """Return a layer's name in paths, unlike those that are taken: its own name where that is safe and free."""
    safe = layer if re.fullmatch(SLUG, layer) else re.sub(r"[^A-Za-z0-9_.-]", "-", layer).lstrip("_.-") or "layer"
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
        With one line per wanted layer that its model lacks, that is never called, or that has no units.
    """
    known = {model: {row.layer: row for row in rows} for model, rows in modules.items()}
    problems = [problem for one in dict.fromkeys(wanted) if (problem := _problem(one, known[one.model]))]
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


def _problem(one: Wanted, known: Mapping[str, ModuleRow]) -> str | None:
    """Return why a wanted layer cannot be described, or None."""
    place = f"{one.where}: layer {one.layer!r} of model {one.model!r}"
    if one.layer not in known:
        usable = [row.layer for row in known.values() if row.units]
        closest = difflib.get_close_matches(one.layer, usable, CLOSEST, cutoff=0)
        return f"{place} does not exist; the closest names are {', '.join(closest)}"
    row = known[one.layer]
    if not row.shape and row.units is None:
        return f"{place} is not called when the network sees an image"
    if row.units is None:
        return f"{place} returns {row.shape} for an image; expected units x h x w, or units"
    return None


def update(path: Path, wanted: Sequence[Wanted], modules: Mapping[str, Sequence[ModuleRow]]) -> list[str]:
    """Add the layers that are wanted to the file layers.tsv, as :func:`merge` does, at once or not at all."""
    path = path.resolve()  # a link stays a link
    table = path.read_bytes().decode() if path.exists() else ""
    text, changes = merge(table, wanted, modules)
    if changes:
        with replaced(path) as partial:
            partial.write_bytes(text.encode())
    return changes
