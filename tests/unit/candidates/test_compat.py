"""The released driver's way from captions to candidates, each step on and off."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from dnd.backends.messages import Answer
from dnd.candidates.concepts import propose
from dnd.candidates.prompts import messages, read_prompt
from dnd.candidates.questions import UnitCaptions, UnitImages
from dnd.candidates.votes import Candidate, Vote, merge, with_backgrounds
from dnd.config.stages import ConceptSettings

PROMPTS = Path(__file__).parents[3] / "config/prompts"
SHORTER, AGAIN = PROMPTS / "compat-simplify.yaml", PROMPTS / "compat-again.yaml"


def settings(**values):
    return ConceptSettings(**{"prompt": PROMPTS / "concept.yaml", "samples": 1, **values})


def unit(*captions):
    return UnitCaptions("n", "s", 7, list(captions))


class Model:
    """Answers by what the last message holds; keeps what it was asked."""

    def __init__(self, *replies):
        self.replies = iter(replies)
        self.asked = []

    def __call__(self, requests):
        self.asked.append([request.messages[-1]["content"] for request in requests])
        return [Answer(next(self.replies)) for _ in requests]


def test_repetitions_of_the_last_caption_are_glued_on():
    def line(*captions):
        return messages(read_prompt(PROMPTS / "compat-concept.yaml"), captions)[-1]["content"].rpartition(": ")[2]

    assert line("a cat", "a dog", "a bird") == "a cat, a dog, a bird"
    assert line("a cat", "a bird", "a bird") == "a cat, a birda bird"
    assert line("a bird", "a cat", "a bird") == "a birda cat, a bird"


def test_captions_that_repeat_themselves_survive():
    said = "red red red red box"
    for clean, expected in ((True, "red box"), (False, said)):
        model = Model("x")
        propose([unit(said)], model, settings(clean_captions=clean))
        assert model.asked == [[expected]]


def test_blank_captions_are_left_out_either_way():
    model = Model("x")
    propose([unit(" ", "a cat")], model, settings(clean_captions=False))
    assert model.asked == [["a cat"]]


def test_the_first_question_may_have_the_captions_best_first():
    captions = [f"caption {i}" for i in range(8)]
    model, other = Model("x", "x", "x"), Model("x", "x", "x")
    propose([unit(*captions)], model, settings(samples=3, best_first=True))
    propose([unit(*captions)], other, settings(samples=3))
    assert model.asked[0][0].splitlines() == captions != other.asked[0][0].splitlines()
    assert model.asked[0][1:] == other.asked[0][1:]


def test_captions_are_shortened_one_by_one_and_equal_ones_once():
    model = Model("Cat", " A dog\n", "cats and dogs", "cats")
    units = [unit("a cat on a mat", "a dog", "a cat on a mat"), UnitCaptions("n", "s", 8, ["a dog"])]
    _, answers = propose(units, model, settings(simplify=SHORTER))
    shorten, summarise = model.asked
    assert [one.rpartition(": ")[2] for one in shorten] == ["a cat on a mat", "a dog"]
    assert sorted(summarise[0].splitlines()) == ["A dog", "Cat", "Cat"]
    assert summarise[1] == "A dog"
    assert sorted(answers["captions"][0].as_py()) == [0, 1, 2]


def test_a_caption_that_cannot_be_shortened_stays():
    model = Model("", None, "x")
    propose([unit("a cat", "a dog")], model, settings(simplify=SHORTER))
    assert sorted(model.asked[1][0].splitlines()) == ["a cat", "a dog"]


def test_how_a_caption_is_shortened_does_not_depend_on_the_other_units():
    seeds = []

    def ask(requests):
        seeds.append({request.messages[-1]["content"]: request.seed for request in requests})
        return [Answer("x") for _ in requests]

    propose([unit("a cat", "a dog")], ask, settings(simplify=SHORTER))
    propose([UnitCaptions("m", "t", 1, ["a dog"])], ask, settings(simplify=SHORTER))
    assert seeds[2].items() <= seeds[0].items()


def test_pictures_cannot_be_shortened():
    with pytest.raises(ValidationError, match="`simplify` shortens captions"):
        ConceptSettings(show_images=True, simplify=SHORTER)


def test_an_answer_with_commas_is_sent_back_once():
    model = Model("Label: red, round, red", "shiny", "red, things")
    found, answers = propose([unit("a", "b")], model, settings(samples=2, again=AGAIN, clean_answers=False))
    assert len(model.asked) == 2  # an answer to this question may hold commas again
    assert [one.rpartition(": ")[2] for one in model.asked[1]] == ["red, round, red"]
    assert answers["answer"].to_pylist() == ["red, things", "shiny"]
    assert "round" in answers["prompt"][0].as_py()
    assert found["concept"].to_pylist() == ["red, things", "shiny"]


def test_a_comma_stays_by_default():
    model = Model("red, round")
    found, _ = propose([unit("a", "b")], model, settings())
    assert len(model.asked) == 1
    assert found["concept"].to_pylist() == ["red, round"]


@pytest.mark.parametrize(
    ("answer", "clean", "raw"),
    [
        ("Concept: Red Things.", "red things", "red things"),
        ('"Red things"', "red things", '"red things"'),
        ("1. red things", "red things", "1. red things"),
        ("one two three four five six", None, "one two three four five six"),
        ("red red red", None, "red red red"),
        ("", None, None),
    ],
)
def test_answers_are_hardly_read(answer, clean, raw):
    for concept, values in ((clean, {}), (raw, {"clean_answers": False, "max_words": None})):
        found, _ = propose([unit("a")], Model(answer), settings(**values))
        assert found["concept"].to_pylist() == ([] if concept is None else [concept])


def test_the_length_rule_is_a_switch_of_its_own():
    long = "one two three four five six"
    for values, problem in (
        ({"max_words": None}, None),
        ({"clean_answers": False}, "6 words, more than 5"),
        ({"clean_answers": False, "max_words": 6}, None),
    ):
        _, answers = propose([unit("a")], Model(long), settings(**values))
        assert answers["problem"].to_pylist() == [problem]


def test_ten_candidates_of_five_answers():
    answers = [f"{colour} design" for colour in ("red", "blue", "green", "grey", "pink")]
    found, _ = propose([unit("a", "b")], Model(*answers), settings(samples=5, backgrounds="undotted"))
    rows = found.to_pylist()
    assert [row["concept"] for row in rows] == answers + [f"{one} background" for one in answers]
    assert [row["votes"] for row in rows] == [1] * 5 + [0] * 5
    assert [row["samples"] for row in rows] == [[i] for i in range(5)] * 2
    assert [row["candidate"] for row in rows] == list(range(10))


def test_backgrounds_come_once_and_not_where_an_answer_has_them():
    answers = ["Red design.", "red design", "red design background", "blue design."]
    agreed = merge(map(Vote, range(4), ["red design", "red design", "red design background", "blue design"]))
    assert with_backgrounds(agreed, answers, "none") == agreed
    assert with_backgrounds(agreed, answers, "undotted") == agreed
    assert with_backgrounds(agreed, answers, "all") == [*agreed, Candidate("blue design background", 0, (3,))]


def test_pictures_go_with_the_other_switches():
    shown = [UnitImages("n", "s", 7, ["a", "b"])]
    asked = settings(
        show_images=True, prompt=PROMPTS / "concept-images.yaml", again=AGAIN, clean_captions=False, best_first=True
    )
    model = Model("red, round", "red")
    found, _ = propose(shown, model, asked, show=lambda name: "data:,")
    assert found["concept"].to_pylist() == ["red"]
    assert model.asked[1][0].endswith(": red, round")
