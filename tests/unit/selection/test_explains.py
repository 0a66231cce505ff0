"""How much of a unit's behaviour its label predicts. Worked values: hand calculation, numpy, scipy and simulation."""

import numpy as np
import pytest
from handmade import png, write_probe
from scipy import stats

from dnd.backends import embeddings
from dnd.backends.embedder import Embedder
from dnd.config.backends import EmbedderSettings
from dnd.io import halves, schemas, tables
from dnd.io.rows import Explained, Scales, Score
from dnd.selection import descriptions, explains
from dnd.selection.explains import Estimate, JudgingImages

SHARP = Scales(200.0, -100.0)
"""An image shows a concept or does not."""


def skewed(rng, count):
    """How likely images show something and what they excite: rarely much, and together more often than not."""
    both = rng.gamma(0.3, size=count)
    return both + rng.gamma(0.3, size=count), np.maximum(both + rng.gamma(0.2, size=count) - 0.4, 0)


def test_an_estimate_is_pearson_s_r():
    shown, activations = skewed(np.random.default_rng(0), 200)
    assert explains.estimate(shown, activations).r == pytest.approx(np.corrcoef(shown, activations)[0, 1])


def test_the_interval_of_skewed_variables_covers_the_true_correlation():
    truth = np.corrcoef(*skewed(np.random.default_rng(1), 2_000_000))[0, 1]
    rng = np.random.default_rng(2)
    intervals = [explains.estimate(*skewed(rng, 1000)) for _ in range(300)]
    assert 0.9 <= np.mean([interval.low <= truth <= interval.high for interval in intervals]) <= 0.99


def test_the_interval_is_about_that_of_a_bootstrap():
    shown, activations = skewed(np.random.default_rng(3), 2000)
    found = explains.estimate(shown, activations)
    rng = np.random.default_rng(4)
    drawn = [rng.integers(2000, size=2000) for _ in range(2000)]
    low, high = np.quantile([np.corrcoef(shown[chosen], activations[chosen])[0, 1] for chosen in drawn], [0.025, 0.975])
    assert found.high - found.low == pytest.approx(high - low, rel=0.15)
    assert (found.low, found.high) == (pytest.approx(low, abs=0.02), pytest.approx(high, abs=0.02))


def test_the_interval_of_normal_variables_is_fisher_s():
    rng = np.random.default_rng(5)
    first = rng.normal(size=20000)
    second = 0.5 * first + rng.normal(size=20000)
    found = explains.estimate(first, second)
    expected = stats.pearsonr(first, second).confidence_interval()
    assert (found.low, found.high) == (pytest.approx(expected.low, abs=2e-3), pytest.approx(expected.high, abs=2e-3))


@pytest.mark.parametrize(("shown", "activations"), [([1, 1, 1], [1, 2, 3]), ([0.1] * 3, [0.1] * 3), ([1], [2])])
def test_of_what_does_not_vary_nothing_is_known(shown, activations):
    assert explains.estimate(np.array(shown, float), np.array(activations, float)) == Estimate(0, -1, 1)


def test_a_label_is_held_against_those_of_other_units():
    rivals = np.arange(40) / 100  # 0 to .39: 5 of them reach .35
    assert explains.chance(Estimate(0.35, 0.3, 0.4), rivals) == pytest.approx(6 / 41)
    assert explains.chance(Estimate(0.9, 0.8, 0.95), rivals) == pytest.approx(1 / 41)
    assert explains.chance(Estimate(-0.5, -0.6, -0.4), rivals) == 1


def test_where_there_are_few_others_it_is_held_against_no_correlation():
    """Of uncorrelated normal variables the p-value is about that of the t-test, whatever r is."""
    rng = np.random.default_rng(6)
    for _ in range(5):
        shown, activations = rng.normal(size=(2, 5000))
        found = explains.chance(explains.estimate(shown, activations), np.ones(explains.FEW - 1))
        assert found == pytest.approx(stats.pearsonr(shown, activations, alternative="greater").pvalue, abs=0.02)


@pytest.mark.parametrize(
    ("label", "chance"), [(Estimate(1, 1, 1), 0), (Estimate(-1, -1, -1), 1), (Estimate(0, -1, 1), 1)]
)
def test_a_perfect_label_is_no_chance_and_an_unknown_one_is(label, chance):
    assert explains.chance(label, np.array([])) == chance


