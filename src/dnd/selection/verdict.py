"""The fitted judgement of a candidate: which leads, how likely it is right, and when not to speak.

A logistic regression of "the label is right" on the components of its score, fitted on networks with known answers
(`dnd fit-verdict`) and shipped as a JSON file. Its log odds rank the candidates. The confidence
of the winner is its probability, calibrated by a second fit to the winners alone (Platt, 1999), which also knows how
much the unit answers by yes and no (:func:`dnd.selection.evidence.bimodality`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import Field, JsonValue, ValidationError, field_validator

from dnd.config.sections import Settings
from dnd.io import documents

COMPONENTS = ("auc", "image_similarity", "votes", "fit", "gap", "hard", "agreement", "joined")
"""Of a candidate's score; ``joined`` counts the alternatives beyond the first."""


class Verdict(Settings):
    """The fitted file."""

    weights: dict[str, float] = Field(description="component -> weight in the log odds")
    intercept: float
    slope: float = Field(ge=0, description="of a winner's calibrated log odds on its log odds")
    bimodality: float = Field(0.0, ge=0, description="weight of its unit's bimodality in its calibrated log odds")
    offset: float = Field(description="calibrated log odds of a winner for which both are 0")
    least_confidence: float = Field(ge=0, le=1, description="below it nothing is said")
    least_bimodality: float = Field(0.0, description="below it a unit of which nothing is said is called unclear")
    fitted_on: dict[str, JsonValue] = Field(description="what it was fitted on, for people")

    @field_validator("weights")
    @classmethod
    def _weighs_what_there_is(cls, weights: dict[str, float]) -> dict[str, float]:
        if unknown := sorted(set(weights) - set(COMPONENTS)):
            raise ValueError(f"unknown component {unknown[0]!r}; there are {list(COMPONENTS)}")
        return weights

    def log_odds(self, components: Mapping[str, float]) -> float:
        """Return the log odds that a candidate with these components is right."""
        return self.intercept + sum(weight * components[name] for name, weight in self.weights.items())

    def confidence(self, log_odds: float, bimodality: float) -> float:
        """Return the calibrated probability that the winner of a unit is right."""
        from scipy.special import expit  # a quarter of a second, which planning a run spares

        return float(expit(self.offset + self.slope * log_odds + self.bimodality * bimodality))

    def abstention(self, log_odds: float, bimodality: float) -> str | None:
        """Return why nothing should be said of a unit whose best candidate is this one, or None."""
        if self.confidence(log_odds, bimodality) >= self.least_confidence:
            return None
        return "unclear" if bimodality < self.least_bimodality else "low_confidence"


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
