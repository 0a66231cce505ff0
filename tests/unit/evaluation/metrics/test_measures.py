"""Metrics against hand calculations, SciPy and scikit-learn, and the tests between methods."""

import numpy as np
import pytest
from scipy import stats
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.metrics.pairwise import cosine_similarity

from dnd.evaluation.metrics import contrast, reliability, semantics, simulation, stability, statistics, text
from dnd.evaluation.metrics.simulation import Calibration
from dnd.evaluation.metrics.text import Tokens
from dnd.selection import cosy


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


# CoSy


def test_cosy_of_three_pictures_and_four_controls():
    generated, controls = np.float32([3, 1, 2]), np.float32([0, 1, 2, 1])
    assert cosy.auc(generated, controls) == pytest.approx((4 + 2 + 3.5) / 12)  # wins of each, ties half
    assert cosy.mad(generated, controls) == pytest.approx((2 - 1) / np.sqrt(0.5))
    assert cosy.mad(generated, np.ones(4, np.float32)) == 0


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


def test_released_constants_are_added_before_the_scale():
    found = simulation.RELEASED["ViT-SO400M-14-SigLIP-384"].probabilities(np.array([0.13, 0.2]))
    np.testing.assert_allclose(found, [0.5, 1 / (1 + np.exp(-58 * 0.07))], atol=1e-12)


def test_a_fit_is_the_logistic_regression_of_scikit_learn(rng):
    cosines = rng.normal(0.2, 0.05, 800)
    truth = rng.random(800) < Calibration(40, -9).probabilities(cosines)
    found = simulation.fit(cosines.reshape(40, 20), truth.reshape(40, 20))
    x = ((cosines - cosines.mean()) / cosines.std())[:, None]
    model = LogisticRegression(C=1 / (simulation.RIDGE * 800), tol=1e-12, max_iter=1000).fit(x, truth)
    np.testing.assert_allclose(found.probabilities(cosines), model.predict_proba(x)[:, 1], atol=1e-6)
    assert 30 < found.scale < 50


def test_a_fit_stays_finite_where_cosines_separate_the_truth():
    cosines = np.array([0.1, 0.12, 0.3, 0.32])
    found = simulation.fit(cosines, cosines > 0.2)
    assert np.isfinite(found.scale) and (found.probabilities(cosines) > 0.5).tolist() == [False, False, True, True]
    with pytest.raises(ValueError, match="hold and pairs that do not"):
        simulation.fit(cosines, cosines > 0)


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


def test_an_outlier_is_no_second_meaning():
    own = np.concatenate([np.tile([1.0, 0], (9, 1)), [[0.0, 1]]])
    mean = own.mean(0)
    cosines = cosine_similarity([mean], own)[0]
    assert semantics.polysemanticity(own) == pytest.approx(1 - cosines.mean())
    assert semantics.polysemanticity(own) < 0.3


def test_redundancy_is_the_nearest_other_unit(rng):
    units = rng.normal(size=(5, 3))
    cosines = cosine_similarity(units) - 2 * np.eye(5)
    np.testing.assert_allclose(semantics.redundancy(units), cosines.max(1), atol=1e-9)
    assert np.isnan(semantics.redundancy(units[:1])).all()


# calibration


def test_calibration_error_of_a_worked_example():
    # bins (0, .1]: .1 with 0 of 1; (.6, .7]: .65 and .7 with 1 of 2; (.9, 1]: 1 with 1 of 1
    found = reliability.reliability([0.1, 0.65, 0.7, 1.0], [0, 1, 0, 1])
    assert found.counts.tolist() == [1, 0, 0, 0, 0, 0, 2, 0, 0, 1]
    assert found.confidence[[0, 6, 9]] == pytest.approx([0.1, 0.675, 1.0])
    assert found.right[[0, 6, 9]].tolist() == [0, 0.5, 1]
    assert np.isnan(found.right[3])
    assert found.error == pytest.approx((0.1 + 2 * 0.175) / 4)


