"""A language model that is told what its candidates excite proposes better ones, for a bounded number of rounds.

The first candidates come from captions alone. Here some images of each are drawn, and units that none of them suits are
asked about again: with the captions, with every candidate and the mean activation of its images, and with captions of
images that were drawn of good candidates and do not excite the unit. What is proposed joins the candidates, so that the
stages that follow draw and score all alike; nothing is decided here. The form of the loop is that of LINE
(``dnd.rivals.line``), which begins with nothing.

Which units are asked about, what they are told and all seeds follow from the unit's own candidates, captions and
activations, so that shards, their order and restarts change nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import groupby
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dnd.backends import captioner
from dnd.backends.messages import Request
from dnd.candidates import captions
from dnd.candidates.concepts import Unit, unit_captions
from dnd.candidates.prompts import Prompt, read_prompt, refinement_messages
from dnd.candidates.search import Ask, Excite, Search, Trial, Values, judged, searches
from dnd.candidates.shards import ShardViews, read_concepts
from dnd.config.recipes import Recipe
from dnd.config.stages import RefinementSettings
from dnd.io import schemas, tables
from dnd.io.rows import Concept, Controls, Picture, RefinementRound
from dnd.io.store import Store, key
from dnd.target.generated import CONCEPTS, Reader
from dnd.target.network import Target

log = logging.getLogger(__name__)
SOURCE = "refined"
LOWEST = 0.1
"""Share of the control images that surely do not excite a unit: most concepts are in fewer than nine of ten images."""

PictureOf = tuple[str, int]
"""A concept, and the place of one of its usable pictures among these, in order of sample."""
Describe = Callable[[Collection[PictureOf]], Mapping[PictureOf, str]]
"""Pictures -> their captions."""


def level(controls: Values, exemplars: Values) -> float:
    """Return the activation from which an image excites a unit.

    Half way from the level below which the lowest tenth of the controls lie to the mean of the exemplars. Neither the
    controls' mean nor their median would do: they already show what a unit of a common concept responds to.

    Parameters
    ----------
    controls, exemplars : finite activations [n] and [m], both with one image or more.
    """
    return float((np.quantile(controls.astype(np.float64), LOWEST) + exemplars.mean(dtype=np.float64)) / 2)


def exciting(activations: Values, level: float) -> float:
    """Return the share of activations that reach a level."""
    return float(np.mean(activations >= level))


def is_clear(tried: Iterable[Values], level: float, below: float) -> bool:
    """Return whether some candidate excites the unit with a share of its images that is not ``below``.

    A candidate that is too narrow passes as well: what it leaves out shows in no image of its own.
    """
    return any(exciting(values, level) >= below for values in tried)


@dataclass(frozen=True)
class Refined:
    """A unit, what was tried on it, and what else its questions tell.

    Attributes
    ----------
    level : activation from which an image excites it.
    captions : of its exemplars, best first.
    """

    search: Search
    level: float
    captions: Sequence[str]

    def failures(self, most: int) -> list[PictureOf]:
        """Return pictures that do not excite the unit: of the candidates with the best mean, the weakest first."""
        tried = self.search.tried()
        best_first = sorted(tried, key=lambda concept: (-self.search.scaled(tried[concept]), concept))
        failed = [
            (concept, int(place))
            for concept in best_first
            for place in np.argsort(tried[concept], kind="stable")
            if tried[concept][place] < self.level
        ]
        return failed[:most]

    def asked(self) -> list[Trial]:
        """Return what came of the questions, in their order."""
        return [trial for trial in self.search.trials if trial.prompt is not None]


def seed(identity: Sequence[str | int], sample: int, history: Sequence[str]) -> int:
    """Return the sampling seed of a unit's question, below 2**31; samples are numbered over all rounds."""
    return int(key("refinement", list(identity), sample, list(history))[:8], 16) & 0x7FFFFFFF


def begin(searches: Sequence[Search], concepts: Iterable[Concept], excite: Excite) -> None:
    """Try the first candidates of units of a layer."""
    named: dict[int, list[str]] = {}
    for row in concepts:
        named.setdefault(row.unit, []).append(row.concept)
    excited = excite({concept for search in searches for concept in named.get(search.unit, [])})
    for place, search in enumerate(searches):
        for concept in named.get(search.unit, []):
            search.add(Trial(None, None, concept), excited, place)


