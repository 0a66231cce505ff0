"""Fitting the verdict on networks with known answers."""

from pathlib import Path

import numpy as np
import pytest

from dnd.config.known_answers import KnownAnswer
from dnd.evaluation import fit_verdict
from dnd.evaluation.fit_verdict import Case, Scored, cases, fit, held_out, logistic, report
from dnd.selection.verdict import COMPONENTS

RED = KnownAnswer(0, "single", (("red",),), "red objects")
BOTH = KnownAnswer(1, "polysemantic", (("red",), ("star",)), "red objects or stars")
ROOT = Path(__file__).parents[3]
NOTHING = KnownAnswer(2, "random", (), "")


def score(unit, concept, votes, parts=None, **components):
    """What a fit needs of a row of SCORES."""
    given = dict.fromkeys(("auc", "image_similarity", "fit", "gap", "hard", "agreement", "bimodality"), 0.5)
    return Scored(unit, concept, votes, parts=parts, **(given | components))


def named(case):
    return dict(zip(COMPONENTS, case.components.tolist(), strict=True))


def test_candidates_are_right_where_they_denote_what_was_planted():
    rows = [
        score(0, "red objects", 3, fit=0.75),
        score(0, "stars", 1),
        score(0, "red objects or stars", 3, parts=[0, 1]),
        score(1, "stars or red things", 2, parts=[1, 0]),
        score(1, "stars", 2),
        score(2, "snow", 1),
        score(3, "unknown answer", 1),
    ]
    found = cases("net", "row", "layer", rows, {0: RED, 1: BOTH, 2: NOTHING})
    assert [(one.unit[2], one.right) for one in found] == [
        *((0, right) for right in (True, False, False)),
        *((1, right) for right in (True, False)),
        (2, False),
    ]
    assert {(one.network, *one.unit[:2]) for one in found} == {("net", "row", "layer")}
    assert [one.kind for one in found] == ["single"] * 3 + ["polysemantic"] * 2 + ["random"]
    assert [named(one)["votes"] for one in found[:3]] == [
        0.75,
        0.25,
        0.75,
    ]  # of answers, which alternatives have none of
    assert [named(one)["joined"] for one in found] == [0, 0, 1, 1, 0, 0]
    assert (named(found[0])["fit"], named(found[1])["fit"], found[0].bimodality) == (0.75, 0.5, 0.5)


def test_labels_of_methods_that_the_probe_was_not_asked_about_do_not_count():
    rival = score(0, "red objects", None, **dict.fromkeys(("fit", "gap", "hard", "agreement", "bimodality")))
    assert cases("net", "row", "layer", [rival], {0: RED}) == []


def case(network, unit, right, kind="single", bimodality=0.9, **components):
    values = np.array([components.get(name, 0.0) for name in COMPONENTS])
    return Case(network, ("row", "layer", unit), kind, values, bimodality, right)


def world(networks=("a", "b", "c"), units=20):
    """Units for a concept have one right candidate of a good fit and one wrong; those without a meaning are graded."""
    rng = np.random.default_rng(0)
    found = []
    for network in networks:
        for unit in range(units):
            place = f"{network}{unit}"
            found += [
                case(network, place, True, fit=rng.uniform(0.6, 0.9), gap=rng.uniform(0.4, 0.6)),
                case(network, place, False, fit=rng.uniform(0.1, 0.4), gap=rng.uniform(0.0, 0.2)),
                case(network, f"{place} empty", False, "random", rng.uniform(0.5, 0.7), fit=rng.uniform(0.1, 0.4)),
            ]
    return found


def test_a_fit_tells_right_candidates_from_wrong_ones():
    weights, intercept = logistic(world())
    odds = np.array([one.components @ weights + intercept for one in world()])
    right = np.array([one.right for one in world()])
    assert odds[right].min() > 0 > odds[~right].max()


def test_evidence_never_speaks_against_a_candidate_nor_alternatives_for_one():
    """In these cases a high AUC goes with wrong candidates, and alternatives with right ones."""
    found = [
        case("a", number, right, fit=0.5 + 0.2 * right, auc=1.0 - 0.5 * right, joined=float(right))
        for number in range(20)
        for right in (True, False)
    ]
    weights = dict(zip(COMPONENTS, logistic(found)[0], strict=True))
    assert weights["fit"] > 0
    assert (weights["auc"], weights["joined"]) == (0, 0)


