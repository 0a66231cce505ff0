"""A language model turns the captions of a unit's exemplars into candidate concepts (paper section 3, step 2).

Every unit is asked about several times, each time with the captions in another order. Orders and seeds follow from the
unit and its captions alone, so that shards, batches and restarts change nothing. In place of captions a model that can
see may be shown the exemplars themselves (paper figure 24).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import pyarrow as pa

from dnd import pictures, tables
from dnd.answers import fault, tidy, without_stutter
from dnd.backends.chat import Answer, Message, Request, no_pictures
from dnd.prompts import FILL, Shown, read_prompt
from dnd.settings import ConceptSettings
from dnd.store import key
from dnd.views import Place

IMAGES = 10
"""Pictures that one question shows at most."""
CONCEPT_FORMAT = {
    "type": "json_schema",
    "json_schema": {
        "name": "concept",
        "strict": True,
        "schema": {
            "type": "object",
            "properties": {"concept": {"type": "string"}},
            "required": ["concept"],
            "additionalProperties": False,
        },
    },
}
"""A structured answer, as OpenAI's API asks for it."""
FORMAT_TOKENS = 16
"""Tokens that the form of a structured answer takes, beside the concept."""


@dataclass(frozen=True)
class UnitCaptions:
    """What is known of a unit: its captions by the rank of the exemplar, best first."""

    name: str
    slug: str
    unit: int
    captions: Sequence[str]

    def shown(self) -> dict[int, str]:
        """Return rank -> caption, without empty ones and what captioners repeat."""
        cleaned = {rank: without_stutter(caption) for rank, caption in enumerate(self.captions)}
        return {rank: caption for rank, caption in cleaned.items() if caption}


@dataclass(frozen=True)
class UnitImages:
    """What is known of a unit: the names of its exemplars' pictures by rank, best first."""

    name: str
    slug: str
    unit: int
    images: Sequence[str]

    def shown(self) -> dict[int, str]:
        """Return rank -> name of the best exemplars."""
        return dict(enumerate(self.images[:IMAGES]))


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


def shuffles(captions: Sequence[str], n: int, seed_key: Any) -> list[list[int]]:
    """Return ``n`` orders of the captions, or the names of pictures, each a permutation of their positions.

    An order sorts the positions by a hash of the unit (``seed_key``), the captions and the sample's number: the same
    on every machine and for every version of every library.
    """
    content = key("order", seed_key, list(captions))
    return [sorted(range(len(captions)), key=lambda place: key(content, sample, place)) for sample in range(n)]


def seed(captions: Sequence[str], sample: int, seed_key: Any) -> int:
    """Return the sampling seed of one question, below 2**31."""
    return int(key("seed", seed_key, list(captions), sample)[:8], 16) & 0x7FFFFFFF


def merge(concepts: Sequence[str | None]) -> list[Candidate]:
    """Gather equal concepts, by votes and then by first appearance; position is the sample, None gives no vote."""
    samples: dict[str, list[int]] = {}
    for sample, concept in enumerate(concepts):
        if concept is not None:
            samples.setdefault(concept, []).append(sample)
    candidates = [Candidate(concept, len(given), tuple(given)) for concept, given in samples.items()]
    return sorted(candidates, key=lambda candidate: (-candidate.votes, candidate.samples[0]))


def unit_captions(name: str, slug: str, exemplars: pa.Table, captions: pa.Table) -> list[UnitCaptions]:
    """Join EXEMPLARS and CAPTIONS of a unit shard to each unit's captions, best exemplar first."""
    wording = {pictures.place(row): row["caption"] for row in captions.to_pylist()}
    return [UnitCaptions(name, slug, unit, lines) for unit, lines in _by_unit(exemplars, wording).items()]


def unit_images(name: str, slug: str, exemplars: pa.Table, names: Mapping[Place, str]) -> list[UnitImages]:
    """Join EXEMPLARS of a unit shard and the names of their pictures, best exemplar first."""
    return [UnitImages(name, slug, unit, shown) for unit, shown in _by_unit(exemplars, names).items()]


