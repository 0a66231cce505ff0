"""Equal answers become one candidate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dnd.compat_answers import Backgrounds, background


@dataclass(frozen=True)
class Candidate:
    """A concept that some answers agree on.

    Attributes
    ----------
    concept : as ``dnd.answers.normalise`` returns it.
    votes : number of answers that gave it.
    samples : which ones, ascending.
    """

    concept: str
    votes: int
    samples: tuple[int, ...]


def merge(concepts: Sequence[str | None]) -> list[Candidate]:
    """Gather equal concepts, by votes and then by first appearance; position is the sample, None gives no vote."""
    samples: dict[str, list[int]] = {}
    for sample, concept in enumerate(concepts):
        if concept is not None:
            samples.setdefault(concept, []).append(sample)
    candidates = [Candidate(concept, len(given), tuple(given)) for concept, given in samples.items()]
    return sorted(candidates, key=lambda candidate: (-candidate.votes, candidate.samples[0]))


def with_backgrounds(
    candidates: Sequence[Candidate], answers: Sequence[str | None], rule: Backgrounds
) -> list[Candidate]:
    """Return candidates and, after them and without votes, their variants with "background", each once.

    Parameters
    ----------
    answers : as they came, by sample.
    rule : see :func:`dnd.compat_answers.background`.
    """
    known = {one.concept: one for one in candidates}
    for one in candidates:
        for sample in one.samples:
            if (variant := background(one.concept, answers[sample] or "", rule)) is not None:
                known.setdefault(variant, Candidate(variant, 0, (sample,)))
    return list(known.values())
