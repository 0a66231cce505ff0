"""CLIP-Dissect: its similarities equal an independent computation, and its words are those that fit."""

import numpy as np
import pytest
import rivals
from painted import MEANINGS, Painted
from scipy.special import softmax

from dnd.config.rivals import ClipDissectRecipe
from dnd.rivals import clip_dissect as dissect
from dnd.rivals.inputs import CANDIDATES

IMAGES, CONCEPTS, UNITS = 60, 9, 4


@pytest.fixture
def p():
    return np.random.default_rng(0).uniform(0.1, 0.4, (IMAGES, CONCEPTS))


@pytest.fixture
def activations():
    return np.random.default_rng(1).normal(size=(IMAGES, UNITS)) ** 2


def naive_evidence(p, activations, unit, concept, top, scale, first, last):
    """log p(concept | unit) term by term: the released formula, image by image."""
    order = sorted(range(len(p)), key=lambda image: -activations[image, unit])[:top]
    total = 0.0
    for rank, image in enumerate(order):
        share = softmax(scale * p[image])[concept]
        chance = first - rank / top * (first - last)
        total += np.log(1 + chance * (share - 1) + 1e-7)
    return total


def naive_information(p, activations, top, scale, penalty, first, last):
    found = np.array(
        [
            [naive_evidence(p, activations, unit, concept, top, scale, first, last) for concept in range(CONCEPTS)]
            for unit in range(UNITS)
        ]
    )
    return found - penalty * np.log(np.exp(found).mean(0))


def best_images(p, activations, top):
    """Of each unit its rows of P and its activations, best first."""
    orders = np.argsort(-activations, axis=0, kind="stable")[:top].T
    return [(p[order], column[order]) for order, column in zip(orders, activations.T, strict=True)]


def soft_wpmi(p, activations, top, scale=10.0, penalty=1.0, inclusion=(0.998, 0.97)):
    evidence = [dissect.log_evidence(rows, scale, inclusion) for rows, _ in best_images(p, activations, top)]
    return dissect.mutual_information(np.stack(evidence), penalty)


def rank_reorder(p, activations, top):
    return np.stack([dissect.rank_reorder(*pair) for pair in best_images(p, activations, top)])


def test_soft_wpmi(p, activations):
    found = soft_wpmi(p, activations, top=20)
    assert found == pytest.approx(naive_information(p, activations, 20, 10, 1, 0.998, 0.97), abs=1e-6)


def test_soft_wpmi_with_other_settings(p, activations):
    found = soft_wpmi(p, activations, top=7, scale=25, penalty=0.5, inclusion=(0.9, 0.2))
    assert found == pytest.approx(naive_information(p, activations, 7, 25, 0.5, 0.9, 0.2), abs=1e-6)


def test_wpmi_is_the_mean_logarithm_of_the_shares(p, activations):
    found = soft_wpmi(p, activations, 28, 2.0, 0.6, (1.0, 1.0))
    wanted = np.empty((UNITS, CONCEPTS))
    for unit in range(UNITS):
        best = np.argsort(activations[:, unit])[::-1][:28]
        wanted[unit] = np.log(softmax(2 * p[best], axis=1) + 1e-7).sum(0)
    wanted -= 0.6 * np.log(np.exp(wanted).mean(0))
    assert found == pytest.approx(wanted, abs=1e-6)


def test_cosine(p, activations):
    for unit in range(UNITS):
        for concept in range(CONCEPTS):
            a, b = activations[:, unit], p[:, concept]
            wanted = sum(a * b) / (sum(a * a) ** 0.5 * sum(b * b) ** 0.5)
            assert dissect.cosine(p, activations)[unit, concept] == pytest.approx(wanted, abs=1e-6)


def test_cosine_of_cubes():
    # of scores whose cubes' norm is above the released code's smallest, 1e-3
    rng = np.random.default_rng(2)
    p, activations = rng.normal(size=(IMAGES, CONCEPTS)), rng.normal(size=(IMAGES, UNITS))
    found = dissect.cosine_cubed(p, activations)
    for unit in range(UNITS):
        for concept in range(CONCEPTS):
            a, b = ((one - np.mean(one)) ** 3 for one in (activations[:, unit], p[:, concept]))
            assert found[unit, concept] == pytest.approx(a @ b / np.sqrt((a @ a) * (b @ b)), abs=1e-6)


def test_a_concept_that_hardly_varies_stays_small_in_the_cosine_of_cubes(activations):
    p = np.full((IMAGES, 1), 0.2)
    p[0] += 0.05
    cube = (p[:, 0] - p.mean()) ** 3
    assert np.linalg.norm(cube) < 1e-3
    a = (activations - activations.mean(0)) ** 3
    wanted = a.T @ (cube / 1e-3) / np.linalg.norm(a, axis=0)
    assert dissect.cosine_cubed(p, activations)[:, 0] == pytest.approx(wanted, abs=1e-6)