def test_confidence_that_is_always_certain_is_off_by_the_share_of_mistakes():
    assert reliability.reliability(np.ones(20), np.arange(20) < 17).error == pytest.approx(0.15)
    assert reliability.reliability(np.zeros(5), np.zeros(5)).error == 0


def test_errors_on_both_sides_cancel_in_one_bin_and_not_over_bins():
    assert reliability.reliability([0.42, 0.48], [0, 1]).error == pytest.approx(0.05)
    assert reliability.reliability([0.2, 0.8], [1, 0]).error == pytest.approx(0.8)


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


@pytest.mark.parametrize(
    ("confidence", "right"), [([], []), ([0.5], [1, 0]), ([1.2], [1]), ([-0.1], [0]), ([float("nan")], [0])]
)
def test_what_is_no_confidence_is_refused(confidence, right):
    with pytest.raises(ValueError, match="confidence"):
        reliability.reliability(confidence, right)


# stability


@pytest.mark.parametrize(
    ("first", "second", "label", "extension"),
    [
        ("Red stars.", "red  stars", 1, 1),
        ("red stars", "crimson stars", 0, 1),
        ("red objects", "red stars", 0, 1 / 6),
        ("red objects", "a dog", 0, 0),
        ("red objects", None, 0, 0),
        (None, None, None, None),
    ],
)
def test_stability_of_two_halves(first, second, label, extension):
    assert stability.same_label(first, second) == label
    found = stability.same_extension(first, second)
    assert found is None if extension is None else found == pytest.approx(extension)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("red stars", "stars that are crimson", 1),
        ("warm coloured objects", "red, orange or yellow objects", 1),
        ("warm coloured objects", "red or orange objects", 0),  # IoU 2/3
        ("stars", None, 0),
        (None, None, None),
    ],
)
def test_labels_of_two_halves_that_denote_the_same_set(first, second, expected):
    assert stability.same_set(first, second) == expected


def test_stability_of_texts_is_their_cosine():
    assert stability.similar_text(np.array([0.6, 0.8]), np.array([1.0, 0])) == pytest.approx(0.6)
    assert stability.similar_text(None, np.array([1.0, 0])) == 0 and stability.similar_text(None, None) is None


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


def test_intervals_are_scipys():
    low, high = statistics.wilson(7, 20)
    expected = stats.binomtest(7, 20).proportion_ci(0.95, method="wilson")
    assert (low, high) == (expected.low, expected.high)
    values = np.random.default_rng(3).normal(1, 2, 200)
    expected = stats.bootstrap([values], np.mean, method="percentile", n_resamples=5000, rng=1).confidence_interval
    np.testing.assert_allclose(statistics.bootstrap(values), expected, atol=0.03)


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


def test_permutation_of_three_differences_by_hand():
    assert statistics.permutation([1, 2, 3]) == pytest.approx(2 / 8)  # all plus, all minus
    assert statistics.permutation([0, 0]) == 1


def test_mcnemar_is_a_binomial_test_of_the_disagreements():
    first, second = [1] * 8 + [0] * 1 + [1] * 5, [0] * 8 + [1] * 1 + [1] * 5
    assert statistics.mcnemar(first, second) == pytest.approx(2 * (1 + 9) / 2**9)
    assert statistics.mcnemar([1, 0], [1, 0]) == 1


def test_holm_by_hand():
    assert statistics.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert statistics.holm([0.9, 0.8]) == [1, 1] and statistics.holm([]) == []


def test_a_comparison_chooses_the_test_that_the_values_need(rng):
    shares = statistics.compare([1, 1, 1, 0, 1, 1, 1], [0, 0, 0, 0, 0, 0, 1])
    assert shares.test == "McNemar" and shares.pvalue == pytest.approx(2 / 32) and shares.units == 7
    values = rng.random(30)
    means = statistics.compare(values + 0.1, values)
    assert means.test == "permutation" and means.difference == pytest.approx(0.1) and means.pvalue < 0.001
    assert means.low == pytest.approx(0.1) and means.high == pytest.approx(0.1)
    with pytest.raises(ValueError, match="same units"):
        statistics.compare([1, 0], [1])
