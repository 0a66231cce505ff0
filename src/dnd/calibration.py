"""Fit how a candidate's components become a verdict, on networks with known answers.

``python -m dnd.calibration results/ablation config/verdict.json --rows "*-dnd"`` reads the scores of a finished run and
writes the file that ``scores.verdict`` names. Networks that an evaluation reports on must not be among them.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from dnd import schemas, tables, verdict
from dnd.atomic import replaced
from dnd.evaluation import EXACT, agreement
from dnd.known_answers import CONCEPT_KINDS, Answer, KnownAnswersError, load
from dnd.verdict import COMPONENTS, Verdict

NOTHING = "random"
"""Kind of live units that have no meaning."""
SACRIFICE = 0.01
"""Share of the right labels that the least confidence may cost."""
Floats = npt.NDArray[np.float64]
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Case:
    """A candidate of a unit whose answer is known."""

    network: str
    unit: tuple[str, str, int]
    kind: str
    components: Floats
    right: bool

    @property
    def gap(self) -> float:
        """Of its components."""
        return float(self.components[COMPONENTS.index("gap")])


def cases(network: str, name: str, layer: str, scores: Sequence[Row], answers: Mapping[int, Answer]) -> list[Case]:
    """Return the candidates of a layer's units with known answers, from rows of SCORES."""
    votes: dict[int, int] = {}
    asked = [row for row in scores if row["unit"] in answers and row["fit"] is not None]
    for row in asked:
        if not row["parts"]:
            votes[row["unit"]] = votes.get(row["unit"], 0) + row["votes"]
    found = []
    for row in asked:
        answer = answers[row["unit"]]
        truth = answer.extension
        right = truth is not None and agreement(row["concept"], truth)[EXACT] == 1.0
        known = {**row, "votes": row["votes"] / max(votes[row["unit"]], 1), "joined": len(row["parts"] or [0]) - 1}
        values = np.array([known[component] for component in COMPONENTS], np.float64)
        found.append(Case(network, (name, layer, row["unit"]), answer.kind, values, right))
    return found


def logistic(found: Sequence[Case]) -> tuple[Floats, float]:
    """Return weights [components] and intercept of "right" on the components, by logistic regression with a ridge.

    More evidence never speaks against a candidate, and more alternatives never for one: weights have these signs, so
    that what the other components already tell gets no weight instead of a contrary one.
    """
    values, right = np.stack([one.components for one in found]), np.array([one.right for one in found], np.float64)
    spread = values.std(0)
    spread[spread == 0] = 1.0
    design = np.column_stack([(values - values.mean(0)) / spread, np.ones(len(values))])

    def cost(at: Floats) -> tuple[float, Floats]:
        odds = design @ at
        ridge = np.append(at[:-1], 0.0)
        return (
            float(np.logaddexp(0, odds).sum() - right @ odds + ridge @ ridge / 2),
            design.T @ (expit(odds) - right) + ridge,
        )

    signs = [(None, 0.0) if name == "joined" else (0.0, None) for name in COMPONENTS]
    best = minimize(cost, np.zeros(design.shape[1]), jac=True, method="L-BFGS-B", bounds=[*signs, (None, None)])
    weights = best.x[:-1] / spread
    return weights, float(best.x[-1] - values.mean(0) @ weights)


def winners(found: Sequence[Case], odds: Callable[[Case], float]) -> list[tuple[Case, float]]:
    """Return the best candidate of each unit with its log odds."""
    best: dict[tuple[str, str, int], tuple[Case, float]] = {}
    for one in found:
        value = odds(one)
        if one.unit not in best or value > best[one.unit][1]:
            best[one.unit] = one, value
    return list(best.values())


def held_out(found: Sequence[Case]) -> list[tuple[Case, float]]:
    """Return the winners of each network, judged by a fit on the others; on all, where the others do not allow one."""
    networks = sorted({one.network for one in found})
    won = []
    for network in networks:
        others = [one for one in found if one.network != network]
        weights, intercept = logistic(others if len({one.right for one in others}) == 2 else found)
        own = [one for one in found if one.network == network]
        won += winners(own, lambda one, w=weights, b=intercept: float(one.components @ w + b))  # type: ignore[misc]
    return won


