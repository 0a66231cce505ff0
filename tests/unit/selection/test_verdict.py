"""The fitted judgement: its file, its probabilities, its silence."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import yaml

from dnd.config.load import ConfigError
from dnd.run import contents
from dnd.selection import verdict
from dnd.selection.verdict import COMPONENTS, Verdict

ROOT = Path(__file__).parents[3]
VALUES = {
    "weights": {"auc": 2.0, "fit": 1.0},
    "intercept": -1.0,
    "slope": 2.0,
    "bimodality": 4.0,
    "offset": -3.0,
    "least_confidence": 0.4,
    "least_bimodality": 0.7,
    "fitted_on": {"networks": ["a"]},
}


def judge(**values):
    return Verdict(**VALUES | values)


def test_log_odds_are_the_weighted_sum():
    assert judge().log_odds({"auc": 0.5, "fit": 0.3, "gap": 9.0}) == pytest.approx(-1 + 2 * 0.5 + 0.3)


@pytest.mark.parametrize(("odds", "expected"), [(0.5, 0.5), (0.0, 1 / (1 + math.e)), (1.5, 1 / (1 + math.e**-2))])
def test_confidence_is_the_calibrated_probability(odds, expected):
    assert judge().confidence(odds, 0.5) == pytest.approx(expected)


def test_of_a_unit_that_answers_by_yes_and_no_a_label_is_more_likely_right():
    assert judge().confidence(0.5, 0.75) == pytest.approx(1 / (1 + math.e**-1))
    assert judge(bimodality=0.0).confidence(0.5, 0.75) == judge(bimodality=0.0).confidence(0.5, 0.1)


def test_confidence_never_falls_with_the_log_odds_and_stays_a_probability():
    found = [judge().confidence(odds, 0.5) for odds in np.linspace(-1000, 1000, 401)]
    assert found == sorted(found)
    assert (found[0], found[-1]) == (0.0, 1.0)


@pytest.mark.parametrize(("bimodality", "reason"), [(0.5, "unclear"), (0.75, "low_confidence")])
def test_a_label_that_is_likely_wrong_is_withheld(bimodality, reason):
    odds = (math.log(0.4 / 0.6) + 3 - 4 * bimodality) / 2  # calibrated .4
    assert judge().abstention(odds + 1e-6, bimodality) is None
    assert judge().abstention(odds - 1e-6, bimodality) == reason


def test_a_file_says_what_was_fitted(tmp_path):
    path = tmp_path / "verdict.json"
    path.write_text(json.dumps(VALUES))
    assert verdict.load(path) == judge()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weights": {"beauty": 1.0}}, "weights: .*unknown component 'beauty'"),
        ({"slope": -0.1}, "slope: .*greater than or equal to 0"),
        ({"least_confidence": 2}, "least_confidence: .*less than or equal to 1"),
        ({"extra": 1}, "extra: .*not permitted"),
    ],
)
def test_a_malformed_file_is_named_with_what_is_wrong(tmp_path, change, message):
    path = tmp_path / "verdict.json"
    path.write_text(json.dumps(VALUES | change))
    with pytest.raises(ValueError, match=rf"verdict\.json: .*{message}") as raised:
        verdict.load(path)
    assert "\n" not in str(raised.value)


def test_a_file_that_is_no_json_is_named(tmp_path):
    path = tmp_path / "verdict.json"
    path.write_text("{")
    with pytest.raises(ValueError, match=r"verdict\.json, line 1: no JSON"):
        verdict.load(path)


def test_the_configuration_refuses_a_malformed_file_before_any_job(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    values = yaml.safe_load(Path("config/config.yaml").read_text())
    name, recipe = next(iter(values["recipes"].items()))
    recipe["scores"] = {"verdict": str(tmp_path / "verdict.json")}
    with pytest.raises(ConfigError, match=rf"recipes\.{name}\.scores\.verdict: .* does not exist"):
        contents.load(values)
    (tmp_path / "verdict.json").write_text(json.dumps(VALUES | {"slope": -1.0}))
    with pytest.raises(ConfigError, match=rf"recipes\.{name}\.scores\.verdict: .*slope"):
        contents.load(values)
    (tmp_path / "verdict.json").write_text(json.dumps(VALUES))
    assert contents.load(values).recipes[name].scores.verdict == tmp_path / "verdict.json"


def test_the_shipped_file_can_tell_a_good_candidate_from_a_bad_one():
    shipped = verdict.load(ROOT / "config/verdict.json")
    good = dict.fromkeys(COMPONENTS, 1.0) | {"joined": 0}
    bad = dict.fromkeys(COMPONENTS, 0.0) | {"joined": 0}
    assert shipped.abstention(shipped.log_odds(good), 1.0) is None
    assert shipped.abstention(shipped.log_odds(bad), 0.5) == "unclear"
    assert shipped.confidence(shipped.log_odds(good), 1.0) > 0.5 > shipped.confidence(shipped.log_odds(bad), 0.5)
