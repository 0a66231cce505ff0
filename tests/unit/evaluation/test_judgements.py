"""Metrics beyond known answers: what a label, a baseline and an abstention get."""

import io
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from scipy.special import expit

from dnd.config.evaluation import EvaluationSettings
from dnd.config.scenes import Stream
from dnd.evaluation import judgements
from dnd.evaluation.baselines import RANDOM
from dnd.evaluation.judged_images import HeldOut
from dnd.evaluation.judgements import Described, Encoders
from dnd.io import schemas, tables
from dnd.shapeworld import world
from dnd.shapeworld.render import draw, scene_of

RNG = np.random.default_rng(0)


SCALES = {"scale": 20.0, "bias": -8.0}


def unit_vectors(*shape):
    found = RNG.standard_normal(shape).astype(np.float32)
    return found / np.linalg.norm(found, axis=-1, keepdims=True)


def test_simulation_is_pearsons_r_of_probability_and_activation():
    seen = HeldOut(RNG.standard_normal((40, 3)).astype(np.float32), unit_vectors(40, 5))
    texts, labels = unit_vectors(2, 5), ["a", "b"]
    measure = judgements.of_simulation(labels, seen, texts, 10.0, -2.0)["simulation_r"]
    chances = expit(10 * (seen.vectors @ texts.T).astype(np.float64) - 2)
    for place, label in enumerate(labels):
        for unit in range(3):
            expected = np.corrcoef(chances[:, place], seen.activations[:, unit])[0, 1]
            assert measure.value(label, unit) == pytest.approx(expected, abs=1e-6)


def test_pictures_are_compared_with_the_held_out_images_and_a_label_without_any_says_nothing():
    seen = HeldOut(np.array([[0, 0], [1, 0], [2, 0], [3, 1]], np.float32), unit_vectors(4, 3))
    measures = judgements.of_pictures(seen, {"drawn": np.array([[2.5, 0], [9, np.nan]], np.float32)})
    auc, mad = measures["cosy_auc"].value, measures["cosy_mad"].value
    assert auc("drawn", 0) == pytest.approx((3 + 4) / 8)
    assert auc("drawn", 1) == pytest.approx(0.5 * 3 / 4)  # the one finite picture
    assert mad("drawn", 0) == pytest.approx((5.75 - 1.5) / np.std([0, 1, 2, 3]))
    assert auc("not drawn", 0) == measures["cosy_auc"].nothing == 0.5
    assert mad("not drawn", 0) == measures["cosy_mad"].nothing == 0


def test_a_label_that_fits_the_exemplars_and_not_their_look_alikes_explains_them():
    shared = np.array([1.0, 0, 0])
    activations = np.concatenate([np.full(10, 5.0), np.zeros(50)])[:, None].astype(np.float32)
    vectors = np.concatenate([np.tile([0.8, 0.6, 0], (10, 1)), np.tile([0.8, 0, 0.6], (50, 1))]).astype(np.float32)
    labels = ["of both", "of exemplars", "of look-alikes"]
    texts = np.stack([shared, [0, 1, 0], [0, 0, 1]]).astype(np.float32)
    measure = judgements.of_contrast(labels, HeldOut(activations, vectors), texts)["exemplar_contrast"]
    assert [measure.value(label, 0) for label in labels] == [0.5, 1.0, 0.0]


def test_a_label_is_worth_its_share_of_the_best_that_labels_attain():
    """Unit 2 is .6 red + .4 star on every scene once: red tells .6 / hypot(.6, .4), and no one concept more."""
    stream = {scene_of(6, number).index: number for number in range(9000)}
    assert len(stream) == 540
    names = [f"unseen/{stream[index]}.png" for index in np.ndindex(world.SHAPE)]
    red, star = (world.word_extension(word).ravel().astype(np.float32) for word in ("red", "star"))
    seen = HeldOut(np.stack([red, red, 0.6 * red + 0.4 * star], axis=1), unit_vectors(540, 2), names)
    measures = judgements.of_truth(seen, [0, 2], {"unseen/": Stream(seed=6)})
    assert [measures[name].value("red objects", 0) for name in measures] == pytest.approx([1, 1, 1])
    part, either = 0.6 / np.hypot(0.6, 0.4), measures["true_r"].value("red objects or stars", 2)
    assert measures["true_r"].value("red objects", 2) == pytest.approx(part)
    assert measures["true_share"].value("red objects", 2) == pytest.approx(1)
    assert measures["true_share"].value("red objects or stars", 2) == pytest.approx(either / part)
    assert measures["true_share_pair"].value("red objects", 2) == pytest.approx(part / either)
    assert {measure.value("happiness", 2) for measure in measures.values()} == {0.0}
    assert {measure.nothing for measure in measures.values()} == {0.0}


def test_a_withheld_label_is_replaced_by_the_first_candidate_to_see_what_was_withheld():
    assert [
        judgements.UnitLabel(0, label, candidates).leading
        for label, candidates in [("a", [{"concept": "b"}]), (None, [{"concept": "b"}, {"concept": "c"}]), (None, [])]
    ] == ["a", "b", None]


def test_units_that_never_vary_are_not_judged():
    seen = HeldOut(np.array([[1, 0, 3], [1, 2, 3]], np.float32), unit_vectors(2, 3))
    assert list(judgements.of_units(seen)["clarity"]) == [1]