def fit(found: Sequence[Case], fitted_on: Mapping[str, Any]) -> Verdict:
    """Return the verdict that candidates of known answers lead to.

    Winners are calibrated by Platt's method (1999) on log odds from fits that their own network had no part in. The
    least gap lies half way between nearly all units without a meaning and nearly all with one concept.

    Raises
    ------
    ValueError
        No candidate is right, or all are; or the best candidates of all units are alike in that.
    """
    if len({one.right for one in found}) < 2:
        raise ValueError("a fit needs candidates that are right and candidates that are wrong")
    weights, intercept = logistic(found)
    won = held_out(found)
    if len({one.right for one, _ in won}) < 2:
        raise ValueError("a calibration needs units whose best candidate is right and units whose best one is wrong")
    odds = np.array([[value] for _, value in won])
    platt = LogisticRegression(C=1e3, max_iter=1000).fit(odds, [one.right for one, _ in won])
    empty = [one.gap for one, _ in won if one.kind == NOTHING]
    clear = [one.gap for one, _ in won if one.kind in CONCEPT_KINDS]
    least_gap = float((np.quantile(empty, 0.95) + np.quantile(clear, 0.05)) / 2) if empty and clear else -1.0
    right = np.sort([platt.predict_proba([[value]])[0, 1] for one, value in won if one.right])
    return Verdict(
        weights=dict(zip(COMPONENTS, map(float, np.round(weights, 4)), strict=True)),
        intercept=round(intercept, 4),
        slope=round(max(float(platt.coef_[0, 0]), 0.0), 4),
        offset=round(float(platt.intercept_[0]), 4),
        least_gap=round(least_gap, 3),
        least_confidence=round(float(min(np.quantile(right, SACRIFICE), 0.5)), 3),
        fitted_on=dict(fitted_on),
    )


def report(found: Sequence[Case], judge: Verdict) -> str:
    """Return what units' winners come to, in lines, each network judged by a fit on the others."""
    won = held_out(found)
    lines = []
    for kind in sorted({one.kind for one, _ in won}):
        own = [(one, value) for one, value in won if one.kind == kind]
        withheld = np.mean([judge.abstention(value, one.gap) is not None for one, value in own])
        right = np.mean([one.right for one, _ in own])
        lines.append(f"{kind}: {len(own)} units, {right:.3f} right, {withheld:.3f} withheld")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Fit the weights of a recipe on a finished run over networks with known answers."""
    parser = argparse.ArgumentParser(prog="python -m dnd.calibration", description=main.__doc__)
    parser.add_argument("results", type=Path, help="results folder of a run, such as results/ablation")
    parser.add_argument("verdict", type=Path, help="file to write, such as config/verdict.json")
    parser.add_argument("--rows", default="*", help="rows of the sweep, as a pattern of their names")
    parser.add_argument("--answers", action="append", default=[], metavar="MODEL=FILE", help="known answers of a model")
    chosen = parser.parse_args(arguments)
    try:
        known = {model: load(path) for model, _, path in (one.partition("=") for one in chosen.answers)}
    except (KnownAnswersError, OSError) as error:
        parser.error(f"--answers: {error}")
    found: list[Case] = []
    for path in sorted(chosen.results.glob(f"{chosen.rows}/*/descriptions.parquet")):
        first = tables.read(path, schemas.DESCRIPTIONS, ["model", "layer"]).slice(0, 1).to_pylist()
        answers = known.get(first[0]["model"], {}).get(first[0]["layer"], {}) if first else {}
        files = sorted((path.parent / "scores").glob("*.parquet"))
        if answers and files:
            rows = tables.read(files, schemas.SCORES).drop_columns(["activations"]).to_pylist()
            found += cases(first[0]["model"], path.parent.parent.name, first[0]["layer"], rows, answers)
    if not found:
        print(f"{chosen.results}: no scored candidates of rows {chosen.rows!r} with known answers", file=sys.stderr)
        return 2
    networks = sorted({one.network for one in found})
    try:
        judge = fit(found, {"networks": networks, "units": len({one.unit for one in found}), "candidates": len(found)})
    except ValueError as error:
        print(f"{chosen.results}: {error}", file=sys.stderr)
        return 2
    with replaced(chosen.verdict) as partial:
        partial.write_text(json.dumps(judge.model_dump(), indent=1) + "\n")
    print(f"{report(found, judge)}\nwrote {verdict.load(chosen.verdict).least_gap:.3f} as the least gap")
    return 0


if __name__ == "__main__":
    sys.exit(main())
