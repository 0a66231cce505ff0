"""The known answers of a target: the concept a unit was planted with, the class it stands for, a name it was given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Self

from pydantic import BeforeValidator, Field, TypeAdapter, ValidationError, model_validator
from pydantic.dataclasses import dataclass

from dnd.config.sections import MOST
from dnd.io import documents
from dnd.io.text import valid

Text = Annotated[str, BeforeValidator(lambda value: valid(value) if isinstance(value, str) else value)]
NAMED, CLASS = "named", "class"
"""Kinds of units that are known by a text: one that somebody gave, or the name of a class."""
CONCEPT_KINDS = ("single", "conjunction", "abstraction", NAMED)
"""Kinds that the aggregate kind ``concept`` joins: one concept that a short label can name."""


class KnownAnswersError(ValueError):
    """A mistake in a file of known answers; the message names file, layer and unit."""


@dataclass(frozen=True)
class KnownAnswer:
    """What one unit is known to respond to.

    Attributes
    ----------
    words : a disjunction of conjunctions of words of the shape world; empty where there is nothing to name (dead,
        constant and random units); None where the answer is known by its text alone.
    label : the plain name.
    synonyms : other names of the same, of an answer by text.
    """

    unit: Annotated[int, Field(strict=True, ge=0, lt=MOST)]
    kind: Text = NAMED
    words: tuple[tuple[str, ...], ...] | None = None
    label: Text = ""
    synonyms: tuple[Text, ...] = ()

    @model_validator(mode="after")
    def _is_of_one_sort(self) -> Self:
        if self.words is None and not all(text.strip() for text in self.texts):
            raise ValueError("an answer by text has one")
        if self.words is not None and (self.kind == NAMED or self.synonyms):
            raise ValueError("an answer by words has another kind, and no synonyms")
        return self

    @property
    def texts(self) -> tuple[str, ...]:
        """The label and its synonyms."""
        return self.label, *self.synonyms

    @property
    def nameable(self) -> bool:
        """Whether there is something to name."""
        return self.words is None or bool(self.words)


ANSWER = TypeAdapter(KnownAnswer)
Answers = dict[str, dict[int, KnownAnswer]]
"""Layer -> unit -> its known answer."""


def load(path: str | Path) -> Answers:
    """Read a JSON file of known answers.

    The file maps each layer's name, at the top or below the key ``layers``, to a list of
    ``{"unit": 0, "kind": "conjunction", "words": [["red", "star"]], "label": "red stars"}`` in the shape world, and
    elsewhere of ``{"unit": 3, "label": "tench", "synonyms": ["Tinca tinca"]}``, whose synonyms may be left out.

    Raises
    ------
    KnownAnswersError
        It has another form or names a unit twice.
    """
    try:
        values = documents.read_json(path)
    except documents.DocumentError as error:
        raise KnownAnswersError(str(error)) from None
    layers = values.get("layers", values) if isinstance(values, dict) else None
    if not isinstance(layers, dict) or not all(isinstance(rows, list) for rows in layers.values()):
        raise KnownAnswersError(f"{path}: expected layer names, each with a list of units")
    return {layer: _units(rows, f"{path}: layer {layer}") for layer, rows in layers.items()}


def _units(rows: Sequence[object], where: str) -> dict[int, KnownAnswer]:
    answers: dict[int, KnownAnswer] = {}
    for number, row in enumerate(rows):
        try:
            answer = ANSWER.validate_python(row)
        except ValidationError:
            raise KnownAnswersError(
                f"{where}, entry {number}: expected unit, label and, if any, synonyms, or unit, kind, words and label, "
                'of which unit is a number from 0, synonyms are a list of texts such as ["Tinca tinca"], words are a '
                'list of lists of words such as [["red", "star"]], and the others are texts'
            ) from None
        if answer.unit in answers:
            raise KnownAnswersError(f"{where}: unit {answer.unit} is listed twice")
        answers[answer.unit] = answer
    return answers


def of_classes(names: Sequence[str]) -> dict[int, KnownAnswer]:
    """Return unit -> answer, of units that stand for classes.

    Parameters
    ----------
    names : of the classes in the order of units, each with its synonyms behind commas, as ImageNet's have them
        ("tench, Tinca tinca"); an empty one is no answer.
    """
    answers = {}
    for unit, name in enumerate(names):
        texts = [text for part in name.split(",") if (text := part.strip())]
        if texts:
            answers[unit] = KnownAnswer(unit, CLASS, None, texts[0], tuple(texts[1:]))
    return answers


def of_network(path: str | Path | None, class_names: Mapping[str, str | Path]) -> Answers:
    """Return the known answers of a network: those of its file, and class names of layers that the file has not.

    Parameters
    ----------
    class_names : layer -> text file of its units' classes, one per line.
    """
    classes = {layer: of_classes(documents.read_text(file).splitlines()) for layer, file in class_names.items()}
    return classes | (load(path) if path is not None else {})
