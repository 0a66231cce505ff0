import json
from pathlib import Path

import pyarrow as pa
import pytest

from dnd.backends.messages import Answer, picture_names
from dnd.candidates.concepts import propose, unit_captions, unit_images
from dnd.candidates.questions import CONCEPT_FORMAT, UnitCaptions, UnitImages
from dnd.candidates.votes import Candidate, Vote, merge
from dnd.config.stages import ConceptSettings
from dnd.io import schemas

PROMPTS = Path(__file__).parents[3] / "config/prompts"


def test_candidates_come_by_votes_then_first_seen_with_their_samples():
    given = [Vote(0, "stars"), Vote(2, "red stars"), Vote(3, "red stars"), Vote(4, "circles")]
    assert merge(given) == [
        Candidate("red stars", 2, (2, 3)),
        Candidate("stars", 1, (0,)),
        Candidate("circles", 1, (4,)),
    ]
    assert merge([]) == []


class First:
    """Answers with the first caption shown; keeps what it was asked."""

    def __init__(self):
        self.requests = []

    def __call__(self, requests):
        self.requests += requests
        return [Answer(request.messages[-1]["content"].splitlines()[0]) for request in requests]


def settings(**values):
    name = "concept-images.yaml" if values.get("show_images") else "concept.yaml"
    return ConceptSettings(prompt=PROMPTS / name, **values)


def test_both_tables_tell_where_a_concept_comes_from():
    captions = ["stars", "circles", "squares"]
    concepts, answers = propose([UnitCaptions("n", "s", 7, captions)], First(), settings(samples=4))
    assert concepts.schema == schemas.CONCEPTS
    assert answers.schema == schemas.ANSWERS
    rows = answers.to_pylist()
    assert [row["sample"] for row in rows] == [0, 1, 2, 3]
    for row in rows:
        shown = json.loads(row["prompt"])[-1]["content"].splitlines()
        assert shown == [captions[rank] for rank in row["captions"]]
        assert row["answer"] == row["concept"] == shown[0]
        assert row["problem"] is None
    found = concepts.to_pylist()
    assert sum(row["votes"] for row in found) == 4
    assert [row["candidate"] for row in found] == list(range(len(found)))
    assert [row["votes"] for row in found] == sorted((row["votes"] for row in found), reverse=True)
    for row in found:
        assert row["samples"] == [i for i, answer in enumerate(rows) if answer["concept"] == row["concept"]]
        assert (row["name"], row["slug"], row["unit"]) == ("n", "s", 7)


def test_requests_carry_the_settings_and_a_seed_of_their_own():
    ask = First()
    propose([UnitCaptions("n", "s", 0, ["a b", "c d"])], ask, settings(samples=3, temperature=0.7, max_tokens=9))
    assert [(request.temperature, request.max_tokens) for request in ask.requests] == [(0.7, 9)] * 3
    assert len({request.seed for request in ask.requests}) == 3


def test_shards_and_the_order_of_units_change_nothing():
    units = [UnitCaptions("n", "s", i, [f"thing {i} {j}" for j in range(6)]) for i in range(4)]
    whole = propose(units, First(), settings())
    for part in (0, 1):
        parts = [propose([unit], First(), settings())[part] for unit in units[::-1]]
        rows = sorted((row for one in parts for row in one.to_pylist()), key=lambda row: row["unit"])
        assert rows == whole[part].to_pylist()


def test_failed_and_malformed_answers_are_recorded_and_give_no_vote():
    replies = [
        Answer(None, "APITimeoutError: slow"),
        Answer("one two three four five six"),
        Answer("red st", "cut off"),
        Answer("Stars."),
    ]
    concepts, answers = propose([UnitCaptions("n", "s", 0, ["x", "y"])], lambda _: replies, settings(samples=4))
    got = [(row["answer"], row["concept"], row["problem"]) for row in answers.to_pylist()]
    assert got == [
        (None, None, "APITimeoutError: slow"),
        ("one two three four five six", None, "6 words, more than 5"),
        ("red st", None, "cut off"),
        ("Stars.", "stars", None),
    ]
    assert [(row["concept"], row["votes"], row["samples"]) for row in concepts.to_pylist()] == [("stars", 1, [3])]


def test_empty_captions_are_left_out_and_ranks_stay():
    ask = First()
    _, answers = propose([UnitCaptions("n", "s", 0, ["", "x x x y", "z"])], ask, settings(samples=1))
    assert sorted(answers["captions"][0].as_py()) == [1, 2]
    assert sorted(ask.requests[0].messages[-1]["content"].splitlines()) == ["x y", "z"]


