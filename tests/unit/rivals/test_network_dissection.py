"""Network Dissection: its IoU, its categories, its report, on tables worked out by hand."""

import pyarrow as pa
import pytest
from overlap_tables import overlaps, patterns, write, write_topk

from dnd.config.rivals import NetworkDissectionRecipe
from dnd.rivals import network_dissection


def run(folder, recipe, units, idle, rows=None, shared=None):
    topk = write_topk(folder / "topk.parquet", idle)
    recipe = NetworkDissectionRecipe(method="network-dissection", **recipe)
    files = write(folder, rows or patterns(), shared or overlaps())
    return network_dissection.run(recipe, **files, topk=topk, units=units)


def test_a_unit_is_held_against_a_category_where_it_is_annotated(tmp_path):
    tree, park = run(tmp_path, {}, [0], {0: None})[1].to_pylist()
    # of 90 active pixels 80 lie in images with objects annotated
    expected = {"unit": 0, "category": "object", "concept": "tree", "truth": 60, "activation": 80, "intersect": 50}
    assert tree == expected | {"iou": pytest.approx(50 / (60 + 80 - 50))}
    expected = {"unit": 0, "category": "scene", "concept": "park", "truth": 100, "activation": 90, "intersect": 50}
    assert park == expected | {"iou": pytest.approx(50 / (100 + 90 - 50))}


def test_candidates_are_the_best_of_their_categories_above_the_smallest_iou(tmp_path):
    idle = {0: None, 1: None, 2: None, 3: "dead", 4: None}
    scores, report = run(tmp_path, {"minimum": 0.04}, [0, 1, 2, 3, 4, 5], idle)
    found = [(row["unit"], row["candidate"], row["concept"]) for row in scores.to_pylist()]
    # unit 1 overlaps a street by 1 / 200, unit 2 is silent, unit 3 idle; the sky of unit 4 is a scene
    assert found == [(0, 0, "tree"), (0, 1, "park"), (4, 0, "sky")]
    assert scores["score"].to_pylist() == pytest.approx([50 / 90, 50 / 140, 45 / 50])
    assert scores["source"].unique().to_pylist() == ["network-dissection"]
    assert report["unit"].to_pylist() == [0, 0, 1, 1, 2, 2, 4, 4]


def test_the_recipes_quantile_counts(tmp_path):
    both = pa.concat_tables([overlaps(), overlaps({0: [90, 0, 0, 0, 0]}, "otsu")])
    found = run(tmp_path, {"quantile": "otsu"}, [0], {0: None}, shared=both)[0]
    assert found["concept"].to_pylist() == ["sky"]


def test_the_smallest_iou_is_good_enough(tmp_path):
    for minimum, count in ((0.9, 1), (0.901, 0)):
        assert len(run(tmp_path, {"minimum": minimum}, [4], {4: None})[0]) == count


def test_names_are_the_worlds_where_all_concepts_are(tmp_path):
    world = patterns([([("colour", "red")], ["colour", "group"], 10), ([("group", "warm")], ["colour", "group"], 10)])
    found = run(tmp_path, {}, [0], {0: None}, world, overlaps({0: [9, 2]}))[0]
    assert found["concept"].to_pylist() == ["red objects", "warm colours"]
