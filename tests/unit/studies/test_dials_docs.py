"""docs/dials.md: curves come from the tables, and the table of positions fits the sweep."""

from pathlib import Path
from typing import NamedTuple

import pytest

from dnd.config.load import ConfigError, config_file
from dnd.config.sweep import sweep_rows
from dnd.io import schemas, tables
from dnd.run.contents import load
from dnd.run.paths import Paths
from dnd.run.tasks import plan_of
from studies import dials_docs as docs
from studies.dials_docs import Position

ROOT = Path(__file__).parents[3]
CONFIG, TABLE = ROOT / "config" / "dials" / "config.yaml", ROOT / "config" / "dials" / "dials.tsv"
POSITIONS = [
    Position("a", "rare", "usual", "dnd"),
    Position("b", "rare", "1 in 300", "dnd"),
    Position("c", "rare", "usual", "compat"),
    Position("d", "embedder-hidden", "0", "dnd"),
]


def evaluated(recipes):
    """EVALUATION rows: of `a` both units exact, of `b` one wrong and one withheld, of `c` one exact and one wrong."""
    exact = {"a": [1, 1], "b": [0, 0], "c": [1, 0]}
    withheld = {"a": [0, 0], "b": [0, 1], "c": [0, 0], "d": [0, 0]}
    rows = []
    for name, values in withheld.items():
        for unit, abstained in enumerate(values):
            row = {"name": name, "layer": "concepts", "unit": unit, "method": recipes[name], "low": None, "high": None}
            row["kind"] = "single" if name in exact else None
            rows.append(row | {"metric": "abstained", "value": float(abstained)})
            if name in exact:
                rows.append(row | {"metric": "known_answer_exact", "value": float(exact[name][unit])})
                rows.append(row | {"metric": "known_answer_exact", "method": "constant", "value": 0.5})
            else:
                rows.append(row | {"metric": "true_r", "value": 0.25})
    return rows


@pytest.fixture
def units(monkeypatch, tmp_path):
    """What the document reads of a run of four rows."""
    recipes = {"a": "dnd", "b": "dnd", "c": "compat", "d": "dnd-embedder-05"}
    table = tables.table(evaluated(recipes), schemas.EVALUATION)
    tables.write(tmp_path / "evaluation.parquet", table, schemas.EVALUATION)
    monkeypatch.setattr(docs, "sweep_rows", lambda config: [Row(*item) for item in recipes.items()])
    monkeypatch.setattr(docs, "plan_of", lambda config: None)
    monkeypatch.setattr(docs, "Paths", lambda plan: FakePaths(tmp_path))
    return docs.read(None, POSITIONS)


class Row(NamedTuple):
    """What is read of a row of the sweep."""

    name: str
    recipe: str


class FakePaths:
    """Knows where one file is."""

    def __init__(self, folder):
        self.folder = folder

    def file(self, kind):
        return self.folder / f"{kind}.parquet"


def test_a_curve_has_methods_by_positions_in_the_order_of_the_table(units):
    curve = docs.curves(units, "rare", "known_answer_exact")
    assert list(curve.columns) == ["usual", "1 in 300"]
    assert list(curve.index) == ["dnd", "compat"]
    assert curve.loc["dnd"].tolist() == [1, 0]
    assert curve.loc["compat", "usual"] == 0.5


def test_a_label_that_is_withheld_is_not_wrong_and_said(units):
    curve = docs.curves(units, "rare", docs.WRONG)
    assert curve.loc["dnd"].tolist() == [0, 0.5]
    assert curve.loc["compat", "usual"] == 0.5


def test_a_dial_shows_the_metrics_that_were_measured(units):
    shown = {part.name: part for part, _ in docs.parts(units)}
    assert list(shown) == ["rare", "embedder-hidden"]
    assert list(shown["rare"].tables) == ["share of exact labels", "share of labels that are wrong and said"]
    assert list(shown["embedder-hidden"].tables) == ["true r"]
    assert shown["rare"].units == 2
    assert "| `compat` | 0.50 | - |" in shown["rare"].tables["share of exact labels"]


def test_the_table_of_positions_names_each_row_of_the_sweep():
    config = load(config_file(CONFIG), CONFIG)
    rows = sweep_rows(config)
    positions = docs.read_positions(TABLE, [row.name for row in rows])
    assert {position.dial for position in positions} == set(docs.DIALS)
    recipes = {row.name: row.recipe for row in rows}
    for position in positions:
        assert recipes[position.name].startswith(position.method)
    for dial in docs.DIALS:
        own = [position for position in positions if position.dial == dial]
        assert len(own) == len({position.position for position in own}) * len({position.method for position in own})
    assert Paths(plan_of(config)).file("evaluation")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["name\tdial"], "expected the columns name, dial, position, method"),
        (["name\tdial\tposition\tmethod", "a\tweather\t0\tdnd"], "row 'a' has no dial 'weather'"),
        (["name\tdial\tposition\tmethod", "b\trare\t0\tdnd"], r"look at \['a', 'b'\]"),
        (["name\tdial\tposition\tmethod", "a\trare\t0\tdnd", "a\trare\t1\tdnd"], "rows that come twice"),
    ],
)
def test_a_table_of_other_rows_is_refused(tmp_path, lines, message):
    path = tmp_path / "dials.tsv"
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(ConfigError, match=message):
        docs.read_positions(path, ["a"])
