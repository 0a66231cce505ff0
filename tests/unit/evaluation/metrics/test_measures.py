"""Metrics against hand calculations, SciPy and scikit-learn, and the tests between methods."""

import numpy as np
import pytest
from scipy import stats
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.metrics.pairwise import cosine_similarity

from dnd.evaluation.metrics import contrast, reliability, semantics, simulation, statistics, text
from dnd.evaluation.metrics.simulation import Calibration
from dnd.evaluation.metrics.text import Tokens
from dnd.selection import cosy


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


# CoSy


def test_cosy_auc_is_the_area_under_the_curve(rng):
    for _ in range(5):
        generated, controls = (rng.integers(0, 6, n).astype(np.float32) for n in (9, 40))
        truth = [1] * 9 + [0] * 40
        area = roc_auc_score(truth, [*generated, *controls])
        assert cosy.auc(generated, controls) == pytest.approx(area, abs=1e-9)
        statistic = stats.mannwhitneyu(generated, controls).statistic
        assert cosy.auc(generated, controls) == pytest.approx(statistic / 360, abs=1e-9)


# simulation


def test_simulation_is_pearsons_r_of_every_pair(rng):
    activations, probabilities = rng.normal(size=(50, 4)), rng.random((50, 4))
    table = simulation.table(activations, probabilities)
    expected = [[stats.pearsonr(a, p)[0] for p in probabilities.T] for a in activations.T]
    np.testing.assert_allclose(table, expected, atol=1e-9)
    np.testing.assert_allclose(simulation.simulation(activations, probabilities), np.diag(expected), atol=1e-9)


def test_what_does_not_vary_simulates_nothing(rng):
    activations = rng.normal(size=(20, 2)).astype(np.float32)
    activations[:, 1] = 0.1
    assert simulation.simulation(activations, rng.random((20, 2)))[1] == 0
    assert simulation.table(activations, np.full((20, 1), 0.3)).tolist() == [[0], [0]]


def test_a_fit_is_the_logistic_regression_of_scikit_learn(rng):
    cosines = rng.normal(0.2, 0.05, 800)
    truth = rng.random(800) < Calibration(40, -9).probabilities(cosines)
    found = simulation.fit(cosines.reshape(40, 20), truth.reshape(40, 20))
    x = ((cosines - cosines.mean()) / cosines.std())[:, None]
    model = LogisticRegression(C=1 / (simulation.RIDGE * 800), tol=1e-12, max_iter=1000).fit(x, truth)
    np.testing.assert_allclose(found.probabilities(cosines), model.predict_proba(x)[:, 1], atol=1e-6)
    assert 30 < found.scale < 50


# explained exemplars


def test_a_label_explains_exemplars_that_it_ranks_above_look_alikes():
    exemplars, others = unit(np.array([[3.0, 1], [1, 1]])), unit(np.array([[1.0, 1], [0, 1], [2, 1]]))
    # cosines with (1, 0): .949 .707 against .707 0 .894: 3 + 1.5 of 6
    assert contrast.explained(np.array([1.0, 0]), exemplars, others) == pytest.approx(4.5 / 6)
    assert contrast.explained(np.array([0.0, 0]), exemplars, others) == 0.5
    assert np.isnan(contrast.explained(np.array([1.0, 0]), exemplars, others[:0]))


# SemanticLens


def test_clarity_is_the_mean_cosine_of_pairs(rng):
    vectors = rng.normal(size=(3, 6, 5)) + 0.5
    pairs = [cosine_similarity(one)[np.triu_indices(6, 1)].mean() for one in vectors]
    np.testing.assert_allclose(semantics.clarity(vectors), pairs, atol=1e-9)
    assert semantics.clarity(np.array([[1.0, 0], [-1, 0]])) == pytest.approx(-1)
    assert np.isnan(semantics.clarity(vectors[:, :1])).all()


def test_two_opposite_groups_are_polysemantic(rng):
    first, second = np.array([1.0, 0, 0]), np.array([0.6, 0.8, 0])
    two = np.concatenate([np.tile(one, (5, 1)) for one in (first, second)])
    assert semantics.polysemanticity(two) == pytest.approx(1 - 0.6)
    assert semantics.polysemanticity(np.tile(first, (6, 1))) == 0
    assert np.isnan(semantics.polysemanticity(two[:1]))


def test_redundancy_is_the_nearest_other_unit(rng):
    units = rng.normal(size=(5, 3))
    cosines = cosine_similarity(units) - 2 * np.eye(5)
    np.testing.assert_allclose(semantics.redundancy(units), cosines.max(1), atol=1e-9)
    assert np.isnan(semantics.redundancy(units[:1])).all()


