"""docs/evaluation.md: figures come from the tables, and a rival that wins is called the winner."""

import numpy as np
import pandas as pd
import pytest

from dnd.evaluation import reliability_plot
from studies import ceilings, confidence, plots
from studies import evaluation_docs as docs
from studies.results import Results

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


def with_oracles(ours, truths, kind="single"):
    """Results in which recipes with the truth in them have a share of ten units right, beside ours."""
    both = results(truths | {"dnd": ours}, kind=kind)
    known = both.units["method"] != "dnd"
    return Results(None, both.units[~known], both.comparisons, both.units[known])


CEILINGS = with_oracles(
    {"one": 0.9, "two": 0.7, "three": 0.8},
    {"seen": {"one": 0.9, "two": 0.8, "three": 0.8}, "drawn": {"one": 1.0, "two": 0.9, "three": 1.0}},
)
REPLACED = {"seen": ("captions",), "drawn": ("generator",)}


def test_a_perfect_part_stands_beside_our_method_with_its_gain():
    lines = ceilings.table(CEILINGS, "concepts", REPLACED).splitlines()
    assert lines[2].startswith("| `dnd` | nothing | 0.80 [0.70, 0.90] | - |")
    assert lines[3].startswith("| `seen` | the captioner | 0.80 [0.80, 0.90] | +0.00 |")
    assert lines[4].startswith("| `drawn` | the generator | 1.00 [0.90, 1.00] | +0.20 |")


def test_the_weakest_part_is_the_one_that_would_gain_most():
    text = ceilings.weakest(CEILINGS, "concepts", REPLACED)
    gain = "a perfect stand-in for the generator would gain most, +0.20"
    assert text == f"- {gain}: 1.00 of units with one concept exactly"


def test_where_perfect_parts_gain_nothing_none_is_blamed():
    worse = with_oracles({"one": 0.9}, {"seen": {"one": 0.8}}, "polysemantic")
    text = ceilings.weakest(worse, "concepts", {"seen": ("captions",)})
    assert text == "- no perfect part would gain anything: 0.80 of units of two concepts exactly at best"


def test_the_truth_is_ranked_among_no_methods():
    table = docs.known_answer_tables(CEILINGS, "concepts")["exact_table"]
    assert "`dnd`" in table and "`seen`" not in table and "`drawn`" not in table
    assert "not the best" not in docs.summary(CEILINGS, "concepts", None)


def test_units_of_two_concepts_have_a_column_for_both_named():
    exact = results({"dnd": {"one": 0.1}, "rival": {"one": 0.3}, "constant": {"one": 0.0}}, kind="polysemantic")
    both = results({"dnd": {"one": 0.7}, "rival": {"one": 0.6}}, "known_answer_both", "polysemantic")
    found = Results(None, pd.concat([exact.units, both.units]), exact.comparisons)
    lines = docs.known_answer_tables(found, "concepts")["exact_table"].splitlines()
    assert lines[0].endswith("| polysemantic | both named |")
    assert [line.rsplit("|", 3)[1:3] for line in lines[2:]] == [
        [" 0.10 ", " **0.70** "],
        [" **0.30** ", " 0.60 "],
        [" 0.00 ", " - "],
    ]
    lines = docs.summary(found, "concepts", None).splitlines()
    assert "- units of two concepts, both named: `dnd` with 0.70" in lines
    assert any(line.startswith("- exact labels of units of two concepts: `rival` with 0.30") for line in lines)


def test_the_same_set_from_two_halves_is_told_of_the_rows_that_saw_them():
    whole, half = (results({"dnd": {"one": share}}, "stability_same_set").units for share in (0.2, 0.9))
    both = pd.concat([whole.assign(metric="simulation_r"), half.assign(half=True)])
    lines = docs.others_table(Results(None, both, None), "concepts").splitlines()
    assert lines[0] == "| method | `simulation_r` | `stability_same_set` |"
    assert lines[2] == "| `dnd` | **0.20** | **0.90** |"


def test_what_has_nothing_to_name_is_not_right_whatever_its_confidence():
    exact = results({"dnd": {"one": 0.5}}).units
    spoken = exact.assign(metric="abstained", value=0.0)
    random = spoken.assign(unit=spoken["unit"] + 10, kind="random")
    unknown = spoken.assign(unit=spoken["unit"] + 20, kind=None)
    half = spoken.assign(unit=spoken["unit"] + 30, half=True)
    everything = pd.concat([exact, spoken, random, unknown, half])
    found = confidence.exactness(Results(None, everything, pd.DataFrame()))
    assert len(found) == 20
    assert found.groupby(found["unit"] // 10)["right"].mean().to_dict() == {0: 0.5, 1: 0.0}


def sure(recipe, network, layer, confidences, right):
    """Units with a confidence, of which the first so many are right."""
    rows = [(network, layer, recipe, i, one, float(i < right)) for i, one in enumerate(confidences)]
    return pd.DataFrame(rows, columns=[*confidence.KEYS, "confidence", "right"])


UNITS = pd.concat(
    [
        sure("dnd", "one", "concepts", [0.9] * 10, 8),
        sure("dnd", "two", "concepts", [0.9] * 10, 9),
        sure("dnd", "one", "fc", [1.0] * 10, 10),
        sure("compat", "one", "concepts", [0.5] * 10, 1),
    ]
)


def test_calibration_errors_are_told_by_layer_and_over_all_units_of_a_network():
    lines = confidence.table(UNITS).splitlines()
    assert lines[0] == "| method | concepts | fc | all units | units |"
    assert lines[2] == "| `dnd` | 0.05 [0.00, 0.10] | 0.00 | 0.03 [0.00, 0.05] | 30 |"
    assert lines[3] == "| `compat` | 0.40 | - | 0.40 | 10 |"


def test_a_diagram_joins_networks_and_layers(tmp_path):
    found = confidence.diagrams(UNITS)
    assert list(found) == ["dnd"]
    assert found["dnd"].counts.tolist() == [0] * 8 + [20, 10]
    assert found["dnd"].right[8:] == pytest.approx([0.85, 1.0])
    reliability_plot.draw(found, tmp_path / "reliability.png")
    assert np.ptp(plots.pyplot.imread(tmp_path / "reliability.png")) > 0
