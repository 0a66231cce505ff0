"""Fit how a candidate's components become a verdict, on networks with known answers.

The result is the file that ``scores.verdict`` names. Networks that an evaluation reports on must not be among those of
the fit. :mod:`dnd.run.calibrate` reads the cases of a finished run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import expit, logit

from dnd.config.known_answers import CONCEPT_KINDS, KnownAnswer
from dnd.evaluation.agreement import right
from dnd.selection.verdict import COMPONENTS, Verdict

NOTHING = "random"
"""Kind of live units that have no meaning."""
NOTHING_SHARE = 0.2
"""Part of all units that confidence takes to have no meaning, whatever it is among the units of the fit."""
RIDGE = 1.0
"""Strength of the penalty on weights of standardised values."""
Floats = npt.NDArray[np.float64]


class Scored(NamedTuple):
    """What a fit needs of a row of SCORES; ``fit`` is None where the probe was not asked about the candidate."""

    unit: int
    concept: str
    votes: int
    auc: float
    image_similarity: float
    fit: float | None
    gap: float
    hard: float
    agreement: float
    bimodality: float
    parts: list[int] | None


class Case(NamedTuple):
    """A candidate of a unit whose answer is known."""

    network: str
    unit: tuple[str, str, int]
    kind: str
    components: Floats
    bimodality: float
    right: bool


def cases(
    network: str,
    name: str,
    layer: str,
    scores: Sequence[Scored],
    answers: Mapping[int, KnownAnswer],
    judge: Callable[[str, KnownAnswer], bool] = right,
) -> list[Case]:
    """Return the candidates of a layer's units with known answers.

    Parameters
    ----------
    judge : whether a candidate is right.
    """
    asked = [row for row in scores if row.unit in answers and row.fit is not None]
    votes: Counter[int] = Counter()
    for row in asked:
        if not row.parts:
            votes[row.unit] += row.votes
    candidates = []
    for row in asked:
        answer = answers[row.unit]
        correct = judge(row.concept, answer)
        derived = {"votes": row.votes / max(votes[row.unit], 1), "joined": len(row.parts or [0]) - 1}
        values = {**row._asdict(), **derived}
        components = np.array([values[component] for component in COMPONENTS], np.float64)
        candidates.append(Case(network, (name, layer, row.unit), answer.kind, components, row.bimodality, correct))
    return candidates


def regression(
    values: Floats, right: npt.NDArray[np.bool_], falling: Collection[int], counted: Floats
) -> tuple[Floats, float]:
    """Return weights [k] and intercept of a logistic regression whose weights have known signs.

    Parameters
    ----------
    values, right : of cases, [n, k] and [n].
    falling : columns that may only speak against a case; all others may only speak for it.
    counted : how much each case counts [n].
    """
    spread = values.std(0)
    spread[spread == 0] = 1.0
    design = np.column_stack([(values - values.mean(0)) / spread, np.ones(len(values))])

    def cost(at: Floats) -> tuple[float, Floats]:
        odds = design @ at
        penalty = np.append(at[:-1], 0.0)
        return (
            float(counted @ (np.logaddexp(0, odds) - right * odds) + RIDGE * penalty @ penalty / 2),
            design.T @ (counted * (expit(odds) - right)) + RIDGE * penalty,
        )

    signs = [(None, 0.0) if column in falling else (0.0, None) for column in range(values.shape[1])]
    best = minimize(cost, np.zeros(design.shape[1]), jac=True, method="L-BFGS-B", bounds=[*signs, (None, None)])
    weights = best.x[:-1] / spread
    return weights, float(best.x[-1] - values.mean(0) @ weights)


def logistic(candidates: Sequence[Case]) -> tuple[Floats, float]:
    """Return weights [components] and intercept of "right" on the components.

    More evidence never speaks against a candidate, and more alternatives never for one, so that what the other
    components already tell gets no weight instead of a contrary one.
    """
    values, right = np.stack([case.components for case in candidates]), np.array([case.right for case in candidates])
    return regression(values, right, {COMPONENTS.index("joined")}, np.ones(len(candidates)))


def winners(candidates: Sequence[Case], weights: Floats, intercept: float) -> list[tuple[Case, float]]:
    """Return the best candidate of each unit with its log odds by a fit; of equal ones the first."""
    best: dict[tuple[str, str, int], tuple[Case, float]] = {}
    for case in candidates:
        odds = float(case.components @ weights + intercept)
        if case.unit not in best or odds > best[case.unit][1]:
            best[case.unit] = case, odds
    return list(best.values())


def held_out(candidates: Sequence[Case]) -> list[tuple[Case, float]]:
    """Return the winners of each network, judged by a fit on the others; on all, where the others do not allow one."""
    won = []
    for network in sorted({case.network for case in candidates}):
        rest = [case for case in candidates if case.network != network]
        fitted = logistic(rest if len({case.right for case in rest}) == 2 else candidates)
        won += winners([case for case in candidates if case.network == network], *fitted)
    return won


def fit(candidates: Sequence[Case], fitted_on: Mapping[str, object]) -> Verdict:
    """Return the verdict that candidates of known answers lead to.

    Winners are calibrated by Platt's method (1999) on log odds from fits that their own network had no part in, and on
    their units' bimodality. The least confidence lies half way, in log odds, between nearly all units without a meaning
    and nearly all with one concept; so does the least bimodality.

    Raises
    ------
    ValueError
        No candidate is right, or all are; or the best candidates of all units are alike in that.
    """
    if len({case.right for case in candidates}) < 2:
        raise ValueError("a fit needs candidates that are right and candidates that are wrong")
    weights, intercept = logistic(candidates)
    won = held_out(candidates)
    if len({case.right for case, _ in won}) < 2:
        raise ValueError("a calibration needs units whose best candidate is right and units whose best one is wrong")
    known = np.array([[odds, case.bimodality] for case, odds in won])
    right = np.array([case.right for case, _ in won])
    empty = np.array([case.kind == NOTHING for case, _ in won])
    clear = np.array([case.kind in CONCEPT_KINDS for case, _ in won])
    counted = np.ones(len(won))
    if empty.any():
        counted[empty] = NOTHING_SHARE / (1 - NOTHING_SHARE) * np.sum(~empty) / np.sum(empty)
    (slope, bimodality), offset = regression(known, right, (), counted)
    judge = Verdict(
        weights=dict(zip(COMPONENTS, map(float, np.round(weights, 4)), strict=True)),
        intercept=round(intercept, 4),
        slope=round(float(slope), 4),
        bimodality=round(float(bimodality), 4),
        offset=round(offset, 4),
        least_confidence=0.5,
        fitted_on=dict(fitted_on),
    )
    if not (empty.any() and clear.any()):
        return judge
    sure = np.array([judge.confidence(*row) for row in known])
    least = expit(_half_way(logit(sure), empty, clear))
    return judge.model_copy(
        update={
            "least_confidence": round(float(least), 3),
            "least_bimodality": round(_half_way(known[:, 1], empty, clear), 3),
        }
    )


def _half_way(values: Floats, low: npt.NDArray[np.bool_], high: npt.NDArray[np.bool_]) -> float:
    """Between all but a twentieth of the low ones and all but a twentieth of the high ones."""
    return float((np.quantile(values[low], 0.95) + np.quantile(values[high], 0.05)) / 2)


def report(candidates: Sequence[Case], judge: Verdict) -> str:
    """Return what units' winners come to, in lines, each network judged by a fit on the others."""
    won = held_out(candidates)
    lines = []
    for kind in sorted({case.kind for case, _ in won}):
        of_kind = [(case, odds) for case, odds in won if case.kind == kind]
        withheld = np.mean([judge.abstention(odds, case.bimodality) is not None for case, odds in of_kind])
        right = np.mean([case.right for case, _ in of_kind])
        lines.append(f"{kind}: {len(of_kind)} units, {right:.3f} right, {withheld:.3f} withheld")
    return "\n".join(lines)
