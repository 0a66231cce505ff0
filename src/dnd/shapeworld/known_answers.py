"""The known answers of a target: the concept a unit was planted with, the class it stands for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import BeforeValidator, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from dnd.config.sections import MOST
from dnd.io import documents
from dnd.io.text import valid
from dnd.shapeworld.world import Extension, attribute_of, conjunction

Text = Annotated[str, BeforeValidator(lambda value: valid(value) if isinstance(value, str) else value)]
CONCEPT_KINDS = ("single", "conjunction", "abstraction")
"""Kinds that the aggregate kind ``concept`` joins: one concept that a short label can name."""


class KnownAnswersError(ValueError):
    """A mistake in a file of known answers; the message names file, layer and unit."""


@dataclass(frozen=True)
class Answer:
    """What one unit is known to respond to.

    Attributes
    ----------
    words : a disjunction of conjunctions of words of the world; empty where there is nothing to name (dead, constant
        and random units).
    label : the plain name, for people.
    """

    unit: Annotated[int, Field(strict=True, ge=0, lt=MOST)]
    kind: Text
    words: tuple[tuple[str, ...], ...]
    label: Text

    @property
    def extension(self) -> Extension | None:
        """Where the unit's concept holds; None where there is none."""
        return np.logical_or.reduce([conjunction(words) for words in self.words]) if self.words else None


ANSWER = TypeAdapter(Answer)


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


def _units(rows: Sequence[object], where: str) -> dict[int, Answer]:
    answers: dict[int, Answer] = {}
    for number, row in enumerate(rows):
        try:
            answer = ANSWER.validate_python(row)
        except ValidationError:
            raise KnownAnswersError(
                f"{where}, entry {number}: expected unit, kind, words and label, of which unit is a number from 0, "
                'words are a list of lists of words such as [["red", "star"]], and the others are texts'
            ) from None
        for word in (word for words in answer.words for word in words):
            try:
                attribute_of(word)
            except KeyError:
                raise KnownAnswersError(f"{where}, unit {answer.unit}: the world has no word {word!r}") from None
        if answer.unit in answers:
            raise KnownAnswersError(f"{where}: unit {answer.unit} is listed twice")
        answers[answer.unit] = answer
    return answers
