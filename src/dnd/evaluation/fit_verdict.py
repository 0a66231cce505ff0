"""Fit how sure a label is, on networks whose units are known.

The result is the file that ``scores.verdict`` names. Networks that an evaluation reports on must not be among those of
the fit. :mod:`dnd.run.calibrate` reads the cases of a finished run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import JsonValue

from dnd.evaluation.metrics.reliability import reliability
from dnd.selection.verdict import FEATURES, Verdict

Floats = npt.NDArray[np.float64]


class Case(NamedTuple):
    """The best candidate of a unit that is known.

    Attributes
    ----------
    network : a fit is judged on networks that it has not seen.
    kind : of the unit.
    features : as :data:`dnd.selection.verdict.FEATURES`.
    right : whether no other concept explains the unit notably better, or the label is its known answer.
    """

    network: str
    kind: str
    features: tuple[float, ...]
    right: bool


def fit(cases: Sequence[Case], settings: Mapping[str, JsonValue], fitted_on: Mapping[str, JsonValue]) -> Verdict:
    """Return the verdict that cases lead to: a logistic regression on standardised features.

    Parameters
    ----------
    settings : of the recipe, as :func:`dnd.selection.verdict.settings_of` returns them.

    Raises
    ------
    ValueError
        No case is right, or all are.
    """
    from sklearn.linear_model import LogisticRegression

    right = np.array([case.right for case in cases])
    if len(set(right.tolist())) < 2:
        raise ValueError("a fit needs units whose label is right and units whose label is wrong")
    values = np.array([case.features for case in cases], np.float64)
    spread = values.std(0)
    spread[spread == 0] = 1.0
    fitted = LogisticRegression(max_iter=1000).fit((values - values.mean(0)) / spread, right)
    weights = fitted.coef_[0] / spread
    return Verdict(
        weights=dict(zip(FEATURES, weights.round(4).tolist(), strict=True)),
        intercept=round(float(fitted.intercept_[0] - values.mean(0) @ weights), 4),
        settings=dict(settings),
        fitted_on=dict(fitted_on),
    )


def held_out(cases: Sequence[Case]) -> Floats:
    """Return the confidence of each case [n] by a fit on the other networks, or on all where there is one only."""
    confidences = np.empty(len(cases))
    for network in {case.network for case in cases}:
        rest = [case for case in cases if case.network != network]
        fitted = fit(rest if len({case.right for case in rest}) == 2 else cases, {}, {})
        for place, case in enumerate(cases):
            if case.network == network:
                confidences[place] = fitted.confidence(case.features)
    return confidences


def report(cases: Sequence[Case], confidences: Floats) -> str:
    """Return in lines how confidence and rightness agree, for each kind of units and for all."""
    lines = []
    for kind in [*sorted({case.kind for case in cases}), None]:
        chosen = np.array([kind in (None, case.kind) for case in cases])
        sure, right = confidences[chosen], [case.right for case, picked in zip(cases, chosen, strict=True) if picked]
        error = reliability(sure.tolist(), [float(value) for value in right]).error
        lines.append(
            f"{kind or 'all'}: {len(right)} units, {np.mean(right):.3f} right, mean confidence {sure.mean():.3f}, "
            f"calibration error {error:.3f}"
        )
    return "\n".join(lines)
