"""Write docs/dials.md, with its tables and plots, from the tables of a run of all dials.

``python -m studies.dials_docs config/dials/config.yaml config/dials/dials.tsv docs`` after the run; ``make dials``
does both.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from dnd.config.load import Config, ConfigError, config_file
from dnd.config.sweep import sweep_rows
from dnd.evaluation import agreement
from dnd.io import schemas, tables
from dnd.run.contents import load
from dnd.run.paths import Paths
from dnd.run.tasks import plan_of
from studies.methods_tables import NONE, markdown

NAME = "dials"
WRONG, TRUE_R = "wrong_and_said", "true_r"
METRICS = {
    agreement.EXACT: "share of exact labels",
    WRONG: "share of labels that are wrong and said",
    TRUE_R: "true r",
}
"""Metric -> what a table and a plot call it."""


class Dial(NamedTuple):
    """What is turned.

    Attributes
    ----------
    title : of its part of the document.
    what : what its positions are, in a sentence or two.
    """

    title: str
    what: str


HIDDEN = "The same of units of a hidden layer, which nobody planted: no answer is known, and true r alone judges."
DIALS = {
    "confounded": Dial(
        "Confounded images",
        "In so many of the probe's images colour and shape go together (red circles, orange rings and so on); 0 is a "
        "probe without a pairing. The units are those of single colours and shapes.",
    ),
    "superposed": Dial(
        "Superposed and graded units",
        "A unit is the sum of two or three planted ones, with weights 1, 0.6 and 0.3, or the root of one, with so much "
        "noise, as a share of what it reaches. Right is the strongest term, which is alone at `planted`.",
    ),
    "rare": Dial(
        "Rare concepts", "So many of the probe's images have the concept; `usual` is one in three to one in six."
    ),
    "list": Dial(
        "Incomplete lists", "What is left of the list of concepts: all, half, a fifth, single words. `dnd` needs none."
    ),
    "captioner": Dial(
        "A captioner that errs",
        "In so many of the captions, which are true otherwise, an attribute is missing or another.",
    ),
    "captioner-hidden": Dial("A captioner that errs, hidden units", HIDDEN),
    "embedder": Dial(
        "An embedder with noise", "To the cosine of each image with a text noise of this standard deviation is added."
    ),
    "embedder-hidden": Dial("An embedder with noise, hidden units", HIDDEN),
}
"""Dial -> what it is, in the order of the document."""


class Position(NamedTuple):
    """A row of the sweep as a position of a dial.

    Attributes
    ----------
    name : of the sweep's row.
    position : as it is told; positions come in the order of the table.
    method : whose labels they are, whatever the recipe is called at this position.
    """

    name: str
    dial: str
    position: str
    method: str


def read_positions(path: Path, names: Sequence[str]) -> list[Position]:
    """Return the rows of a table of positions; ``names`` are those of the sweep's rows.

    Raises
    ------
    ConfigError
        The table has other columns, or names no dial or not each row of the sweep once.
    """
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file, delimiter="\t")
        if rows.fieldnames != list(Position._fields):
            raise ConfigError(f"{path}: expected the columns {', '.join(Position._fields)}, not {rows.fieldnames}")
        positions = [Position(**row) for row in rows]
    for position in positions:
        if position.dial not in DIALS:
            raise ConfigError(f"{path}: row {position.name!r} has no dial {position.dial!r}; there are {list(DIALS)}")
    if sorted(position.name for position in positions) != sorted(names):
        odd = sorted({position.name for position in positions} ^ set(names))
        raise ConfigError(f"{path}: expected each row of the sweep once; look at {odd or 'rows that come twice'}")
    return positions


def with_wrong(units: pd.DataFrame) -> pd.DataFrame:
    """Return EVALUATION rows of units with those of WRONG: 1 where a label is not exact and the method stood by it."""
    wide = units.pivot_table(index=["name", "unit", "kind"], columns="metric", values="value", aggfunc="first")
    if agreement.EXACT not in wide:
        return units
    judged = wide.dropna(subset=[agreement.EXACT])
    wrong = ((judged[agreement.EXACT] == 0) & (judged[agreement.ABSTAINED] == 0)).astype(float)
    return pd.concat([units, wrong.rename("value").reset_index().assign(metric=WRONG)], ignore_index=True)


def read(config: Config, positions: Sequence[Position]) -> pd.DataFrame:
    """Return the EVALUATION rows of units by the methods themselves, with ``dial``, ``position`` and ``label``.

    Raises
    ------
    FileNotFoundError
        The run is not finished.
    """
    recipes = {row.name: row.recipe for row in sweep_rows(config)}
    units = tables.read(Paths(plan_of(config)).file("evaluation"), schemas.EVALUATION).to_pandas()
    units = units[units["unit"].notna() & (units["method"] == units["name"].map(recipes))]
    return with_wrong(units).drop(columns="method").merge(pd.DataFrame(positions), on="name")


def curves(units: pd.DataFrame, dial: str, metric: str) -> pd.DataFrame:
    """Return the mean of a metric over a dial's units: methods (rows) by positions (columns), in the table's order."""
    rows = units[(units["dial"] == dial) & (units["metric"] == metric)]
    wide = rows.pivot_table(index="method", columns="position", values="value", aggfunc="mean")
    order = units[units["dial"] == dial]
    return wide.reindex(
        index=[method for method in order["method"].unique() if method in wide.index],
        columns=[position for position in order["position"].unique() if position in wide.columns],
    )


def table_of(curve: pd.DataFrame) -> str:
    """Return a Markdown table of a metric, methods by positions."""
    rows = [
        [f"`{method}`", *(NONE if np.isnan(value) else f"{value:.2f}" for value in values)]
        for method, values in zip(curve.index, curve.to_numpy(float), strict=True)
    ]
    return markdown(["method", *curve.columns], rows)


class Part(NamedTuple):
    """A dial as the document shows it.

    Attributes
    ----------
    tables : what a metric is called -> its table.
    """

    name: str
    title: str
    what: str
    units: int
    tables: Mapping[str, str]


def parts(units: pd.DataFrame) -> Iterator[tuple[Part, dict[str, pd.DataFrame]]]:
    """Yield each dial that was measured, and what a metric is called -> its curves."""
    for name, dial in DIALS.items():
        measured = {title: curves(units, name, metric) for metric, title in METRICS.items()}
        measured = {title: curve for title, curve in measured.items() if curve.size}
        if measured:
            count = units[units["dial"] == name].groupby("name")["unit"].nunique().max()
            told = {title: table_of(curve) for title, curve in measured.items()}
            yield Part(name, dial.title, dial.what, int(count), told), measured


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the document."""
    from studies import plots

    parser = argparse.ArgumentParser(prog="python -m studies.dials_docs", description=__doc__)
    parser.add_argument("config", type=Path, help="configuration of the finished run")
    parser.add_argument("table", type=Path, help="table of positions")
    parser.add_argument("docs", type=Path, help="folder of the document")
    chosen = parser.parse_args(arguments)
    try:
        config = load(config_file(chosen.config), chosen.config)
        names = [row.name for row in sweep_rows(config)]
        units = read(config, read_positions(chosen.table, names))
    except (OSError, ConfigError) as error:
        print(f"dials:\n{error}", file=sys.stderr)
        return 2
    folder = chosen.docs / NAME
    folder.mkdir(parents=True, exist_ok=True)
    shown = []
    for part, measured in parts(units):
        plots.dial(measured, folder / f"{part.name}.png")
        shown.append(part)
    environment = Environment(loader=PackageLoader("studies"), undefined=StrictUndefined, trim_blocks=True)
    text = environment.get_template("dials.md.j2").render(run=config.run, folder=NAME, parts=shown)
    (chosen.docs / f"{NAME}.md").write_text(text.rstrip() + "\n", encoding="utf-8")
    print(f"wrote {chosen.docs / NAME}.md")
    return 0


if __name__ == "__main__":
    sys.exit(main())
