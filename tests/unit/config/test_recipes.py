"""What every recipe says, and the recipe of Describe-and-Dissect; those of rivals are in `dnd.config.rivals`."""

import pytest
from pydantic import ValidationError

from dnd.config.recipes import Recipe


def test_what_compares_needs_an_embedder():
    recipe = {"captions": {"model": "m"}, "concepts": {"clusters": 2, "cluster_by": "meaning"}}
    with pytest.raises(ValidationError, match=r"`concepts\.clusters` needs an `embedder`"):
        Recipe.model_validate(recipe)
    Recipe.model_validate(recipe | {"embedder": {"model": "m"}})
    Recipe.model_validate(recipe | {"concepts": {"clusters": 2}})  # by words


RECIPE = {
    "captions": {"model": "org/captioner", "base_url": "http://127.0.0.1:1", "concurrency": 3},
    "generator": {"model": "drawer", "steps": 12, "images": 5},
    "embedder": {"model": "embedder"},
}


def test_settings_are_told_where_they_differ_from_the_defaults_and_may_change_results():
    assert Recipe.model_validate(RECIPE).changed() == {
        "captions.model": "org/captioner",
        "generator.model": "drawer",
        "generator.steps": 12,
        "embedder.model": "embedder",
    }


def test_where_nothing_is_drawn_nothing_can_be_weighed():
    with pytest.raises(ValidationError, match=r"`scores\.verdict` needs a `generator`"):
        Recipe(captions={"model": "m"}, scores={"verdict": "v.json"})


def test_pictures_tell_the_embedder_s_scale_unless_it_is_given():
    assert Recipe.model_validate(RECIPE).fits_scales
    given = RECIPE | {"embedder": {"model": "embedder", "scale": 20, "bias": -8}}
    assert not Recipe.model_validate(given).fits_scales
    assert not Recipe.model_validate(RECIPE | {"scores": {"combination": "mean"}}).fits_scales
    assert not Recipe.model_validate(RECIPE | {"generator": None}).fits_scales


def test_a_recipe_knows_which_of_its_parts_are_the_truth():
    parts = {"captions": {"model": "shapeworld"}, "generator": {"model": "shapeworld"}, "embedder": {"model": "e"}}
    assert Recipe(**parts).oracles == ("captions", "generator")
    served = {"model": "shapeworld", "base_url": "http://host:1/v1"}
    assert Recipe(captions=served, concepts={"known_answers": True}).oracles == ("concepts",)
    assert Recipe(captions={"model": "resources/shapeworld/captioner"}).oracles == ()


def test_later_steps_may_pool_in_a_way_of_their_own():
    blip = {"captions": {"model": "m"}}
    assert Recipe(pooling="max", **blip).pooling_of_views == "max"
    assert Recipe(pooling="max", later_pooling="mean", **blip).pooling_of_views == "mean"
