"""The section on units that nobody planted: means over the units that our method was asked about, sort by sort."""

import pandas as pd
import pytest

from studies import hidden_docs as docs
from studies.results import Results

COLUMNS = ["model", "layer", "unit", "kind", "method", "recipe", "metric", "value", "half"]


def rows(method, values, model="net-1", layer="layer4", metric="true_r", recipe=None):
    return [
        (model, layer, unit, None, method, recipe or method, metric, value, False) for unit, value in enumerate(values)
    ]


def results(*parts):
    return Results(None, pd.DataFrame([row for part in parts for row in part], columns=COLUMNS), pd.DataFrame())


OF_ALL = results(
    rows("dnd", [0.5, 0.7]),
    rows("dnd", [0.6], model="net-1-latents"),
    rows("rival", [0.9, 0.7, 0.1]),  # of a unit besides that we were not asked about
    rows("rival", [0.8], model="net-1-latents"),
    rows("dnd", [1.0], layer="concepts"),
    rows("constant", [0.1, 0.1], recipe="dnd"),
    rows("constant", [0.9, 0.9], recipe="rival"),
    *(rows(method, [0.5, 1.0], metric=metric) for method in ("dnd", "rival") for metric in list(docs.COLUMNS)[1:]),
    *(rows("constant", [0.2, 0.2], metric=metric, recipe="dnd") for metric in list(docs.COLUMNS)[1:]),
    rows("dnd", [0.7, 0.7], metric="true_r_ranked"),
    rows("dnd", [1.0, 0.0], metric="abstained"),
)


def test_methods_are_told_best_first_on_the_units_that_ours_was_asked_about():
    lines = docs.table(OF_ALL).splitlines()
    columns = ["method", "true r", "share of the best", "share of the best pair", "layer4", "latents"]
    columns += ["nothing withheld", "described", "units"]
    assert [cell.strip() for cell in lines[0].strip("|").split("|")] == columns
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]
    assert [row[0] for row in cells] == ["`rival`", "`dnd`", "*constant*"]
    assert cells[0][1].startswith("**0.80 [") and cells[0][4:] == ["0.80", "0.80", "-", "-", "3"]
    assert cells[1][1].startswith("0.60 [") and cells[1][4:] == ["0.60", "0.60", "0.70", "0.50", "3"]
    assert cells[2][1].startswith("0.10 [") and cells[2][4:] == ["0.10", "-", "-", "-", "2"]


def test_ours_is_paired_with_each_rival_unit_by_unit():
    lines = docs.pairs_table(OF_ALL, "true_r").splitlines()
    assert len(lines) == 3
    cells = [cell.strip() for cell in lines[2].strip("|").split("|")]
    assert cells[:2] == ["`rival`", "-0.20"] and cells[4:] == ["a draw", "3"]
    assert float(cells[3]) == pytest.approx(0.5)  # 2 of 4 choices of signs of 0.4 and 0.2 move the mean as far


def test_who_is_best_stands_in_the_summary_also_where_it_is_not_us():
    parts = docs.parts(OF_ALL)
    first = (
        "units that nobody planted, true r: `rival` with 0.80; **`dnd` is not the best**, with 0.60 it is number 2 of 2"
    )
    assert parts["best"] == first
    assert parts["best_ranked"] == "the same where nothing is withheld: `dnd` with 0.70"


def test_nothing_is_said_where_all_units_are_planted():
    assert docs.parts(results(rows("dnd", [1.0], layer="concepts"))) == {}
