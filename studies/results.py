"""The tables of a finished evaluation run, as its pages read them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import pandas as pd

from dnd.config.known_answers import CONCEPT_KINDS
from dnd.config.load import Config
from dnd.config.sweep import sweep_rows
from dnd.evaluation.baselines import BASELINES
from dnd.io import schemas, tables
from dnd.run.paths import Paths
from dnd.run.tasks import plan_of

PLANTED = "concepts"
"""The layer of planted units."""


@dataclass(frozen=True)
class Results:
    """The tables of an evaluation run.

    Attributes
    ----------
    config : of the run.
    units : EVALUATION rows of units with ``model`` and ``half`` (whether its probe is a part).
    oracles : the same of recipes in which the truth stands in for a model, which are no methods.
    """

    config: Config
    units: pd.DataFrame
    comparisons: pd.DataFrame
    oracles: pd.DataFrame = field(default_factory=pd.DataFrame)

    @cached_property
    def networks(self) -> list[str]:
        """Names of the networks, each once: models with a basis have no planted units."""
        return sorted(self.units.loc[self.units["layer"] == PLANTED, "model"].unique())

    def values(self, layer: str, metric: str, kinds: Sequence[str] | None) -> pd.DataFrame:
        """Return the mean of a metric per method (rows) and network (columns) over units of some kinds; None: all."""
        own = self.units[(self.units["layer"] == layer) & (self.units["metric"] == metric)]
        if not metric.startswith("stability"):  # which is of rows that saw a part of a probe
            own = own[~own["half"]]
        if kinds is not None:
            own = own[own["kind"].isin(kinds)]
        # baselines are those of our own method
        own = own[~own["method"].isin(BASELINES) | (own["recipe"] == "dnd")]
        return own.pivot_table(index="method", columns="model", values="value", aggfunc="mean")


def read(config: Config) -> Results:
    """Read the tables of a finished run.

    Raises
    ------
    FileNotFoundError
        It is not finished.
    """
    paths = Paths(plan_of(config))
    rows = {row.name: row for row in sweep_rows(config)}
    figures = tables.read(paths.file("evaluation"), schemas.EVALUATION).to_pandas()
    figures = figures[figures["unit"].notna()]
    figures = figures.assign(
        model=figures["name"].map(lambda name: rows[name].model),
        recipe=figures["name"].map(lambda name: rows[name].recipe),
        half=figures["name"].map(lambda name: config.probes[rows[name].probe].part is not None),
    )
    known = figures["recipe"].map(lambda name: bool(config.recipes[name].oracles))
    comparisons = tables.read(paths.file("comparisons"), schemas.COMPARISONS).to_pandas()
    return Results(config, figures[~known], comparisons, figures[known & (figures["method"] == figures["recipe"])])


def expand(kind: str) -> tuple[str, ...]:
    """Return the kinds of units that a kind joins."""
    return CONCEPT_KINDS if kind == "concept" else (kind,)