def test_labels_are_told_apart_at_a_rate_of_five_in_a_hundred():
    # in order .001, .008, .039, .041, .6 against .01, .02, .03, .04, .05: the second is the last below its limit
    assert explains.told_apart([0.039, 0.001, 0.6, 0.008, 0.041]).tolist() == [False, True, False, True, False]
    # the fourth is below its limit, and takes the third with it
    assert explains.told_apart([0.039, 0.001, 0.6, 0.008, 0.0399]).tolist() == [True, True, False, True, True]
    assert explains.told_apart([]).tolist() == []


def test_a_label_is_taken_apart_where_it_joins_concepts():
    assert explains.parts_of("red objects or stars") == ["red objects", "stars"]
    assert explains.parts_of("oranges") == ["oranges"]


class Directions:
    """Embeds the n-th of some texts as the n-th axis."""

    def __init__(self, *texts):
        self.texts = texts

    def embed_texts(self, texts):
        return np.eye(len(self.texts), dtype=np.float32)[[self.texts.index(text) for text in texts]]


NAMES = tuple(f"c{number:02d}" for number in range(60))


def layer(activations, seed=0, images=3000):
    """Images that show a random few of sixty concepts each, and units that answer to these."""
    rng = np.random.default_rng(seed)
    shows = rng.random((images, len(NAMES))) < 0.05
    answers = np.stack([answer(shows, rng) for answer in activations], 1).astype(np.float64)
    return JudgingImages(shows.astype(np.float32), list(range(len(activations))), answers)


def judged(labels, seen, concepts=NAMES):
    texts = Directions(*sorted({*concepts, *(part for label in labels.values() for part in explains.parts_of(label))}))
    vectors = np.zeros((len(seen.vectors), len(texts.texts)), np.float32)
    for place, name in enumerate(texts.texts):
        if name in NAMES:
            vectors[:, place] = seen.vectors[:, NAMES.index(name)]
    table = explains.of_units(labels, concepts, seen._replace(vectors=vectors), texts, SHARP)
    return {row.unit: row for row in tables.rows_of(table, Explained)}


def graded(shows, rng):
    return shows[:, 3] * rng.uniform(0.5, 1, len(shows)) + rng.gamma(0.5, 0.2, len(shows))


def noise(shows, rng):
    return rng.permutation(graded(shows, rng))


def either(shows, rng):
    return shows[:, 5] | shows[:, 9]


def test_what_labels_explain_by_hand():
    found = judged({0: "c05 or c09", 1: "c05"}, layer([either, either]))
    assert (found[0].explains, found[0].explains_low, found[0].explains_high) == pytest.approx((1, 1, 1))
    seen = layer([either])
    assert found[1].explains == pytest.approx(np.corrcoef(seen.vectors[:, 5], seen.activations[:, 0])[0, 1], abs=1e-6)
    assert [found[unit].label for unit in (0, 1)] == ["c05 or c09", "c05"]


def test_a_graded_unit_is_described_and_a_noise_unit_is_not():
    for seed in range(5):
        found = judged({0: "c03", 1: "c03", 2: "c07"}, layer([graded, noise, noise], seed))
        assert descriptions.withheld(found, 0.0).keys() == {1, 2}
        assert found[0].chance == pytest.approx(1 / len(NAMES))  # of 59 rivals, none reaches it


def test_concepts_that_say_much_the_same_are_no_rivals():
    """Twenty synonyms of the label explain the unit as well as it does, and count for nothing."""
    seen = layer([graded])
    synonyms = [f"s{number}" for number in range(20)]
    texts = Directions(*NAMES, *synonyms)
    vectors = np.concatenate([seen.vectors, np.repeat(seen.vectors[:, [3]], 20, 1)], 1)
    table = explains.of_units({0: "c03"}, [*NAMES, *synonyms], seen._replace(vectors=vectors), texts, SHARP)
    assert table["chance"].to_pylist() == pytest.approx([1 / 60])


def test_neither_the_order_nor_the_number_of_times_of_concepts_matters():
    labels, seen = {1: "c03", 0: "c03"}, layer([graded, noise])
    assert judged(labels, seen) == judged(dict(sorted(labels.items())), seen, [*reversed(NAMES), *NAMES])


def test_of_many_concepts_some_are_rivals(monkeypatch):
    monkeypatch.setattr(explains, "MANY", 30)
    found = judged({0: "c03"}, layer([graded]))
    assert found[0].chance in (pytest.approx(1 / 30), pytest.approx(1 / 31))  # with the label among them, and without


