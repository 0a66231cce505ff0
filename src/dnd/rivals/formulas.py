"""Logical formulas of annotated concepts: AND, OR and NOT, where they hold, and what they are called in English."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dnd.shapeworld import clauses
from dnd.shapeworld.clauses import Clauses

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Formula(ABC):
    """A concept, or a combination of formulas by ``&``, ``|`` and ``~``; equal where operands only differ in order."""

    def __and__(self, other: Formula) -> Formula:
        return _joined(And, self, other)

    def __or__(self, other: Formula) -> Formula:
        return _joined(Or, self, other)

    def __invert__(self) -> Formula:
        return self.part if isinstance(self, Not) else Not(self)

    @property
    @abstractmethod
    def concepts(self) -> tuple[str, ...]:
        """Names of the concepts in it, as often as they occur."""

    @property
    def length(self) -> int:
        """How many concepts it joins."""
        return len(self.concepts)

    @abstractmethod
    def truth(self, labels: Mapping[str, Flags]) -> Flags:
        """Return where it holds: bool, of the shape that the labels have (images, or pixels).

        Parameters
        ----------
        labels : concept -> where it holds, all of one shape.

        Raises
        ------
        KeyError
            A concept of the formula has no labels.
        """


@dataclass(frozen=True)
class Concept(Formula):
    """One annotated concept."""

    name: str

    @property
    def concepts(self) -> tuple[str, ...]:
        return (self.name,)

    def truth(self, labels: Mapping[str, Flags]) -> Flags:
        return labels[self.name]

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Not(Formula):
    """Where a formula does not hold."""

    part: Formula

    @property
    def concepts(self) -> tuple[str, ...]:
        return self.part.concepts

    def truth(self, labels: Mapping[str, Flags]) -> Flags:
        return ~self.part.truth(labels)

    def __str__(self) -> str:
        return f"NOT {_nested(self.part)}"


@dataclass(frozen=True)
class _Joined(Formula):
    parts: tuple[Formula, ...]  # two or more, each once, by their text

    @property
    def concepts(self) -> tuple[str, ...]:
        return tuple(name for part in self.parts for name in part.concepts)


@dataclass(frozen=True)
class And(_Joined):
    """Where all parts hold. Made by ``&``, which brings the parts into order."""

    def truth(self, labels: Mapping[str, Flags]) -> Flags:
        return np.logical_and.reduce([part.truth(labels) for part in self.parts])

    def __str__(self) -> str:
        return " AND ".join(map(_nested, self.parts))


@dataclass(frozen=True)
class Or(_Joined):
    """Where any part holds. Made by ``|``, which brings the parts into order."""

    def truth(self, labels: Mapping[str, Flags]) -> Flags:
        return np.logical_or.reduce([part.truth(labels) for part in self.parts])

    def __str__(self) -> str:
        return " OR ".join(map(_nested, self.parts))


def _joined(kind: type[And] | type[Or], *parts: Formula) -> Formula:
    """Join formulas of the same kind to one, each part once, so that equal formulas are equal objects."""
    flat = {one for part in parts for one in (part.parts if isinstance(part, kind) else (part,))}
    return kind(tuple(sorted(flat, key=str))) if len(flat) > 1 else flat.pop()


def _nested(formula: Formula) -> str:
    return f"({formula})" if isinstance(formula, _Joined) else str(formula)


def phrasing(names: Collection[str]) -> Callable[[Formula], str]:
    """Return what names formulas of these concepts: in the words of the shape world where all of them are its words.

    Parameters
    ----------
    names : every concept of the probe's annotations, not of one formula: ``water`` and ``red`` belong to many worlds.
    """
    return world_phrase if names and all(map(clauses.is_word, names)) else plain_phrase


def plain_phrase(formula: Formula) -> str:
    """Return a formula in English: ``blue and not (sky or water)``; underscores of names become spaces."""
    match formula:
        case Concept(name):
            return name.replace("_", " ")
        case Not(part):
            return f"not {_bracketed(part)}"
        case And(parts):
            # what is there before what is not; the order of the rest stays
            return " and ".join(map(_bracketed, sorted(parts, key=lambda one: isinstance(one, Not))))
        case Or(parts):
            return " or ".join(_bracketed(part) for part in sorted(parts, key=lambda one: isinstance(one, Not)))
    raise TypeError(f"no formula: {formula!r}")


def _bracketed(formula: Formula) -> str:
    text = plain_phrase(formula)
    return f"({text})" if isinstance(formula, _Joined) else text


def world_phrase(formula: Formula) -> str:
    """Return a formula of words of the shape world as a label that :func:`dnd.shapeworld.grammar.parse` reads back.

    ``red AND NOT star`` is ``red round and boxy objects and triangles``. A formula that holds nowhere is ``nothing``,
    which lies outside the grammar.

    Raises
    ------
    KeyError
        A concept is no word of the world.
    """
    return clauses.phrase(_clauses(formula))


def _clauses(formula: Formula) -> Clauses:
    match formula:
        case Concept(name):
            return clauses.word(name)
        case Not(part):
            return clauses.negated(_clauses(part))
        case And(parts):
            return clauses.both(*map(_clauses, parts))
        case Or(parts):
            return clauses.either(*map(_clauses, parts))
    raise TypeError(f"no formula: {formula!r}")


def conjunction(names: Iterable[str]) -> Formula:
    """Return the formula that all of some concepts hold."""
    first, *others = map(Concept, names)
    found: Formula = first
    for one in others:
        found = found & one
    return found
