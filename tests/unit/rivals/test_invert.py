"""INVERT: its AUROC and p-value equal those of scikit-learn and SciPy, and its search finds the planted formula."""

import itertools
from math import erfc, sqrt

import numpy as np
import pyarrow as pa
import pytest
import rivals
from scipy.stats import mannwhitneyu
from sklearn.metrics import roc_auc_score

from dnd.config.rivals import InvertRecipe
from dnd.io import schemas, tables
from dnd.rivals import invert
from dnd.rivals.formulas import Concept
from dnd.rivals.invert import Labels, auroc, image_labels, p_value, run

A, B, C, D = map(Concept, "abcd")
NAMES = list("abcd")


@pytest.fixture
def labels():
    return np.random.default_rng(0).random((200, 4)) < [0.3, 0.5, 0.2, 0.4]


def holds(formula, labels):
    return formula.evaluate(dict(zip(NAMES, labels.T, strict=True)).__getitem__)


def search(activations, labels, **settings):
    return invert.search(activations, Labels(labels, NAMES), recipe(**settings))


def excited(formula, labels, noise=0.1, seed=1):
    """Activations that a formula explains but for noise."""
    truth = holds(formula, labels)
    return np.maximum(truth + noise * np.random.default_rng(seed).normal(size=len(truth)), 0)


@pytest.mark.parametrize("ties", [False, True])
def test_auroc_is_that_of_scikit_learn(labels, ties):
    activations = np.random.default_rng(1).normal(size=(200, 3))
    if ties:  # as of a unit behind a ReLU, and of one that is rounded
        activations = np.maximum(activations, 0).round(1)
    found = auroc(activations, labels)
    for unit, concept in itertools.product(range(3), range(4)):
        wanted = roc_auc_score(labels[:, concept], activations[:, unit])
        assert found[unit, concept] == pytest.approx(wanted, abs=1e-9)


def test_auroc_of_a_label_of_all_images_or_none_is_undefined():
    labels = np.array([[True, False], [True, False]])
    assert np.isnan(auroc(np.array([[1.0], [2.0]]), labels)).all()


@pytest.mark.parametrize("ties", [False, True])
def test_p_value_is_that_of_the_normal_approximation_by_hand(labels, ties):
    activations = np.random.default_rng(2).normal(size=200)
    activations = np.maximum(activations, 0).round(1) if ties else activations
    truth = labels[:, 0]
    n, m = truth.sum(), (~truth).sum()
    u = roc_auc_score(truth, activations) * n * m
    tied = np.unique(activations, return_counts=True)[1]
    spread = np.sqrt(n * m / 12 * (n + m + 1 - (tied**3 - tied).sum() / ((n + m) * (n + m - 1))))
    z = (abs(u - n * m / 2) - 0.5) / spread
    assert p_value(activations, truth) == pytest.approx(erfc(z / sqrt(2)), abs=1e-6)
    assert p_value(activations, truth) == mannwhitneyu(activations[truth], activations[~truth]).pvalue


@pytest.mark.parametrize("formula", [A, ~B, A & B, A | C, A & ~D, (A | C) & ~D, (A & B) | D, A & B & ~C])
def test_the_planted_formula_is_found(labels, formula):
    found = search(excited(formula, labels), labels, length=3, beam=10, maximum=0.9)
    truth = holds(formula, labels)
    assert np.array_equal(found[0].extent.holds, truth)
    assert rivals.length(found[0].formula) <= rivals.length(formula)
    assert found[0].measure == pytest.approx(roc_auc_score(truth, excited(formula, labels)), abs=1e-9)


def test_a_wide_beam_finds_what_trying_everything_finds(labels):
    activations = np.random.default_rng(3).normal(size=200)
    atoms = [*map(Concept, NAMES), *(~Concept(name) for name in NAMES)]
    single = [one for one in atoms if 20 <= holds(one, labels).sum() <= 100]  # others are joined to these only
    pairs = [one for a, b in itertools.product(single, atoms) for one in (a & b, a | b)]
    truths = [truth for one in [*single, *pairs] if 20 <= (truth := holds(one, labels)).sum() <= 100]
    distinct = {truth.tobytes(): roc_auc_score(truth, activations) for truth in truths}
    found = search(activations, labels, length=2, beam=1000, minimum=0.1, maximum=0.5)
    assert [one.measure for one in found] == pytest.approx(sorted(distinct.values(), reverse=True), abs=1e-9)


