"""Which units are planted in the target network, and what each is to show on an image."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import asdict, dataclass

import numpy as np

from dnd.shapeworld import grammar
from dnd.shapeworld.world import ATTRIBUTES, GROUPS, Extension, attribute_of, conjunction
from training.concept_kinds import KINDS

Words = tuple[str, ...]
EMBEDDED = 5
"""Seed of what is planted in the embedded network."""

CONJUNCTIONS = {
    "colour shape": 10,
    "colour texture": 6,
    "texture shape": 6,
    "colour background": 6,
    "shape background": 5,
    "texture background": 2,
    "colour texture shape": 5,
}
"""Kind -> how many units."""

ABSTRACTIONS = {
    "colour group shape": 2,
    "colour shape group": 2,
    "colour group texture": 1,
    "texture shape group": 1,
}
"""Kind -> how many units, beside one for each group."""

POLYSEMANTIC: tuple[tuple[Words, Words], ...] = (
    (("red",), ("star",)),
    (("blue",), ("circle",)),
    (("striped",), ("yellow",)),
    (("dotted",), ("triangle",)),
    (("ring",), ("green",)),
    (("grass",), ("cross",)),
    (("water",), ("orange",)),
    (("red",), ("blue",)),
    (("square",), ("triangle",)),
    (("purple", "star"), ("green", "ring")),
)
"""What the polysemantic units of the embedded network stand for; other networks draw theirs."""
OTHER_POLYSEMANTIC = {"two attributes": 7, "one attribute": 2, "two conjunctions": 1}
"""Kind of a drawn disjunction -> how many units."""
EMPTY_KINDS = {"dead": 5, "constant": 5, "random": 8}
"""Kinds of units that stand for no concept -> how many."""


@dataclass(frozen=True)
class Planted:
    """One unit of known meaning; ``words`` is a disjunction of conjunctions, empty where there is no meaning."""

    unit: int
    kind: str
    words: tuple[Words, ...]
    label: str

    def record(self) -> dict:
        """Return the unit as written to ``units.json``."""
        return asdict(self)

    def extension(self, region: str | None = None) -> Extension:
        """Return the scenes the unit is active in: anywhere, or in the ``object`` or ``background`` region alone."""
        clauses = [conjunction(words) for words in self.words if region in (None, region_of(words))]
        return np.logical_or.reduce(clauses) if clauses else np.zeros_like(conjunction(()))


def region_of(words: Words) -> str:
    """Return where a conjunction shows: ``background`` if it says nothing of the object, else ``object``."""
    return "background" if {attribute_of(word) for word in words} == {"background"} else "object"


def _balanced(kind: str, count: int, rng: np.random.Generator, avoid: AbstractSet[Words]) -> list[Words]:
    """Draw distinct conjunctions of a kind that use every word of each attribute about equally often."""

    def options(slot: str) -> list[str]:
        if slot.endswith("*"):
            return [word for word, (name, _) in GROUPS.items() if name == slot[:-1]]
        return list(ATTRIBUTES[slot])

    def column(slot: str) -> list[str]:
        words = options(slot)
        rounds = [rng.permutation(words) for _ in range(-(-count // len(words)))]
        return [str(word) for word in np.concatenate(rounds)[:count]]

    while True:
        drawn = list(zip(*(column(slot) for slot in KINDS[kind]), strict=True))
        if len(set(drawn)) == count and avoid.isdisjoint(drawn):
            return drawn


def _disjunctions(rng: np.random.Generator) -> list[tuple[Words, Words]]:
    """Draw distinct pairs of concepts that no single word covers together."""

    def word(attribute: str) -> str:
        return str(rng.choice(ATTRIBUTES[attribute]))

    def pair(kind: str) -> tuple[Words, Words]:
        if kind == "two attributes":
            first, second = (str(name) for name in rng.choice(list(ATTRIBUTES), 2, replace=False))
            return (word(first),), (word(second),)
        if kind == "one attribute":
            values = ATTRIBUTES[str(rng.choice(["colour", "shape"]))]
            first, second = (str(value) for value in rng.choice(values, 2, replace=False))
            return (first,), (second,)
        return (word("colour"), word("shape")), (word("colour"), word("shape"))

    covered = {frozenset(values) for _, values in GROUPS.values()}
    found: list[tuple[Words, Words]] = []
    for kind, count in OTHER_POLYSEMANTIC.items():
        for _ in range(count):
            while True:
                drawn = pair(kind)
                words = {word for clause in drawn for word in clause}
                known = [set(one) for one in (*found, *POLYSEMANTIC)]
                if drawn[0] != drawn[1] and words not in covered and set(drawn) not in known:
                    break
            found.append(drawn)
    return found


def planted_units(seed: int = EMBEDDED) -> list[Planted]:
    """Return the units of the ``concepts`` layer in their order.

    Every network has a unit for each word of the world. Conjunctions and disjunctions follow from the seed; those of
    other seeds than the embedded network's are none of its own.
    """
    rng = np.random.default_rng(seed)
    own = [] if seed == EMBEDDED else [unit.words for unit in planted_units()]
    avoid = {words[0] for words in own if len(words) == 1 and len(words[0]) > 1}
    entries: list[tuple[str, tuple[Words, ...]]] = []
    entries += [("single", ((value,),)) for values in ATTRIBUTES.values() for value in values]
    for kind, count in CONJUNCTIONS.items():
        entries += [("conjunction", (words,)) for words in _balanced(kind, count, rng, avoid)]
    entries += [("abstraction", ((group,),)) for group in GROUPS]
    for kind, count in ABSTRACTIONS.items():
        entries += [("abstraction", (words,)) for words in _balanced(kind, count, rng, avoid)]
    pairs = POLYSEMANTIC if seed == EMBEDDED else _disjunctions(rng)
    entries += [("polysemantic", pair) for pair in pairs]
    for kind, count in EMPTY_KINDS.items():
        entries += [(kind, ())] * count
    return [Planted(unit, kind, words, _label(words)) for unit, (kind, words) in enumerate(entries)]


def class_units() -> list[Planted]:
    """Return the classes of ``fc``: every colour with every shape."""
    pairs = [(colour, shape) for colour in ATTRIBUTES["colour"] for shape in ATTRIBUTES["shape"]]
    return [Planted(unit, "class", (pair,), grammar.phrase(pair)) for unit, pair in enumerate(pairs)]


def class_names() -> list[str]:
    """Return the names of the classes, ``red circle`` first."""
    return [" ".join(unit.words[0]) for unit in class_units()]


def _label(words: Sequence[Words]) -> str:
    if not words:
        return ""
    return grammar.phrase(words[0]) if len(words) == 1 else grammar.either(*words)
