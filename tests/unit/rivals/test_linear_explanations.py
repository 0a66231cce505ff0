"""Linear Explanations: correlations, fits and the greedy search equal independent computations."""

import numpy as np
import pytest
import rivals
from painted import MEANINGS, Painted
from scipy.optimize import nnls
from scipy.special import expit
from scipy.stats import pearsonr

from dnd.config.rivals import LinearExplanationsRecipe
from dnd.rivals import embedded, linear_explanations
from dnd.rivals.inputs import CANDIDATES
from dnd.rivals.linear_explanations import Explanation, Half

IMAGES = 400


@pytest.fixture(scope="module")
def layer(tmp_path_factory):
    """400 images of one colour each; units that like red, red or blue (more), and nothing, and one that is dead."""
    rng = np.random.default_rng(0)
    colours = rng.integers(0, 256, (IMAGES, 3))
    vectors = Painted().embed(np.broadcast_to(colours[:, None, None], (IMAGES, 1, 1, 3)))
    shows = expit(20 * vectors @ Painted().embed_texts(list(MEANINGS)).T - 16)
    columns = [shows[:, 0], shows[:, 0] + 2 * shows[:, 2], rng.normal(size=IMAGES), 0 * shows[:, 0]]
    return rivals.layer(tmp_path_factory.mktemp("layer"), np.stack(columns, 1), colours)


def recipe(folder, concepts=tuple(MEANINGS), **settings):
    (folder / "concepts.txt").write_text("\n".join(concepts))
    values = {"method": "linear-explanations", "concepts": folder / "concepts.txt", "embedder": {"model": "none"}}
    values["embedder"] |= {"scale": 20, "bias": -16}
    return LinearExplanationsRecipe(**{**values, **settings})


def run(layer, units, concepts=tuple(MEANINGS), **settings):
    asked = recipe(layer["topk"].parent, concepts, **settings)
    return linear_explanations.run(asked, Painted(), Painted(), units=units, **layer).to_pylist()


def probabilities(layer):
    vectors = Painted().embed(rivals.images(layer)).astype(np.float64)
    return 1 / (1 + np.exp(-(20 * vectors @ Painted().embed_texts(list(MEANINGS)).astype(np.float64).T - 16)))


def test_one_term_is_the_concept_whose_probability_correlates_best(layer):
    rows = run(layer, range(4))
    p, activations = probabilities(layer), rivals.matrix(layer)
    for unit in range(3):
        wanted = {name: pearsonr(p[:, i], activations[:, unit])[0] for i, name in enumerate(MEANINGS)}
        listed = [(row["concept"], row["score"]) for row in rows if row["unit"] == unit]
        order = sorted((name for name in wanted if wanted[name] > 0), key=lambda name: -wanted[name])
        assert [name for name, _ in listed] == order
        assert [r for _, r in listed] == pytest.approx([wanted[name] for name in order], abs=1e-5)
    assert {row["unit"] for row in rows} <= {0, 1, 2}  # unit 3 is dead
    assert {row["source"] for row in rows} == {"linear-explanations"}


def test_several_terms_are_joined_by_weight_with_what_they_weigh(layer):
    whole, first, second = (row for row in run(layer, [1], terms=5) if row["unit"] == 1)
    assert whole["concept"] == "blue or red" and whole["parts"] == [1, 2] and whole["shares"] is None
    assert whole["score"] == pytest.approx(1, abs=1e-4)
    assert [(first["concept"], second["concept"])] == [("blue", "red")]
    assert (first["score"], second["score"]) == (pytest.approx(2, abs=1e-3), pytest.approx(1, abs=1e-3))
    alone = run(layer, [0], terms=5)
    assert [row["concept"] for row in alone] == ["red"] and alone[0]["parts"] is None


def test_terms_are_no_more_than_asked_for_and_a_greater_tolerance_takes_fewer(layer):
    pair = run(layer, [1], terms=2)
    alone = pearsonr(probabilities(layer)[:, 2], rivals.matrix(layer)[:, 1])[0]
    assert len(pair) == 3 and alone < 0.95
    assert [row["concept"] for row in run(layer, [1], terms=2, tolerance=0.3)] == ["blue"]


def test_concepts_that_the_probe_hardly_shows_are_no_terms(layer):
    p = probabilities(layer)
    likeliest = {name: np.sort(p[:, i])[-5:].mean() for i, name in enumerate(MEANINGS)}
    least = sorted(likeliest.values())[2] + 1e-6
    listed = {row["concept"] for row in run(layer, range(3), least=least)}
    assert listed and listed <= {name for name, mean in likeliest.items() if mean >= least}


