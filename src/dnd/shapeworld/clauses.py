"""A logical combination of the world's words as a disjunction of clauses, and its name in the world's English.

A *clause* says for each attribute which values are allowed: red or blue, any texture, star, any background. AND, OR and
NOT of such disjunctions are disjunctions again.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

from dnd.shapeworld import grammar
from dnd.shapeworld.world import ATTRIBUTES, GROUPS, attribute_of

Clause = tuple[frozenset[str], ...]
"""Allowed values of each attribute, in the order of ATTRIBUTES; none of them empty."""
Clauses = frozenset[Clause]
"""Alternatives; no alternative at all holds nowhere."""

_ALL: Clause = tuple(frozenset(values) for values in ATTRIBUTES.values())
NOTHING = "nothing"
"""Name of what holds nowhere; the grammar does not know it."""


def is_word(text: str) -> bool:
    """Tell whether a text is a value or a group word of the world."""
    return text in GROUPS or any(text in values for values in ATTRIBUTES.values())


def word(text: str) -> Clauses:
    """Return the clauses of one value (``red``) or group word (``warm``).

    Raises
    ------
    KeyError
        It is neither.
    """
    owner = attribute_of(text)
    covered = frozenset(GROUPS[text][1] if text in GROUPS else (text,))
    return frozenset({tuple(covered if name == owner else all_ for name, all_ in zip(ATTRIBUTES, _ALL, strict=True))})


def both(*operands: Clauses) -> Clauses:
    """Return where all operands hold."""
    clauses: Clauses = frozenset({_ALL})
    for operand in operands:
        met = (tuple(a & b for a, b in zip(*pair, strict=True)) for pair in itertools.product(clauses, operand))
        clauses = _simplified(clause for clause in met if all(clause))
    return clauses


def either(*operands: Clauses) -> Clauses:
    """Return where any operand holds."""
    return _simplified(clause for operand in operands for clause in operand)


def negated(operand: Clauses) -> Clauses:
    """Return where the operand does not hold."""
    return both(*map(_negated, sorted(operand, key=_order)))


def _negated(clause: Clause) -> Clauses:
    """Some attribute has another value than the clause allows."""
    return frozenset(
        (*_ALL[:i], all_ - allowed, *_ALL[i + 1 :])
        for i, (all_, allowed) in enumerate(zip(_ALL, clause, strict=True))
        if all_ - allowed
    )


def _simplified(clauses: Iterable[Clause]) -> Clauses:
    """Join clauses that differ in one attribute, and drop those inside another, until nothing changes."""
    ordered = sorted(set(clauses), key=_order)
    for first, second in itertools.combinations(ordered, 2):
        differing = [i for i, (a, b) in enumerate(zip(first, second, strict=True)) if a != b]
        inside = all(a <= b for a, b in zip(first, second, strict=True))
        around = all(a >= b for a, b in zip(first, second, strict=True))
        if len(differing) == 1 or inside or around:
            union = tuple(a | b for a, b in zip(first, second, strict=True))
            return _simplified([*(clause for clause in ordered if clause not in (first, second)), union])
    return frozenset(ordered)


def _order(clause: Clause) -> tuple[int, list[list[int]]]:
    """Fewer restrictions first, then by the order of the values."""
    places = [sorted(map(values.index, allowed)) for values, allowed in zip(ATTRIBUTES.values(), clause, strict=True)]
    return sum(allowed != all_ for allowed, all_ in zip(clause, _ALL, strict=True)), places


def phrase(clauses: Clauses) -> str:
    """Return the plain name of a disjunction, which :func:`dnd.shapeworld.grammar.parse` reads back.

    Alternatives of one attribute inside a clause are joined by ``and`` (``red and blue stars``), clauses by ``or``.
    What holds everywhere is ``various objects``, what holds nowhere ``nothing``.
    """
    return " or ".join(map(_clause_phrase, sorted(clauses, key=_order))) or NOTHING


def _clause_phrase(clause: Clause) -> str:
    said = {
        name: words_for(name, allowed)
        for name, allowed, all_ in zip(ATTRIBUTES, clause, _ALL, strict=True)
        if allowed != all_
    }
    if all(len(words) == 1 for words in said.values()):
        return grammar.phrase([words[0] for words in said.values()])
    places = _listed([grammar.PLACES[value] for value in said.pop("background", ())])
    if not said:
        return f"{places} backgrounds"
    colours = [f"{word} coloured" if word in GROUPS else word for word in said.get("colour", ())]
    parts = [_listed(colours), _listed(said.get("texture", ())), _things(said.get("shape", ()))]
    return " ".join(part for part in parts if part) + (f" on {places}" if places else "")


def words_for(attribute: str, allowed: frozenset[str]) -> list[str]:
    """Return the fewest words that cover these values: group words, then the values that no group covers."""
    groups = {name: covered for name, (owner, covered) in GROUPS.items() if owner == attribute}
    inside = [name for name, covered in groups.items() if allowed.issuperset(covered)]
    named = {value for name in inside for value in groups[name]}
    return [*inside, *(value for value in ATTRIBUTES[attribute] if value in allowed - named)]


def _things(shapes: Sequence[str]) -> str:
    """``[round, star]`` -> ``round objects and stars``."""
    groups = [shape for shape in shapes if shape in GROUPS]
    nouns = [grammar.PLURALS[shape] for shape in shapes if shape not in GROUPS]
    named = [f"{_listed(groups)} objects"] if groups else []
    return _listed([*named, *nouns]) or "objects"


def _listed(words: Sequence[str]) -> str:
    return " and ".join(words)  # without commas, at which the grammar ends a clause