def _by_unit(exemplars: pa.Table, shown: Mapping[Place, str]) -> dict[int, list[str]]:
    by_unit: dict[int, list[str]] = {}
    for row in sorted(exemplars.to_pylist(), key=lambda row: (row["unit"], row["rank"])):
        by_unit.setdefault(row["unit"], []).append(shown[pictures.place(row)])
    return by_unit


def propose(
    units: Sequence[UnitCaptions] | Sequence[UnitImages],
    ask: Callable[[Sequence[Request]], Sequence[Answer]],
    settings: ConceptSettings,
    show: Callable[[str], str] = no_pictures,
) -> tuple[pa.Table, pa.Table]:
    """Ask about every unit and gather the answers.

    Parameters
    ----------
    units : with captions or pictures; a unit without any (a dead one) is not asked about and gets no row.
    ask : requests -> as many answers, in order: ``functools.partial`` of ``dnd.backends.llm.ask``, say.
    settings : number of samples, sampling, prompt.
    show : name of a picture -> its data URL, for units with pictures.

    Returns
    -------
    The CONCEPTS table (unit x candidate) and the ANSWERS table (unit x sample), in the order of ``units``.
    """
    shows: Shown = "images" if settings.show_images else "captions"
    fill = partial(FILL[shows], read_prompt(settings.prompt, shows))
    questions = [question for unit in units for question in _questions(unit, fill, settings, show)]
    answers = ask([question.request for question in questions])
    rows = [
        question.row | _judged(answer, settings.max_words) for question, answer in zip(questions, answers, strict=True)
    ]
    return tables.table(_concept_rows(rows), tables.CONCEPTS), tables.table(rows, tables.ANSWERS)


@dataclass(frozen=True)
class _Question:
    request: Request
    row: dict[str, Any]


def _questions(
    unit: UnitCaptions | UnitImages,
    fill: Callable[[Sequence[str]], list[Message]],
    settings: ConceptSettings,
    show: Callable[[str], str],
) -> list[_Question]:
    shown = unit.shown()
    if not shown:
        return []
    ranks, what = list(shown), list(shown.values())
    identity = [unit.name, unit.slug, unit.unit]
    questions = []
    for sample, order in enumerate(shuffles(what, settings.samples, identity)):
        asked = fill([what[place] for place in order])
        if settings.structured:
            asked = structured(asked)
        row = {
            "name": unit.name,
            "slug": unit.slug,
            "unit": unit.unit,
            "sample": sample,
            "prompt": json.dumps(asked, ensure_ascii=False),
            "captions": [ranks[place] for place in order],
        }
        request = Request(
            asked,
            settings.temperature,
            seed(what, sample, identity),
            settings.max_tokens + (FORMAT_TOKENS if settings.structured else 0),
            CONCEPT_FORMAT if settings.structured else None,
            show,
        )
        questions.append(_Question(request, row))
    return questions


def structured(messages: Sequence[Message]) -> list[Message]:
    """Return messages whose examples of answers have the form that is asked for, so that one prompt serves both."""
    return [
        {**message, "content": json.dumps({"concept": message["content"]}, ensure_ascii=False)}
        if message["role"] == "assistant" and not message["content"].lstrip().startswith("{")
        else message
        for message in messages
    ]


def _judged(answer: Answer, max_words: int) -> dict[str, str | None]:
    if answer.text is None:
        return {"answer": None, "concept": None, "problem": answer.problem or "no answer"}
    problem = answer.problem or fault(tidy(answer.text), max_words)
    return {"answer": answer.text, "concept": None if problem else tidy(answer.text), "problem": problem}


def _concept_rows(answers: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    given: dict[tuple[str, str, int], list[str | None]] = {}
    for row in answers:
        given.setdefault((row["name"], row["slug"], row["unit"]), []).append(row["concept"])
    return [
        {
            "name": name,
            "slug": slug,
            "unit": unit,
            "candidate": number,
            "concept": candidate.concept,
            "votes": candidate.votes,
            "samples": list(candidate.samples),
        }
        for (name, slug, unit), concepts in given.items()
        for number, candidate in enumerate(merge(concepts))
    ]
