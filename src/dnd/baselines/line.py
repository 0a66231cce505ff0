"""LINE (Zaigrajew et al., arXiv 2604.08039): propose, draw, read the activation, and propose again knowing it.

A language model names a concept, a generator draws it, and the mean activation of the unit joins the history that the
next question shows, for a number of rounds. The unit is a black box: no exemplars, captions or gradients. The label is
the concept with the highest mean activation. The paper's code is not published; what it leaves open is ours: the
prompt, and that activations are shown on the scale of random images, which tells a good first concept from a poor one.

All units of a job are asked together in each round. Questions and seeds follow from the unit and its own history, and
pictures from the concept, so that jobs, their order and restarts change nothing.
"""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from PIL import Image

from dnd import tables
from dnd.answers import fault, tidy
from dnd.backends.chat import Answer, Request
from dnd.backends.generator import ImagesError
from dnd.batches import BatchSize
from dnd.methods import LineRecipe
from dnd.metrics.cosy import auc, mad
from dnd.prompts import history_messages, read_prompt
from dnd.store import key
from dnd.targets import Target, responses

log = logging.getLogger(__name__)
BATCH = 32
CHUNK = 128
"""Images whose pixels are in memory at once."""
SOURCE = "line"
CANDIDATES = 10
"""Concepts of a unit that are listed at most."""

Values = npt.NDArray[np.float32]
Excite = Callable[[Collection[str]], Mapping[str, Values]]
"""Concepts -> the activations [pictures, units] of each, in the order of the units asked about; no row: no picture."""


@dataclass(frozen=True)
class Trial:
    """What became of one round.

    Attributes
    ----------
    prompt : JSON of the chat messages.
    answer : as it came; None when the request failed.
    concept : None when the answer is malformed.
    activations : of the concept's pictures, float32 [n]; None when there is no usable one.
    problem : None when all is well.
    """

    prompt: str
    answer: str | None
    concept: str | None
    activations: Values | None = None
    problem: str | None = None


@dataclass
class Search:
    """One unit, and what was tried on it.

    Attributes
    ----------
    identity : what distinguishes the unit from all others, for seeds.
    controls : finite activations of random images, float32 [n].
    """

    unit: int
    identity: tuple[Any, ...]
    controls: Values
    trials: list[Trial] = field(default_factory=list)

    def scaled(self, activations: Values) -> float:
        """Return the mean on a scale where 0 is the weakest and 100 the strongest of the controls, never below 0."""
        low, high = float(self.controls.min()), float(self.controls.max())
        mean = float(activations.mean(dtype=np.float64))
        return max(0.0, 100 * (mean - low) / (high - low)) if high > low else 0.0

    def tried(self) -> dict[str, Values]:
        """Return concept -> activations of its pictures, in order of the round that first named it."""
        found: dict[str, Values] = {}
        for trial in self.trials:
            if trial.concept is not None and trial.activations is not None:
                found.setdefault(trial.concept, trial.activations)
        return found

    def history(self) -> list[str]:
        """Return the lines that the next question shows."""
        return [f"{concept}: {round(self.scaled(values))}" for concept, values in self.tried().items()]


def seed(identity: Sequence[Any], number: int, history: Sequence[str]) -> int:
    """Return the sampling seed of a unit's question in a round, below 2**31."""
    return int(key("line", list(identity), number, list(history))[:8], 16) & 0x7FFFFFFF


def search(
    searches: Sequence[Search],
    ask: Callable[[Sequence[Request]], Sequence[Answer]],
    excite: Excite,
    settings: LineRecipe,
) -> None:
    """Run all rounds of all units; their ``trials`` are what comes of it.

    A concept that a unit's language model names again tells nothing new, and is not shown twice.
    """
    template = read_prompt(settings.prompt, "history")
    for number in range(settings.rounds):
        requests = []
        for one in searches:
            lines = one.history()
            messages = history_messages(template, lines)
            requests.append(
                Request(messages, settings.temperature, seed(one.identity, number, lines), settings.max_tokens)
            )
        rounds = [_judged(*pair, settings.max_words) for pair in zip(requests, ask(requests), strict=True)]
        excited = excite({trial.concept for trial in rounds if trial.concept is not None})
        for place, (one, trial) in enumerate(zip(searches, rounds, strict=True)):
            one.trials.append(_drawn(one, trial, excited, place))
        log.info("round %d of %d: %d concepts", number + 1, settings.rounds, len(excited))


def _judged(request: Request, answer: Answer, max_words: int) -> Trial:
    prompt = json.dumps(list(request.messages), ensure_ascii=False)
    if answer.text is None:
        return Trial(prompt, None, None, problem=answer.problem or "no answer")
    concept = tidy(answer.text)
    problem = answer.problem or fault(concept, max_words)
    return Trial(prompt, answer.text, None if problem else concept, problem=problem)


def _drawn(one: Search, trial: Trial, excited: Mapping[str, Values], place: int) -> Trial:
    if trial.concept is None:
        return trial
    again = trial.concept in one.tried()
    if not len(excited[trial.concept]):
        return Trial(trial.prompt, trial.answer, trial.concept, problem="no usable image")
    values = excited[trial.concept][:, place]
    # a picture without a finite activation counts like the control image that excites the unit least
    values = np.where(np.isfinite(values), values, one.controls.min())
    return Trial(trial.prompt, trial.answer, trial.concept, values, "named before" if again else None)


