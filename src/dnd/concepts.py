"""A language model turns the captions of a unit's exemplars into candidate concepts (paper section 3, step 2).

Every unit is asked about several times, each time with the captions in another order. Orders and seeds follow from the
unit and its captions alone, so that shards, batches and restarts change nothing.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import yaml
from jinja2 import StrictUndefined, Template, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from dnd import pictures, tables
from dnd.backends.llm import Answer, Request
from dnd.settings import ConceptSettings
from dnd.store import key

Message = dict[str, str]

REPEATS = 3
"""An answer that says one word so often, or a caption that says the same words so often in a row, is degenerate."""

_JINJA = ImmutableSandboxedEnvironment(undefined=StrictUndefined, autoescape=False)
_QUOTES = "\"'`*_\u201c\u201d\u2018\u2019\u00ab\u00bb"
_NUMBERING = re.compile(r"^(?:[-\u2022\u2013\u2014#>]+|[*](?!\*)|\(?\d{1,2}[.)])\s+")
_THOUGHTS = re.compile(r"<think>.*?(?:</think>|\Z)", re.DOTALL)
_STUTTER = re.compile(rf"\b(\w+(?: \w+){{0,3}}?)(?: \1\b){{{REPEATS - 1},}}")


class PromptError(ValueError):
    """The prompt's file is not a list of chat messages; the message names the file and the mistake."""


@dataclass(frozen=True)
class UnitCaptions:
    """What is known of a unit: its captions by the rank of the exemplar, best first."""

    name: str
    slug: str
    unit: int
    captions: Sequence[str]


@dataclass(frozen=True)
class Candidate:
    """A concept that some answers agree on.

    Attributes
    ----------
    concept : as ``normalise`` returns it.
    votes : number of answers that gave it.
    samples : which ones, ascending.
    """

    concept: str
    votes: int
    samples: tuple[int, ...]


def read_prompt(path: str | Path) -> list[Message]:
    """Read a prompt: a YAML list of chat messages whose contents are Jinja templates of ``captions``.

    Raises
    ------
    PromptError
        The file holds something else, or no message uses the captions.
    """
    try:
        found = yaml.safe_load(Path(path).read_text())
    except yaml.YAMLError as error:
        raise PromptError(f"{path}: not YAML: {error}") from None
    if not isinstance(found, list) or not found:
        raise PromptError(f"{path}: expected a list of messages with `role` and `content`")
    for number, message in enumerate(found):
        if not isinstance(message, dict) or set(message) != {"role", "content"}:
            raise PromptError(f"{path}: message {number}: expected `role` and `content`, nothing else")
        if message["role"] not in {"system", "user", "assistant"}:
            raise PromptError(f"{path}: message {number}: role is {message['role']!r}, not system, user or assistant")
        if not isinstance(message["content"], str):
            raise PromptError(f"{path}: message {number}: content is {message['content']!r}, not text")
    marks = ["first mark", "second mark"]
    try:
        filled = messages(found, marks)
    except TemplateError as error:
        raise PromptError(f"{path}: {error}") from None
    if not any(all(mark in message["content"] for mark in marks) for message in filled):
        raise PromptError(f"{path}: no message shows the `captions`")
    return found


def messages(template: Sequence[Mapping[str, str]], captions: Sequence[str]) -> list[Message]:
    """Fill a prompt's template; every caption is made one line, so that it cannot pass for several."""
    lines = [" ".join(caption.split()) for caption in captions]
    return [
        {"role": message["role"], "content": _compiled(message["content"]).render(captions=lines)}
        for message in template
    ]


@lru_cache(maxsize=64)
def _compiled(content: str) -> Template:
    return _JINJA.from_string(content)


def without_stutter(caption: str) -> str:
    """Say a run of the same one to four words, repeated three times or more, only once.

    Captioners fall into such loops; the released tool meant to clean them up, but dropped the result.
    """
    return _STUTTER.sub(r"\1", " ".join(caption.split()))


def shuffles(captions: Sequence[str], n: int, seed_key: Any) -> list[list[int]]:
    """Return ``n`` orders of the captions, each a permutation of their positions.

    An order sorts the positions by a hash of the unit (``seed_key``), the captions and the sample's number: the same
    on every machine and for every version of every library.
    """
    content = key("order", seed_key, list(captions))
    return [sorted(range(len(captions)), key=lambda place: key(content, sample, place)) for sample in range(n)]


