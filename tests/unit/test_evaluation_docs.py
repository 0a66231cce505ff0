"""docs/evaluation.md: figures come from the tables, and a rival that wins is called the winner."""

import pandas as pd
import pytest

from dnd import evaluation_docs as docs
from dnd.evaluation_docs import Results

COLUMNS = ["model", "layer", "unit", "kind", "method", "recipe", "metric", "value", "half"]


def results(shares, metric="known_answer_exact", kind="single", layer="concepts"):
    """Results in which a method has a share of ten units right, network by network."""
    rows = [
        (network, layer, unit, kind, method, recipe, metric, float(unit < 10 * share), False)
        for method, own in shares.items()
        for recipe in ["dnd" if method == "constant" else method]
        for network, share in own.items()
        for unit in range(10)
    ]
    pairs = pd.DataFrame(columns=["layer", "kind", "metric", "method", "other"])
    return Results(None, pd.DataFrame(rows, columns=COLUMNS), pairs)


SHARES = {
    "dnd": {"one": 0.9, "two": 0.7, "three": 0.8},
    "rival": {"one": 1.0, "two": 0.8, "three": 0.9},
    "constant": {"one": 0.1, "two": 0.0, "three": 0.0},
}


def test_a_cell_is_the_median_over_networks_with_their_range():
    table = docs.known_answer_tables(results(SHARES), "concepts")["exact_table"]
    lines = table.splitlines()
    assert lines[2].startswith("| `rival` | **0.90 [0.80, 1.00]** |")
    assert lines[3].startswith("| `dnd` | 0.80 [0.70, 0.90] |")
    assert lines[4].startswith("| *constant* | 0.00 [0.00, 0.10] |")


def test_a_rival_that_wins_is_named_and_our_place_is_told():
    text = docs.summary(results(SHARES), "concepts", None)
    line = text.splitlines()[0]
    assert "`rival` with 0.90" in line
    assert "**`dnd` is not the best**, with 0.80 it is number 2 of 2" in line


def test_no_such_words_where_we_win():
    swapped = SHARES | {"dnd": SHARES["rival"], "rival": SHARES["dnd"]}
    line = docs.summary(results(swapped), "concepts", None).splitlines()[0]
    assert "`dnd` with 0.90" in line and "not the best" not in line


def test_methods_that_see_masks_or_labels_are_left_out_of_a_line_of_its_own():
    shares = SHARES | {"invert": {"one": 1.0, "two": 1.0, "three": 1.0}}
    lines = docs.summary(results(shares), "concepts", None).splitlines()
    assert "`invert` with 1.00" in lines[0]
    assert "no masks or image labels: `rival` with 0.90" in lines[1]


def test_metrics_that_fail_a_sanity_test_carry_a_dagger():
    assert docs.title("cosy_auc").endswith("\u2020")
    assert not docs.title("simulation_r").endswith("\u2020")


def test_a_metric_that_follows_the_truth_is_told_from_one_that_does_not():
    good = results(SHARES, "known_answer_f1")
    follows = good.units.assign(metric="simulation_r")
    against = good.units.assign(metric="cosy_auc", value=1 - good.units["value"])
    both = Results(None, pd.concat([good.units, follows, against]), good.comparisons)
    found = docs.trust(both, "concepts").set_index("metric")
    assert found.loc["simulation_r", "units"] == pytest.approx(1)
    assert found.loc["simulation_r", "methods"] == pytest.approx(1)
    assert found.loc["cosy_auc", "units"] == pytest.approx(-1)
