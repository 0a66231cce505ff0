"""A language model turns the captions of a unit's exemplars into candidate concepts (paper section 3, step 2).

Every unit is asked about several times, each time with the captions in another order. Orders and seeds follow from the
unit and its captions alone, so that shards, batches and restarts change nothing. In place of captions a model that can
see may be shown the exemplars themselves (paper figure 24).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pyarrow as pa

from dnd import compat_answers, pictures, tables
from dnd.answers import fault, length_fault, tidy, without_stutter, without_thoughts
from dnd.backends.chat import Answer, Message, Request, no_pictures
from dnd.candidates import Candidate, merge, with_backgrounds
from dnd.compat_answers import Backgrounds
from dnd.prompts import FILL, Shown, messages, read_prompt
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
    if settings.simplify is not None:
        units = [one for one in units if isinstance(one, UnitCaptions)]
        units = simplified(units, ask, settings, partial(messages, read_prompt(settings.simplify)))
    questions = [question for unit in units for question in _questions(unit, fill, settings, show)]
    answers = ask([question.request for question in questions])
    if settings.again is not None:
        template = partial(messages, read_prompt(settings.again))
        questions, answers = _asked_again(questions, answers, ask, settings, template)
    rows = [question.row | _judged(answer, settings) for question, answer in zip(questions, answers, strict=True)]
    return tables.table(_concept_rows(rows, settings.backgrounds), tables.CONCEPTS), tables.table(rows, tables.ANSWERS)


def simplified(
    units: Sequence[UnitCaptions],
    ask: Callable[[Sequence[Request]], Sequence[Answer]],
    settings: ConceptSettings,
    fill: Callable[[Sequence[str]], list[Message]],
) -> list[UnitCaptions]:
    """Return units whose captions the language model has shortened one by one; equal captions are asked about once.

    A caption stays as it is where the request fails or the answer is empty.

    Source: ``GPT_simplify`` of the released driver.
    """
    wording = sorted({caption for unit in units for caption in _shown(unit, settings).values()})
    asked = [
        Request(fill([one]), settings.temperature, seed([one], 0, "simplify"), settings.max_tokens) for one in wording
    ]
    answers = ask(asked) if asked else []
    short = {
        caption: " ".join(without_thoughts(answer.text or "").split()) or caption
        for caption, answer in zip(wording, answers, strict=True)
    }
    lines = [(unit, _shown(unit, settings)) for unit in units]
    return [
        replace(unit, captions=[short[shown[rank]] if rank in shown else "" for rank in range(len(unit.captions))])
        for unit, shown in lines
    ]


def _shown(unit: UnitCaptions | UnitImages, settings: ConceptSettings) -> dict[int, str]:
    """Rank -> what is shown of a unit."""
    if isinstance(unit, UnitImages) or settings.clean_captions:
        return unit.shown()
    return {rank: caption for rank, caption in enumerate(unit.captions) if caption.strip()}


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
    shown = _shown(unit, settings)
    if not shown:
        return []
    ranks, what = list(shown), list(shown.values())
    identity = [unit.name, unit.slug, unit.unit]
    questions = []
    orders = shuffles(what, settings.samples, identity)
    if settings.best_first:
        orders[0] = list(range(len(what)))
    for sample, order in enumerate(orders):
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


def _asked_again(
    questions: Sequence[_Question],
    answers: Sequence[Answer],
    ask: Callable[[Sequence[Request]], Sequence[Answer]],
    settings: ConceptSettings,
    fill: Callable[[Sequence[str]], list[Message]],
) -> tuple[list[_Question], list[Answer]]:
    """Ask once more where an answer lists several things; its parts take the place of the captions.

    Source: the second half of ``GPT_model_single`` of the released driver.
    """
    parts = {i: _stated(answer.text, settings).split(",") for i, answer in enumerate(answers) if answer.text}
    several = [i for i, found in parts.items() if len(found) > 1]
    questions, answers = list(questions), list(answers)
    for i in several:
        sent = fill(parts[i])
        sent = structured(sent) if settings.structured else sent
        row = questions[i].row | {"prompt": json.dumps(sent, ensure_ascii=False)}
        questions[i] = _Question(replace(questions[i].request, messages=sent, pictures=no_pictures), row)
    again = ask([questions[i].request for i in several]) if several else []
    for i, answer in zip(several, again, strict=True):
        answers[i] = answer
    return questions, answers


def structured(messages: Sequence[Message]) -> list[Message]:
    """Return messages whose examples of answers have the form that is asked for, so that one prompt serves both."""
    return [
        {**message, "content": json.dumps({"concept": message["content"]}, ensure_ascii=False)}
        if message["role"] == "assistant" and not message["content"].lstrip().startswith("{")
        else message
        for message in messages
    ]


def _stated(answer: str, settings: ConceptSettings) -> str:
    """The concept in an answer."""
    return tidy(answer) if settings.clean_answers else compat_answers.concept(answer)


def _judged(answer: Answer, settings: ConceptSettings) -> dict[str, str | None]:
    if answer.text is None:
        return {"answer": None, "concept": None, "problem": answer.problem or "no answer"}
    concept = _stated(answer.text, settings)
    judge = fault if settings.clean_answers else length_fault
    problem = answer.problem or judge(concept, settings.max_words)
    return {"answer": answer.text, "concept": None if problem else concept, "problem": problem}


def _concept_rows(answers: Sequence[Mapping[str, Any]], backgrounds: Backgrounds) -> list[dict[str, Any]]:
    given: dict[tuple[str, str, int], list[Mapping[str, Any]]] = {}
    for row in answers:
        given.setdefault((row["name"], row["slug"], row["unit"]), []).append(row)
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
        for (name, slug, unit), rows in given.items()
        for number, candidate in enumerate(_candidates(rows, backgrounds))
    ]


def _candidates(answers: Sequence[Mapping[str, Any]], backgrounds: Backgrounds) -> list[Candidate]:
    agreed = merge([row["concept"] for row in answers])
    return with_backgrounds(agreed, [row["answer"] for row in answers], backgrounds)
