"""Where candidates come from: groups of captions, further prompts, parts of answers, words."""

import json
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from dnd.backends.messages import Answer
from dnd.candidates.answers import alternatives
from dnd.candidates.concepts import propose
from dnd.candidates.questions import UnitCaptions
from dnd.candidates.votes import Candidate, Vote, joined, merge
from dnd.config.stages import ConceptSettings

PROMPTS = Path(__file__).parents[3] / "config/prompts"
UNIT = ("n", "s", 0)
CAPTIONS = ["red star", "blue ring", "red box", "blue disc", "red ring"]


def settings(**values):
    """Settings that ask about all captions together only, unless told."""
    plain = {"clusters": 1, "cluster_by": "meaning", "words": 0, "split": False}
    return ConceptSettings(**{"prompt": PROMPTS / "concept.yaml", **plain, **values})


def embed(texts):
    """Colours are directions; what has none is a third."""
    axes = [[text.startswith("red"), text.startswith("blue"), not text.startswith(("red", "blue"))] for text in texts]
    return np.array(axes, np.float32).reshape(-1, 3)


class Asked:
    """Answers by a function of the captions shown; keeps the requests."""

    def __init__(self, answer):
        self.answer, self.requests = answer, []

    def __call__(self, requests):
        self.requests += requests
        return [Answer(self.answer(request.messages)) for request in requests]


def lines(messages):
    return messages[-1]["content"].splitlines()


def colours(messages):
    found = {line.split()[0] for line in lines(messages)}
    return f"{found.pop()} things" if len(found) == 1 else "things"


def test_groups_of_captions_are_asked_about_alone():
    ask = Asked(colours)
    concepts, answers = propose([UnitCaptions(*UNIT, CAPTIONS)], ask, settings(samples=3, clusters=2), embed=embed)
    assert concepts.select(["concept", "votes", "samples", "source"]).to_pylist() == [
        {"concept": "things", "votes": 3, "samples": [0, 1, 2], "source": "captions"},
        {"concept": "red things", "votes": 1, "samples": [3], "source": "cluster"},
        {"concept": "blue things", "votes": 1, "samples": [4], "source": "cluster"},
    ]
    rows = answers.to_pylist()
    assert [(row["sample"], row["source"], row["cluster"]) for row in rows] == [
        *((sample, "captions", None) for sample in range(3)),
        (3, "cluster", 0),
        (4, "cluster", 1),
    ]
    assert [sorted(row["captions"]) for row in rows[3:]] == [[0, 2, 4], [1, 3]]
    for row in rows:
        assert lines(json.loads(row["prompt"])) == [CAPTIONS[rank] for rank in row["captions"]]


def test_groups_leave_the_other_questions_as_they_were():
    plain, grouped = Asked(colours), Asked(colours)
    propose([UnitCaptions(*UNIT, CAPTIONS)], plain, settings())
    both = settings(clusters=2, cluster_samples=2, prompts=[PROMPTS / "concept-general.yaml"])
    propose([UnitCaptions(*UNIT, CAPTIONS)], grouped, both, embed=embed)
    keys = [request.key("w") for request in grouped.requests]
    assert keys[:5] == [request.key("w") for request in plain.requests]
    assert len(set(keys)) == 5 + 4 + 1


def test_texts_are_embedded_before_anything_is_asked():
    done = []

    def ask(requests):
        done.append("ask")
        return [Answer("red things")] * len(requests)

    def vectors(texts):
        done.append(list(texts))
        return embed(texts)

    propose([UnitCaptions(*UNIT, CAPTIONS)], ask, settings(clusters=2), embed=vectors)
    assert done == [sorted(CAPTIONS), "ask"]


def test_shards_change_no_group_or_prompt():
    how = settings(clusters=2, prompts=[PROMPTS / "concept-specific.yaml"])
    units = [UnitCaptions("n", "s", i, [f"{line} {i}" for line in CAPTIONS[i:]]) for i in range(3)]
    whole = propose(units, Asked(colours), how, embed=embed)
    for part in (0, 1):
        alone = [propose([unit], Asked(colours), how, embed=embed)[part] for unit in units]
        assert [row for one in alone for row in one.to_pylist()] == whole[part].to_pylist()


