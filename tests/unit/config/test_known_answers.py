"""Known answers: read by layer and unit, and mistakes in their files named."""

import json
from pathlib import Path

import numpy as np
import pytest

from dnd.config import known_answers
from dnd.config.known_answers import KnownAnswer, KnownAnswersError
from dnd.shapeworld import world
from dnd.shapeworld.world import conjunction

GOOD = {"unit": 0, "kind": "single", "words": [["red"]], "label": "red objects"}
TENCH = {"unit": 3, "label": "tench", "synonyms": ["Tinca tinca"]}


@pytest.mark.parametrize("wrap", [lambda layers: layers, lambda layers: {"layers": layers}])
def test_known_answers_are_read_by_layer_and_unit(tmp_path, wrap):
    path = tmp_path / "units.json"
    path.write_text(json.dumps(wrap({"fc": [GOOD | {"unit": 7, "words": [["red"], ["star"]]}]})))
    answer = known_answers.load(path)["fc"][7]
    assert answer.words == (("red",), ("star",))
    assert np.array_equal(world.extension(answer), conjunction(["red"]) | conjunction(["star"]))


def test_an_answer_by_text_has_a_label_and_may_have_synonyms(tmp_path):
    path = tmp_path / "units.json"
    path.write_text(json.dumps({"fc": [TENCH, {"unit": 4, "label": "bird", "kind": "rough"}]}))
    assert known_answers.load(path)["fc"] == {
        3: KnownAnswer(3, "named", None, "tench", ("Tinca tinca",)),
        4: KnownAnswer(4, "rough", None, "bird"),
    }


def test_class_names_are_answers_of_layers_that_have_none(tmp_path):
    Path(tmp_path, "units.json").write_text(json.dumps({"fc": [TENCH]}))
    Path(tmp_path, "classes.txt").write_text("tench, Tinca tinca\n\ngreat white shark\n")
    classes = dict.fromkeys(("fc", "head"), tmp_path / "classes.txt")
    answers = known_answers.of_network(tmp_path / "units.json", classes)
    assert answers["fc"].keys() == {3}
    assert answers["head"] == {
        0: KnownAnswer(0, "class", None, "tench", ("Tinca tinca",)),
        2: KnownAnswer(2, "class", None, "great white shark"),
    }


def test_a_known_answer_can_be_written(tmp_path):
    path = tmp_path / "units.json"
    path.write_text(json.dumps({"fc": [GOOD | {"label": "red \ud801", "kind": "\udc01single"}]}))
    answer = known_answers.load(path)["fc"][0]
    assert (answer.label, answer.kind) == ("red ?", "?single")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "no JSON"),
        ("[]", "expected layer names"),
        ('{"fc": 3}', "expected layer names"),
        (json.dumps({"fc": [GOOD, {"unit": 1}]}), "layer fc, entry 1: expected unit, label"),
        (json.dumps({"fc": [GOOD | {"unit": True}]}), "layer fc, entry 0: expected unit, label"),
        (json.dumps({"fc": [GOOD | {"unit": -1}]}), "layer fc, entry 0: expected unit, label"),
        (json.dumps({"fc": [GOOD | {"label": 3}]}), "layer fc, entry 0: expected unit, label"),
        (json.dumps({"fc": [GOOD | {"words": ["red"]}]}), "layer fc, entry 0: expected unit, label"),
        (json.dumps({"fc": [GOOD, GOOD]}), "layer fc: unit 0 is listed twice"),
        (json.dumps({"fc": [{"unit": 0, "label": " "}]}), "layer fc, entry 0: expected unit, label"),
        (json.dumps({"fc": [TENCH | {"synonyms": "Tinca tinca"}]}), "layer fc, entry 0: expected unit, label"),
        (json.dumps({"fc": [TENCH | {"words": []}]}), "layer fc, entry 0: expected unit, label"),
    ],
)
def test_mistakes_in_known_answers_are_named(tmp_path, content, message):
    path = tmp_path / "units.json"
    path.write_text(content)
    with pytest.raises(KnownAnswersError, match=message) as error:
        known_answers.load(path)
    assert str(path) in str(error.value)


def test_a_unit_with_nothing_to_name_holds_nowhere(tmp_path):
    path = tmp_path / "units.json"
    path.write_text(json.dumps({"fc": [GOOD | {"words": [], "kind": "dead"}]}))
    answer = known_answers.load(path)["fc"][0]
    assert not answer.nameable
    assert world.extension(answer) is None
