"""Write the shape world's own sets of concepts: resources/shapeworld/concepts.txt and the one with disjunctions."""

from __future__ import annotations

import argparse
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


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the shape world's concepts: those of every kind, which hold a right answer for a unit of one concept."""
    parser = argparse.ArgumentParser(prog="python -m training.concept_sets", description=main.__doc__)
    parser.add_argument("file", type=Path, help="such as resources/shapeworld/concepts.txt")
    parser.add_argument(
        "--either", action="store_true", help="add either of two values, such as `red objects or stars`"
    )
    asked = parser.parse_args(arguments)
    concepts = [*conjunctions(), *(disjunctions() if asked.either else [])]
    with replaced(asked.file) as partial:
        partial.write_text("\n".join(concepts) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
