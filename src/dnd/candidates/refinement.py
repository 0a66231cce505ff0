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
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dnd.backends import captioner
from dnd.backends.messages import Request
from dnd.candidates import captions
from dnd.candidates.concepts import unit_captions
from dnd.candidates.prompts import Prompt, read_prompt, refinement_messages
from dnd.candidates.search import Ask, Excite, Search, Trial, Values, judged, searches
from dnd.candidates.shards import ShardViews
from dnd.config.recipes import Recipe
from dnd.config.stages import RefinementSettings
from dnd.io import schemas, tables
from dnd.io.store import Store, key
from dnd.target.generated import CONCEPTS, Reader
from dnd.target.network import Target

log = logging.getLogger(__name__)
SOURCE = "refined"
LOWEST = 0.1
"""Share of the control images that surely do not excite a unit: most concepts are in fewer than nine of ten images."""

Picture = tuple[str, int]
"""A concept, and the place of one of its usable pictures among these, in order of sample."""
Describe = Callable[[Collection[Picture]], Mapping[Picture, str]]
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

    def failures(self, most: int) -> list[Picture]:
        """Return pictures that do not excite the unit: of the candidates with the best mean, the weakest first."""
        tried = self.search.tried()
        best_first = sorted(tried, key=lambda concept: (-self.search.scaled(tried[concept]), concept))
        found = [
            (concept, int(place))
            for concept in best_first
            for place in np.argsort(tried[concept], kind="stable")
            if tried[concept][place] < self.level
        ]
        return found[:most]

    def asked(self) -> list[Trial]:
        """Return what came of the questions, in their order."""
        return [trial for trial in self.search.trials if trial.prompt is not None]


def seed(identity: Sequence[Any], sample: int, history: Sequence[str]) -> int:
    """Return the sampling seed of a unit's question, below 2**31; samples are numbered over all rounds."""
    return int(key("refinement", list(identity), sample, list(history))[:8], 16) & 0x7FFFFFFF


def begin(units: Sequence[Search], concepts: Iterable[Mapping[str, Any]], excite: Excite) -> None:
    """Try the first candidates of units, rows of CONCEPTS of their layer."""
    named: dict[int, list[str]] = {}
    for row in concepts:
        named.setdefault(row["unit"], []).append(row["concept"])
    excited = excite({concept for one in units for concept in named.get(one.unit, [])})
    for place, one in enumerate(units):
        for concept in named.get(one.unit, []):
            one.add(Trial(None, None, concept), excited, place)


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
            (place, one)
            for place, one in enumerate(units)
            if not is_clear(one.search.tried().values(), one.level, settings.below)
        ]
        if not unclear:
            break
        failed = {one.search.unit: one.failures(settings.failures) for _, one in unclear}
        wanted = {picture for own in failed.values() for picture in own}
        told = describe(wanted) if wanted else {}
        questions = [
            (place, one, request)
            for place, one in unclear
            for request in _requests(one, number, _lines(failed[one.search.unit], told), template, settings)
        ]
        answers = ask([request for _, _, request in questions])
        trials = [judged(one[2], answer, settings.max_words) for one, answer in zip(questions, answers, strict=True)]
        excited = excite({trial.concept for trial in trials if trial.concept is not None})
        for (place, one, _), trial in zip(questions, trials, strict=True):
            one.search.add(trial, excited, place)
        log.info("round %d of %d: %d units of %d were unclear", number + 1, settings.rounds, len(unclear), len(units))


def _lines(failed: Iterable[Picture], told: Mapping[Picture, str]) -> list[str]:
    """What was drawn, and what its pictures show that do not excite the unit; one without a caption says nothing."""
    return [f"{picture[0]}: {told[picture]}" for picture in failed if told[picture]]