# calibration


def test_interval_of_a_calibration_error_holds_it_and_narrows_with_more_units():
    rng = np.random.default_rng(0)
    sure = rng.uniform(0, 1, 2000)
    right = rng.uniform(0, 1, 2000) < sure**2  # overconfident: off by the mean of p - p^2, 1/6
    few, many = (reliability.interval(sure[:n], right[:n]) for n in (100, 2000))
    assert many[0] < 1 / 6 < many[1]
    assert many[0] < reliability.reliability(sure, right).error < many[1]
    assert many[1] - many[0] < few[1] - few[0]
    assert reliability.interval(sure, right) == many
    assert reliability.interval([0.3], [0]) == pytest.approx((0.3, 0.3))


# stability


# texts


def tokens(numbers, vectors, special=()):
    return Tokens(tuple(numbers), unit(np.array(vectors, float)), np.isin(np.arange(len(numbers)), special))


CANDIDATE = tokens([1, 2], [[1, 0], [3, 4]])
REFERENCE = tokens([1, 3, 4], [[1, 0], [0, 1], [-1, 0]])


def test_bert_score_by_hand():
    found = text.bert_score(CANDIDATE, REFERENCE)
    precision = (1 + 0.8) / 2  # best matches: itself, and (0, 1)
    recall = (1 + 0.8 - 0.6) / 3
    assert found.precision == pytest.approx(precision) and found.recall == pytest.approx(recall)
    assert found.f1 == pytest.approx(2 * precision * recall / (precision + recall))


def test_bert_score_with_rare_tokens_first():
    idf = text.inverse_document_frequencies([CANDIDATE, REFERENCE, tokens([1], [[1, 1]])])
    assert idf[1] == 0 and idf[3] == pytest.approx(np.log(4 / 2))
    found = text.bert_score(CANDIDATE, REFERENCE, idf, 3)
    assert found.precision == pytest.approx(0.8)  # token 1 is everywhere and weighs nothing
    assert found.recall == pytest.approx((0.8 - 0.6) / 2)


def test_special_tokens_do_not_count_but_may_be_matched():
    marked = tokens([9, 2], [[1, 0], [0, 1]], special=[0])
    assert text.bert_score(marked, tokens([5], [[1, 0]])).recall == 1
    assert text.bert_score(marked, tokens([5], [[1, 0]])).precision == 0
    assert text.bert_score(tokens([9], [[1, 0]], special=[0]), marked).f1 == 0


def test_rescaling_takes_random_pairs_as_zero():
    texts = [tokens([n], [[np.cos(n), np.sin(n)]]) for n in (0.0, 0.5, 1.0)]
    zero = text.baseline(texts, pairs=6000)
    assert zero == pytest.approx(np.mean([np.cos(0.5), np.cos(0.5), np.cos(1)]), abs=0.01)
    assert text.rescaled(zero, zero) == 0 and text.rescaled(1, zero) == 1
    with pytest.raises(ValueError, match="two texts"):
        text.baseline(texts[:1])


def test_cosines_are_row_by_row(rng):
    first, second = rng.normal(size=(4, 6)), rng.normal(size=(4, 6))
    np.testing.assert_allclose(text.cosines(first, second), np.diag(cosine_similarity(first, second)), atol=1e-9)
    assert text.cosines(first * 0, second).tolist() == [0] * 4


# statistics


@pytest.mark.parametrize("count", [9, 40])
def test_permutation_is_scipys(rng, count):
    first, second = rng.normal(0.3, 1, count), rng.normal(0, 1, count)

    def mean_difference(x, y, axis):
        return np.mean(x - y, axis=axis)

    expected = stats.permutation_test(
        (first, second), mean_difference, permutation_type="samples", vectorized=True, n_resamples=9999, rng=1
    ).pvalue
    close = 1e-9 if count == 9 else 0.02
    assert statistics.permutation(first - second) == pytest.approx(expected, abs=close)


def test_a_comparison_chooses_the_test_that_the_values_need(rng):
    shares = statistics.compare([1, 1, 1, 0, 1, 1, 1], [0, 0, 0, 0, 0, 0, 1])
    assert shares.test == "McNemar" and shares.pvalue == pytest.approx(2 / 32) and shares.units == 7
    values = rng.random(30)
    means = statistics.compare(values + 0.1, values)
    assert means.test == "permutation" and means.difference == pytest.approx(0.1) and means.pvalue < 0.001
    assert means.low == pytest.approx(0.1) and means.high == pytest.approx(0.1)
    with pytest.raises(ValueError, match="same units"):
        statistics.compare([1, 0], [1])