def test_further_prompts_name_the_source_of_what_only_they_found():
    def answer(messages):
        system = messages[0]["content"]
        return "red rings" if "most specific" in system else "colours" if "general" in system else "rings"

    how = settings(
        samples=2,
        further_samples=2,
        prompts=[PROMPTS / "concept-specific.yaml", PROMPTS / "concept-general.yaml"],
    )
    concepts, answers = propose([UnitCaptions(*UNIT, CAPTIONS)], Asked(answer), how)
    found = [(row["concept"], row["votes"], row["source"]) for row in concepts.to_pylist()]
    assert found == [("rings", 2, "captions"), ("red rings", 2, "specific"), ("colours", 2, "general")]
    assert answers["source"].to_pylist() == ["captions"] * 2 + ["specific"] * 2 + ["general"] * 2
    orders = [tuple(row) for row in answers["captions"].to_pylist()]
    assert len(set(orders)) > 3


def test_of_several_sources_the_first_counts():
    votes = [Vote(0, "a", "general"), Vote(1, "a", "cluster"), Vote(2, "b", "general")]
    assert [one.source for one in merge(votes)] == ["cluster", "general"]
    assert merge([Vote(0, "a", "cluster"), Vote(1, "a", "captions")])[0].source == "captions"


@pytest.mark.parametrize(
    ("concept", "parts"),
    [
        ("red stars or blue rings", ["red stars", "blue rings"]),
        ("either cats, dogs, or birds", ["cats, dogs", "birds"]),
        ("red or red", ["red"]),
        ("1 or cats", ["cats"]),
        ("corn or indoor floors", ["corn", "indoor floors"]),
        ("colourful corridors", ["colourful corridors"]),
        ("or", ["or"]),
        ("(red or blue) and star", ["(red or blue) and star"]),
    ],
)
def test_parts_of_an_answer(concept, parts):
    assert alternatives(concept) == parts


def test_parts_of_answers_are_the_candidates_and_have_the_answer_s_vote():
    replies = ["Red stars or blue rings.", "blue rings", "one two three four five six or cats", "a b c d e f"]
    answer = [Answer(text) for text in replies]
    concepts, answers = propose([UnitCaptions(*UNIT, CAPTIONS)], lambda _: answer, settings(samples=4, split=True))
    assert [(row["concept"], row["votes"], row["samples"]) for row in concepts.to_pylist()] == [
        ("blue rings", 2, [0, 1]),
        ("red stars", 1, [0]),
        ("cats", 1, [2]),
    ]
    joint = "one two three four five six or cats"
    assert answers["concept"].to_pylist() == ["red stars or blue rings", "blue rings", joint, None]
    assert answers["problem"].to_pylist() == [None, None, None, "6 words, more than 5"]
    whole, _ = propose([UnitCaptions(*UNIT, CAPTIONS)], lambda _: answer, settings(samples=4))
    assert whole["concept"].to_pylist() == ["red stars or blue rings", "blue rings"]


def test_concepts_from_elsewhere_join_without_votes():
    found = joined([Candidate("red", 1, (0,))], ["Red", "Blue  Rings", "!!", "la la la"], "words")
    assert found == [Candidate("red", 1, (0,)), Candidate("blue rings", 0, (), "words")]


def test_words_that_it_takes_to_cover_the_captions_are_candidates_without_votes():
    lines = ["a purple star", "purple dots", "a purple ring", "a green ring", "green stars", "a green cross"]
    concepts, _ = propose([UnitCaptions(*UNIT, lines)], Asked(lambda _: "cool colours"), settings(samples=1, words=3))
    assert [(row["concept"], row["votes"], row["source"]) for row in concepts.to_pylist()] == [
        ("cool colours", 1, "captions"),
        ("green", 0, "words"),
        ("purple", 0, "words"),
    ]
    asked = Asked(lambda messages: "green" if "purple" not in str(messages) else "purple things")
    how = settings(samples=1, clusters=3, cluster_by="words")
    concepts, answers = propose([UnitCaptions(*UNIT, lines)], asked, how)  # no vectors are needed
    assert [sorted(ranks) for ranks in answers["captions"].to_pylist()[1:]] == [[3, 4, 5], [0, 1, 2]]
    assert concepts["concept"].to_pylist() == ["purple things", "green"]


def test_prompts_that_would_be_one_source_are_refused():
    with pytest.raises(ValidationError, match="their names must differ"):
        settings(prompts=["a/concept-general.yaml", "b/general.yaml"])
    with pytest.raises(ValidationError, match="their names must differ"):
        settings(prompts=["concept-cluster.yaml"])
    with pytest.raises(ValidationError, match="`prompts` needs captions"):
        ConceptSettings(show_images=True, prompts=["concept-general.yaml"])
