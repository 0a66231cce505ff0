import csv

import pytest

from dnd import descriptions, tables

FACTS = {"model": "m", "layer": "l", "probe": "p", "recipe": "r"}


def score(unit, candidate, concept, value, votes=1, auc=1.0):
    return {
        "unit": unit,
        "candidate": candidate,
        "concept": concept,
        "source": "llm",
        "votes": votes,
        "score": value,
        "auc": auc,
        "mad": 1.0,
        "rank_score": 1.0,
        "image_similarity": 0.5,
        "activations": [1.0],
    }


@pytest.fixture
def parts():
    def unit(number, low, high, idle=None):
        return {
            "unit": number,
            "image_ids": ["a.png"],
            "activations": [high],
            "mean": 0.0,
            "std": 0.0,
            "fraction_zero": 0.0,
            "nonfinite": 0,
            "idle": idle,
            "low": low,
            "high": high,
            "quantiles": [],
            "controls": [],
        }

    def exemplar(unit, rank, box):
        place = {"image_id": "a.png", "box": box, "heatmap_box": None}
        return {"unit": unit, "rank": rank, "activation": 1.0 - rank / 10, "heatmap": None, **place}

    box = [0, 0, 4, 4]
    topk = tables.table([unit(0, 0, 1), unit(1, 0, 0, "dead"), unit(2, 3, 3, "constant"), unit(3, 0, 1)], tables.TOPK)
    exemplars = tables.table([exemplar(0, 1, None), exemplar(0, 0, box)], tables.EXEMPLARS)
    captions = tables.table(
        [{"image_id": "a.png", "box": None, "caption": "whole"}, {"image_id": "a.png", "box": box, "caption": "part"}],
        tables.CAPTIONS,
    )
    scores = tables.table(
        [score(0, 0, "b", 2.0), score(0, 1, "a", 2.0), score(0, 2, "c", 3.0, votes=2, auc=0.75), score(0, 3, "d", 1.0)],
        tables.SCORES,
    )
    return topk, exemplars, captions, scores


def test_rows_are_the_requested_units_in_order(parts):
    rows = descriptions.run(FACTS, [3, 0, 2], *parts).to_pylist()
    assert [row["unit"] for row in rows] == [0, 2, 3]
    assert {key: rows[0][key] for key in FACTS} == FACTS


def test_best_labels_and_evidence(parts):
    row = descriptions.run(FACTS, [0], *parts).to_pylist()[0]
    assert row["label"] == "c"
    assert row["labels"] == ["c", "a", "b"]  # equal scores by spelling, three at most
    assert [one["concept"] for one in row["candidates"]] == ["c", "a", "b", "d"]
    assert row["captions"] == ["part", "whole"]
    assert row["exemplars"][0]["box"] == [0, 0, 4, 4]
    assert row["confidence"] == pytest.approx(0.5 * (0.5 + 0.5 * 2 / 5))


def test_idle_units_abstain(parts):
    rows = descriptions.run(FACTS, [1, 2, 3], *parts).to_pylist()
    assert [row["abstained"] for row in rows] == ["dead", "constant", "no_concept"]
    assert [row["label"] for row in rows] == [None, None, None]
    assert [row["confidence"] for row in rows] == [0, 0, 0]


def test_csv_joins_lists(parts, tmp_path):
    descriptions.write_csv(tmp_path / "d.csv", descriptions.run(FACTS, [0, 1], *parts))
    with (tmp_path / "d.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[0]["labels"] == "c | a | b"
    assert rows[0]["captions"] == "part | whole"
    assert rows[0]["exemplars"] == "a.png [0 0 4 4] | a.png"
    assert rows[1]["label"] == ""
    assert rows[1]["abstained"] == "dead"