def test_the_shortest_of_equal_formulas_stays(labels):
    labels[:, 3] = labels[:, 0] & labels[:, 1]
    found = search(excited(A & B, labels), labels, length=3)
    assert found[0].formula == D
    assert len({one.extent.holds.tobytes() for one in found}) == len(found)


def test_bounds_keep_frequent_and_rare_formulas_out(labels):
    activations = excited(~A, labels)
    wide = search(activations, labels, length=1, maximum=0.9)
    assert wide[0].formula == ~A
    narrow = search(activations, labels, length=2, minimum=0.1, maximum=0.5)
    assert all(0.1 <= one.extent.holds.mean() <= 0.5 for one in narrow)


def test_negative_concepts_are_those_that_the_unit_responds_to_least(labels):
    found = search(-excited(A & B, labels), labels, length=2, negative=True)
    assert found[0].formula == A & B
    assert found[0].measure < 0.05


def test_labels_of_images():
    annotations = pa.table({"image_id": ["x", "y", "x", "z"], "concept": ["red", "red", "star", "ring"]})
    labels = image_labels(annotations, ["y", "x"])
    assert labels.names == ["red", "ring", "star"]
    assert labels.flags.T.tolist() == [[True, False, False], [True, False, True]]


def recipe(**settings):
    return InvertRecipe(method="invert", **settings)


def annotated(path, pairs):
    rows = [{"image_id": image, "category": "c", "concept": concept, "mask": None} for image, concept in pairs]
    tables.write(path, tables.table(rows, schemas.ANNOTATIONS), schemas.ANNOTATIONS)
    return [path]


@pytest.fixture(scope="module")
def layer(tmp_path_factory):
    """48 images of colours and shapes, units of red stars, of no blue, of nothing, of noise, and one with a hole."""
    rng = np.random.default_rng(0)
    colour, shape = rng.integers(3, size=48), rng.integers(2, size=48)
    red, blue, star = colour == 0, colour == 2, shape == 0
    noise = rng.random((48, 2)) * 0.2
    units = [(red & star) + noise[:, 0], ~blue + noise[:, 0], 0 * red, noise[:, 1], star + noise[:, 0]]
    made = rivals.layer(tmp_path_factory.mktemp("layer"), np.stack(units, 1))
    names = [f"{i:04d}.png" for i in range(48)]
    pairs = [(name, ["red", "green", "blue"][one]) for name, one in zip(names, colour, strict=True)]
    pairs += [(name, ["star", "ring"][one]) for name, one in zip(names, shape, strict=True)]
    return {**made, "annotations": annotated(made["topk"].parent / "annotations.parquet", pairs)}


def test_a_run_gives_formulas_in_words(layer):
    rows = run(recipe(maximum=0.8), units=range(5), **layer).to_pylist()
    best = {row["unit"]: row for row in rows if row["candidate"] == 0}
    assert best[0]["concept"] == "red stars"
    assert best[1]["concept"] == "warm coloured and green and purple objects"  # any but blue
    assert best[4]["concept"] == "stars"
    assert 2 not in best  # dead
    assert best[0]["auc"] == best[0]["score"] == 1
    assert {row["source"] for row in rows} == {"invert"}
    own = [row["score"] for row in rows if row["unit"] == 0]
    assert own == sorted(own, reverse=True)


def test_noise_stays_unlabelled_at_a_strict_level(layer):
    assert 3 in run(recipe(significance=1), units=[3], **layer)["unit"].to_pylist()
    strict = run(recipe(significance=1e-4), units=[0, 3], **layer)
    assert set(strict["unit"].to_pylist()) == {0}


def test_negative_scores_count_from_below(layer):
    row = run(recipe(negative=True, length=1), units=[1], **layer).to_pylist()[0]
    assert row["concept"] == "blue objects"
    assert row["auc"] == 0
    assert row["score"] == 1


def test_a_probe_without_labels_is_an_error(layer):
    none = annotated(layer["topk"].parent / "none.parquet", [])
    with pytest.raises(ValueError, match="none of 48 images"):
        run(recipe(), units=[0], **layer | {"annotations": none})
