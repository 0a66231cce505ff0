"""The aggregates of an EVALUATION table, arranged for people: figures for each layer and kind of units.

``dnd figures results/demo`` prints those of a finished run.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from dnd.config.known_answers import CONCEPT_KINDS
from dnd.evaluation.agreement import ABSTAINED, EXACT, F1, IOU, SEVERAL
from dnd.evaluation.baselines import BASELINES
from dnd.io import schemas, tables
from dnd.io.rows import Figure

KINDS = ("concept", *CONCEPT_KINDS, SEVERAL, "class", "dead", "constant", "random")
"""Kinds in the order people read them; others follow by name, all units of a layer come last."""


class Estimate(NamedTuple):
    """A mean with its 95 % interval."""

    value: float
    low: float | None
    high: float | None


class KindFigures(NamedTuple):
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
    own: Mapping[str, Estimate]
    baselines: Mapping[str, Mapping[str, Estimate]]


def figures(evaluation: pa.Table) -> list[KindFigures]:
    """Return the figures of an EVALUATION table by name, layer and kind.

    The method that abstentions are counted for is ours; the others are its baselines.
    """
    units: Counter[tuple[str, str, str | None]] = Counter()
    ours: dict[tuple[str, str], str] = {}
    estimates: dict[tuple[str, str, str | None], dict[str, dict[str, Estimate]]] = {}
    for row in tables.rows_of(evaluation, Figure):
        if row.metric == ABSTAINED:
            ours[row.name, row.layer] = row.method
        if row.unit is None:
            methods = estimates.setdefault((row.name, row.layer, row.kind), {})
            methods.setdefault(row.method, {})[row.metric] = Estimate(row.value, row.low, row.high)
        elif row.metric == ABSTAINED:
            for kind in {row.kind, None} | ({"concept"} if row.kind in CONCEPT_KINDS else set()):
                units[row.name, row.layer, kind] += 1
    result = []
    for name, layer, kind in sorted(estimates, key=lambda place: (*place[:2], _rank(place[2]))):
        baselines, method = dict(estimates[name, layer, kind]), ours[name, layer]
        own = baselines.pop(method, {})
        result.append(KindFigures(name, layer, kind, units[name, layer, kind], method, own, baselines))
    return result


def _rank(kind: str | None) -> tuple[int, str]:
    if kind is None:
        return len(KINDS) + 1, ""
    return (KINDS.index(kind), "") if kind in KINDS else (len(KINDS), kind)


def text(evaluation: pa.Table) -> str:
    """Return the aggregates as text: one line per layer and kind, ours beside the baselines."""
    known = figures(evaluation)
    measured = [method for method in BASELINES if any(method in row.baselines for row in known)]
    title = ("layer", "units", "n", "exact", "95 %", "F1", "IoU", *(f"exact: {method}" for method in measured))
    lines = [(*title, ABSTAINED)]
    for row in known:
        exact = row.own.get(EXACT)
        estimates = [*map(row.own.get, (F1, IOU)), *(row.baselines.get(method, {}).get(EXACT) for method in measured)]
        lines.append(
            (
                f"{row.name}/{row.layer}",
                row.kind or "all",
                str(row.units),
                _text(exact),
                f"{exact.low:.2f}-{exact.high:.2f}" if exact else "",
                *map(_text, estimates),
                _text(row.own.get(ABSTAINED)),
            )
        )
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    padded = ("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)
    return "\n".join(line.rstrip() for line in padded)


def _text(estimate: Estimate | None) -> str:
    return "" if estimate is None else f"{estimate.value:.3f}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the figures of a finished run and where its page is."""
    parser = argparse.ArgumentParser(
        prog="dnd figures", description=main.__doc__, epilog="example: dnd figures results/demo"
    )
    parser.add_argument("results", type=Path, help="results folder of a run, such as results/demo")
    folder = parser.parse_args(arguments).results
    file = folder / "evaluation.parquet"
    if not file.exists():
        print(f"{file} does not exist: run the workflow first", file=sys.stderr)
        return 2
    print(text(tables.read(file, schemas.EVALUATION)))
    page = folder / "report" / "index.html"
    if page.exists():
        print(f"\nbrowse every unit: {page}")
    return 0
