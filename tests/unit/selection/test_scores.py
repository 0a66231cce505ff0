"""Candidates scored by their images, or by answers alone. Worked values: hand calculation."""

import logging

import numpy as np
import pytest
from handmade import TinyTarget, png, write_probe

from dnd.backends import embeddings
from dnd.backends.embedder import Embedder
from dnd.config.recipes import Recipe
from dnd.config.stages import ScoreSettings
from dnd.io import schemas, tables
from dnd.io.rows import Concept, Scales
from dnd.selection import scores


class Shade(Embedder):
    """Embeds an image as (mean brightness, rest) on the unit circle."""

    def embed(self, images):
        shade = np.array([np.asarray(image).mean() / 255 for image in images], np.float32)
        return np.stack([shade, np.sqrt(1 - shade**2)], 1)


@pytest.fixture
def scored(tmp_path):
    """Return a function that scores red stars, rings and grass for the unit "red", given each image's problem."""
    probe = write_probe(tmp_path / "probe.parquet", {"a.png": png(np.full((8, 8, 3), 51))})
    shown = {"unit": 0, "rank": 0, "image_id": "a.png", "box": None, "activation": 1.0, "heatmap": None}
    topk = {name: None for name in schemas.TOPK.names if name not in ("unit", "controls")} | {
        "unit": 0,
        "controls": [0.2, 0.4],
    }
    tables.write(tmp_path / "topk.parquet", tables.table([topk], schemas.TOPK), schemas.TOPK)
    shades = {"red stars": 102, "rings": 51, "grass": 0}
    concepts = [Concept("n", "s", 0, i, concept, 3 - i, [], "captions") for i, concept in enumerate(shades)]

    def run(problems, **weights):
        rows = [
            {"concept": concept, "sample": i, "seed": 0, "key": "", "problem": problem}
            | {"image": png(np.full((8, 8, 3), 0 if problem else shades[concept] + i))}
            for concept in shades
            for i, problem in enumerate(problems.get(concept, [None] * 6))
        ]
        tables.write(tmp_path / "images.parquet", tables.table(rows, schemas.IMAGES), schemas.IMAGES)
        found = scores.run(
            TinyTarget(8),
            "colour",
            Shade(),
            scores.DrawnShard(
                concepts,
                [tmp_path / "images.parquet"],
                tables.table([shown | {"heatmap_box": None}], schemas.EXEMPLARS),
                tmp_path / "topk.parquet",
                [probe],
            ),
            pooling="mean",
            weights=ScoreSettings(**{"combination": "topk-sq-mean"} | weights),
        )
        return {row["concept"]: row for row in found.to_pylist()}

    return run


def test_images_with_a_problem_are_left_out_of_the_scores(scored):
    found = scored({"red stars": ["black", None, "flagged", None, None, "black"]})
    assert found["red stars"]["activations"] == pytest.approx([103 / 255, 105 / 255, 106 / 255])
    assert found["red stars"]["auc"] == 1.0  # 0.404 and more against controls of 0.2 and 0.4
    # ranks 3, 2 and 1 of the fifteen images
    assert found["red stars"]["rank_score"] == pytest.approx((9 + 4 + 1) / 3)


def test_a_candidate_without_a_usable_image_is_not_scored(scored):
    found = scored({"grass": ["black"] * 6})
    assert set(found) == {"red stars", "rings"}
    whole = scored({})
    assert set(whole) == {"red stars", "rings", "grass"}
    assert found["rings"]["auc"] == whole["rings"]["auc"]


def test_the_components_by_hand(scored):
    found = scored({})["rings"]
    # brightness of 51 to 56 of 255, against controls of .2 and .4
    assert found["mad"] == pytest.approx((53.5 / 255 - 0.3) / 0.1)
    # of eighteen images its best five have the ranks 7 to 11
    assert found["rank_score"] == pytest.approx((49 + 64 + 81 + 100 + 121) / 5)
    assert found["score"] == pytest.approx(-found["rank_score"])
    shades = [shade / 255 for shade in range(51, 57)]  # embedded on a circle, as the exemplar of 51 is
    cosines = [0.2 * shade + (0.96 * (1 - shade**2)) ** 0.5 for shade in shades]
    assert found["image_similarity"] == pytest.approx(np.mean(cosines))
    assert scored({}, combination="image-products")["rings"]["score"] == found["image_similarity"]


def test_pictures_that_the_probe_was_not_asked_about_have_no_evidence(scored):
    found = scored({})
    evidence = ("correlation", "precision", "drawn", "bimodality", "parts", "shares")
    assert all(row[column] is None for row in found.values() for column in evidence)


def test_units_without_a_usable_image_have_no_scores(scored):
    assert scored({concept: ["flagged"] * 6 for concept in ("red stars", "rings", "grass")}) == {}


