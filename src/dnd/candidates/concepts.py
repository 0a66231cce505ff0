"""A language model turns the captions of a unit's exemplars into candidate concepts (paper section 3, step 2).

Every unit is asked about several times, each time with the captions in another order; groups of its captions and
further prompts may add questions. In place of captions a model that can see may be shown the exemplars themselves
(paper figure 24).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dnd.backends.messages import Answer, Message, Request, no_pictures
from dnd.backends.thoughts import one_line
from dnd.backends.views import Place
from dnd.candidates import compat
from dnd.candidates.answers import alternatives, fault, length_fault, tidy
from dnd.candidates.clusters import caption_groups, common_words, word_cover
from dnd.candidates.prompts import messages, read_prompt
from dnd.candidates.questions import Question, UnitCaptions, UnitImages, questions, reworded, seed, shown, templates
from dnd.candidates.votes import Candidate, Vote, joined, merge, with_backgrounds
from dnd.config.stages import ConceptSettings
from dnd.io import pictures, schemas, tables
from dnd.io.rows import Asked, Concept

Unit = tuple[str, str, int]
"""Row of the sweep, slug of the layer, number."""
Embed = Callable[[Sequence[str]], npt.NDArray[np.float32]]
"""Texts -> unit vectors [n, d]."""


def unit_captions(name: str, slug: str, exemplars: pa.Table, captions: pa.Table) -> list[UnitCaptions]:
    """Join EXEMPLARS and CAPTIONS of a unit shard to each unit's captions, best exemplar first."""
    wording = dict(zip(pictures.places_of(captions), captions["caption"].to_pylist(), strict=True))
    return [UnitCaptions(name, slug, unit, lines) for unit, lines in _by_unit(exemplars, wording).items()]


def unit_images(name: str, slug: str, exemplars: pa.Table, names: Mapping[Place, str]) -> list[UnitImages]:
    """Join EXEMPLARS of a unit shard and the names of their pictures, best exemplar first."""
    return [UnitImages(name, slug, unit, images) for unit, images in _by_unit(exemplars, names).items()]


def _by_unit(exemplars: pa.Table, wording: Mapping[Place, str]) -> dict[int, list[str]]:
    columns = (exemplars["unit"].to_pylist(), exemplars["rank"].to_pylist(), pictures.places_of(exemplars))
    by_unit: dict[int, list[str]] = {}
    for unit, _, place in sorted(zip(*columns, strict=True), key=lambda row: row[:2]):
        by_unit.setdefault(unit, []).append(wording[place])
    return by_unit


def propose(
    units: Sequence[UnitCaptions] | Sequence[UnitImages],
    ask: Callable[[Sequence[Request]], Sequence[Answer]],
    settings: ConceptSettings,
    show: Callable[[str], str] = no_pictures,
    embed: Embed | None = None,
) -> tuple[pa.Table, pa.Table]:
    """Ask about every unit and gather the answers.

    Parameters
    ----------
    units : with captions or pictures; a unit without any (a dead one) is not asked about and gets no row.
    ask : requests -> as many answers, in order: what ``dnd.backends.llm.session`` yields, say.
    settings : number of samples, sampling, prompts.
    show : name of a picture -> its data URL, for units with pictures.
    embed : of captions, before anything is asked; needed where ``settings.reads_vectors``.

    Returns
    -------
    The CONCEPTS table (unit x candidate) and the ANSWERS table (unit x sample), in the order of ``units``.
    """
    prompts = templates(settings)
    groups = _groups(units, settings, embed)
    if settings.simplify is not None:
        captioned = [unit for unit in units if isinstance(unit, UnitCaptions)]
        units = simplified(captioned, ask, settings, partial(messages, read_prompt(settings.simplify)))
    asked = [
        question
        for unit in units
        for question in questions(unit, prompts, settings, show, groups.get(_place(unit), ()))
    ]
    answers = ask([question.request for question in asked])
    if settings.again is not None:
        template = partial(messages, read_prompt(settings.again))
        asked, answers = _asked_again(asked, answers, ask, settings, template)
    rows = [_judged(question.row, answer, settings) for question, answer in zip(asked, answers, strict=True)]
    words = {_place(unit): _shared_words(shown(unit, settings), settings.words) for unit in units}
    candidates = _concept_rows(_candidates(rows, settings, words))
    return tables.table(candidates, schemas.CONCEPTS), tables.table(rows, schemas.ANSWERS)


def _place(unit: UnitCaptions | UnitImages) -> Unit:
    return unit.name, unit.slug, unit.unit


def _vectors(texts: Sequence[str], embed: Embed | None) -> dict[str, npt.NDArray[np.float32]]:
    """Text -> unit vector [d]."""
    if embed is None:
        raise ValueError("`clusters` by meaning need an embedder of texts")
    return dict(zip(texts, embed(texts), strict=True)) if texts else {}


