"""The known answers of a target: the concept a unit was planted with, the class it stands for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dnd.config.sections import MOST
from dnd.io import documents
from dnd.io.text import valid
from dnd.shapeworld.world import Extension, attribute_of, conjunction

CONCEPT_KINDS = ("single", "conjunction", "abstraction")
"""Kinds that the aggregate kind ``concept`` joins: one concept that a short label can name."""


class KnownAnswersError(ValueError):
    """A mistake in a file of known answers; the message names file, layer and unit."""


@dataclass(frozen=True)
class Answer:
    """What one unit is known to respond to.

    Attributes
    ----------
    words : a disjunction of conjunctions of words of the world; empty where there is nothing
        to name (dead, constant and random units).
    label : the plain name, for people.
    """

    unit: int
    kind: str
    words: tuple[tuple[str, ...], ...]
    label: str

    @property
    def extension(self) -> Extension | None:
        """Where the unit's concept holds; None where there is none."""
        return np.logical_or.reduce([conjunction(words) for words in self.words]) if self.words else None


def load(path: str | Path) -> dict[str, dict[int, Answer]]:
    """Read a JSON file of known answers: layer -> unit -> answer.

    The file maps each layer's name, at the top or below the key ``layers``, to a list of
    ``{"unit": 0, "kind": "conjunction", "words": [["red", "star"]], "label": "red stars"}``.

    Raises
    ------
    KnownAnswersError
        It has another form, names a unit twice or uses a word that the world does not have.
    """
    try:
        values = documents.read_json(path)
    except documents.DocumentError as error:
        raise KnownAnswersError(str(error)) from None
    layers = values.get("layers", values) if isinstance(values, dict) else None
    if not isinstance(layers, dict) or not all(isinstance(rows, list) for rows in layers.values()):
        raise KnownAnswersError(f"{path}: expected layer names, each with a list of units")
    return {layer: _units(rows, f"{path}: layer {layer}") for layer, rows in layers.items()}


def _units(rows: Sequence[Any], where: str) -> dict[int, Answer]:
    found: dict[int, Answer] = {}
    for number, row in enumerate(rows):
        if not _is_row(row):
            raise KnownAnswersError(
                f"{where}, entry {number}: expected unit, kind, words and label, of which unit is a number from 0, "
                'words are a list of lists of words such as [["red", "star"]], and the others are texts'
            )
        words = tuple(tuple(words) for words in row["words"])
        answer = Answer(row["unit"], valid(row["kind"]), words, valid(row["label"]))
        for word in (word for words in answer.words for word in words):
            try:
                attribute_of(word)
            except KeyError:
                raise KnownAnswersError(f"{where}, unit {answer.unit}: the world has no word {word!r}") from None
        if answer.unit in found:
            raise KnownAnswersError(f"{where}: unit {answer.unit} is listed twice")
        found[answer.unit] = answer
    return found


def _is_row(row: Any) -> bool:
    if not isinstance(row, dict) or not all(isinstance(row.get(key), str) for key in ("kind", "label")):
        return False
    unit, words = row.get("unit"), row.get("words")
    if type(unit) is not int or not 0 <= unit < MOST:
        return False
    return isinstance(words, list) and all(
        isinstance(one, list) and all(isinstance(word, str) for word in one) for one in words
    )
