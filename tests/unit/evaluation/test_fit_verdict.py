"""Fitting how sure a label is, on networks whose units are known."""

import numpy as np
import pytest

from dnd.evaluation import fit_verdict
from dnd.evaluation.fit_verdict import Case, fit, held_out, report
from dnd.selection.verdict import FEATURES


def case(network, kind, right, **features):
    return Case(network, kind, tuple(features.get(name, 0.0) for name in FEATURES), right)


def world(networks=("a", "b", "c"), units=20, seed=0):
    """Right labels explain much and lead by much; wrong ones do neither, but for a few."""
    rng = np.random.default_rng(seed)
    cases = []
    for network in networks:
        for _ in range(units):
            explains, margin = rng.uniform(-0.5, 0), rng.uniform(0.2, 0.6)
            cases.append(case(network, "single", True, explains=explains, margin=margin))
            explains, margin = rng.uniform(-3, -1), rng.uniform(0, 0.3)
            cases.append(case(network, "random", False, explains=explains, margin=margin))
    return cases


def test_a_fit_is_sure_of_what_is_right_and_unsure_of_what_is_wrong():
    judge = fit(world(), {"pooling": "max"}, {"by": "hand"})
    for known in world(seed=1):
        assert (judge.confidence(known.features) > 0.5) == known.right
    assert judge.weights["explains"] > 0 < judge.weights["margin"]
    assert (judge.settings, judge.fitted_on) == ({"pooling": "max"}, {"by": "hand"})


def test_what_never_varies_weighs_nothing():
    judge = fit(world(), {}, {})
    assert [judge.weights[name] for name in ("precision", "drawn", "joined")] == [0, 0, 0]


def test_the_confidence_is_that_of_scikit_learn():
    """The weights of the file are those of features as they are; those of the regression are of standardised ones."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    rng = np.random.default_rng(2)
    values = rng.normal(2, 3, (200, len(FEATURES)))
    right = values[:, 0] + rng.normal(0, 3, 200) > 2
    cases = [Case("a", "single", tuple(row), bool(good)) for row, good in zip(values, right, strict=True)]
    expected = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(values, right)
    judge = fit(cases, {}, {})
    found = [judge.confidence(known.features) for known in cases]
    assert found == pytest.approx(expected.predict_proba(values)[:, 1], abs=2e-3)


def test_units_that_look_alike_are_as_sure_as_their_share_is_right():
    cases = [case("first", "single", True)] * 30 + [case("first", "random", False)] * 10
    verdict = fit(cases, {}, {})
    assert verdict.confidence(cases[0].features) == pytest.approx(0.75, abs=0.001)


def test_no_network_has_a_part_in_the_fit_that_judges_it():
    """In a and b `explains` tells what is right, in c, which has most units, the opposite."""
    both = [(True, 1.0), (False, -1.0)]
    cases = [case(network, "single", right, drawn=value) for network in "ab" for right, value in both * 5]
    cases += [case("c", "single", right, drawn=-value) for right, value in both * 90]
    sure = held_out(cases)
    of_c = np.array([known.network == "c" for known in cases])
    right = np.array([known.right for known in cases])
    assert ((sure > 0.5) == right)[of_c].sum() == 0
    alone = [known for known in cases if known.network == "c"]  # there is no other network
    assert ((held_out(alone) > 0.5) == [known.right for known in alone]).all()


@pytest.mark.parametrize("right", [True, False])
def test_a_fit_needs_both(right):
    with pytest.raises(ValueError, match="units whose label is right and units whose label is wrong"):
        fit([known for known in world() if known.right == right], {}, {})


def test_the_report_counts_units_by_kind():
    cases = [case("a", "single", True), case("a", "single", False), case("a", "random", False)]
    assert report(cases, np.array([0.75, 0.25, 0.5])).splitlines() == [
        "random: 1 units, 0.000 right, mean confidence 0.500, calibration error 0.500",
        "single: 2 units, 0.500 right, mean confidence 0.500, calibration error 0.250",
        "all: 3 units, 0.333 right, mean confidence 0.500, calibration error 0.333",
    ]


def test_a_perfect_fit_reports_no_error():
    assert fit_verdict.report(world(), np.array([float(known.right) for known in world()])).endswith("error 0.000")