def refine(
    units: Sequence[Refined], ask: Ask, excite: Excite, describe: Describe, settings: RefinementSettings
) -> None:
    """Run all rounds of all units; what their searches tried is what comes of it.

    Parameters
    ----------
    units : whose first candidates were tried, in the order of the activations that ``excite`` returns.
    describe : is asked only where ``settings.failures`` are to be shown.
    """
    template = read_prompt(settings.prompt, "refinement")
    for number in range(settings.rounds):
        unclear = [
            (place, unit)
            for place, unit in enumerate(units)
            if not is_clear(unit.search.tried().values(), unit.level, settings.below)
        ]
        if not unclear:
            break
        failed = {unit.search.unit: unit.failures(settings.failures) for _, unit in unclear}
        wanted = {picture for pictures in failed.values() for picture in pictures}
        captions = describe(wanted) if wanted else {}
        questions = [
            (place, unit, request)
            for place, unit in unclear
            for request in _requests(unit, number, _lines(failed[unit.search.unit], captions), template, settings)
        ]
        requests = [request for _, _, request in questions]
        trials = [judged(*pair, settings.max_words) for pair in zip(requests, ask(requests), strict=True)]
        excited = excite({trial.concept for trial in trials if trial.concept is not None})
        for (place, unit, _), trial in zip(questions, trials, strict=True):
            unit.search.add(trial, excited, place)
        log.info("round %d of %d: %d units of %d were unclear", number + 1, settings.rounds, len(unclear), len(units))


def _lines(failed: Iterable[PictureOf], captions: Mapping[PictureOf, str]) -> list[str]:
    """What was drawn, and what its pictures show that do not excite the unit; one without a caption says nothing."""
    return [f"{picture[0]}: {captions[picture]}" for picture in failed if captions[picture]]


def _requests(
    unit: Refined, number: int, failures: Sequence[str], template: Prompt, settings: RefinementSettings
) -> list[Request]:
    """The questions about a unit in a round."""
    history = unit.search.history()
    filled = refinement_messages(template, history, unit.captions, failures)
    samples = range(number * settings.samples, (number + 1) * settings.samples)
    return [
        Request(filled, settings.temperature, seed(unit.search.identity, sample, history), settings.max_tokens)
        for sample in samples
    ]


@dataclass(frozen=True)
class Refiner:
    """Looks for better candidates of units, by a recipe.

    Attributes
    ----------
    draw : concepts -> their IMAGES table, as many of each as ``refinement.images`` says.
    store : folder of the item stores.
    """

    target: Target
    recipe: Recipe
    draw: Callable[[Collection[str]], pa.Table]
    store: str | Path

    @cached_property
    def describe(self) -> Describe:
        """Captions what was drawn and does not excite a unit, where the recipe shows such failures."""
        settings = self.recipe.captions
        if not self.recipe.refinement or not self.recipe.refinement.failures:
            return lambda wanted: {}
        store = Store(Path(self.store, "captions"))
        write = partial(captions.of_files, captioner.load(settings), settings=settings, store=store)
        return partial(describe, draw=self.draw, write=write)

    def of_bundle(
        self, concepts: str | Path, shards: Sequence[tuple[ShardViews, str, str, str | Path]], ask: Ask
    ) -> tuple[pa.Table, pa.Table]:
        """Return the CONCEPTS table of a bundle with what was found beside, and its REFINEMENT_ROUNDS table.

        Parameters
        ----------
        concepts : file of CONCEPTS of the bundle.
        shards : what each shard looks like, its layer, its units as the sweep spells them, and the layer's TOPK.
        """
        further, rounds = [], []
        for views, layer, units, topk in shards:
            candidates = read_concepts(concepts, views.name, views.slug, units)
            better, asked = self.of_shard(views, layer, candidates, topk, ask)
            further += better
            rounds += asked
        return (
            joined(tables.read(concepts, schemas.CONCEPTS), further),
            tables.table(rounds, schemas.REFINEMENT_ROUNDS),
        )

    def of_shard(
        self, shard: ShardViews, layer: str, concepts: Sequence[Concept], topk: str | Path, ask: Ask
    ) -> tuple[list[Concept], list[RefinementRound]]:
        """Look for better candidates of a shard of a layer's units.

        Parameters
        ----------
        concepts : candidates of these units.
        topk : file of TOPK of the layer.

        Returns
        -------
        The new candidates, and what was asked, both sorted by unit.
        """
        assert self.recipe.refinement is not None
        asked = pc.field("unit").isin(sorted({row.unit for row in concepts}))
        units = searches(shard.name, shard.slug, tables.rows(topk, schemas.TOPK, Controls, asked))
        numbers = [search.unit for search in units]
        reader = Reader(self.target, layer, numbers, self.recipe.pooling_of_views, self.draw, "refinement")
        lines = {unit.unit: list(unit.shown().values()) for unit in unit_captions(*shard)}
        return run(units, concepts, shard.exemplars, lines, ask, reader, self.describe, self.recipe.refinement)