def test_without_labels_nothing_is_explained():
    assert judged({}, layer([graded]), ()) == {}


def test_two_images_prove_nothing():
    """Any two points lie on a line."""
    found = explains.estimate(np.array([0.0, 1.0]), np.array([0.0, 5.0]))
    assert found == (pytest.approx(1), -1, 1)
    assert explains.chance(found, np.array([])) == 1


class Colours(Embedder):
    """Embeds images by their mean colour and texts by the colour that they name."""

    def __init__(self, settings=None):
        pass

    def embed(self, images):
        vectors = np.array([np.asarray(image).reshape(-1, 3).mean(0) for image in images], np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    def embed_texts(self, texts):
        return np.eye(3, dtype=np.float32)[[("red", "green", "blue").index(text) for text in texts]]


def write_layer(folder, names, units):
    """A probe of red, green and blue images in turn, and units that answer to them."""
    probe = {name: png(np.full((8, 8, 3), 250 * np.eye(3)[number % 3])) for number, name in enumerate(names)}
    topk = [
        dict.fromkeys(schemas.TOPK.names) | {"unit": unit, "image_ids": [], "activations": [], "controls": controls}
        for unit, controls in units.items()
    ]
    tables.write(folder / "topk.parquet", tables.table(topk, schemas.TOPK), schemas.TOPK)
    return folder / "topk.parquet", [write_probe(folder / "probe.parquet", probe)]


@pytest.fixture
def of_layer(tmp_path, monkeypatch):
    """A function that says what labels explain of a layer's units, and the names of its images."""
    monkeypatch.setattr(embeddings, "TransformersEmbedder", Colours)
    monkeypatch.setattr(explains, "TransformersTextEmbedder", Colours)
    names = [f"{number:02d}.png" for number in range(30)]

    def found(units, scores, ours=True, names=names, scaled=True):
        settings = EmbedderSettings(model=str(tmp_path), **({"scale": 200, "bias": -100} if scaled else {}))
        files = write_layer(tmp_path, names, units)
        table = tables.table(scores, schemas.SCORES)
        return explains.of_layer(table, ours, *files, settings, [], tmp_path / "store").to_pylist()

    found.names = names
    return found


def answers(names, chosen, judging):
    """A unit that answers to one colour on the images that choose, and to another on those that judge."""
    return [float(number % 3 == (chosen if halves.chooses(name) else judging)) for number, name in enumerate(names)]


SCORES = [Score(0, 0, "red", "captions", 3, 0.1), Score(0, 1, "green", "captions", 1, 0.2)]


def test_only_images_that_chose_nothing_judge(of_layer):
    (row,) = of_layer({0: answers(of_layer.names, chosen=0, judging=1)}, SCORES)
    assert (row["label"], row["explains"]) == ("green", pytest.approx(1))
    (row,) = of_layer({0: answers(of_layer.names, chosen=1, judging=0)}, SCORES)
    assert row["explains"] < 0


def test_another_method_s_first_candidate_is_its_label(of_layer):
    (row,) = of_layer({0: answers(of_layer.names, 0, 0)}, SCORES, ours=False)
    assert (row["label"], row["explains"]) == ("red", pytest.approx(1))


def test_activations_that_are_not_finite_count_as_the_least(of_layer):
    units = {0: [value or float("nan") for value in answers(of_layer.names, 1, 1)]}
    units[0][0] = 0.0
    (row,) = of_layer(units, SCORES)
    judged = [name for name in of_layer.names if not halves.chooses(name)]
    least = 0.0 if of_layer.names[0] in judged else 1.0  # the zero that is left may be in the half that chooses
    assert row["explains"] == pytest.approx(1 - least)


def test_without_the_embedder_s_scale_nothing_can_be_said(of_layer):
    assert of_layer({0: answers(of_layer.names, 0, 0)}, SCORES, scaled=False) == []


def test_without_scores_nothing_can_be_said(of_layer):
    assert of_layer({0: answers(of_layer.names, 0, 0)}, []) == []


@pytest.mark.parametrize("count", [0, 1, 2])
def test_a_probe_of_a_few_images_says_nothing_of_a_label(of_layer, count):
    judges = [name for name in of_layer.names if not halves.chooses(name)][:count]
    names = sorted([name for name in of_layer.names if halves.chooses(name)][:5] + judges)
    rows = of_layer({0: answers(names, 0, 0)}, SCORES, names=names)
    assert [(row["explains_low"], row["explains_high"]) for row in rows] == [(-1, 1)] * bool(count)