def _groups(
    units: Sequence[UnitCaptions] | Sequence[UnitImages], settings: ConceptSettings, embed: Embed | None
) -> dict[Unit, list[list[int]]]:
    """Unit -> ranks of each group of captions that is asked about alone."""
    if settings.clusters < 2:
        return {}
    lines = {_place(unit): shown(unit, settings) for unit in units}
    if settings.cluster_by == "words":
        return {unit: list(word_cover(captions, settings.clusters).values()) for unit, captions in lines.items()}
    vectors = _vectors(sorted({line for captions in lines.values() for line in captions.values()}), embed)
    return {unit: caption_groups(captions, vectors, settings.clusters) for unit, captions in lines.items()}


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
    wording = sorted({caption for unit in units for caption in shown(unit, settings).values()})
    requests = [
        Request(fill([caption]), settings.temperature, seed([caption], 0, "simplify"), settings.max_tokens)
        for caption in wording
    ]
    answers = ask(requests) if requests else []
    short = {caption: one_line(answer.text or "") or caption for caption, answer in zip(wording, answers, strict=True)}
    shortened = []
    for unit in units:
        lines = shown(unit, settings)
        captions = [short[lines[rank]] if rank in lines else "" for rank in range(len(unit.captions))]
        shortened.append(replace(unit, captions=captions))
    return shortened


def _asked_again(
    questions: Sequence[Question],
    answers: Sequence[Answer],
    ask: Callable[[Sequence[Request]], Sequence[Answer]],
    settings: ConceptSettings,
    fill: Callable[[Sequence[str]], list[Message]],
) -> tuple[list[Question], list[Answer]]:
    """Ask once more where an answer lists several things; its parts take the place of the captions.

    Source: the second half of ``GPT_model_single`` of the released driver.
    """
    parts = {i: _stated(answer.text, settings).split(",") for i, answer in enumerate(answers) if answer.text}
    several = [i for i, things in parts.items() if len(things) > 1]
    questions, answers = list(questions), list(answers)
    for i in several:
        questions[i] = reworded(questions[i], fill(parts[i]), settings)
    again = ask([questions[i].request for i in several]) if several else []
    for i, answer in zip(several, again, strict=True):
        answers[i] = answer
    return questions, answers


def _stated(answer: str, settings: ConceptSettings) -> str:
    """The concept in an answer."""
    return tidy(answer) if settings.clean_answers else compat.concept(answer)


def _split(concept: str, settings: ConceptSettings) -> list[str]:
    return alternatives(concept) if settings.split else [concept]


def _parts(concept: str, settings: ConceptSettings) -> list[str]:
    """The candidates in the concept of an answer, without faulty ones."""
    judge = fault if settings.clean_answers else length_fault
    return [part for part in _split(concept, settings) if judge(part, settings.max_words) is None]


def _judged(row: Asked, answer: Answer, settings: ConceptSettings) -> Asked:
    if answer.text is None:
        return row._replace(problem=answer.problem or "no answer")
    concept = _stated(answer.text, settings)
    judge = fault if settings.clean_answers else length_fault
    longest = None if settings.split and _parts(concept, settings) else settings.max_words  # that of each part
    problem = answer.problem or judge(concept, longest)
    return row._replace(answer=answer.text, concept=None if problem else concept, problem=problem)


def _candidates(
    answers: Sequence[Asked], settings: ConceptSettings, words: Mapping[Unit, Sequence[str]]
) -> dict[Unit, list[Candidate]]:
    given: dict[Unit, list[Asked]] = {}
    for row in answers:
        given.setdefault((row.name, row.slug, row.unit), []).append(row)
    return {unit: joined(_agreed(rows, settings), words[unit], "words") for unit, rows in given.items()}


def _agreed(answers: Sequence[Asked], settings: ConceptSettings) -> list[Candidate]:
    """The candidates of a unit that its answers name."""
    votes = [
        Vote(row.sample, part, row.source)
        for row in answers
        if row.concept is not None
        for part in _parts(row.concept, settings)
    ]
    return with_backgrounds(merge(votes), [row.answer for row in answers], settings.backgrounds)


def _concept_rows(candidates: Mapping[Unit, Sequence[Candidate]]) -> list[Concept]:
    return [
        Concept(*unit, number, candidate.concept, candidate.votes, list(candidate.samples), candidate.source)
        for unit, agreed in candidates.items()
        for number, candidate in enumerate(agreed)
    ]


def _shared_words(captions: Mapping[int, str], count: int) -> list[str]:
    """The words that cover a unit's captions, or where one covers nearly all, those that nearly all share."""
    return list(word_cover(captions, count)) or common_words(captions, count)