def test_the_activation_rate_verifies_candidates(scored):
    # the controls' upper quarter begins at 0.35: all red stars are brighter, no ring and no grass
    asked = {"combination": "activation-rate", "rate_quantile": 0.75}
    found = scored({}, **asked)
    assert {concept: row["score"] for concept, row in found.items()} == pytest.approx(
        {"red stars": 1.0, "rings": 0.0, "grass": 0.0}, abs=1e-5
    )
    assert found["rings"]["score"] > found["grass"]["score"]  # by mean activation
    assert set(scored({}, **asked, least_rate=0.5)) == {"red stars"}
    assert scored({}, **asked, rate_contrast=10) == {}  # 0.35 is not above 10 x 0.3


def test_concepts_that_nobody_drew_are_an_error(scored):
    with pytest.raises(ValueError, match=r"^no generated images of 'grass' and 0 other concepts$"):
        scored({"grass": []})


def test_the_answers_decide_where_nothing_is_drawn():
    rows = [(1, 0, "red", 3), (1, 1, "stars", 1), (0, 0, "grass", 1)]
    concepts = [Concept("n", "s", *row, [], "captions") for row in rows]
    found = scores.by_votes(concepts).to_pylist()
    assert [(row["unit"], row["concept"], row["votes"], row["score"]) for row in found] == [
        (0, "grass", 1, 1.0),
        (1, "red", 3, 0.75),
        (1, "stars", 1, 0.25),
    ]
    unknown = ("auc", "mad", "rank_score", "image_similarity", "activations")
    assert all(row[name] is None for row in found for name in unknown)
    assert scores.by_votes([]).schema == schemas.SCORES


@pytest.fixture
def by_recipe(tmp_path, monkeypatch):
    """A function that scores candidates by a recipe whose pictures and exemplar are flat."""
    monkeypatch.setattr(embeddings, "TransformersEmbedder", lambda settings: Shade())
    monkeypatch.setattr(scores, "TransformersTextEmbedder", lambda settings: Words())
    probe = {f"{number}.png": png(np.full((8, 8, 3), 20 * number)) for number in range(12)}
    topk = {name: None for name in schemas.TOPK.names} | {"unit": 0, "image_ids": ["11.png"]}
    topk |= {"activations": [220 / 255]} | {
        "controls": [20 * int(name.removesuffix(".png")) / 255 for name in sorted(probe)]
    }
    tables.write(tmp_path / "topk.parquet", tables.table([topk], schemas.TOPK), schemas.TOPK)
    shown = {"unit": 0, "rank": 0, "image_id": "11.png", "box": None, "activation": 220 / 255, "heatmap": None}
    rows = [
        {"concept": concept, "sample": 0, "seed": 0, "key": "", "problem": None}
        | {"image": png(np.full((8, 8, 3), shade))}
        for concept, shade in (("bright", 240), ("dark", 5))
    ]
    tables.write(tmp_path / "images.parquet", tables.table(rows, schemas.IMAGES), schemas.IMAGES)
    shard = scores.DrawnShard(
        [Concept("n", "s", 0, 0, "dark", 3, [], "captions"), Concept("n", "s", 0, 1, "bright", 1, [], "captions")],
        [tmp_path / "images.parquet"],
        tables.table([shown | {"heatmap_box": None}], schemas.EXEMPLARS),
        tmp_path / "topk.parquet",
        [write_probe(tmp_path / "probe.parquet", probe)],
        scales=[tmp_path / "scales.parquet"],
    )

    def run(fitted, **scored):
        tables.write(tmp_path / "scales.parquet", tables.table(fitted, schemas.SCALES), schemas.SCALES)
        recipe = Recipe.model_validate(RECIPE | {"scores": scored})
        found = scores.of_units(TinyTarget(8), "colour", recipe, shard, tmp_path / "store")
        return {row["concept"]: row for row in found.to_pylist()}

    return run


RECIPE = {
    "pooling": "mean",
    "captions": {"model": "m"},
    "generator": {"model": "m"},
    "embedder": {"model": "m"},
}


class Words:
    """Embeds "bright" and "dark" as the brightest and the darkest image."""

    def embed_texts(self, texts):
        return np.array([{"bright": (1, 0), "dark": (0, 1)}[text] for text in texts], np.float32)


def test_scales_fitted_on_pictures_let_the_probe_decide(by_recipe):
    found = by_recipe([Scales(10.0, -7.0, 2, 2, 1.0)])
    assert found["bright"]["score"] > found["dark"]["score"]
    assert found["bright"]["correlation"] > 0.5 > -0.5 > found["dark"]["correlation"]


def test_without_the_embedder_s_scale_the_answers_decide_and_it_is_said(by_recipe, caplog):
    with caplog.at_level(logging.WARNING):
        found = by_recipe([])
    assert {concept: row["score"] for concept, row in found.items()} == {"dark": 0.75, "bright": 0.25}
    assert "set `embedder.scale` and `bias`" in caplog.text


def test_released_functions_need_no_scale(by_recipe, caplog):
    with caplog.at_level(logging.WARNING):
        found = by_recipe([], combination="topk-sq-mean")
    assert {concept: row["score"] for concept, row in found.items()} == {"bright": -1, "dark": -4}
    assert not caplog.text
