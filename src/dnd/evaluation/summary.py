"""The aggregates of an EVALUATION table, arranged for people: one figure per layer and kind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import pyarrow as pa

from dnd.shapeworld.known_answers import CONCEPT_KINDS

KINDS = ("concept", *CONCEPT_KINDS, "polysemantic", "class", "dead", "constant", "random")
"""Kinds in the order people read them; others follow by name, all units of a layer come last."""


@dataclass(frozen=True)
class Estimate:
    """A mean with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Figure:
    """What was measured over the units of one kind in one layer.

    Attributes
    ----------
    name, layer : the sweep row's name and the layer.
    kind : of the units; None for all units of the layer.
    units : how many there are.
    method : the recipe that described them.
    own : metric -> our estimate.
    baselines : method -> metric -> its estimate.
    """

    name: str
    layer: str
    kind: str | None
    units: int
    method: str
    own: Mapping[str, Estimate] = field(default_factory=dict)
    baselines: Mapping[str, Mapping[str, Estimate]] = field(default_factory=dict)


def figures(evaluation: pa.Table) -> list[Figure]:
    """Return every figure of an EVALUATION table, by name, layer and kind.

    The method that abstentions are counted for is ours; the others are its baselines.
    """
    units: Counter[tuple[str, str, str | None]] = Counter()
    ours: dict[tuple[str, str], str] = {}
    found: dict[tuple[str, str, str | None], dict[str, dict[str, Estimate]]] = {}
    for row in evaluation.to_pylist():
        place = row["name"], row["layer"]
        if row["metric"] == "abstained":
            ours[place] = row["method"]
        if row["unit"] is None:
            estimate = Estimate(row["value"], row["low"], row["high"])
            found.setdefault((*place, row["kind"]), {}).setdefault(row["method"], {})[row["metric"]] = estimate
        elif row["metric"] == "abstained":
            for kind in {row["kind"], None} | ({"concept"} if row["kind"] in CONCEPT_KINDS else set()):
                units[*place, kind] += 1
    result = []
    for (name, layer, kind), methods in sorted(found.items(), key=lambda one: (*one[0][:2], _rank(one[0][2]))):
        method = ours[name, layer]
        baselines = {other: metrics for other, metrics in methods.items() if other != method}
        result.append(
            Figure(
                name,
                layer,
                kind,
                units[name, layer, kind],
                method,
                methods.get(method, {}),
                baselines,
            )
        )
    return result


def _rank(kind: str | None) -> tuple[int, str]:
    if kind is None:
        return len(KINDS) + 1, ""
    return (KINDS.index(kind), "") if kind in KINDS else (len(KINDS), kind)
