"""Known-answer evaluation against worked examples, and the table that it writes."""

import json

import numpy as np
import pytest
from planted import ANSWERS

from dnd.config.known_answers import KnownAnswer, of_classes
from dnd.evaluation import agreement as evaluation
from dnd.evaluation.agreement import ABSTAINED, BOTH, ECE, EXACT, F1, IOU, RIGHT, DescribedUnit, agreement
from dnd.evaluation.baselines import CONSTANT, RANDOM, SHUFFLED, shuffled
from dnd.evaluation.metrics.statistics import wilson
from dnd.io import schemas, tables
from dnd.io.rows import Figure
from dnd.shapeworld import render
from dnd.shapeworld.world import ATTRIBUTES, conjunction

RED, ROUND = conjunction(["red"]), conjunction(["round"])


def described(unit, label, abstained=None, labels=(), confidence=0.5):
    """What the evaluation reads of a row of DESCRIPTIONS."""
    labels = list(labels) or ([] if label is None else [label])
    return DescribedUnit("net", "concepts", "dnd", unit, label, labels, confidence, abstained)


def value(rows, metric, *, unit=None, kind=None, method="dnd"):
    """The one value with these keys, or None."""
    keys = {"unit": unit, "kind": kind, "method": method, "metric": metric}
    found = [row for row in rows if all(getattr(row, name) == key for name, key in keys.items())]
    assert len(found) < 2
    return found[0].value if found else None


DESCRIBED = [
    described(0, "crimson things"),
    described(1, "red objects"),
    described(2, None, "low_confidence"),
    described(3, "red objects or stars"),
    described(4, None, "dead"),
    described(5, "red objects"),
]


def test_held_out_scenes_are_the_scenes_of_the_evaluation_renders():
    places = evaluation.held_out(20)
    for i in range(20):
        scene, _, _ = render.draw(evaluation.STREAM, i)
        for (name, values), axis in zip(ATTRIBUTES.items(), places, strict=True):
            assert values[axis[i]] == getattr(scene, name)


def test_held_out_stream_is_no_training_or_demo_stream():
    assert evaluation.STREAM == 3
    assert len(evaluation.held_out()[0]) == 5000


@pytest.mark.parametrize("label", ["red objects", "crimson things", "Red.", "objects that are red"])
def test_every_wording_of_the_true_concept_is_exact(label):
    assert agreement(label, RED) == {EXACT: 1.0, F1: 1.0, IOU: 1.0}


@pytest.mark.parametrize("label", [None, "", "animals", "red elephants"])
def test_no_label_and_labels_outside_the_grammar_are_wrong(label):
    assert agreement(label, RED) == {EXACT: 0.0, F1: 0.0, IOU: 0.0}


def test_part_of_the_concept_scores_by_its_share_of_the_scenes():
    # circles are half of the round scenes: IoU near 1/2, F1 = 2 * 1/6 / (1/6 + 1/3) near 2/3
    found = agreement("circles", ROUND)
    assert found[EXACT] == 0
    assert found[IOU] == pytest.approx(1 / 2, abs=0.03)
    assert found[F1] == pytest.approx(2 / 3, abs=0.03)
    assert found[F1] == pytest.approx(2 * found[IOU] / (1 + found[IOU]), abs=1e-12)


def test_agreement_counts_scenes():
    places = evaluation.held_out()
    colour, texture = places[0], places[1]
    red, striped = colour == 0, texture == 1
    found = agreement("red striped objects", RED)
    assert found[IOU] == (red & striped).sum() / red.sum()


def test_units_are_judged_by_what_their_labels_denote():
    rows = evaluation.layer_rows("planted", DESCRIBED, ANSWERS)
    exact = [value(rows, EXACT, unit=unit, kind=ANSWERS[unit].kind) for unit in range(6)]
    assert exact == [1.0, 0.0, 0.0, 1.0, None, None]


TWO = KnownAnswer(3, "polysemantic", (("red",), ("star",)), "red objects or stars")


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (["red objects", "stars"], 1),
        (["snow backgrounds", "star shapes", "crimson things"], 1),
        (["red objects or stars"], 1),
        (["scarlet objects or star shapes", "snow backgrounds"], 1),
        (["red or striped objects", "stars"], 1),  # red is a part of the first
        (["red stars"], 0),
        (["red objects", "blue objects"], 0),
        (["red or blue stars", "stars"], 0),  # its parts are red stars and blue stars
        (["red objects or unicorns", "stars"], 0),  # outside the grammar
        ([], 0),
    ],
)
def test_both_concepts_are_named_by_labels_or_by_parts_of_one(labels, expected):
    assert evaluation.names_all(labels[0] if labels else None, labels, TWO) == expected


def test_an_exact_label_names_both_without_an_or():
    colours = KnownAnswer(3, "polysemantic", (("orange",), ("green",)), "orange objects or green objects")
    assert evaluation.names_all("orange and green objects", ["orange and green objects"], colours) == 1
    assert evaluation.names_all("orange and green stars", ["orange and green stars"], colours) == 0


