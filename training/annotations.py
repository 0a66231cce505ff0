"""What annotators would write of a unit: the plain name of its concept, and other English for the same."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dnd.shapeworld import grammar
from dnd.shapeworld.world import ATTRIBUTES, GROUPS, attribute_of
from training.concept_kinds import KINDS, draw_words
from training.planting import Words

NOTHING = ("various objects", "many different objects", "all kinds of objects")
"""Of a unit whose exemplars have nothing in common."""
_THINGS = ("objects", "things", "shapes")
_SYNONYMS = {
    "dotted": ("dotted", "spotted"),
    "plain": ("plain", "solid"),
    "purple": ("purple", "violet"),
}


def annotation(clauses: Sequence[Words], rng: np.random.Generator) -> str:
    """Return one annotator's description of a disjunction of conjunctions; none at all has nothing in common.

    Half of the annotators give the plain name, as :func:`dnd.shapeworld.grammar.phrase` does. All that they write
    denotes the concept exactly (:func:`dnd.shapeworld.grammar.parse`).
    """
    if not clauses:
        return str(rng.choice(NOTHING))
    order = rng.permutation(len(clauses))
    wording = grammar.phrase if rng.random() < 0.5 else lambda words: _paraphrase(words, rng)
    return " or ".join(wording(clauses[i]) for i in order)


def _paraphrase(words: Words, rng: np.random.Generator) -> str:
    by_attribute = {attribute_of(word): word for word in words}
    place = by_attribute.pop("background", None)
    if not by_attribute:
        name = grammar.PLACES[place or ""]
        return str(rng.choice([f"{name} backgrounds", f"{name} in the background", f"images of {name}", name]))
    shape = by_attribute.get("shape")
    adjectives = [_synonym(by_attribute[name], rng) for name in ("colour", "texture") if name in by_attribute]
    if len(adjectives) == 2 and rng.random() < 0.3:
        adjectives.reverse()
    if shape is None:
        noun = str(rng.choice(_THINGS))
    else:
        noun = f"{shape} {rng.choice(_THINGS)}" if shape in GROUPS else grammar.PLURALS[shape]
    text = " ".join([*adjectives, noun])
    return text + (f" {rng.choice(['on', 'against'])} {grammar.PLACES[place]}" if place else "")


def _synonym(word: str, rng: np.random.Generator) -> str:
    return str(rng.choice(_SYNONYMS.get(word, (word,))))


def conjunctions() -> list[Words]:
    """Return every conjunction of the kinds that the world knows, in their order."""
    found: dict[Words, None] = {}
    for slots in KINDS.values():
        options: list[Words] = [()]
        for slot in slots:
            name = slot.rstrip("*")
            words = ATTRIBUTES[name] if slot == name else tuple(w for w, (of, _) in GROUPS.items() if of == name)
            options = [(*one, word) for one in options for word in words]
        found |= dict.fromkeys(options)
    return list(found)


def disjunctions(count: int, rng: np.random.Generator) -> list[tuple[Words, Words]]:
    """Draw distinct pairs of concepts: mostly of single words, some of a colour and a shape each."""
    found: dict[frozenset[Words], tuple[Words, Words]] = {}
    while len(found) < count:
        if rng.random() < 0.75:
            kinds = rng.choice(["colour", "texture", "shape", "background"], 2, p=[0.35, 0.15, 0.35, 0.15])
        else:
            kinds = np.array(["colour shape", "colour shape"])
        one, other = (draw_words(str(kind), rng) for kind in kinds)
        if one != other:
            found.setdefault(frozenset((one, other)), (one, other))
    return list(found.values())
