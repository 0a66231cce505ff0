"""Known answers: read by layer and unit, and mistakes in their files named."""

import json

import numpy as np
import pytest

from dnd.shapeworld import known_answers
from dnd.shapeworld.known_answers import KnownAnswersError
from dnd.shapeworld.world import conjunction

GOOD = {"unit": 0, "kind": "single", "words": [["red"]], "label": "red objects"}


@pytest.mark.parametrize("wrap", [lambda layers: layers, lambda layers: {"layers": layers}])
def test_known_answers_are_read_by_layer_and_unit(tmp_path, wrap):
    path = tmp_path / "units.json"
    path.write_text(json.dumps(wrap({"fc": [GOOD | {"unit": 7, "words": [["red"], ["star"]]}]})))
    answer = known_answers.load(path)["fc"][7]
    assert answer.words == (("red",), ("star",))
    assert np.array_equal(answer.extension, conjunction(["red"]) | conjunction(["star"]))


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
        (json.dumps({"fc": [GOOD, {"unit": 1}]}), "layer fc, entry 1: expected unit, kind"),
        (json.dumps({"fc": [GOOD | {"unit": True}]}), "layer fc, entry 0: expected unit, kind"),
        (json.dumps({"fc": [GOOD | {"unit": -1}]}), "layer fc, entry 0: expected unit, kind"),
        (json.dumps({"fc": [GOOD | {"label": 3}]}), "layer fc, entry 0: expected unit, kind"),
        (json.dumps({"fc": [GOOD | {"words": ["red"]}]}), "layer fc, entry 0: expected unit, kind"),
        (json.dumps({"fc": [GOOD, GOOD]}), "layer fc: unit 0 is listed twice"),
        (json.dumps({"fc": [GOOD | {"words": [["mauve"]]}]}), "unit 0: the world has no word"),
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
    assert known_answers.load(path)["fc"][0].extension is None