def test_only_units_of_two_concepts_are_asked_for_both():
    rows = evaluation.layer_rows("planted", DESCRIBED, ANSWERS)
    units = [row for row in rows if row.metric == BOTH and row.unit is not None]
    assert [(row.unit, row.kind, row.method, row.value) for row in units] == [(3, "polysemantic", "dnd", 1)]
    whole = [row for row in rows if row.metric == BOTH and row.unit is None]
    assert [(row.kind, row.value) for row in whole] == [("polysemantic", 1.0)]
    assert whole[0].low == pytest.approx(0.206549, abs=1e-5)  # Wilson's interval of 1 in 1: 1 / (1 + z^2)


def test_two_labels_may_both_be_right_where_the_label_is_not():
    row = described(3, "red objects", labels=["red objects", "stars"])
    rows = evaluation.layer_rows("planted", [row], ANSWERS)
    assert value(rows, EXACT, unit=3, kind="polysemantic") == 0
    assert value(rows, BOTH, unit=3, kind="polysemantic") == 1


SURE = [
    described(0, "red objects", confidence=0.9),  # right
    described(1, "red objects", confidence=0.85),  # wrong
    described(2, None, "low_confidence", confidence=0.3),  # a concept that is not named
    described(4, None, "dead", confidence=0.0),  # nothing to name
    described(5, "stars", confidence=0.4),  # nothing to name
    described(6, "stars", confidence=1.0),  # no known answer
]


def test_calibration_error_is_over_every_unit_with_a_known_answer():
    rows = evaluation.layer_rows("planted", SURE, ANSWERS)
    found = evaluation.calibration_rows("planted", SURE, rows)
    # bins (.8, .9] and (.2, .3] of 2 and 1 of 3 units that have something to name
    assert [row.value for row in found] == [pytest.approx((2 * abs(0.5 - 0.875) + 0.3) / 3, abs=1e-6)]
    assert (found[0].unit, found[0].kind, found[0].method, found[0].metric) == (None, None, "dnd", ECE)
    assert 0 <= found[0].low <= found[0].value <= found[0].high <= 1


def test_a_label_that_none_betters_is_right_whatever_was_planted():
    """Its share of the best attainable decides where it is known: nine tenths are enough."""
    rows = evaluation.layer_rows("planted", SURE[:3], ANSWERS)
    shares = [
        Figure("planted", "concepts", unit, None, "dnd", "true_share_pair", share)
        for unit, share in ((0, 0.85), (1, 0.95), (5, 0.95))
    ]
    assert evaluation.rightness(rows, "dnd") == {0: True, 1: False, 2: False}
    assert evaluation.rightness([*shares, *rows], "dnd") == {0: False, 1: True, 2: False, 5: True}
    assert evaluation.rightness([*shares, *rows], "another") == {}


def test_an_abstained_unit_with_a_concept_is_wrong():
    rows = evaluation.layer_rows("planted", DESCRIBED, ANSWERS)
    for metric in (EXACT, F1, IOU):
        assert value(rows, metric, unit=2, kind="abstraction") == 0.0


def test_units_without_a_concept_carry_only_abstained():
    rows = evaluation.layer_rows("planted", DESCRIBED, ANSWERS)
    for unit, expected in ((4, 1.0), (5, 0.0)):
        own = [row for row in rows if row.unit == unit]
        assert [(row.metric, row.value) for row in own] == [(ABSTAINED, expected)]


def test_aggregates_join_the_nameable_kinds():
    rows = evaluation.layer_rows("planted", DESCRIBED, ANSWERS)
    assert value(rows, EXACT, kind="concept") == pytest.approx(1 / 3)
    assert value(rows, EXACT, kind="polysemantic") == 1.0
    assert value(rows, EXACT, kind="conjunction") == 0.0
    assert value(rows, ABSTAINED, kind="concept") == pytest.approx(1 / 3)
    assert value(rows, ABSTAINED) == pytest.approx(2 / 6)


def test_aggregates_carry_intervals_and_units_do_not():
    for row in evaluation.layer_rows("planted", DESCRIBED, ANSWERS):
        if row.unit is None:
            assert row.low <= row.value + 1e-12
            assert row.value <= row.high + 1e-12
        else:
            assert row.low is row.high is None


def test_interval_of_a_share_is_wilsons():
    rows = evaluation.layer_rows("planted", DESCRIBED, ANSWERS)
    row = next(row for row in rows if (row.unit, row.kind, row.metric, row.method) == (None, None, ABSTAINED, "dnd"))
    assert (row.low, row.high) == pytest.approx((0.096771, 0.700007), abs=1e-5)


def test_constant_baseline_gives_every_unit_the_most_frequent_label():
    rows = evaluation.layer_rows("planted", DESCRIBED, ANSWERS)
    assert value(rows, EXACT, unit=0, kind="single", method=CONSTANT) == 1.0  # "red objects", twice
    assert value(rows, EXACT, unit=3, kind="polysemantic", method=CONSTANT) == 0.0
    assert value(rows, ABSTAINED, kind="concept", method=CONSTANT) is None


