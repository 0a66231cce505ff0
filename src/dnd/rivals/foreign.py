"""Labels that another tool gave: tables of the published formats, or of columns that the recipe names."""

from __future__ import annotations

import ast
import csv
import logging
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
from pydantic import FiniteFloat, TypeAdapter

from dnd.config.rivals import ForeignRecipe
from dnd.io import tables
from dnd.rivals import inputs

log = logging.getLogger(__name__)

SOURCE = "foreign"
Scored = tuple[str, float | None]
"""A label and its score; None where the tool gave none."""


class ForeignError(ValueError):
    """A table of labels cannot be used; the message names file, row and column, and what was expected."""


@dataclass(frozen=True)
class Cells:
    """A row of a table.

    Attributes
    ----------
    where : its file and first line.
    values : column -> cell, as it is.
    """

    where: str
    values: Mapping[str, str]

    def error(self, column: str, problem: str) -> ForeignError:
        """Return the error of a cell."""
        return ForeignError(f"{self.where}, column {column!r}: {problem}")

    def text(self, column: str) -> str:
        """Return a cell on one line, without blanks around it; empty for a column that the table lacks."""
        return " ".join(self.values.get(column, "").split())

    def number(self, column: str) -> float | None:
        """Return a finite number; None for an empty cell or a column that the table lacks.

        Raises
        ------
        ForeignError
            The cell holds something else.
        """
        text = self.text(column)
        try:
            value = float(text) if text else 0.0
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise self.error(column, f"expected a number, not {text!r}")
        return value if text else None

    def unit(self, column: str, first: int) -> int:
        """Return a unit, counted from 0, of a table that counts from ``first``.

        Raises
        ------
        ForeignError
            The cell holds no such number.
        """
        text = self.text(column)
        if not re.fullmatch(r"[0-9]{1,9}(\.0+)?", text):
            raise self.error(column, f"expected the number of a unit, not {text!r}")
        if int(text.split(".")[0]) < first:
            raise self.error(column, f"units are numbered from {first}, not {text}")
        return int(text.split(".")[0]) - first


class Format(NamedTuple):
    """How a table is read.

    Attributes
    ----------
    needs : columns that it must have; of a tuple one.
    units : the unit of a row, counted from 0; several where a row is about a group.
    labels : the labels of a row with their scores.
    layer : column of layers; None where a table is about one layer.
    """

    needs: Sequence[str | tuple[str, ...]]
    units: Callable[[Cells], tuple[int, ...]]
    labels: Callable[[Cells], list[Scored]]
    layer: str | None = None


def columns(
    unit: str, label: str | Sequence[str], score: str | None = None, first: int = 0, layer: str | None = None
) -> Format:
    """Return how a table with one label in a row is read, or with several that share the row's score."""
    names = [label] if isinstance(label, str) else label

    def labels(row: Cells) -> list[Scored]:
        return [(row.text(name), row.number(score) if score else None) for name in names]

    return Format([unit, *names, *([layer] if layer else [])], lambda row: (row.unit(unit, first),), labels, layer)


def _ranked_labels(row: Cells) -> list[Scored]:
    """Describe-and-Dissect's own: the best three, of which some are a space or nothing; one in files of ``fc``."""
    return [(row.text(column), None) for column in ("label", "Label 1", "Label 2", "Label 3")]


def _of_categories(row: Cells) -> list[Scored]:
    """Network Dissection's: the best label of all, then the best of each category; Broden's suffixes are left out."""
    categories = sorted(name.removesuffix("-label") for name in row.values if name.endswith("-label"))
    pairs = [("label", "score"), *((f"{category}-label", f"{category}-iou") for category in categories)]
    return [(re.sub(r"-[sc]$", "", row.text(label)), row.number(score)) for label, score in pairs]


def _of_group(row: Cells) -> tuple[int, ...]:
    """FALCON's: a unit, or those of a group."""
    numbers = re.findall(r"[0-9]{1,9}", row.text("group"))
    if not numbers or re.search(r"[^0-9,\s()\[\]_-]", row.text("group")):
        raise row.error("group", f"expected the number of a unit or a group of them, not {row.text('group')!r}")
    return tuple(sorted(set(map(int, numbers))))


def _words_and_phrases(row: Cells) -> list[Scored]:
    """FALCON's: words and noun phrases with their scores, written as lists of Python."""
    labels: list[Scored] = []
    for column in ("concept_set_words", "concept_set_noun_phrases"):
        text = row.values.get(column, "").strip()
        try:
            pairs = PAIRS.validate_python(ast.literal_eval(text or "[]"), strict=True)
        except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            raise row.error(column, f"expected a list such as [('word', 0.5)], not {text[:40]!r}") from None
        labels += [(" ".join(word.split()), score) for word, score in pairs]
    return labels


PAIRS = TypeAdapter(list[tuple[str, FiniteFloat]])
PRESETS = {
    "dnd": Format(["Neuron ID", ("Label 1", "label")], lambda row: (row.unit("Neuron ID", 0),), _ranked_labels),
    "milan": columns("unit", "description", layer="layer"),
    "clip-dissect": columns("unit", "description", "similarity", layer="layer"),
    "network-dissection": Format(["unit", "label", "score"], lambda row: (row.unit("unit", 1),), _of_categories),
    "invert": columns("neuron", "concept", "metric"),
    "falcon": Format(["group", ("concept_set_words", "concept_set_noun_phrases")], _of_group, _words_and_phrases),
}
"""The published formats. Network Dissection counts units from 1."""


