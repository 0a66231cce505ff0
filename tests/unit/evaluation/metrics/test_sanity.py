"""Neuron_Eval's measures against scikit-learn and SciPy, and the published outcome of its two sanity tests."""

from functools import cache

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sk

from dnd.evaluation.metrics import measures, sanity
from dnd.evaluation.metrics.measures import MEASURES
from dnd.evaluation.metrics.registry import METRICS

N, UNITS, LABELS, TOP = 300, 3, 4, 0.07


@cache
def outcomes(name):
    """What the two tests do to a measure; ours by their names in EVALUATION tables."""
    return sanity.outcomes(MEASURES[name] if name in MEASURES else sanity.OURS[name])


@pytest.fixture(scope="module")
def drawn():
    rng = np.random.default_rng(5)
    return rng.gamma(1.0, size=(N, UNITS)), rng.random((N, LABELS))


def expected(drawn, function):
    """function(activation, active, probability, holds) of every unit and label."""
    activations, concepts = drawn
    cut = [np.sort(column)[-int(np.ceil(TOP * N))] for column in activations.T]
    return np.array(
        [[function(a, a >= cut[i], c, c >= 0.5) for c in concepts.T] for i, a in enumerate(activations.T)], float
    )


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("recall", lambda a, on, c, held: sk.recall_score(on, held)),
        ("precision", lambda a, on, c, held: sk.precision_score(on, held)),
        ("f1", lambda a, on, c, held: sk.f1_score(on, held)),
        ("iou", lambda a, on, c, held: sk.jaccard_score(on, held)),
        ("accuracy", lambda a, on, c, held: sk.accuracy_score(on, held)),
        ("balanced_accuracy", lambda a, on, c, held: sk.balanced_accuracy_score(on, held)),
        ("inverse_balanced_accuracy", lambda a, on, c, held: sk.balanced_accuracy_score(held, on)),
        ("auc", lambda a, on, c, held: sk.roc_auc_score(on, c)),
        ("inverse_auc", lambda a, on, c, held: sk.roc_auc_score(held, a)),
        ("correlation", lambda a, on, c, held: stats.pearsonr(a, c)[0]),
        ("spearman", lambda a, on, c, held: stats.spearmanr(a, c)[0]),
        ("cosine", lambda a, on, c, held: sk.pairwise.cosine_similarity([a], [c])[0, 0]),
        ("wpmi", lambda a, on, c, held: np.log(c)[on].mean() - np.log(c.mean())),
        ("mad", lambda a, on, c, held: a[held].mean() - a[~held].mean()),
        ("auprc", lambda a, on, c, held: sk.average_precision_score(on, c)),
        ("inverse_auprc", lambda a, on, c, held: sk.average_precision_score(held, a)),
    ],
)
def test_measure_equals_an_independent_one(drawn, name, function):
    np.testing.assert_allclose(MEASURES[name].function(*drawn, TOP), expected(drawn, function), atol=1e-6)


def test_ties_in_rankings_count_half():
    rng = np.random.default_rng(1)
    activations, concepts = rng.integers(0, 4, (200, 2)) / 3.0, rng.integers(0, 3, (200, 2)) / 2.0
    on = activations == 1
    for unit in range(2):
        for label in range(2):
            place = unit, label
            found = measures.auprc(on.astype(float), concepts)[place]
            assert found == pytest.approx(sk.average_precision_score(on[:, unit], concepts[:, label]), abs=1e-6)
            found = measures.auc(on.astype(float), concepts)[place]
            assert found == pytest.approx(sk.roc_auc_score(on[:, unit], concepts[:, label]), abs=1e-6)


def test_spearman_is_the_mean_over_random_orders_of_ties():
    rng = np.random.default_rng(2)
    unit = rng.integers(0, 2, 60).astype(float)
    label = np.where(rng.random(60) < 0.7, unit, 1 - unit)
    broken = [stats.spearmanr(unit + 1e-3 * rng.random(60), label + 1e-3 * rng.random(60))[0] for _ in range(1000)]
    spread = np.std(broken) / np.sqrt(len(broken))
    assert measures.spearman(unit[:, None], label[:, None])[0, 0] == pytest.approx(np.mean(broken), abs=4 * spread)