def described(method, labels, half=None, name=None):
    return Described(name or method, method, labels, half)


def test_halves_of_a_probe_are_compared_and_bring_no_other_rows():
    rows = [
        described("m", {0: "red objects", 1: "stars", 2: None, 3: None}, "probe", "first"),
        described("m", {0: "Red objects", 1: "warm colours", 2: "rings", 3: None}, "probe", "second"),
    ]
    found = judgements.run("layer", rows, settings=EvaluationSettings(), encoders=Encoders()).to_pylist()
    same = {row["unit"]: row["value"] for row in found if row["metric"] == "stability"}
    shared = {row["unit"]: row["value"] for row in found if row["metric"] == "stability_iou"}
    sets = {row["unit"]: row["value"] for row in found if row["metric"] == "stability_same_set"}
    assert same == {0: 1.0, 1: 0.0, 2: 0.0}  # nothing is known of a unit that nobody labels
    assert shared[0] == 1 and 0 < shared[1] < 1
    assert sets == {0: 1.0, 1: 0.0, 2: 0.0}
    assert {row["name"] for row in found} == {"first"}
    assert {row["metric"] for row in found} == {"stability", "stability_iou", "stability_same_set"}


def test_class_names_are_compared_by_the_cosine_of_their_texts():
    vectors = {"red": [1.0, 0], "crimson": [0.8, 0.6], "blue": [0, 1.0]}

    def encode(texts):
        return np.array([vectors[text] for text in texts], np.float32)

    rows = [described("m", {0: "crimson", 1: None})]
    found = judgements.run(
        "fc",
        rows,
        settings=EvaluationSettings(),
        encoders=Encoders(sentences=encode),
        class_names=["red", "blue"],
        concepts=["blue"],
    ).to_pylist()
    values = {(row["method"], row["unit"]): row["value"] for row in found if row["metric"] == "class_name_similarity"}
    assert values["m", 0] == pytest.approx(0.8)
    assert values["m", 1] == 0  # an abstention is worth nothing
    assert values["constant", 1] == pytest.approx(0.6)
    assert values[RANDOM, 0] == 0 and values[RANDOM, 1] == 1


def test_labels_of_every_row_and_of_its_baselines_are_judged_but_for_halves_of_a_probe():
    rows = [described("m", {0: "b", 1: None}), described("n", {0: "half"}, "probe")]
    assert judgements.distinct_labels(rows, ["c"]) == ["b", "c"]


def test_a_whole_layer_of_the_embedded_network_ranks_true_labels_above_false_ones(tmp_path):
    """With the real network and the real judges: known truth has to win by every metric."""
    from dnd.backends.embedder import TransformersEmbedder, TransformersTextEmbedder
    from dnd.config.known_answers import load as known
    from dnd.config.load import load
    from dnd.target import sources

    folder = Path("resources/shapeworld/target")
    models = {
        "m": {
            "source": "python",
            "factory": "dnd.shapeworld.target:load",
            "arguments": {"folder": str(folder)},
            "preprocess": str(folder / "preprocess.json"),
        }
    }
    values = yaml.safe_load(Path("config/config.yaml").read_text())
    config = load({**values, "models": {**values["models"], **models}})
    rows = []
    for number in range(200):
        _, image, _ = draw(6, number)
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, "PNG")
        data = buffer.getvalue()
        rows.append(
            {"image_id": f"{number:06d}.png", "digest": str(number), "width": 64, "height": 64, "label": None}
            | {"image": data}
        )
    tables.write(tmp_path / "held.parquet", tables.table(rows, schemas.PROBE), schemas.PROBE)
    answers = known(folder / "units.json")["concepts"]
    chosen = list(range(0, 20, 3))
    right = {unit: answers[unit].label for unit in chosen}
    silent = dict.fromkeys(chosen)
    wrong = {unit: right[chosen[(i + 1) % len(chosen)]] for i, unit in enumerate(chosen)}
    embedder = config.recipes["dnd"].embedder
    found = judgements.run(
        "concepts",
        [
            *(Described(name, name, labels, None, labels) for name, labels in (("right", right), ("wrong", wrong))),
            Described("silent", "silent", silent, None, right),
        ],
        settings=EvaluationSettings(
            pooling="max", embedder=embedder.model_copy(update=SCALES), renderer="shapeworld", images=8
        ),
        encoders=Encoders(
            embed=TransformersEmbedder(embedder).embed, texts=TransformersTextEmbedder(embedder).embed_texts
        ),
        target=sources.load(config.models["m"]),
        shards=[tmp_path / "held.parquet"],
        streams={"": Stream(seed=6)},
    ).to_pandas()
    means = found[found["method"].isin(["right", "wrong", "silent"])].groupby(["metric", "method"])["value"].mean()
    for metric, nothing in {"simulation_r": 0.0, "cosy_auc": 0.5, "cosy_mad": 0.0, "exemplar_contrast": 0.5}.items():
        assert means[metric, "right"] > means[metric, "wrong"] + 0.2
        assert means[metric, "silent"] == nothing
    assert means["cosy_auc", "right"] > 0.85
    for metric in ("true_r", "true_share", "true_share_pair"):
        assert means[metric, "right"] > means[metric, "wrong"] + 0.2
        assert means[metric, "silent"] == 0
    assert means["true_share", "right"] > 0.9
    assert means["true_r_ranked", "silent"] == means["true_r", "right"]  # what was withheld would have been right
