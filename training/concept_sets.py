"""Write the shape world's own sets of concepts: resources/shapeworld/concepts.txt and the others beside it.

``concepts-either.txt`` has disjunctions, too (``--either``); the others are incomplete: ``concepts-half.txt``
(``--share 0.5``), ``concepts-fifth.txt`` (``--share 0.2``) and ``concepts-words.txt`` (``--words``).
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import sys
from collections.abc import Sequence
from pathlib import Path

from dnd.io.files import replaced
from dnd.shapeworld import grammar
from dnd.shapeworld.world import ATTRIBUTES, GROUPS
from training.concept_kinds import KINDS


def conjunctions() -> list[str]:
    """Return the phrase of every concept of the shape world's kinds, the simplest first."""
    groups = {name: [word for word, (owner, _) in GROUPS.items() if owner == name] for name in ATTRIBUTES}
    options = [
        [groups[slot[:-1]] if slot.endswith("*") else list(ATTRIBUTES[slot]) for slot in slots]
        for slots in KINDS.values()
    ]
    return list(dict.fromkeys(grammar.phrase(words) for one in options for words in itertools.product(*one)))


def disjunctions() -> list[str]:
    """Return the phrase of every pair of values of the shape world, of one attribute or of two."""
    single = [value for values in ATTRIBUTES.values() for value in values]
    return [grammar.either([first], [second]) for first, second in itertools.combinations(single, 2)]


def words() -> list[str]:
    """Return the phrases of single words of the shape world, groups among them."""
    single = (word for values in (*ATTRIBUTES.values(), GROUPS) for word in values)
    phrases = {grammar.phrase([word]) for word in single}
    return [phrase for phrase in conjunctions() if phrase in phrases]


def some(concepts: Sequence[str], share: float) -> list[str]:
    """Return about a share of concepts, chosen by their texts alone: a smaller share is among a larger one."""

    def place(concept: str) -> float:
        return int(hashlib.sha256(concept.encode()).hexdigest()[:16], 16) / 16**16

    return [concept for concept in concepts if place(concept) < share]


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the shape world's concepts: those of every kind, which hold a right answer for a unit of one concept."""
    parser = argparse.ArgumentParser(prog="python -m training.concept_sets", description=main.__doc__)
    parser.add_argument("file", type=Path, help="such as resources/shapeworld/concepts.txt")
    parser.add_argument(
        "--either", action="store_true", help="add either of two values, such as `red objects or stars`"
    )
    parser.add_argument("--words", action="store_true", help="single words only, such as `red objects`")
    parser.add_argument("--share", type=float, default=1.0, help="leave all out but about so many")
    asked = parser.parse_args(arguments)
    concepts = words() if asked.words else [*conjunctions(), *(disjunctions() if asked.either else [])]
    with replaced(asked.file) as partial:
        partial.write_text("\n".join(some(concepts, asked.share)) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