def _requests(
    one: Refined, number: int, failures: Sequence[str], template: Prompt, settings: RefinementSettings
) -> list[Request]:
    """The questions about a unit in a round."""
    history = one.search.history()
    filled = refinement_messages(template, history, one.captions, failures)
    samples = range(number * settings.samples, (number + 1) * settings.samples)
    return [
        Request(filled, settings.temperature, seed(one.search.identity, sample, history), settings.max_tokens)
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
        return Describer(
            self.draw, partial(captions.of_files, captioner.load(settings), settings=settings, store=store)
        )

    def of_shard(
        self, shard: ShardViews, layer: str, concepts: Sequence[Mapping[str, Any]], topk: str | Path, ask: Ask
    ) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Look for better candidates of a shard of a layer's units.

        Parameters
        ----------
        concepts : rows of CONCEPTS of the units.
        topk : file of TOPK of the layer.

        Returns
        -------
        Rows of CONCEPTS of the new candidates, and rows of REFINEMENT_ROUNDS, both sorted by unit.
        """
        assert self.recipe.refinement is not None
        asked = pc.field("unit").isin(sorted({row["unit"] for row in concepts}))
        controls = tables.read(topk, schemas.TOPK, ["unit", "idle", "controls"], asked).to_pylist()
        units = searches(shard.name, shard.slug, controls)
        numbers = [search.unit for search in units]
        reader = Reader(self.target, layer, numbers, self.recipe.pooling_of_views, self.draw, "refinement")
        lines = {unit.unit: list(unit.shown().values()) for unit in unit_captions(*shard)}
        return run(units, concepts, shard.exemplars, lines, ask, reader, self.describe, self.recipe.refinement)


def run(
    units: Sequence[Search],
    concepts: Sequence[Mapping[str, Any]],
    exemplars: pa.Table,
    lines: Mapping[int, Sequence[str]],
    ask: Ask,
    excite: Excite,
    describe: Describe,
    settings: RefinementSettings,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Look for better candidates of some units of a layer.

    Parameters
    ----------
    units : of a layer, each with a candidate or more, in the order of the activations that ``excite`` returns.
    concepts : rows of CONCEPTS of the layer.
    exemplars : EXEMPLARS; columns ``unit`` and ``activation`` are enough.
    lines : unit -> captions of its exemplars, best first.

    Returns
    -------
    Rows of CONCEPTS of the new candidates, and rows of REFINEMENT_ROUNDS, both sorted by unit.
    """
    best: dict[int, list[float]] = {}
    for row in exemplars.to_pylist():
        best.setdefault(row["unit"], []).append(row["activation"])
    begin(units, concepts, excite)
    refined = [
        Refined(one, level(one.controls, np.array(best[one.unit], np.float32)), lines[one.unit]) for one in units
    ]
    refine(refined, ask, excite, describe, settings)
    ordered = sorted(refined, key=lambda one: one.search.unit)
    last = {row["unit"]: row["candidate"] for row in sorted(concepts, key=lambda row: row["candidate"])}
    further = [row for one in ordered for row in _concept_rows(one, last[one.search.unit] + 1)]
    return further, [row for one in ordered for row in _round_rows(one, settings.samples)]


def _concept_rows(one: Refined, candidate: int) -> list[dict[str, Any]]:
    """Rows of CONCEPTS of the concepts that were not candidates before, numbered from ``candidate`` on."""
    known = {trial.concept for trial in one.search.trials if trial.prompt is None}
    samples: dict[str, list[int]] = {}
    for sample, trial in enumerate(one.asked()):
        if trial.concept is not None and trial.activations is not None and trial.concept not in known:
            samples.setdefault(trial.concept, []).append(sample)
    name, slug, unit = one.search.identity
    return [
        {"name": name, "slug": slug, "unit": unit, "candidate": candidate + number, "concept": concept}
        | {"votes": len(own), "samples": own, "source": SOURCE}
        for number, (concept, own) in enumerate(samples.items())
    ]


def _round_rows(one: Refined, samples: int) -> list[dict[str, Any]]:
    name, slug, _ = one.search.identity
    return [
        {**one.search.row(trial), "name": name, "slug": slug, "round": sample // samples, "sample": sample}
        | {"exciting": None if trial.activations is None else exciting(trial.activations, one.level)}
        for sample, trial in enumerate(one.asked())
    ]


def joined(concepts: pa.Table, further: Iterable[Mapping[str, Any]]) -> pa.Table:
    """Return a CONCEPTS table with further rows of its units, after the unit's own; all else stays as it is."""
    added: dict[tuple[str, str, int], list[Mapping[str, Any]]] = {}
    for row in further:
        added.setdefault(_unit(row), []).append(row)
    first = concepts.to_pylist()
    rows: list[Mapping[str, Any]] = []
    for number, row in enumerate(first):
        rows.append(row)
        if number + 1 == len(first) or _unit(first[number + 1]) != _unit(row):
            rows += added.get(_unit(row), [])
    return tables.table(rows, schemas.CONCEPTS)


def _unit(row: Mapping[str, Any]) -> tuple[str, str, int]:
    return row["name"], row["slug"], row["unit"]


class Describer:
    """Captions pictures of concepts.

    Parameters
    ----------
    draw : concepts -> their IMAGES table, as for :class:`dnd.target.generated.Reader`: drawn ones cost nothing.
    write : image files -> their captions: ``functools.partial`` of ``dnd.candidates.captions.of_files``, say.
    """

    def __init__(
        self,
        draw: Callable[[Collection[str]], pa.Table],
        write: Callable[[Sequence[bytes]], Sequence[str]],
    ) -> None:
        self.draw = draw
        self.write = write

    def __call__(self, wanted: Collection[Picture]) -> dict[Picture, str]:
        """Return the caption of each picture."""
        concepts = sorted({concept for concept, _ in wanted})
        found: dict[Picture, str] = {}
        for start in range(0, len(concepts), CONCEPTS):
            part = concepts[start : start + CONCEPTS]
            usable: dict[str, list[bytes]] = {concept: [] for concept in part}
            for row in sorted(self.draw(part).to_pylist(), key=lambda row: (row["concept"], row["sample"])):
                if row["problem"] is None:
                    usable[row["concept"]].append(row["image"])
            chosen = sorted(picture for picture in wanted if picture[0] in usable)
            texts = self.write([usable[concept][place] for concept, place in chosen])
            found |= dict(zip(chosen, texts, strict=True))
        return found
