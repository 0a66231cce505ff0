"""Sets of concepts in text files, one a line, as CLIP-Dissect's; and the shape world's own.

``python -m dnd.rivals.concept_sets FILE`` writes the world's set, with ``--either`` also its disjunctions.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Sequence
from pathlib import Path

from dnd.io import documents
from dnd.io.files import replaced
from dnd.shapeworld import grammar
from dnd.shapeworld.concept_kinds import KINDS
from dnd.shapeworld.world import ATTRIBUTES, GROUPS


class ConceptSetError(ValueError):
    """A file is no set of concepts; the message names it, and the line where there is one."""


def read(path: str | Path) -> list[str]:
    """Return the concepts of a text file, one per line, in order, each once.

    White space around a concept and empty lines do not count: in the published files some lines begin with a space.

    Raises
    ------
    ConceptSetError
        The file is not there, is no UTF-8 text, or holds no concept.
    """
    try:
        text = documents.read_text(path)
    except documents.DocumentError as error:
        raise ConceptSetError(f"{error}; expected one concept per line") from None
    found = dict.fromkeys(stripped for line in text.split("\n") if (stripped := " ".join(line.split())))
    for number, concept in enumerate(found):
        if not concept.isprintable():
            raise ConceptSetError(f"{path}: concept {number + 1}, {concept!r}, holds characters that cannot be printed")
    if not found:
        raise ConceptSetError(f"{path} holds no concept; expected one per line")
    return list(found)


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
    parser = argparse.ArgumentParser(prog="python -m dnd.rivals.concept_sets", description=main.__doc__)
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