def test_a_unit_without_captions_is_not_asked_about():
    ask = First()
    concepts, answers = propose(
        [UnitCaptions("n", "s", 0, []), UnitCaptions("n", "s", 1, ["x"])], ask, settings(samples=2)
    )
    assert len(ask.requests) == 2
    assert answers["unit"].to_pylist() == [1, 1]
    assert concepts["unit"].to_pylist() == [1]


def test_structured_questions_show_their_examples_in_the_form_they_ask_for():
    ask = First()
    propose([UnitCaptions("n", "s", 0, ["a b", "c d"])], ask, settings(samples=1, structured=True, max_tokens=24))
    plain = First()
    propose([UnitCaptions("n", "s", 0, ["a b", "c d"])], plain, settings(samples=1, max_tokens=24))
    asked, before = ask.requests[0], plain.requests[0]
    assert asked.response_format == CONCEPT_FORMAT
    assert before.response_format is None
    assert asked.max_tokens > before.max_tokens == 24  # the form takes some
    for message, other in zip(asked.messages, before.messages, strict=True):
        if message["role"] == "assistant":
            assert json.loads(message["content"]) == {"concept": other["content"]}
        else:
            assert message == other
    assert asked.key("w") != before.key("w")


@pytest.mark.parametrize("answer", ['{"concept": "Red Stars"}', "red stars", '```json\n{"concept": "red stars"}\n```'])
def test_a_structured_answer_counts_whether_or_not_the_server_kept_to_the_form(answer):
    units = [UnitCaptions("n", "s", 0, ["x", "y"])]
    concepts, answers = propose(units, lambda _: [Answer(answer)], settings(samples=1, structured=True))
    assert concepts["concept"].to_pylist() == ["red stars"]
    assert answers["answer"].to_pylist() == [answer]


def exemplars(*places):
    rows = [
        {"unit": 3, "rank": rank, "image_id": name, "box": box, "activation": 1.0, "heatmap": None, "heatmap_box": None}
        for rank, (name, box) in reversed(list(enumerate(places)))
    ]
    return pa.Table.from_pylist(rows, schema=schemas.EXEMPLARS)


def test_captions_and_pictures_come_in_the_order_of_ranks():
    table = exemplars(("b", None), ("a", [0, 0, 4, 4]), ("b", [1, 1, 2, 2]))
    captions = pa.Table.from_pylist(
        [
            {"image_id": "a", "box": [0, 0, 4, 4], "caption": "part of a"},
            {"image_id": "b", "box": None, "caption": "b"},
            {"image_id": "b", "box": [1, 1, 2, 2], "caption": "part of b"},
        ],
        schema=schemas.CAPTIONS,
    )
    assert unit_captions("n", "s", table, captions) == [UnitCaptions("n", "s", 3, ["b", "part of a", "part of b"])]
    names = {("b", None): "B", ("a", (0, 0, 4, 4)): "A1", ("b", (1, 1, 2, 2)): "B1"}
    assert unit_images("n", "s", table, names) == [UnitImages("n", "s", 3, ["B", "A1", "B1"])]


class Looker:
    """Answers with the first picture's bytes, which only the function that shows pictures has."""

    def __init__(self):
        self.requests = []

    def __call__(self, requests):
        self.requests += requests
        return [Answer(request.pictures(picture_names(request.messages[-1])[0])) for request in requests]


def test_pictures_go_to_the_model_in_shuffled_orders_and_their_names_into_the_table():
    ask, names = Looker(), [f"image sha256:{rank:064x}" for rank in range(12)]
    unit = UnitImages("n", "s", 3, names)
    concepts, answers = propose(
        [unit], ask, settings(samples=4, show_images=True), show=lambda name: f"thing {int(name[-2:], 16)}"
    )
    assert ask.requests[0].temperature == 0.3
    orders = set()
    for request, row in zip(ask.requests, answers.to_pylist(), strict=True):
        shown = picture_names(request.messages[-1])
        assert shown == [names[rank] for rank in row["captions"]]
        assert sorted(row["captions"]) == list(range(10))  # the best ten
        assert json.loads(row["prompt"]) == request.messages
        assert len(row["prompt"]) < 3000
        assert row["concept"] == f"thing {row['captions'][0]}"
        orders.add(tuple(row["captions"]))
    assert len(orders) == 4
    assert sum(concepts["votes"].to_pylist()) == 4
    again, _ = propose(
        [unit], Looker(), settings(samples=4, show_images=True), show=lambda name: f"thing {int(name[-2:], 16)}"
    )
    assert again == concepts


def test_a_unit_without_pictures_is_not_asked_about():
    ask = Looker()
    propose([UnitImages("n", "s", 0, [])], ask, settings(show_images=True))
    assert ask.requests == []