def seed(captions: Sequence[str], sample: int, seed_key: Any) -> int:
    """Return the sampling seed of one question, below 2**31."""
    return int(key("seed", seed_key, list(captions), sample)[:8], 16) & 0x7FFFFFFF


def tidy(answer: str) -> str:
    """Return the concept that an answer states: its first line, what follows a first colon in it, bare and lower-case.

    A heading ("Concept:") is skipped; thoughts of reasoning models, numbering, quotes and marks at the end go. A comma
    stays: it may join adjectives as well as alternatives, and the scores judge either.
    """
    text = unicodedata.normalize("NFKC", _THOUGHTS.sub("", answer))
    for line in text.splitlines():
        concept = _bare(line.partition(":")[2] if ":" in line else line)
        if concept:
            return concept
    return ""


def _bare(line: str) -> str:
    printable = "".join(mark if mark.isprintable() else " " for mark in line)
    text, before = " ".join(printable.lower().split()), None
    while text != before:
        before = text
        text = _NUMBERING.sub("", text).strip(_QUOTES + " ").rstrip(".,;!?: ")
    return text


def fault(concept: str, max_words: int) -> str | None:
    """Return what keeps a tidied answer from being a concept, or None."""
    words = concept.split()
    if not any(mark.isalpha() for mark in concept):
        return "no words"
    if len(words) > max_words:
        return f"{len(words)} words, more than {max_words}"
    word, times = Counter(words).most_common(1)[0]
    return f"says {word!r} {times} times" if times >= REPEATS else None


def normalise(answer: str, max_words: int = 5) -> str | None:
    """Return an answer's concept, or None where it is malformed: empty, too long, without letters, in a loop."""
    concept = tidy(answer)
    return None if fault(concept, max_words) else concept


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
    by_unit: dict[int, list[str]] = {}
    for row in sorted(exemplars.to_pylist(), key=lambda row: (row["unit"], row["rank"])):
        by_unit.setdefault(row["unit"], []).append(wording[pictures.place(row)])
    return [UnitCaptions(name, slug, unit, lines) for unit, lines in by_unit.items()]


def propose(
    units: Sequence[UnitCaptions],
    ask: Callable[[Sequence[Request]], Sequence[Answer]],
    settings: ConceptSettings,
) -> tuple[pa.Table, pa.Table]:
    """Ask about every unit and gather the answers.

    Parameters
    ----------
    units : with their captions; a unit without any (a dead one) is not asked about and gets no row.
    ask : requests -> as many answers, in order: ``functools.partial`` of ``dnd.backends.llm.ask``, say.
    settings : number of samples, sampling, prompt.

    Returns
    -------
    The CONCEPTS table (unit x candidate) and the ANSWERS table (unit x sample), in the order of ``units``.
    """
    template = read_prompt(settings.prompt)
    questions = [question for unit in units for question in _questions(unit, template, settings)]
    answers = ask([question.request for question in questions])
    rows = [
        question.row | _judged(answer, settings.max_words) for question, answer in zip(questions, answers, strict=True)
    ]
    return tables.table(_concept_rows(rows), tables.CONCEPTS), tables.table(rows, tables.ANSWERS)


@dataclass(frozen=True)
class _Question:
    request: Request
    row: dict[str, Any]


def _questions(unit: UnitCaptions, template: Sequence[Message], settings: ConceptSettings) -> list[_Question]:
    cleaned = [without_stutter(caption) for caption in unit.captions]
    ranks = [rank for rank, caption in enumerate(cleaned) if caption]
    captions = [cleaned[rank] for rank in ranks]
    if not captions:
        return []
    identity = [unit.name, unit.slug, unit.unit]
    questions = []
    for sample, order in enumerate(shuffles(captions, settings.samples, identity)):
        asked = messages(template, [captions[place] for place in order])
        row = {
            "name": unit.name,
            "slug": unit.slug,
            "unit": unit.unit,
            "sample": sample,
            "prompt": json.dumps(asked, ensure_ascii=False),
            "captions": [ranks[place] for place in order],
        }
        request = Request(asked, settings.temperature, seed(captions, sample, identity), settings.max_tokens)
        questions.append(_Question(request, row))
    return questions


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
