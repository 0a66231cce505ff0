"""What LINE tries on units: a language model names a concept, and its pictures tell how much it excites the unit.

Questions and their seeds follow from a unit and its own history, and pictures from the concept, so that jobs, their
order and restarts change nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from dnd.backends.messages import Answer, Request
from dnd.candidates.answers import fault, tidy
from dnd.io.rows import Controls, LineRound

Values = npt.NDArray[np.float32]
Ask = Callable[[Sequence[Request]], Sequence[Answer]]
Excite = Callable[[Collection[str]], Mapping[str, Values]]
"""Concepts -> the activations [pictures, units] of each, in the order of the units asked about; no row: no picture."""


@dataclass(frozen=True)
class Trial:
    """What became of one question.

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
    identity: tuple[str, str, int]
    controls: Values
    trials: list[Trial] = field(default_factory=list)

    def scaled(self, activations: Values) -> float:
        """Return the mean on a scale where 0 is the weakest and 100 the strongest of the controls, never below 0."""
        low, high = float(self.controls.min()), float(self.controls.max())
        mean = float(activations.mean(dtype=np.float64))
        return max(0.0, 100 * (mean - low) / (high - low)) if high > low else 0.0

    def tried(self) -> dict[str, Values]:
        """Return concept -> activations of its pictures, in order of the trial that first named it."""
        tried: dict[str, Values] = {}
        for trial in self.trials:
            if trial.concept is not None and trial.activations is not None:
                tried.setdefault(trial.concept, trial.activations)
        return tried

    def history(self) -> list[str]:
        """Return the lines that the next question shows."""
        return [f"{concept}: {round(self.scaled(values))}" for concept, values in self.tried().items()]

    def add(self, trial: Trial, excited: Mapping[str, Values], place: int) -> None:
        """Add a trial with what its concept excited: column ``place`` of the activations."""
        self.trials.append(self._drawn(trial, excited, place))

    def _drawn(self, trial: Trial, excited: Mapping[str, Values], place: int) -> Trial:
        if trial.concept is None:
            return trial
        again = trial.concept in self.tried()
        if not len(excited[trial.concept]):
            return Trial(trial.prompt, trial.answer, trial.concept, problem="no usable image")
        values = excited[trial.concept][:, place]
        # a picture without a finite activation counts like the control image that excites the unit least
        values = np.where(np.isfinite(values), values, self.controls.min())
        return Trial(trial.prompt, trial.answer, trial.concept, values, "named before" if again else None)

    def told(self) -> list[LineRound]:
        """Return what LINE_ROUNDS tells of the trials, in their order."""
        rounds = []
        for number, trial in enumerate(self.trials):
            mean = shown = None
            if trial.activations is not None:
                mean, shown = float(trial.activations.mean(dtype=np.float64)), round(self.scaled(trial.activations))
            rounds.append(
                LineRound(self.unit, number, trial.prompt, trial.answer, trial.concept, mean, shown, trial.problem)
            )
        return rounds


def searches(name: str, slug: str, topk: Iterable[Controls]) -> list[Search]:
    """Return the units of a layer to search for.

    Idle units are left out, and those none of whose control images has a finite activation.
    """
    units = []
    for row in sorted(topk, key=lambda row: row.unit):
        controls = np.array(row.controls, np.float32)
        controls = controls[np.isfinite(controls)]
        if row.idle is None and len(controls):
            units.append(Search(row.unit, (name, slug, row.unit), controls))
    return units


def judged(request: Request, answer: Answer, max_words: int) -> Trial:
    """Return what an answer names, or what is wrong with it; nothing is drawn yet."""
    prompt = json.dumps(list(request.messages), ensure_ascii=False)
    if answer.text is None:
        return Trial(prompt, None, None, problem=answer.problem or "no answer")
    concept = tidy(answer.text)
    problem = answer.problem or fault(concept, max_words)
    return Trial(prompt, answer.text, None if problem else concept, problem=problem)
