"""Markdown tables of methods: medians over networks, the best in bold, paired tests, and who leads in words."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from dnd.evaluation.baselines import BASELINES

NONE = "-"


def cell(table: pd.DataFrame, method: str) -> str:
    """Return the median of a method's values over networks (columns), with their range."""
    values = table.loc[[method]].to_numpy(float).ravel() if method in table.index else np.empty(0)
    values = values[~np.isnan(values)]
    if not len(values):
        return NONE
    if len(values) == 1:
        return f"{values[0]:.2f}"
    return f"{np.median(values):.2f} [{values.min():.2f}, {values.max():.2f}]"


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def ordered(methods: Sequence[str], key: Callable[[str], float]) -> list[str]:
    """Return methods best first, the baselines last."""
    real = sorted((method for method in methods if method not in BASELINES), key=lambda method: (-key(method), method))
    return real + [baseline for baseline in BASELINES if baseline in methods]


def table_of(columns: dict[str, pd.DataFrame], leading: str, largest: bool = True) -> str:
    """Return a table of methods by columns, each column's best method in bold, in the order of the leading column."""
    medians = {name: values.median(axis=1) for name, values in columns.items()}
    methods = ordered(
        list(dict.fromkeys(method for values in columns.values() for method in values.index)),
        lambda method: medians[leading].get(method, -np.inf),
    )
    best = {}
    for name, median in medians.items():
        own = median[[method for method in median.index if method not in BASELINES]].dropna()
        best[name] = set(own[np.isclose(own, own.max() if largest else own.min())].index) if len(own) else set()
    rows = []
    for method in methods:
        texts = [cell(values, method) for values in columns.values()]
        marked = [
            f"**{text}**" if method in best[name] and text != NONE else text
            for name, text in zip(columns, texts, strict=True)
        ]
        rows.append([f"`{method}`" if method not in BASELINES else f"*{method}*", *marked])
    return markdown(["method", *columns], rows)


def plain_table(columns: dict[str, pd.DataFrame]) -> str:
    """Return a table without a best, by method."""
    methods = sorted({method for values in columns.values() for method in values.index})
    rows = [[f"`{method}`", *(cell(values, method) for values in columns.values())] for method in methods]
    return markdown(["method", *columns], rows)


class Against(NamedTuple):
    """A method's differences to another one, and how sure they are."""

    other: str
    difference: float
    low: float
    high: float
    p: float
    units: int


def against_table(method: str, tests: Sequence[Against]) -> str:
    """Return a method against every other."""
    rows = [
        [
            f"`{test.other}`",
            f"{test.difference:+.2f}",
            f"{test.low:+.2f} to {test.high:+.2f}",
            f"{test.p:.2g}" if test.p >= 1e-4 else "< 0.0001",
            "a draw" if test.p >= 0.05 else f"`{method if test.difference > 0 else test.other}`",
            str(test.units),
        ]
        for test in sorted(tests, key=lambda test: test.difference)
    ]
    return markdown([f"`{method}` against", "difference", "95 %", "p, corrected", "better", "units"], rows)


def winner(what: str, values: pd.Series) -> str:
    """One line: who is best at something, and where our method stands."""
    values = values.dropna().sort_values(ascending=False)
    if not len(values):
        return f"{what}: nobody was measured"
    best = [f"`{method}`" for method in values.index[np.isclose(values, values.iloc[0])]]
    line = f"{what}: {' and '.join(best)} with {values.iloc[0]:.2f}"
    if "dnd" in values.index and "`dnd`" not in best:
        place = int((values > values["dnd"]).sum()) + 1
        line += f"; **`dnd` is not the best**, with {values['dnd']:.2f} it is number {place} of {len(values)}"
    return line


def relinked(text: str, old: Path, new: Path) -> str:
    """Return Markdown of a file in the folder ``old`` with its relative links as a file in ``new`` must have them."""

    def moved(link: re.Match[str]) -> str:
        return "](" + Path(os.path.relpath(old / link[1], new)).as_posix()

    return re.sub(r"\]\((?![a-z]+:|[#/])([^)#\s]+)", moved, text)