def test_rank_reorder(p, activations):
    top = 12
    found = rank_reorder(p, activations, top)
    rng = np.random.default_rng(0)
    for unit in range(UNITS):
        best = sorted(range(IMAGES), key=lambda image: -activations[image, unit])[:top]
        values = activations[best, unit]
        # the released code's baseline, with so many random orders that it is near its mean
        orders = np.stack([rng.permutation(values) for _ in range(3000)])
        baseline = np.mean(np.abs(values - orders) ** 3)
        for concept in range(CONCEPTS):
            scores = p[best, concept]
            dealt = np.empty(top)
            dealt[np.argsort(scores)] = np.sort(values)  # the best score gets the largest activation
            error = np.mean(np.abs(values - dealt) ** 3) / np.sqrt(scores.mean())
            exact = np.mean([abs(a - b) ** 3 for a in values for b in values])
            assert found[unit, concept] == pytest.approx(-error / exact, abs=1e-6)
            assert found[unit, concept] == pytest.approx(-error / baseline, rel=0.05)


def test_rank_reorder_of_scores_in_the_units_own_order_is_perfect(activations):
    p = np.stack([activations[:, 0], -activations[:, 0]], 1)
    found = rank_reorder(p - p.min() + 1, activations[:, :1], 10)
    assert found[0, 0] == 0
    assert found[0, 1] < -0.5


def test_rank_reorder_puts_concepts_below_zero_last(activations):
    p = np.stack([np.full(IMAGES, 0.1), np.full(IMAGES, -0.1)], 1)
    found = rank_reorder(p, activations, 10)
    assert np.isfinite(found).all()
    assert (found[:, 0] > found[:, 1]).all()


def run(layer, concepts, units, **settings):
    file = layer["topk"].parent / "concepts.txt"
    file.write_text("\n".join(concepts))
    recipe = {"method": "clip-dissect", "concepts": file, "embedder": {"model": "none"}, "top": 10, **settings}
    return dissect.run(ClipDissectRecipe(**recipe), Painted(), Painted(), units=units, **layer)


@pytest.fixture(scope="module")
def layer(tmp_path_factory):
    """48 images of one colour each, and units that like red, green, blue, and nothing."""
    rng = np.random.default_rng(0)
    colours = rng.integers(0, 256, (48, 3))
    activations = np.concatenate(
        [np.maximum(2 * colours - colours.sum(1, keepdims=True), 0) / 255, 0 * colours[:, :1]], 1
    )
    return rivals.layer(tmp_path_factory.mktemp("layer"), activations, colours)


@pytest.mark.parametrize("similarity", ["cosine", "cosine-cubed", "rank-reorder", "wpmi", "soft-wpmi"])
def test_units_get_the_words_that_fit(layer, similarity):
    words = list(MEANINGS)
    found = run(layer, words, range(4), similarity=similarity)
    rows = found.to_pylist()
    best = {row["unit"]: row["concept"] for row in rows if row["candidate"] == 0}
    assert best == {0: "red", 1: "green", 2: "blue"}  # unit 3 is dead
    assert [row["score"] for row in rows[:5]] == sorted((row["score"] for row in rows[:5]), reverse=True)
    assert {row["source"] for row in rows} == {"clip-dissect"}
    assert sorted(row["concept"] for row in rows[:5]) == sorted(words)


@pytest.mark.parametrize("similarity", ["cosine", "cosine-cubed", "rank-reorder", "wpmi", "soft-wpmi"])
def test_a_run_scores_as_the_functions_do(layer, similarity):
    one = Painted()
    p = one.embed(rivals.images(layer)).astype(float) @ one.embed_texts(list(MEANINGS)).T
    activations = rivals.matrix(layer)[:, :3]
    wanted = {
        "cosine": lambda: dissect.cosine(p, activations),
        "cosine-cubed": lambda: dissect.cosine_cubed(p, activations),
        "rank-reorder": lambda: rank_reorder(p, activations, 10),
        "wpmi": lambda: soft_wpmi(p, activations, 10, inclusion=(1.0, 1.0)),
        "soft-wpmi": lambda: soft_wpmi(p, activations, 10),
    }[similarity]()
    rows = run(layer, list(MEANINGS), [0, 1, 2], similarity=similarity).to_pylist()
    for row in rows:
        column = list(MEANINGS).index(row["concept"])
        assert row["score"] == pytest.approx(wanted[row["unit"], column], rel=1e-5, abs=1e-5)


def test_which_units_are_asked_for_changes_no_score(layer):
    whole = run(layer, list(MEANINGS), range(4)).to_pylist()
    alone = run(layer, list(MEANINGS), [1]).to_pylist()
    assert alone == [row for row in whole if row["unit"] == 1]
    assert len(alone) == 5


def test_the_prompt_is_read_and_the_concept_is_the_label(layer):
    found = run(layer, ["red", "blue"], [0], prompt="a {concept}")
    assert found["concept"].to_pylist() == ["red", "blue"]


def test_ten_words_of_a_long_list_are_kept(layer):
    names = [f"{'a ' * (i % 2)}{name}" for i in range(4) for name in MEANINGS]
    found = run(layer, names, [0])
    assert len(found) == CANDIDATES == 10


def test_too_few_kept_images_are_an_error(layer):
    with pytest.raises(ValueError, match="set the recipe's `kept` to 40"):
        run(layer, ["red"], [0], top=40)


def test_activations_of_a_part_of_the_images_are_an_error(tmp_path):
    colours = np.random.default_rng(0).integers(0, 256, (48, 3))
    some = rivals.layer(tmp_path, colours / 255, colours, controls=20)
    with pytest.raises(ValueError, match="activations of 20 of 48 images were kept: set the recipe's `controls` to 48"):
        run(some, ["red"], [0], similarity="cosine")