def run(
    searches: Sequence[Search],
    concepts: Sequence[Concept],
    exemplars: pa.Table,
    lines: Mapping[int, Sequence[str]],
    ask: Ask,
    excite: Excite,
    describe: Describe,
    settings: RefinementSettings,
) -> tuple[list[Concept], list[RefinementRound]]:
    """Look for better candidates of some units of a layer.

    Parameters
    ----------
    searches : units, each with a candidate or more, in the order of the activations that ``excite`` returns.
    concepts : candidates of the layer.
    exemplars : EXEMPLARS; columns ``unit`` and ``activation`` are enough.
    lines : unit -> captions of its exemplars, best first.

    Returns
    -------
    The new candidates, and what was asked, both sorted by unit.
    """
    best: dict[int, list[float]] = {}
    for unit, activation in zip(exemplars["unit"].to_pylist(), exemplars["activation"].to_pylist(), strict=True):
        best.setdefault(unit, []).append(activation)
    begin(searches, concepts, excite)
    refined = [
        Refined(search, level(search.controls, np.array(best[search.unit], np.float32)), lines[search.unit])
        for search in searches
    ]
    refine(refined, ask, excite, describe, settings)
    refined.sort(key=lambda unit: unit.search.unit)
    last = {row.unit: row.candidate for row in sorted(concepts, key=lambda row: row.candidate)}
    further = [concept for unit in refined for concept in _concepts(unit, last[unit.search.unit] + 1)]
    return further, [asked for unit in refined for asked in _rounds(unit, settings.samples)]


def _concepts(unit: Refined, candidate: int) -> list[Concept]:
    """Concepts that were not candidates before, numbered from ``candidate`` on."""
    known = {trial.concept for trial in unit.search.trials if trial.prompt is None}
    samples: dict[str, list[int]] = {}
    for sample, trial in enumerate(unit.asked()):
        if trial.concept is not None and trial.activations is not None and trial.concept not in known:
            samples.setdefault(trial.concept, []).append(sample)
    return [
        Concept(*unit.search.identity, candidate + number, concept, len(named), named, SOURCE)
        for number, (concept, named) in enumerate(samples.items())
    ]


def _rounds(unit: Refined, samples: int) -> list[RefinementRound]:
    name, slug, _ = unit.search.identity
    return [
        RefinementRound(
            **unit.search.told(trial)._asdict(),
            name=name,
            slug=slug,
            round=sample // samples,
            sample=sample,
            exciting=None if trial.activations is None else exciting(trial.activations, unit.level),
        )
        for sample, trial in enumerate(unit.asked())
    ]


def joined(concepts: pa.Table, further: Iterable[Concept]) -> pa.Table:
    """Return a CONCEPTS table with further rows of its units, after the unit's own; all else stays as it is."""
    added: dict[Unit, list[Concept]] = {}
    for concept in further:
        added.setdefault(concept[:3], []).append(concept)
    rows: list[Concept] = []
    for unit, named in groupby(tables.rows_of(concepts, Concept), key=lambda concept: concept[:3]):
        rows += [*named, *added.get(unit, [])]
    return tables.table(rows, schemas.CONCEPTS)


def describe(
    wanted: Collection[PictureOf],
    draw: Callable[[Collection[str]], pa.Table],
    write: Callable[[Sequence[bytes]], Sequence[str]],
) -> dict[PictureOf, str]:
    """Return the caption of each picture.

    Parameters
    ----------
    draw : concepts -> their IMAGES table, as for :class:`dnd.target.generated.Reader`: drawn ones cost nothing.
    write : image files -> their captions: ``functools.partial`` of ``dnd.candidates.captions.of_files``, say.
    """
    concepts = sorted({concept for concept, _ in wanted})
    captions: dict[PictureOf, str] = {}
    for start in range(0, len(concepts), CONCEPTS):
        usable: dict[str, list[bytes]] = {concept: [] for concept in concepts[start : start + CONCEPTS]}
        drawn = tables.rows_of(draw(list(usable)), Picture)
        for picture in sorted(drawn, key=lambda picture: (picture.concept, picture.sample)):
            if picture.problem is None:
                usable[picture.concept].append(picture.image)
        chosen = sorted(picture for picture in wanted if picture[0] in usable)
        texts = write([usable[concept][place] for concept, place in chosen])
        captions |= dict(zip(chosen, texts, strict=True))
    return captions
