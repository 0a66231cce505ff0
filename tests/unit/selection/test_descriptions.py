import csv
import math

import pyarrow as pa
import pytest
from handmade import UNPROBED

from dnd.io import schemas, tables
from dnd.io.rows import Explained
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
    assert (row["score"], row["confidence"], row["explains"]) == (3.0, None, None)


def test_idle_units_abstain(parts):
    rows = descriptions.run(FACTS, [1, 2, 3], *parts).to_pylist()
    assert [row["abstained"] for row in rows] == ["dead", "constant", "no_concept"]
    assert [row["label"] for row in rows] == [None, None, None]
    assert [row["confidence"] for row in rows] == [None, None, None]


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


def test_labels_that_nobody_drew_are_said(parts):
    rows = [drawn_by_nobody(score(0, 0, "a", 0.75, votes=3)), drawn_by_nobody(score(0, 1, "b", 0.25))]
    found = descriptions.run(FACTS, [0], *parts[:3], tables.table(rows, schemas.SCORES)).to_pylist()[0]
    assert (found["label"], found["labels"], found["confidence"]) == ("a", ["a", "b"], None)
    assert found["candidates"][0]["auc"] is None


def test_an_idle_unit_that_was_asked_about_is_described(parts):
    found = descriptions.run(FACTS, [1], *parts[:3], tables.table([score(1, 0, "a", 1.0)], schemas.SCORES))
    assert (found["label"].to_pylist(), found["abstained"].to_pylist()) == (["a"], [None])


VERDICT = Verdict(
    weights={"explains": 1.0, "precision": 2.0, "drawn": 3.0, "margin": 4.0, "joined": -0.5},
    intercept=0.25,
    settings={},
    fitted_on={},
)


def explained(unit, label, explains, chance=0.001):
    return Explained(unit, label, explains, explains - 0.1, explains + 0.1, chance)


def judged(parts, *rows, known=(), units=(0,), **options):
    """The descriptions of units by scores and what labels explain."""
    tabled = tables.table(rows, schemas.SCORES), tables.table(known, schemas.EXPLAINS)
    return descriptions.run(FACTS, units, *parts[:3], *tabled, **options).to_pylist()


def union(candidate, concept, value, parts, shares):
    joined = {"source": "union", "rank_score": None, "parts": parts, "shares": shares}
    return score(0, candidate, concept, value) | joined


def test_what_a_label_explains_is_told_with_its_interval(parts):
    (row,) = judged(parts, score(0, 0, "a", -1.0) | {"bimodality": 0.75}, known=[explained(0, "a", 0.5)])
    assert row["label"] == "a"
    assert (row["explains"], row["explains_low"], row["explains_high"]) == pytest.approx((0.5, 0.4, 0.6))
    assert (row["bimodality"], row["confidence"]) == (0.75, None)


def test_a_verdict_says_how_sure_a_label_is(parts):
    measured = {"correlation": 0.9, "precision": 0.8, "drawn": 0.5}
    rows = score(0, 0, "a", -1.0) | measured, score(0, 1, "b", -1.25) | dict.fromkeys(measured, 0.1)
    (row,) = judged(parts, *rows, known=[explained(0, "a", 0.5)], verdict=VERDICT)
    odds = 0.25 + math.log(0.5) + 2 * math.log(0.8) + 3 * 0.5 + 4 * 0.25
    assert row["confidence"] == pytest.approx(1 / (1 + math.exp(-odds)))


def test_a_verdict_counts_the_concepts_that_a_label_joins(parts):
    measured = {"precision": 1.0, "drawn": 0.0}
    rows = [score(0, number, concept, -5.0) for number, concept in enumerate("ab")]
    rows.append(union(2, "a or b", -1.0, [0, 1], [0, 1]) | measured)
    (row,) = judged(parts, *rows, known=[explained(0, "a or b", 1.0)], verdict=VERDICT)
    assert row["confidence"] == pytest.approx(1 / (1 + math.exp(-(0.25 + 4 * 1.0 - 0.5))))  # no margin counts beyond 1


def test_a_verdict_counts_what_an_answer_joins_as_the_fit_does(parts):
    """`dnd fit-verdict` knows labels by their words."""
    rows = score(0, 0, "a or b", -1.0) | {"precision": 1.0, "drawn": 0.0}
    (row,) = judged(parts, rows, known=[explained(0, "a or b", 1.0)], verdict=VERDICT)
    assert row["confidence"] == pytest.approx(1 / (1 + math.exp(-(0.25 + 4 * 1.0 - 0.5))))


def test_a_verdict_says_nothing_where_no_images_judged(parts):
    (row,) = judged(parts, score(0, 0, "a", 1.0) | {"precision": 1.0, "drawn": 1.0}, verdict=VERDICT)
    assert (row["label"], row["confidence"]) == ("a", None)


def test_alternatives_have_a_label_for_each_part_the_largest_first(parts):
    rows = [score(0, number, concept, -1.0) for number, concept in ((3, "a"), (5, "b"))]
    joint = union(6, "a or b", 2.0, [3, 5], [1, 0])  # the exemplars excite the unit by 1.0 and .9
    (row,) = judged(parts, *rows, joint, score(0, 7, "c", 1.0))
    assert (row["label"], row["labels"]) == ("a or b", ["b", "a"])
    assert row["candidates"][0] == {
        "concept": "a or b",
        "score": 2.0,
        "auc": 1.0,
        "mad": 1.0,
        "rank_score": None,
        "image_similarity": 0.5,
        "correlation": None,
        "precision": None,
        "drawn": None,
        "source": "union",
    }
    assert judged(parts, *rows, joint | {"shares": [0, 1]})[0]["labels"] == ["a", "b"]