def test_active_inputs_are_the_highest_and_those_equal_to_the_last():
    values = np.array([[5.0], [4.0], [4.0], [1.0], [0.0]])
    assert measures.active(values, 0.4)[:, 0].tolist() == [1, 1, 1, 0, 0]


# Mean changes printed in theoretical_sanity_check.ipynb at frequencies .499, .1, .01, .001, .0001. Those of AUC and
# Spearman are left out where they depend on how float32 orders ties.
PUBLISHED = {
    "recall": ([-0.5] * 5, [0.0] * 5),
    "precision": ([0.0] * 5, [-0.5] * 5),
    "f1": ([-1 / 3] * 5, [-1 / 3] * 5),
    "iou": ([-0.5] * 5, [-0.5] * 5),
    "accuracy": ([-0.2495, -0.05, -0.005, -0.0005, 0], [-0.499, -0.1, -0.01, -0.001, -0.0001]),
    "balanced_accuracy": ([-0.25] * 5, [-0.498, -0.0556, -0.005, -0.0005, 0]),
    "inverse_balanced_accuracy": ([-0.1662, -0.0263, -0.0025, -0.0002, 0], [-0.25] * 5),
    "auc": ([-0.25] * 5, None),
    "inverse_auc": ([-0.1662, -0.0263, -0.0025, -0.0002, 0], [-0.25] * 5),
    "correlation": (
        [-0.2111, -0.1559, -0.1474, -0.1470, -0.1464],
        [-0.4776, -0.1667, -0.1482, -0.1466, -0.1464],
    ),
    "spearman": ([-0.2, -0.0676, -0.0079, -0.0011, -0.0004], None),
    "cosine": ([-0.1464] * 5, [-0.1464] * 5),
    "mad": ([-0.3325, -0.0526, -0.005, -0.0005, 0], [-0.5] * 5),
    "auprc": ([-0.2505, -0.45, -0.4953, -0.4999, -0.5], [-0.5] * 5),
    "inverse_auprc": ([-0.5] * 5, [-0.001, -0.4, -0.4898, -0.4985, -0.4999]),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_changes_are_the_published_ones(name):
    found = outcomes(name)
    missing, extra = PUBLISHED[name]
    close = 0.015 if name == "spearman" else 5e-4
    np.testing.assert_allclose([one.missing for one in found], missing, atol=close)
    if extra is not None:
        np.testing.assert_allclose([one.extra for one in found], extra, atol=close)


@pytest.mark.parametrize(
    ("name", "verdict"),
    [
        *((name, "passes") for name in ("correlation", "cosine", "auprc", "f1", "iou")),
        *((name, "fails extra") for name in ("recall", "balanced_accuracy", "auc", "top_and_random")),
        *((name, "fails missing") for name in ("precision", "inverse_balanced_accuracy", "inverse_auc", "mad")),
        *((name, "fails both") for name in ("accuracy", "spearman")),
        ("inverse_auprc", "fails extra"),  # by .0010 at the frequency .499: in the notebook 52 % of draws pass there
        ("wpmi", "passes"),  # as in the notebook; it is not among the metrics that the paper recommends
    ],
)
def test_verdicts_are_the_published_ones(name, verdict):
    assert sanity.verdict(outcomes(name)) == verdict


@pytest.mark.parametrize("name", sanity.OURS)
def test_our_metrics_are_marked_by_what_the_tests_find(name):
    assert METRICS[name].sanity == sanity.verdict(outcomes(name))


def test_cosy_does_not_notice_missing_labels():
    found = outcomes("cosy_auc")
    assert [one.missing for one in found] == [0.0] * 5
    assert found[2].extra == pytest.approx(-0.25, abs=0.01)  # half of the pictures are no better than controls


def test_a_label_cannot_double_beyond_all_inputs():
    with pytest.raises(ValueError, match="more than half"):
        sanity.with_extra(np.array([True, True, False]), np.random.default_rng(0))
