"""Sets of concepts in text files, one a line, as CLIP-Dissect's."""

from __future__ import annotations

from pathlib import Path

from dnd.io import documents


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
    concepts = dict.fromkeys(stripped for line in text.split("\n") if (stripped := " ".join(line.split())))
    for number, concept in enumerate(concepts):
        if not concept.isprintable():
            raise ConceptSetError(f"{path}: concept {number + 1}, {concept!r}, holds characters that cannot be printed")
    if not concepts:
        raise ConceptSetError(f"{path} holds no concept; expected one per line")
    return list(concepts)