def candidates(one: Search, tolerance: float = 0.0) -> list[str]:
    """Return a unit's concepts, best first.

    Concepts whose scaled activation is within ``tolerance`` (a share) of the best count as equally good, and the one
    that was named last leads: the language model knew most by then. All else goes by activation, then by spelling.
    """
    means = {concept: one.scaled(values) for concept, values in one.tried().items()}
    last = {trial.concept: number for number, trial in enumerate(one.trials)}
    best = max(means.values(), default=0.0)
    equal = {concept for concept, mean in means.items() if tolerance > 0 and mean >= (1 - tolerance) * best}
    others = sorted(set(means) - equal, key=lambda concept: (-means[concept], concept))
    return sorted(equal, key=lambda concept: -last[concept]) + others


def run(
    searches: Sequence[Search],
    ask: Callable[[Sequence[Request]], Sequence[Answer]],
    excite: Excite,
    settings: LineRecipe,
) -> tuple[pa.Table, pa.Table]:
    """Search for the concepts of some units, and return their SCORES and LINE_ROUNDS tables.

    ``score`` is the mean activation difference in standard deviations of the controls (CoSy's MAD), made to fall from
    candidate to candidate where a tolerance puts one before a better one.
    """
    search(searches, ask, excite, settings)
    ordered = sorted(searches, key=lambda one: one.unit)
    scores = [row for one in ordered for row in _score_rows(one, settings.tolerance)]
    rounds = [row for one in ordered for row in _round_rows(one)]
    return tables.table(scores, tables.SCORES), tables.table(rounds, tables.LINE_ROUNDS)


def _score_rows(one: Search, tolerance: float) -> list[dict[str, Any]]:
    tried = one.tried()
    score = np.float32(max((mad(values, one.controls) for values in tried.values()), default=0.0))
    rows = []
    for number, concept in enumerate(candidates(one, tolerance)[:CANDIDATES]):
        values = tried[concept]
        own = np.float32(mad(values, one.controls))
        if number:
            score = min(own, np.nextafter(score, np.float32(-np.inf)))
        rows.append(
            {
                "unit": one.unit,
                "candidate": number,
                "concept": concept,
                "source": SOURCE,
                "votes": None,
                "score": score,
                "auc": auc(values, one.controls),
                "mad": own,
                "rank_score": None,
                "image_similarity": None,
                "activations": values,
            }
        )
    return rows


def _round_rows(one: Search) -> list[dict[str, Any]]:
    return [
        {
            "unit": one.unit,
            "round": number,
            "prompt": trial.prompt,
            "answer": trial.answer,
            "concept": trial.concept,
            "activation": None if trial.activations is None else float(trial.activations.mean(dtype=np.float64)),
            "shown": None if trial.activations is None else round(one.scaled(trial.activations)),
            "problem": trial.problem,
        }
        for number, trial in enumerate(one.trials)
    ]


def searches(name: str, slug: str, topk: Iterable[Mapping[str, Any]]) -> list[Search]:
    """Return the units of a layer to search for, from rows of TOPK with ``unit``, ``idle`` and ``controls``.

    Idle units are left out, and those none of whose control images has a finite activation.
    """
    found = []
    for row in sorted(topk, key=lambda row: row["unit"]):
        controls = np.array(row["controls"], np.float32)
        controls = controls[np.isfinite(controls)]
        if row["idle"] is None and len(controls):
            found.append(Search(row["unit"], (name, slug, row["unit"]), controls))
    return found


class Reader:
    """Draws concepts and reads what their pictures excite; every concept only once.

    Parameters
    ----------
    units : whose activations are read.
    draw : concepts -> their IMAGES table: ``functools.partial`` of ``dnd.images.run``, say.
    """

    def __init__(
        self,
        target: Target,
        layer: str,
        units: Sequence[int],
        pooling: str,
        draw: Callable[[Collection[str]], pa.Table],
    ) -> None:
        self.target = target
        self.layer = layer
        self.units = list(units)
        self.pooling = pooling
        self.draw = draw
        self.size = BatchSize(BATCH, SOURCE)
        self.known: dict[str, Values] = {}

    def __call__(self, concepts: Collection[str]) -> dict[str, Values]:
        """Return concept -> activations float32 [usable pictures, units], in order of sample.

        Raises
        ------
        ImagesError
            Nothing that was drawn so far can be used.
        """
        if new := sorted(set(concepts) - set(self.known)):
            self.known |= {concept: np.zeros((0, len(self.units)), np.float32) for concept in new}
            try:
                drawn = self.draw(new)
            except ImagesError as error:
                if not any(map(len, self.known.values())):
                    raise
                log.warning("%s", error)  # of these few concepts; others could be drawn
            else:
                self._read(drawn)
        return {concept: self.known[concept] for concept in concepts}

    def _read(self, drawn: pa.Table) -> None:
        rows = [row for row in drawn.to_pylist() if row["problem"] is None]
        rows.sort(key=lambda row: (row["concept"], row["sample"]))
        for start in range(0, len(rows), CHUNK):
            part = rows[start : start + CHUNK]
            pixels = [Image.open(io.BytesIO(row["image"])).convert("RGB") for row in part]
            values = responses(self.target, self.layer, pixels, self.pooling, self.size)[:, self.units]
            for row, own in zip(part, values, strict=True):
                self.known[row["concept"]] = np.concatenate([self.known[row["concept"]], own[None]])
