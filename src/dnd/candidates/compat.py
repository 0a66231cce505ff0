"""What the released driver of Describe-and-Dissect makes of a model's answers; see also ``dnd.candidates.answers``."""

from __future__ import annotations

from typing import Literal

DESIGNS = frozenset({"design", "designs", "graphic", "graphics"})
"""Last words of concepts that the driver deems too vague to be drawn."""
Backgrounds = Literal["none", "all", "undotted"]


def after_colon(answer: str) -> str:
    """Return what stands between the first colon of an answer and the next, the whole answer where there is none."""
    return answer.split(":")[1] if ":" in answer else answer


def concept(answer: str) -> str:
    """Return an answer as a concept: after a colon, in lower case, without one full stop at its end.

    Quotes, numbering and repeated words stay. The driver also keeps blanks at the ends, which are left out here.
    """
    return after_colon(answer).lower().strip().removesuffix(".").strip()


def background(concept: str, answer: str, rule: Backgrounds) -> str | None:
    """Return the candidate that a concept brings along: "abstract design" also "abstract design background".

    Parameters
    ----------
    answer : that gave the concept. The driver looks at its last word before the full stop is taken off, so that
        "Abstract design." brings nothing along: rule ``undotted``.
    """
    words = (after_colon(answer).lower() if rule == "undotted" else concept).split()
    return f"{concept} background" if rule != "none" and words and words[-1] in DESIGNS else None
