"""Logical formulas of annotated concepts: AND, OR and NOT, and what they are called in English."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import reduce
from operator import and_, or_
from typing import TypeVar

from dnd.shapeworld import clauses
from dnd.shapeworld.clauses import Clauses

V = TypeVar("V")


@dataclass(frozen=True)
class Formula(ABC):
    """A concept, or a combination of formulas by ``&``, ``|`` and ``~``; equal where operands only differ in order."""

    def __and__(self, other: Formula) -> Formula:
        return _joined(And, self, other)

    def __or__(self, other: Formula) -> Formula:
        return _joined(Or, self, other)

    def __invert__(self) -> Formula:
        return self.part if isinstance(self, Not) else Not(self)

    @abstractmethod
    def evaluate(self, value: Callable[[str], V]) -> V:
        """Return what ``&``, ``|`` and ``~`` make of the values of the concepts.

        Parameters
        ----------
        value : name of a concept -> a formula, or an array of flags.
        """


@dataclass(frozen=True)
class Concept(Formula):
    """One annotated concept."""

    name: str

    def evaluate(self, value: Callable[[str], V]) -> V:
        return value(self.name)

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Not(Formula):
    """Where a formula does not hold."""

    part: Formula

    def evaluate(self, value: Callable[[str], V]) -> V:
        return ~self.part.evaluate(value)  # type: ignore[operator, no-any-return]

    def __str__(self) -> str:
        return f"NOT {_nested(self.part)}"


@dataclass(frozen=True)
class _Joined(Formula):
    parts: tuple[Formula, ...]  # two or more, each once, by their text

    def evaluate(self, value: Callable[[str], V]) -> V:
        join = and_ if isinstance(self, And) else or_
        return reduce(join, (part.evaluate(value) for part in self.parts))

    def __str__(self) -> str:
        return (" AND " if isinstance(self, And) else " OR ").join(map(_nested, self.parts))


class And(_Joined):
    """Where all parts hold. Made by ``&``, which brings the parts into order."""


class Or(_Joined):
    """Where any part holds. Made by ``|``, which brings the parts into order."""


def _joined(kind: type[And] | type[Or], *parts: Formula) -> Formula:
    """Join formulas of the same kind to one, each part once, so that equal formulas are equal objects."""
    flat = {piece for part in parts for piece in (part.parts if isinstance(part, kind) else (part,))}
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
        case And(parts) | Or(parts):
            # what is there before what is not; the order of the rest stays
            ordered = sorted(parts, key=lambda part: isinstance(part, Not))
            return (" and " if isinstance(formula, And) else " or ").join(map(_bracketed, ordered))
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