def test_alternatives_that_lost_are_no_label(parts):
    rows = score(0, 0, "a", 2.0), score(0, 1, "b", 0.0), union(2, "a or b", 1.0, [0, 1], [0, 1])
    (row,) = judged(parts, *rows)
    assert row["labels"] == ["a", "b"]
    assert [candidate["concept"] for candidate in row["candidates"]] == ["a", "a or b", "b"]


@pytest.mark.parametrize(
    ("explains", "chance", "reason"),
    [
        (0.5, 0.001, None),
        (0.2, 0.001, None),
        (0.19, 0.001, "little"),
        (0.5, 0.9, "chance"),
        (0.1, 0.9, "chance"),  # that others explain as much comes before that it is little
    ],
)
def test_why_a_label_is_not_said(parts, explains, chance, reason):
    (row,) = judged(parts, score(0, 0, "a", 1.0), known=[explained(0, "a", explains, chance)], least=0.2)
    assert row["abstained"] == reason
    assert (row["label"], row["labels"]) == (("a", ["a"]) if reason is None else (None, []))


def test_an_idle_unit_is_withheld_as_idle_and_one_without_candidates_as_such(parts):
    known = [explained(1, "a", 0.1, 0.9), explained(3, "b", 0.1, 0.9), explained(0, "c", 0.1, 0.9)]
    rows = judged(parts, score(0, 0, "c", 1.0), score(1, 0, "a", 1.0), known=known, units=[0, 1, 2, 3], least=0.2)
    assert [row["abstained"] for row in rows] == ["chance", "dead", "constant", "chance"]
    alone = judged(parts, score(0, 0, "c", 1.0), known=known[2:], units=[0, 2, 3])
    assert [row["abstained"] for row in alone] == ["chance", "constant", "no_concept"]


def test_what_is_withheld_keeps_its_evidence(parts):
    rows = score(0, 0, "a", -1.5) | {"precision": 0.5, "drawn": 0.1}
    (row,) = judged(parts, rows, known=[explained(0, "a", 0.05)], least=0.1, verdict=VERDICT)
    assert (row["label"], row["labels"], row["abstained"]) == (None, [], "little")
    assert (row["score"], row["explains"]) == (-1.5, pytest.approx(0.05))
    assert 0 < row["confidence"] < 1
    assert [candidate["concept"] for candidate in row["candidates"]] == ["a"]
    assert row["captions"] == ["part", "whole"]


def test_labels_of_a_layer_are_told_apart_together(parts):
    """One of .04 alone is below the limit of .05; beside one of .6, it is above its own, which is .025."""
    alone = judged(parts, score(0, 0, "a", 1.0), known=[explained(0, "a", 0.5, 0.04)])
    rows = score(0, 0, "a", 1.0), score(3, 0, "b", 1.0)
    known = [explained(0, "a", 0.5, 0.04), explained(3, "b", 0.5, 0.6)]
    both = judged(parts, *rows, known=known, units=[0, 3])
    assert alone[0]["abstained"] is None
    assert [row["abstained"] for row in both] == ["chance", "chance"]
    # also where one of the two is not asked about
    assert judged(parts, *rows, known=known)[0]["abstained"] == "chance"


def test_files_say_what_tables_say(parts, tmp_path):
    known = tables.table([explained(0, "c", 0.5)], schemas.EXPLAINS)
    for name, table, schema in zip(
        ("topk", "exemplars", "captions", "explains"),
        (*parts[:3], known),
        (schemas.TOPK, schemas.EXEMPLARS, schemas.CAPTIONS, schemas.EXPLAINS),
        strict=True,
    ):
        tables.write(tmp_path / name, table, schema)
    (tmp_path / "verdict.json").write_text(VERDICT.model_dump_json())

    def of_files(explains, fitted):
        shown = [tmp_path / "exemplars"], [tmp_path / "captions"]
        return descriptions.of_files(FACTS, [0, 1], tmp_path / "topk", parts[3], *shown, explains, 0.1, fitted)

    assert of_files([tmp_path / "explains"], [tmp_path / "verdict.json"]) == descriptions.run(
        FACTS, [0, 1], *parts, known, 0.1, VERDICT
    )
    assert of_files([tmp_path / "explains"], [])["confidence"].to_pylist() == [None, None]
    assert of_files([], [tmp_path / "verdict.json"]) == descriptions.run(FACTS, [0, 1], *parts)


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


def test_nothing_that_a_rival_says_is_withheld(rival, tmp_path):
    known = [explained(0, "z", 0.02, 0.9), explained(4, "e", -0.1, 1.0)]
    tables.write(tmp_path / "explains.parquet", tables.table(known, schemas.EXPLAINS), schemas.EXPLAINS)
    told = [tmp_path / "explains.parquet"]
    rows = descriptions.of_rival(FACTS, [4, 3, 2, 0], *rival, shown=2, explains=told).to_pylist()
    assert [row["unit"] for row in rows] == [0, 2, 3, 4]
    assert [row["abstained"] for row in rows] == [None, "constant", None, None]
    assert [row["explains"] for row in rows] == [pytest.approx(0.02), None, None, pytest.approx(-0.1)]
    assert [row["confidence"] for row in rows] == [None] * 4
    assert [row["score"] for row in rows] == [pytest.approx(0.7), None, None, -2.5]


def test_csv_of_a_rival(rival, tmp_path):
    descriptions.write_csv(tmp_path / "d.csv", descriptions.of_rival(FACTS, [0, 3], *rival, shown=2))
    with (tmp_path / "d.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert (rows[0]["captions"], rows[0]["exemplars"]) == ("", "b.png | a.png")
    assert [row["candidates"] for row in rows] == ["z (0.700) | b (0.700) | c (0.900)", "d"]