def test_which_units_are_asked_for_and_how_concepts_are_dealt_out_change_nothing(layer, monkeypatch):
    whole = run(layer, range(4), terms=3)
    assert run(layer, [1], terms=3) == [row for row in whole if row["unit"] == 1]
    monkeypatch.setattr(embedded, "CONCEPTS_AT_ONCE", 2)
    parted = run(layer, range(4), terms=3)
    assert [(row["concept"], row["parts"]) for row in parted] == [(row["concept"], row["parts"]) for row in whole]
    assert run(layer, [3], terms=3) == []


def test_ten_words_of_a_long_list_are_kept(layer):
    names = [f"{'a ' * (i % 2)}{name}" for i in range(8) for name in MEANINGS]
    assert len(run(layer, [1], names)) <= CANDIDATES == 10


def test_activations_of_a_part_of_the_images_are_an_error(tmp_path):
    colours = np.random.default_rng(0).integers(0, 256, (48, 3))
    some = rivals.layer(tmp_path, colours / 255, colours, controls=20)
    with pytest.raises(ValueError, match="activations of 20 of 48 images were kept: set the recipe's `controls` to 48"):
        run(some, [0])


@pytest.fixture
def problem():
    """Twelve concepts, some of them alike, and a unit of three of them with noise: two halves of 300 images."""
    rng = np.random.default_rng(3)
    p = rng.uniform(size=(600, 12)) ** 4
    p[:, 5] = 0.7 * p[:, 1] + 0.3 * p[:, 5]
    activations = 3 * p[:, 1] + 2 * p[:, 7] + p[:, 2] - 2 * p[:, 9] + rng.normal(0, 0.1, 600)
    return Half(p[:300], activations[:300]), Half(p[300:], activations[300:])


def naive(fit, check, terms):
    """The sum of some concepts: weights above zero by scipy on centred columns, r by scipy on the other half."""
    columns = fit.p[:, terms]
    weights, _ = nnls(columns - columns.mean(0), fit.activations - fit.activations.mean())
    return weights, pearsonr(check.p[:, terms] @ weights, check.activations)[0] if weights.any() else 0.0


def test_weights_and_r_are_those_of_non_negative_least_squares(problem):
    explanation = linear_explanations.weigh(*problem, [1, 2, 9])
    weights, r = naive(*problem, [1, 2, 9])
    assert weights[2] == 0 and explanation.terms == [1, 2]  # the unit answers less where concept 9 shows
    assert explanation.weights == pytest.approx(weights[:2]) and explanation.r == pytest.approx(r)


def test_the_order_is_that_of_the_weights_of_an_elastic_net(problem):
    fit = problem[0]
    x = (fit.p - fit.p.mean(0)) / fit.p.std(0)
    y = (fit.activations - fit.activations.mean()) / fit.activations.std()
    weights = np.zeros(12)
    for _ in range(2000):  # proximal gradient descent on the released objective, .05 x (.99 L1 + .01 / 2 L2)
        gradient = x.T @ (x @ weights - y) / len(y) + 0.05 * 0.01 * weights
        weights = np.maximum(weights - 0.3 * gradient - 0.3 * 0.05 * 0.99, 0)
    order = linear_explanations.order(fit)
    positive = [int(i) for i in np.argsort(-weights) if weights[i] > 1e-9]
    assert order[: len(positive)] == positive and order[0] == 1
    assert order[len(positive) :] == sorted(set(range(12)) - set(positive))


@pytest.mark.parametrize(("most", "tolerance"), [(1, 0.02), (2, 0.02), (10, 0.02), (10, 0.2), (10, 0.0005)])
def test_the_search_is_greedy_on_the_other_half(problem, most, tolerance):
    terms, bad, best = [], set(), 0.0
    order = linear_explanations.order(problem[0])
    while len(terms) < most:  # the released loop
        leader = None
        for concept in [i for i in order if i not in terms and i not in bad][:10]:
            r = naive(*problem, [*terms, concept])[1]
            if terms and r - best < tolerance:
                bad.add(concept)
            elif r > (best if leader is None else leader[0]):
                leader = (r, concept)
        if leader is None:
            break
        best = leader[0]
        terms.append(leader[1])
    explanation = linear_explanations.search(*problem, most, tolerance)
    assert sorted(explanation.terms) == sorted(terms) and explanation.r == pytest.approx(best)
    assert explanation.weights == sorted(explanation.weights, reverse=True)
    assert explanation.terms[:2] == [1, 7][:most] if tolerance < 0.1 else len(terms) < 3


def test_a_unit_that_no_concept_predicts_has_no_explanation():
    fit = Half(np.array([[0.0], [1.0], [0.0], [1.0]]), np.array([1.0, 0.0, 1.0, 0.0]))
    assert linear_explanations.search(fit, fit, 3, 0.02) == Explanation([], [], 0.0)
    assert linear_explanations.rows(0, Explanation([], [], 0.0), ["red"]) == []
