import csv
import math

import pyarrow as pa
import pytest
from handmade import UNPROBED

from dnd.io import schemas, tables
from dnd.selection import descriptions
from dnd.selection.verdict import Verdict

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
        **UNPROBED,
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
    topk = tables.table([unit(0, 0, 1), unit(1, 0, 0, "dead"), unit(2, 3, 3, "constant"), unit(3, 0, 1)], schemas.TOPK)
    exemplars = tables.table([exemplar(0, 1, None), exemplar(0, 0, box)], schemas.EXEMPLARS)
    captions = tables.table(
        [{"image_id": "a.png", "box": None, "caption": "whole"}, {"image_id": "a.png", "box": box, "caption": "part"}],
        schemas.CAPTIONS,
    )
    scores = tables.table(
        [score(0, 0, "b", 2.0), score(0, 1, "a", 2.0), score(0, 2, "c", 3.0, votes=2, auc=0.75), score(0, 3, "d", 1.0)],
        schemas.SCORES,
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


def spreadsheet(tmp_path, **texts):
    """The row of one unit with some texts in it, as a spreadsheet reads it."""
    plain = {"label": "a", "labels": [], "captions": [], "candidates": [], "exemplars": []}
    row = dict.fromkeys(schemas.DESCRIPTIONS.names) | dict.fromkeys(("confidence", "score"), -0.5) | plain | texts
    descriptions.write_csv(tmp_path / "d.csv", pa.Table.from_pylist([row], schemas.DESCRIPTIONS))
    with (tmp_path / "d.csv").open(newline="", encoding="utf-8") as file:
        (found,) = csv.DictReader(file)
    return found


@pytest.mark.parametrize("text", ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(1)", "\t=1", "\r=1", "\n=1"])
def test_a_spreadsheet_runs_no_text_as_a_formula(tmp_path, text):
    found = spreadsheet(
        tmp_path, model=text, layer=text, label=text, labels=[text, "b"], captions=[text], abstained=text
    )
    escaped = text.replace("|", r"\|")
    assert [found[name] for name in ("model", "layer", "label", "abstained")] == [f"'{text}"] * 4
    assert (found["labels"], found["captions"]) == (f"'{escaped} | b", f"'{escaped}")
    assert (found["confidence"], found["score"]) == ("-0.5", "-0.5")  # a number is no text


@pytest.mark.parametrize("text", ["red = warm", "a-b", "o@o", " =1", "'quoted'"])
def test_other_texts_are_written_as_they_are(tmp_path, text):
    assert spreadsheet(tmp_path, label=text, labels=[text])["labels"] == text


@pytest.mark.parametrize(
    "texts", [["a | b", "c"], ["a |", "| b", "|"], [r"a \| b", "\\", "|| |"], ["red", "star | round | star"]]
)
def test_joined_texts_can_be_told_apart(tmp_path, texts):
    exemplars = [{"image_id": text, "box": None, "activation": 1.0} for text in texts]
    found = spreadsheet(tmp_path, labels=texts, captions=texts, exemplars=exemplars)
    for name in ("labels", "captions", "exemplars"):
        assert [text.replace(r"\|", "|") for text in found[name].split(" | ")] == texts


def drawn_by_nobody(row):
    return row | dict.fromkeys(("auc", "mad", "rank_score", "image_similarity", "activations"))


def test_labels_that_nobody_drew_have_a_confidence_too(parts):
    rows = [drawn_by_nobody(score(0, 0, "a", 0.75, votes=3)), drawn_by_nobody(score(0, 1, "b", 0.25))]
    found = descriptions.run(FACTS, [0], *parts[:3], tables.table(rows, schemas.SCORES)).to_pylist()[0]
    assert found["labels"] == ["a", "b"]
    assert found["confidence"] == pytest.approx(0.5 * (0.5 + 0.5 * 3 / 4))
    assert found["candidates"][0]["auc"] is None


def test_an_idle_unit_that_was_asked_about_is_described(parts):
    found = descriptions.run(FACTS, [1], *parts[:3], tables.table([score(1, 0, "a", 1.0)], schemas.SCORES))
    assert (found["label"].to_pylist(), found["abstained"].to_pylist()) == (["a"], [None])


VERDICT = Verdict(
    weights={},
    intercept=0,
    slope=1.0,
    bimodality=1.0,
    offset=-math.log(4) - 0.9,
    least_confidence=0.1,
    least_bimodality=0.7,
    fitted_on={},
)


def judged(parts, *rows):
    """The description of unit 0 by scores that are log odds."""
    return descriptions.run(FACTS, [0], *parts[:3], tables.table(rows, schemas.SCORES), VERDICT).to_pylist()[0]


def union(candidate, concept, value, parts, shares):
    found = score(0, candidate, concept, value) | {"source": "union", "rank_score": None, "bimodality": 0.9}
    return found | {"parts": parts, "shares": shares}


def test_with_a_verdict_the_confidence_is_calibrated(parts):
    row = judged(parts, score(0, 0, "a", -1.0) | {"bimodality": 0.9}, score(0, 1, "b", 0.0) | {"bimodality": 0.9})
    assert (row["label"], row["labels"], row["abstained"]) == ("b", ["b", "a"], None)
    assert row["confidence"] == pytest.approx(0.2)  # log odds of 0 are one half


def test_alternatives_have_a_label_for_each_part_the_largest_first(parts):
    one, other = (score(0, number, concept, -1.0) for number, concept in ((3, "a"), (5, "b")))
    joint = union(6, "a or b", 2.0, [3, 5], [1, 0])  # the exemplars excite the unit by 1.0 and .9
    row = judged(parts, one, other, joint, score(0, 7, "c", 1.0))
    assert (row["label"], row["labels"]) == ("a or b", ["b", "a"])
    assert row["candidates"][0] == {
        "concept": "a or b",
        "score": 2.0,
        "auc": 1.0,
        "mad": 1.0,
        "rank_score": None,
        "image_similarity": 0.5,
        "source": "union",
    }
    assert judged(parts, one, other, joint | {"shares": [0, 1]})["labels"] == ["a", "b"]


def test_alternatives_that_lost_are_no_label(parts):
    one, other = score(0, 0, "a", 2.0) | {"bimodality": 0.9}, score(0, 1, "b", 0.0)
    row = judged(parts, one, other, union(2, "a or b", 1.0, [0, 1], [0, 1]))
    assert row["labels"] == ["a", "b"]
    assert [one["concept"] for one in row["candidates"]] == ["a", "a or b", "b"]


@pytest.mark.parametrize(
    ("value", "bimodality", "reason", "confidence"),
    [(-1.5, 0.4, "unclear", 0.032727), (-2.0, 0.9, "low_confidence", 0.032727)],
)
def test_what_is_withheld_keeps_its_evidence(parts, value, bimodality, reason, confidence):
    row = judged(parts, score(0, 0, "a", value) | {"bimodality": bimodality})
    assert (row["label"], row["labels"], row["abstained"]) == (None, [], reason)
    assert row["score"] == value
    # 1 / (1 + 4 e^2)
    assert row["confidence"] == pytest.approx(confidence, abs=1e-6)
    assert [one["concept"] for one in row["candidates"]] == ["a"]
    assert row["captions"] == ["part", "whole"]


@pytest.fixture
def rival(parts, tmp_path):
    def row(unit, candidate, concept, value):
        return drawn_by_nobody(score(unit, candidate, concept, value, votes=None)) | {"source": "invert"}

    topk = parts[0].to_pylist()
    topk[0] |= {"image_ids": ["b.png", "a.png", "c.png"], "activations": [3.0, 2.0, 1.0]}
    scores = [row(0, 1, "b", 0.7), row(0, 0, "z", 0.7), row(0, 2, "c", 0.9), row(3, 0, "d", None), row(4, 0, "e", -2.5)]
    topk.append(topk[0] | {"unit": 4})
    tables.write(tmp_path / "topk.parquet", tables.table(topk, schemas.TOPK), schemas.TOPK)
    return tmp_path / "topk.parquet", tables.table(scores, schemas.SCORES)


def test_a_rival_is_listed_with_whole_images_and_without_captions(rival):
    row = descriptions.of_rival(FACTS, [0], *rival, shown=2).to_pylist()[0]
    assert row["exemplars"] == [
        {"image_id": "b.png", "box": None, "activation": 3.0},
        {"image_id": "a.png", "box": None, "activation": 2.0},
    ]
    assert row["captions"] == [None, None]
    assert row["labels"] == ["z", "b", "c"]  # in the rival's own order
    assert [one["source"] for one in row["candidates"]] == ["invert"] * 3


def test_a_rivals_terms_are_labels_in_their_order(rival):
    topk, scores = rival
    rows = [score | {"parts": [2, 1]} if score["candidate"] == 0 else score for score in scores.to_pylist()]
    row = descriptions.of_rival(FACTS, [0], topk, tables.table(rows, schemas.SCORES), shown=2).to_pylist()[0]
    assert (row["label"], row["labels"]) == ("z", ["c", "b"])


def test_a_rival_confidence_is_the_score_where_it_may_be_a_probability(rival):
    rows = descriptions.of_rival(FACTS, [4, 3, 2, 0], *rival, shown=2).to_pylist()
    assert [row["unit"] for row in rows] == [0, 2, 3, 4]
    assert [row["confidence"] for row in rows] == pytest.approx([0.7, 0.0, 0.5, 0.5])
    assert [row["abstained"] for row in rows] == [None, "constant", None, None]
    assert [row["score"] for row in rows] == [pytest.approx(0.7), None, None, -2.5]


def test_csv_of_a_rival(rival, tmp_path):
    descriptions.write_csv(tmp_path / "d.csv", descriptions.of_rival(FACTS, [0, 3], *rival, shown=2))
    with (tmp_path / "d.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert (rows[0]["captions"], rows[0]["exemplars"]) == ("", "b.png | a.png")
    assert [row["candidates"] for row in rows] == ["z (0.700) | b (0.700) | c (0.900)", "d"]
