import json
from pathlib import Path

import pytest

from dnd import tables
from dnd.backends.llm import Answer
from dnd.concepts import (
    Candidate,
    PromptError,
    UnitCaptions,
    merge,
    messages,
    normalise,
    propose,
    read_prompt,
    seed,
    shuffles,
    without_stutter,
)
from dnd.settings import ConceptSettings

PROMPT = Path(__file__).parents[2] / "config/prompts/concept.yaml"


@pytest.mark.parametrize(
    ("answer", "concept"),
    [
        ("Red Stars", "red stars"),
        ("red stars.", "red stars"),
        ("Concept: red stars", "red stars"),
        ("The concept is:\n\nRed stars\n", "red stars"),
        ("red stars\nNote: most of them", "red stars"),
        ('"Red stars."', "red stars"),
        ("“red  stars”", "red stars"),
        ("**Red stars**", "red stars"),
        ("1. red stars", "red stars"),
        ("- red\tstars", "red stars"),
        ("<think>one two: three</think>red stars", "red stars"),
        ("<think>cut off", None),
        ("colourful, knitted fabric", "colourful, knitted fabric"),
        ("3d shapes", "3d shapes"),
        ("one two three four five", "one two three four five"),
        ("one two three four five six", None),
        ("", None),
        (" \n\t", None),
        ("Concept:", None),
        ("123.", None),
        ("red red red", None),
        ("red red stars", "red red stars"),
        ("red\x00\x1bstars", "red stars"),
    ],
)
def test_an_answer_becomes_a_concept_or_is_malformed(answer, concept):
    assert normalise(answer, max_words=5) == concept


def test_the_longest_concept_is_a_setting():
    assert normalise("a b c", max_words=2) is None
    assert normalise("a b", max_words=2) == "a b"


def test_a_caption_that_loops_is_said_once():
    assert without_stutter("a red red red red star") == "a red star"
    assert without_stutter("on the wall on the wall on the wall again") == "on the wall again"
    assert without_stutter("a red red star") == "a red red star"


def test_candidates_come_by_votes_then_first_seen_with_their_samples():
    given = ["stars", None, "red stars", "red stars", "circles"]
    assert merge(given) == [
        Candidate("red stars", 2, (2, 3)),
        Candidate("stars", 1, (0,)),
        Candidate("circles", 1, (4,)),
    ]
    assert merge([None, None]) == []


def test_orders_are_permutations_that_differ_between_samples_and_units():
    captions = [f"caption {i}" for i in range(10)]
    orders = shuffles(captions, 5, ["a", "b", 0])
    assert all(sorted(order) == list(range(10)) for order in orders)
    assert len({tuple(order) for order in orders}) == 5
    assert not {tuple(order) for order in orders} & {tuple(order) for order in shuffles(captions, 5, ["a", "b", 1])}
    assert orders[:2] == shuffles(captions, 2, ["a", "b", 0])


def test_orders_put_every_caption_first_about_equally_often():
    captions = list("abcde")
    firsts = [order[0] for unit in range(400) for order in shuffles(captions, 5, unit)]
    counts = [firsts.count(place) for place in range(5)]
    assert sum(counts) == 2000
    assert all(320 < count < 480 for count in counts)  # 400 expected, standard deviation 18


def test_seeds_follow_from_unit_captions_and_sample():
    base = seed(["x"], 0, ["n", "s", 1])
    assert base == seed(["x"], 0, ["n", "s", 1])
    others = [seed(["y"], 0, ["n", "s", 1]), seed(["x"], 1, ["n", "s", 1]), seed(["x"], 0, ["n", "s", 2])]
    assert len({base, *others}) == 4
    assert all(0 <= value < 2**31 for value in [base, *others])


def test_the_shipped_prompt_ends_with_the_captions_one_per_line():
    template = read_prompt(PROMPT)
    filled = messages(template, ["a red star", "two\nlines", "{{ captions }}"])
    assert [message["role"] for message in filled] == ["system", "user", "assistant", "user", "assistant", "user"]
    assert filled[-1]["content"] == "a red star\ntwo lines\n{{ captions }}"
    assert "red star" not in json.dumps(filled[:-1])
    for shot in filled[2:-1:2]:
        assert normalise(shot["content"]) == shot["content"]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("role: user", "list of messages"),
        ("- role: user\n  text: hello", "`role` and `content`"),
        ("- role: robot\n  content: '{{ captions }}'", "robot"),
        ("- role: user\n  content: nothing of them", "captions"),
        ("- role: user\n  content: '{{ captoins }}'", "captoins"),
        ("- role: user\n  content: '{{ captions'", "end of"),
        ("- role: user\n  content: [1", "not YAML"),
        ("- role: user\n  content: 3", "not text"),
    ],
)
def test_a_wrong_prompt_is_named_with_its_mistake(tmp_path, content, complaint):
    path = tmp_path / "prompt.yaml"
    path.write_text(content)
    with pytest.raises(PromptError) as error:
        read_prompt(path)
    assert str(path) in str(error.value)
    assert complaint in str(error.value)


class First:
    """Answers with the first caption shown; keeps what it was asked."""

    def __init__(self):
        self.requests = []

    def __call__(self, requests):
        self.requests += requests
        return [Answer(request.messages[-1]["content"].splitlines()[0]) for request in requests]


def settings(**values):
    return ConceptSettings(prompt=PROMPT, **values)


def test_both_tables_tell_where_a_concept_comes_from():
    captions = ["stars", "circles", "squares"]
    concepts, answers = propose([UnitCaptions("n", "s", 7, captions)], First(), settings(samples=4))
    assert concepts.schema == tables.CONCEPTS
    assert answers.schema == tables.ANSWERS
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
