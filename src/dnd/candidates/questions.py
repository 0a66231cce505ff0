"""The questions about a unit: its captions or exemplars in several orders, all together and by groups, by each prompt.

Orders and seeds follow from the unit and its captions alone, so that shards, batches and restarts change nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from dnd.backends.messages import Message, Request, no_pictures
from dnd.candidates.answers import without_stutter
from dnd.candidates.prompts import FILL, read_prompt
from dnd.config.stages import ConceptSettings
from dnd.io.rows import Asked
from dnd.io.store import key

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
Identity = str | Sequence[str | int]
"""What distinguishes what is asked about, a unit say, from all else."""
Fill = Callable[[Sequence[str]], list[Message]]
"""What is shown -> messages."""


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
class Question:
    """A request, and what ANSWERS says of it."""

    request: Request
    row: Asked


@dataclass(frozen=True)
class _Topic:
    """What is asked several times, each time in another order.

    Attributes
    ----------
    ranks : of the exemplars that are shown.
    identity : what tells its orders and seeds from another's.
    """

    source: str
    cluster: int | None
    ranks: Sequence[int]
    fill: Fill
    samples: int
    identity: Identity


def shuffles(captions: Sequence[str], n: int, seed_key: Identity) -> list[list[int]]:
    """Return ``n`` orders of the captions, or the names of pictures, each a permutation of their positions.

    An order sorts the positions by a hash of the unit (``seed_key``), the captions and the sample's number: the same
    on every machine and for every version of every library.
    """
    content = key("order", seed_key, list(captions))
    return [sorted(range(len(captions)), key=lambda place: key(content, sample, place)) for sample in range(n)]


def seed(captions: Sequence[str], sample: int, seed_key: Identity) -> int:
    """Return the sampling seed of one question, below 2**31."""
    return int(key("seed", seed_key, list(captions), sample)[:8], 16) & 0x7FFFFFFF


def shown(unit: UnitCaptions | UnitImages, settings: ConceptSettings) -> dict[int, str]:
    """Return rank -> what is shown of a unit."""
    if isinstance(unit, UnitImages) or settings.clean_captions:
        return unit.shown()
    return {rank: caption for rank, caption in enumerate(unit.captions) if caption.strip()}


def templates(settings: ConceptSettings) -> dict[str, Fill]:
    """Read the prompts: source of candidates -> what fills the prompt; that of the first is ``captions``.

    Raises
    ------
    PromptError
        A file is no prompt.
    """
    files = {"captions": settings.prompt, **settings.further}
    return {source: partial(FILL[settings.shows], read_prompt(path, settings.shows)) for source, path in files.items()}


def questions(
    unit: UnitCaptions | UnitImages,
    prompts: Mapping[str, Fill],
    settings: ConceptSettings,
    show: Callable[[str], str],
    groups: Sequence[Sequence[int]] = (),
) -> list[Question]:
    """Return the questions about a unit, numbered in order; none where nothing can be shown.

    Parameters
    ----------
    prompts : as :func:`templates` reads them.
    show : name of a picture -> its data URL.
    groups : ranks of each group of captions that is asked about alone.
    """
    lines = shown(unit, settings)
    if not lines:
        return []
    asked: list[Question] = []
    for topic in _topics([unit.name, unit.slug, unit.unit], list(lines), prompts, settings, groups):
        asked += _asked(unit, topic, lines, settings, show, len(asked))
    return asked


def _asked(
    unit: UnitCaptions | UnitImages,
    topic: _Topic,
    lines: Mapping[int, str],
    settings: ConceptSettings,
    show: Callable[[str], str],
    first: int,
) -> list[Question]:
    """The questions of a topic, numbered from ``first``."""
    what = [lines[rank] for rank in topic.ranks]
    orders = shuffles(what, topic.samples, topic.identity)
    if settings.best_first and topic.source == "captions":
        orders[0] = list(range(len(what)))
    asked = []
    for sample, order in enumerate(orders):
        filled = topic.fill([what[place] for place in order])
        sent = structured(filled) if settings.structured else filled
        request = Request(
            sent,
            settings.temperature,
            seed(what, sample, topic.identity),
            settings.max_tokens + (FORMAT_TOKENS if settings.structured else 0),
            CONCEPT_FORMAT if settings.structured else None,
            show,
        )
        row = Asked(
            unit.name,
            unit.slug,
            unit.unit,
            first + sample,
            topic.source,
            topic.cluster,
            json.dumps(sent, ensure_ascii=False),
            [topic.ranks[place] for place in order],
        )
        asked.append(Question(request, row))
    return asked


def _topics(
    unit: Sequence[str | int],
    ranks: Sequence[int],
    prompts: Mapping[str, Fill],
    settings: ConceptSettings,
    groups: Sequence[Sequence[int]],
) -> Iterator[_Topic]:
    for source, fill in prompts.items():
        if source != "captions":
            yield _Topic(source, None, ranks, fill, settings.further_samples, [*unit, source])
            continue
        yield _Topic(source, None, ranks, fill, settings.samples, unit)
        for number, group in enumerate(groups):
            yield _Topic("cluster", number, group, fill, settings.cluster_samples, [*unit, "cluster", number])


def structured(messages: Sequence[Message]) -> list[Message]:
    """Return messages whose examples of answers have the form that is asked for, so that one prompt serves both."""
    return [
        {**message, "content": json.dumps({"concept": message["content"]}, ensure_ascii=False)}
        if message["role"] == "assistant" and not str(message["content"]).lstrip().startswith("{")
        else message
        for message in messages
    ]


def reworded(question: Question, messages: list[Message], settings: ConceptSettings) -> Question:
    """Return a question whose messages, without pictures, are others."""
    sent = structured(messages) if settings.structured else messages
    row = question.row._replace(prompt=json.dumps(sent, ensure_ascii=False))
    return Question(replace(question.request, messages=sent, pictures=no_pictures), row)