def format_of(recipe: ForeignRecipe) -> Format:
    """Return how the recipe's table is read."""
    if recipe.format != "columns":
        return PRESETS[recipe.format]
    form = columns(recipe.unit, recipe.label, recipe.score, recipe.first_unit, recipe.layer)
    return form._replace(needs=[*form.needs, *([recipe.score] if recipe.score else [])])


def table(path: Path, needs: Sequence[str | tuple[str, ...]]) -> Iterator[Cells]:
    """Yield the rows of a CSV or TSV file in UTF-8, with a byte order mark or without.

    Raises
    ------
    ForeignError
        It is no such file, lacks a column, or a row has too many or too few cells.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, delimiter="\t" if path.suffix.lower() == ".tsv" else ",")
            names = [name.strip() for name in next(reader, [])]
            _require_columns(path, names, needs)
            line = reader.line_num
            for cells in reader:
                where = f"{path}, line {line + 1}"
                line = reader.line_num  # a cell may hold line breaks
                if not any(cell.strip() for cell in cells):
                    continue
                if len(cells) != len(names):
                    raise ForeignError(f"{where}: {len(cells)} cells for {len(names)} columns")
                yield Cells(where, dict(zip(names, cells, strict=True)))
    except (OSError, csv.Error, UnicodeDecodeError) as error:
        raise ForeignError(f"{path} is no table of text: {error}") from None


def _require_columns(path: Path, names: Sequence[str], needs: Sequence[str | tuple[str, ...]]) -> None:
    for need in needs:
        choice = (need,) if isinstance(need, str) else need
        if not set(choice) & set(names):
            raise ForeignError(f"{path} has no column {' or '.join(map(repr, choice))}, but {names}")
    twice = sorted({name for name in names if name and names.count(name) > 1})
    if twice:
        raise ForeignError(f"{path} has two columns {twice[0]!r}")


def read(recipe: ForeignRecipe, layer: str) -> dict[int, list[tuple[str, float]]]:
    """Return unit -> its labels with their scores, best first, of one layer.

    Labels that repeat an earlier one but for case are left out, and so are blank ones. Where the tool gave no score,
    the n-th label has 1/n. A unit of several rows, or of several of FALCON's groups, has the labels of all.

    Raises
    ------
    ForeignError
        The table cannot be read, names a unit twice where it should not, or has nothing of the layer.
    """
    form = format_of(recipe)
    wanted = recipe.layers.get(layer, layer)
    labels: dict[int, list[Scored]] = {}
    seen: dict[tuple[int, ...], str] = {}
    layers: set[str] = set()
    for row in table(recipe.labels, form.needs):
        if form.layer is not None:
            layers.add(row.text(form.layer))
            if row.text(form.layer) != wanted:
                continue
        units = form.units(row)
        if units in seen and not recipe.several_rows:
            numbers = ", ".join(map(str, units))
            raise ForeignError(
                f"{row.where}: a second row of unit {numbers} (counted from 0); the first: {seen[units]}; where each "
                "is a label of the unit, set `several_rows: true`"
            )
        seen.setdefault(units, row.where)
        for unit in units:
            labels.setdefault(unit, []).extend(form.labels(row))
    if layers and not seen:
        hint = f"it has {sorted(layers)}: see the recipe's `layers`"
        raise ForeignError(f"{recipe.labels} has no row of layer {wanted!r}; {hint}")
    if not seen:
        raise ForeignError(f"{recipe.labels} has no rows")
    return {unit: _best_first(pairs) for unit, pairs in labels.items()}


def _best_first(labels: Sequence[Scored]) -> list[tuple[str, float]]:
    """Labels by score, of equal ones the earlier first."""
    named = [(label, score) for label, score in labels if label]
    scored = [(label, 1 / (i + 1) if score is None else score) for i, (label, score) in enumerate(named)]
    best: dict[str, tuple[str, float]] = {}
    for label, score in sorted(scored, key=lambda pair: -pair[1]):
        best.setdefault(label.casefold(), (label, score))
    return list(best.values())[: inputs.CANDIDATES]


def run(recipe: ForeignRecipe, layer: str, topk: str | Path, units: Sequence[int]) -> pa.Table:
    """Return the SCORES table of the asked units that are not idle; those without a label have no rows.

    Parameters
    ----------
    topk : TOPK of the layer, with a row for each unit that it has.
    units : the asked units.

    Raises
    ------
    ForeignError
        The table cannot be used, or names a unit that the layer does not have.
    """
    labels, count = read(recipe, layer), tables.count(topk)
    if (last := max(labels)) >= count:
        raise ForeignError(
            f"{recipe.labels} has a unit {last} (counted from 0); layer {layer!r} has the units 0 to {count - 1}"
        )
    asked = sorted(set(units) & set(inputs.live_units(topk)))
    missing = [unit for unit in asked if not labels.get(unit)]
    if missing:
        log.warning("%s: no label for %d of %d units, such as %d", recipe.labels, len(missing), len(asked), missing[0])
    return inputs.scores([(unit, labels[unit]) for unit in asked if labels.get(unit)], SOURCE)
