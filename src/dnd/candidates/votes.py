"""What answers name becomes the candidates of a unit: what is equal, once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from dnd.candidates.answers import fault
from dnd.candidates.compat import Backgrounds, background


class Vote(NamedTuple):
    """That an answer names a concept."""

    sample: int
    concept: str
    source: str = "captions"


@dataclass(frozen=True)
class Candidate:
    """A concept that some answers agree on.

    Attributes
    ----------
    concept : as ``dnd.candidates.answers.normalise`` returns it.
    votes : number of answers that gave it.
    samples : which ones, ascending.
    source : where it comes from, the first by :func:`precedence` where there are several.
    """

    concept: str
    votes: int
    samples: tuple[int, ...]
    source: str = "captions"


def precedence(source: str) -> int:
    """Return the place of a source: all captions, a cluster, a further prompt."""
    return {"captions": 0, "cluster": 1}.get(source, 2)


def merge(votes: Iterable[Vote]) -> list[Candidate]:
    """Gather equal concepts, by number of votes and then by first appearance."""
    given: dict[str, list[Vote]] = {}
    for vote in votes:
        given.setdefault(vote.concept, []).append(vote)
    candidates = []
    for concept, same in given.items():
        source = min((vote.source for vote in same), key=precedence)
        candidates.append(Candidate(concept, len(same), tuple(vote.sample for vote in same), source))
    return sorted(candidates, key=lambda candidate: (-candidate.votes, candidate.samples[0]))


def with_backgrounds(
    candidates: Sequence[Candidate], answers: Sequence[str | None], rule: Backgrounds
) -> list[Candidate]:
    """Return candidates and, after them and without votes, their variants with "background", each once.

    Parameters
    ----------
    answers : as they came, by sample.
    rule : see :func:`dnd.candidates.compat.background`.
    """
    known = {candidate.concept: candidate for candidate in candidates}
    for candidate in candidates:
        for sample in candidate.samples:
            if (variant := background(candidate.concept, answers[sample] or "", rule)) is not None:
                known.setdefault(variant, Candidate(variant, 0, (sample,), candidate.source))
    return list(known.values())


def joined(candidates: Sequence[Candidate], concepts: Iterable[str], source: str) -> list[Candidate]:
    """Return candidates and, after them and without votes, concepts from elsewhere that are not among them.

    What says nothing, such as a label without a letter, stays out.
    """
    known = {candidate.concept: candidate for candidate in candidates}
    for concept in (" ".join(text.lower().split()) for text in concepts):
        if fault(concept, None) is None:
            known.setdefault(concept, Candidate(concept, 0, (), source))
    return list(known.values())