def test_the_verdict_is_sure_of_what_is_right_and_withholds_what_has_no_meaning():
    judge = fit(world(), {"by": "hand"})
    for one in world():
        if one.kind == "single" and not one.right:
            continue  # it loses against the right one, and is never judged
        odds = judge.log_odds(dict(zip(COMPONENTS, one.components, strict=True)))
        assert (judge.confidence(odds, one.bimodality) > 0.5) == one.right
        assert (judge.abstention(odds, one.bimodality) is None) == one.right
    assert judge.fitted_on == {"by": "hand"}
    assert judge.slope > 0
    assert 0.65 < judge.least_bimodality < 0.9  # between units without a meaning and those with one
    assert 0 < judge.least_confidence < 1


def test_random_units_that_look_like_others_are_told_by_their_degrees():
    found = [one for one in world() if one.kind != "random"]
    rng = np.random.default_rng(1)
    for network in ("a", "b", "c"):
        for unit in range(20):
            good = {"fit": rng.uniform(0.55, 0.85), "gap": rng.uniform(0.4, 0.6)}
            found.append(case(network, f"{network}{unit} graded", False, "random", rng.uniform(0.5, 0.7), **good))
    judge = fit(found, {})
    assert judge.bimodality > 0
    for one in found:
        odds = judge.log_odds(dict(zip(COMPONENTS, one.components, strict=True)))
        if one.right or one.kind == "random":
            assert (judge.abstention(odds, one.bimodality) is None) == one.right


def test_how_many_random_units_were_described_does_not_decide_how_likely_they_are():
    """Some of them cannot be told from units of a concept, so that the share of both decides the confidence."""
    alike = [case(network, f"{network}{unit}", True, fit=0.5) for network in ("a", "b") for unit in range(20)]
    sure = []
    for count in (5, 80):
        empty = [
            case(network, f"{network} empty {unit}", False, "random", fit=0.5)
            for network in ("a", "b")
            for unit in range(count)
        ]
        judge = fit(alike + empty, {})
        sure.append(judge.confidence(judge.log_odds(dict.fromkeys(COMPONENTS, 0.0) | {"fit": 0.5}), 0.9))
    assert sure == pytest.approx([1 - fit_verdict.NOTHING_SHARE] * 2, abs=0.01)


def test_without_units_that_have_no_meaning_silence_is_for_what_is_rather_wrong():
    found = [one for one in world() if one.kind != "random"]
    found += [case("a", "wrong", False, fit=0.2), case("b", "wrong too", False, fit=0.3)]
    judge = fit(found, {})
    assert (judge.least_confidence, judge.least_bimodality) == (0.5, 0)


def test_no_network_has_a_part_in_the_fit_that_judges_it():
    """In a and b the fit tells what is right, in c, which has most units, the AUC."""

    def both(network, unit, told, other):
        return [case(network, unit, True, **{told: 1.0}), case(network, unit, False, **{other: 1.0})]

    found = [one for unit in range(5) for one in both("a", f"a{unit}", "fit", "auc")]
    found += [one for unit in range(5) for one in both("b", f"b{unit}", "fit", "auc")]
    found += [one for unit in range(90) for one in both("c", f"c{unit}", "auc", "fit")]
    won = held_out(found)
    assert len(won) == 100
    assert not any(one.right for one, _ in won)
    alone = held_out([one for one in found if one.network == "c"])  # there is no other network
    assert all(one.right for one, _ in alone)


@pytest.mark.parametrize("right", [True, False])
def test_a_fit_needs_both(right):
    with pytest.raises(ValueError, match="candidates that are right and candidates that are wrong"):
        fit([one for one in world() if one.right == right], {})


def test_a_calibration_needs_units_that_go_wrong():
    with pytest.raises(ValueError, match="units whose best candidate is right and units whose best one is wrong"):
        fit([one for one in world() if one.kind == "single"], {})


def test_the_report_counts_units_by_kind():
    assert report(world(), fit(world(), {})).splitlines() == [
        "random: 60 units, 0.000 right, 1.000 withheld",
        "single: 60 units, 1.000 right, 0.000 withheld",
    ]