def test_shuffled_baseline_judges_the_same_labels_at_other_units():
    labels = ["red objects", "blue objects", "stars", "circles", "snow backgrounds", "rings"]
    words = ["red", "blue", "star", "circle", "snow", "ring"]
    answers = {i: KnownAnswer(i, "single", ((word,),), word) for i, word in enumerate(words)}
    rows = evaluation.layer_rows("planted", [described(i, label) for i, label in enumerate(labels)], answers)
    dealt = shuffled(labels)
    for unit, label in enumerate(dealt):
        expected = float(label == labels[unit])
        assert value(rows, EXACT, unit=unit, kind="single", method=SHUFFLED) == expected
    assert value(rows, EXACT, kind="single") == 1.0
    assert value(rows, EXACT, kind="single", method=SHUFFLED) < 1.0


def test_a_layer_without_known_answers_gets_its_abstentions():
    rows = evaluation.layer_rows("hidden", DESCRIBED, {})
    assert {row.metric for row in rows} == {ABSTAINED}
    assert value(rows, ABSTAINED) == pytest.approx(2 / 6)


@pytest.fixture
def files(tmp_path):
    """Two layers' descriptions and the known answers of one of them."""
    for layer, rows in (("concepts", DESCRIBED), ("layer4", DESCRIBED[:2])):
        more = {"layer": layer, "probe": "shapes", "score": 1.0, "candidates": [], "exemplars": [], "captions": []}
        more |= dict.fromkeys(("bimodality", "explains", "explains_low", "explains_high"))
        table = tables.table([row._asdict() | more for row in rows], schemas.DESCRIPTIONS)
        tables.write(tmp_path / layer / "descriptions.parquet", table, schemas.DESCRIPTIONS)
    units = [{"unit": one.unit, "kind": one.kind, "words": one.words, "label": one.label} for one in ANSWERS.values()]
    (tmp_path / "units.json").write_text(json.dumps({"concepts": units}))
    return tmp_path


def test_run_gives_a_sorted_table_whatever_the_order_of_the_layers(files):
    paths = [(name, files / name / "descriptions.parquet") for name in ("layer4", "concepts")]
    answers = {"net": files / "units.json"}
    table = evaluation.run(paths, answers)
    assert table.schema.equals(schemas.EVALUATION)
    assert table.equals(evaluation.run(paths[::-1], answers))
    assert table["name"].to_pylist() == sorted(table["name"].to_pylist())
    hidden = [row for row in tables.rows_of(table, Figure) if row.layer == "layer4"]
    assert {row.metric for row in hidden} == {ABSTAINED}


def test_run_leaves_out_answers_of_another_model(files):
    paths = [("concepts", files / "concepts" / "descriptions.parquet")]
    table = evaluation.run(paths, {"other": files / "units.json"})
    assert set(table["metric"].to_pylist()) == {ABSTAINED}


def test_run_holds_confidence_against_exactness_where_it_is_a_probability(files):
    paths = [(name, files / name / "descriptions.parquet") for name in ("layer4", "concepts")]
    answers = {"net": files / "units.json"}
    assert ECE not in evaluation.run(paths, answers)["metric"].to_pylist()
    rows = tables.rows_of(evaluation.run(paths, answers, probable=["concepts", "layer4"]), Figure)
    found = [row for row in rows if row.metric == ECE]
    assert [row.name for row in found] == ["concepts"]  # nothing is known of the other layer
    assert found[0].value == pytest.approx(0)  # all are .5 sure, two of the four that have a concept are exact


def test_answers_by_text_are_right_by_their_names_and_make_a_share():
    answers = of_classes(["tench, Tinca tinca", "snail", "nail"])
    rows = [described(0, "a tench"), described(1, "slug"), described(2, None, "unclear")]
    figures = evaluation.layer_rows("row", rows, answers, ["nail"])
    assert [value(figures, RIGHT, unit=unit, kind="class") for unit in range(3)] == [1, 0, 0]
    assert [value(figures, RIGHT, unit=unit, kind="class", method=RANDOM) for unit in range(3)] == [0, 0, 1]
    share = next(row for row in figures if (row.metric, row.kind, row.method, row.unit) == (RIGHT, None, "dnd", None))
    assert (share.value, share.low, share.high) == pytest.approx((1 / 3, *wilson(1, 3)))
    assert value(figures, EXACT, kind="class") is None
    (error,) = evaluation.calibration_rows("row", rows, figures)
    assert error.value == pytest.approx(abs(0.5 - 1 / 3))


def test_a_run_reads_class_names_and_compares_sentences(files):
    (files / "classes.txt").write_text("scarlet\nsnail\nnail\n")
    asked = []

    def encode(texts):
        asked.extend(texts)
        alike = {"scarlet": 0, "crimson things": 0, "red objects": 1}
        return np.eye(3)[[alike.get(text, 2) for text in texts]]

    layer = [("hidden", files / "layer4" / "descriptions.parquet")]
    figures = tables.rows_of(
        evaluation.run(layer, {}, class_names={"net": {"layer4": files / "classes.txt"}}, sentences=encode), Figure
    )
    assert [value(figures, RIGHT, unit=unit, kind="class") for unit in (0, 1)] == [1, 0]
    assert sorted(asked) == ["crimson things", "nail", "red objects", "scarlet", "snail"]
