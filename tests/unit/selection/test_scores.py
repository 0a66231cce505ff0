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
            weights=ScoreSettings(**weights),
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
    votes = found["rings"]["score"] - found["rings"]["auc"] - found["rings"]["image_similarity"]
    assert votes == pytest.approx(2 / 6, abs=1e-6)  # of all answers, those for grass among them


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
