"""How sure a label is: the calibrated probability that no other concept explains its unit notably better.

A logistic regression on what is known of a unit's best candidate, fitted on networks whose units are known (`dnd
fit-verdict`) and kept as a JSON file. It holds for runs like those it was fitted on: the file says which settings they
had, and others are refused. It says nothing of which candidate leads, nor whether anything is said.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, log
from pathlib import Path

from pydantic import Field, JsonValue, ValidationError, field_validator

from dnd.config.recipes import Recipe
from dnd.config.sections import Settings
from dnd.io import documents

FEATURES = ("explains", "precision", "drawn", "margin", "joined")
"""Of a unit's best candidate. ``explains`` and ``precision`` count by their logarithms; ``margin`` is by how much its
score is better than the next one's, ``joined`` the concepts that it joins beyond the first."""
LEAST = 0.02
"""Smallest correlation and precision that are told apart, here and in the score: both have their logarithms."""
WIDEST = 1.0
"""Largest margin that is told apart, and that of a lone candidate."""


def features(explains: float, precision: float, drawn: float, scores: Sequence[float], parts: int) -> tuple[float, ...]:
    """Return the features [5] of a unit's best candidate.

    Parameters
    ----------
    scores : of all candidates, the best first.
    parts : concepts that the best one joins, 1 where it joins none.
    """
    margin = min(scores[0] - scores[1], WIDEST) if len(scores) > 1 else WIDEST
    return (*(log(min(max(value, LEAST), 1)) for value in (explains, precision)), drawn, margin, parts - 1)


class Verdict(Settings):
    """The fitted file."""

    weights: dict[str, float] = Field(description="feature -> weight in the log odds")
    intercept: float
    settings: dict[str, JsonValue] = Field(description="of the recipe that it holds for")
    fitted_on: dict[str, JsonValue] = Field(description="what it was fitted on, for people")

    @field_validator("weights")
    @classmethod
    def _weighs_every_feature(cls, weights: dict[str, float]) -> dict[str, float]:
        if sorted(weights) != sorted(FEATURES):
            raise ValueError(f"must have a weight for each of {list(FEATURES)}")
        return weights

    def confidence(self, values: Sequence[float]) -> float:
        """Return the probability that a unit's best candidate, with these features [5], is right."""
        odds = self.intercept + sum(self.weights[name] * value for name, value in zip(FEATURES, values, strict=True))
        return 1 / (1 + exp(-odds))


def settings_of(recipe: Recipe) -> dict[str, JsonValue]:
    """Return the settings of a recipe that a fitted file holds for.

    Of the embedder's name the last two parts count, so that a folder is the same wherever it lies.
    """
    embedder, weights = recipe.embedder, recipe.scores
    return {
        "embedder": "/".join(Path(embedder.model).parts[-2:]) if embedder else None,
        "revision": embedder.revision if embedder else None,
        "scale": embedder.scale if embedder else None,
        "bias": embedder.bias if embedder else None,
        "pooling": recipe.pooling,
        "controls": recipe.controls,
        "precision": weights.precision,
        "drawn": weights.drawn,
        "joining": weights.joining,
        "join": weights.join,
        "borrow": weights.borrow,
    }


def differences(fitted: Verdict, recipe: Recipe) -> str | None:
    """Return in words how a recipe differs from those that a file was fitted with; None where it does not.

    A revision that either leaves open is no difference.
    """
    known, now = fitted.settings, settings_of(recipe)
    if known.get("revision") is None or now["revision"] is None:
        known = {**known, "revision": now["revision"]}
    unlike = [f"{key} {now[key]!r} instead of {known.get(key)!r}" for key in now if known.get(key) != now[key]]
    return ", ".join(unlike) or None


def load(path: str | Path) -> Verdict:
    """Read a fitted file.

    Raises
    ------
    ValueError
        It has another form; the message names the file and each key.
    """
    values = documents.read_json(path)
    try:
        return Verdict.model_validate(values)
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, fault['loc'])) or 'top level'}: {fault['msg']}" for fault in error.errors()]
        raise ValueError(f"{path}: {'; '.join(faults)}") from None
