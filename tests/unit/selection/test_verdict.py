"""How sure a label is: features, probabilities, and the file that says what they hold for."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import yaml

from dnd.config.load import ConfigError
from dnd.config.recipes import Recipe
from dnd.run import contents
from dnd.selection import verdict
from dnd.selection.verdict import FEATURES, Verdict

ROOT = Path(__file__).parents[3]
VALUES = {
    "weights": {"explains": 1.0, "precision": 0.5, "drawn": 2.0, "margin": 3.0, "joined": -0.25},
    "intercept": -1.0,
    "settings": {},
    "fitted_on": {"networks": ["a"]},
}
RECIPE = {"captions": {"model": "c"}, "generator": {"model": "g"}, "embedder": {"model": "e"}}


def judge(**values):
    return Verdict(**VALUES | values)


def test_features_by_hand():
    found = verdict.features(0.5, 0.8, -0.3, [1.5, 1.1, 0.2], 2)
    assert found == pytest.approx((math.log(0.5), math.log(0.8), -0.3, 0.4, 1))


def test_what_explains_next_to_nothing_is_not_told_apart():
    assert verdict.features(-0.7, 0, 0.1, [0, -1], 1) == verdict.features(0.02, 0.001, 0.1, [0, -1], 1)
    assert verdict.features(-0.7, 0, 0.1, [0, -1], 1)[0] == pytest.approx(math.log(0.02))


def test_a_lone_candidate_leads_by_as_much_as_counts():
    assert verdict.features(1, 1, 0, [0.5], 1) == (0, 0, 0, 1, 0)
    assert verdict.features(1, 1, 0, [5.0, 0.5], 1) == (0, 0, 0, 1, 0)


def test_confidence_is_the_probability_of_the_weighted_sum():
    odds = -1 + 1.0 * -0.5 + 0.5 * -0.2 + 2.0 * 0.1 + 3.0 * 0.3 - 0.25 * 1
    assert judge().confidence((-0.5, -0.2, 0.1, 0.3, 1)) == pytest.approx(1 / (1 + math.exp(-odds)))


def test_a_label_that_explains_more_is_surer():
    found = [judge().confidence(verdict.features(share, 0.5, 0, [0, -1], 1)) for share in np.linspace(0.02, 1, 50)]
    assert found == sorted(found)
    assert 0 < found[0] < found[-1] < 1


def recipe(**parts):
    return Recipe(**RECIPE | parts)


def test_a_file_holds_for_recipes_like_the_one_it_was_fitted_on():
    fitted = judge(settings=json.loads(json.dumps(verdict.settings_of(recipe()))))
    assert verdict.differences(fitted, recipe()) is None
    assert verdict.differences(fitted, recipe(scores={"least_explains": 0.3})) is None  # it judges what is said
    assert verdict.differences(fitted, recipe(captions={"model": "other"})) is None


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"pooling": "max"}, "pooling 'max' instead of 'mean'"),
        ({"controls": 50}, "controls 50 instead of 10000"),
        ({"embedder": {"model": "f"}}, "embedder 'f' instead of 'e'"),
        ({"scores": {"join": 3, "borrow": 0}}, "join 3 instead of 2, borrow 0 instead of 5"),
        (
            {"embedder": {"model": "e", "scale": 2, "bias": -1}},
            "scale 2.0 instead of None, bias -1.0 instead of None",
        ),
    ],
)
def test_the_settings_that_differ_are_named(parts, words):
    fitted = judge(settings=verdict.settings_of(recipe()))
    assert verdict.differences(fitted, recipe(**parts)) == words


def test_a_file_holds_wherever_the_embedder_lies_and_for_a_revision_that_is_pinned_later():
    fitted = judge(settings=verdict.settings_of(recipe(embedder={"model": "models/clip"})))
    pinned = {"model": "/elsewhere/models/clip", "revision": "0" * 40}
    assert verdict.differences(fitted, recipe(embedder=pinned)) is None
    assert verdict.differences(fitted, recipe(embedder={"model": "models/other"})) is not None


def test_a_file_says_what_was_fitted(tmp_path):
    path = tmp_path / "verdict.json"
    path.write_text(json.dumps(VALUES))
    assert verdict.load(path) == judge()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weights": {"beauty": 1.0}}, "weights: .*a weight for each of .'explains', 'precision'"),
        ({"weights": dict.fromkeys((*FEATURES, "beauty"), 1.0)}, "weights: .*a weight for each of"),
        ({"intercept": "high"}, "intercept: .*valid number"),
        ({"slope": 1.0}, "slope: .*not permitted"),
    ],
)
def test_a_malformed_file_is_named_with_what_is_wrong(tmp_path, change, message):
    path = tmp_path / "verdict.json"
    path.write_text(json.dumps(VALUES | change))
    with pytest.raises(ValueError, match=rf"verdict\.json: .*{message}") as raised:
        verdict.load(path)
    assert "\n" not in str(raised.value)


def test_a_file_without_a_key_is_named_with_it(tmp_path):
    path = tmp_path / "verdict.json"
    path.write_text(json.dumps({key: value for key, value in VALUES.items() if key != "settings"}))
    with pytest.raises(ValueError, match=r"verdict\.json: settings: Field required"):
        verdict.load(path)


def test_a_file_that_is_no_json_is_named(tmp_path):
    path = tmp_path / "verdict.json"
    path.write_text("{")
    with pytest.raises(ValueError, match=r"verdict\.json, line 1: no JSON"):
        verdict.load(path)


def test_the_configuration_refuses_a_malformed_file_before_any_job(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    values = yaml.safe_load(Path("config/config.yaml").read_text())
    name, recipe = next(iter(values["recipes"].items()))
    path = tmp_path / "verdict.json"
    recipe["scores"] = {"verdict": str(path)}
    with pytest.raises(ConfigError, match=rf"recipes\.{name}\.scores\.verdict: .* does not exist"):
        contents.load(values)
    path.write_text(json.dumps(VALUES | {"intercept": "high"}))
    with pytest.raises(ConfigError, match=rf"recipes\.{name}\.scores\.verdict: .*intercept"):
        contents.load(values)
    settings = verdict.settings_of(Recipe(**recipe | {"scores": {}}))
    path.write_text(json.dumps(VALUES | {"settings": settings | {"borrow": 9}}))
    with pytest.raises(ConfigError, match=rf"recipes\.{name}\.scores\.verdict: .*borrow 5 instead of 9"):
        contents.load(values)
    path.write_text(json.dumps(VALUES | {"settings": settings}))
    assert contents.load(values).recipes[name].scores.verdict == path


def test_the_shipped_file_is_surer_of_a_good_label_than_of_a_bad_one():
    shipped = verdict.load(ROOT / "config/verdict.json")
    good = shipped.confidence(verdict.features(0.95, 1.0, 0.9, [0.2, -0.8], 1))
    bad = shipped.confidence(verdict.features(0.05, 0.05, 0.0, [-6.0, -6.0], 1))
    assert good > 0.5 > bad
