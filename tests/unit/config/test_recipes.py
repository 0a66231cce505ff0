"""What every recipe says, and the recipe of Describe-and-Dissect; those of rivals are in `dnd.config.rivals`."""

import pytest
from pydantic import ValidationError

from dnd.config.recipes import Recipe


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"generator": None}, "needs a `generator`"),
        ({"refinement": {"images": 11}}, "must not exceed `generator.images`, 10"),
        ({"captions": {"model": "shapeworld"}}, "it must be 0"),
    ],
)
def test_a_recipe_that_cannot_refine_is_refused(changed, message):
    parts = {key: {"model": "owner/model"} for key in ("captions", "generator", "embedder")}
    with pytest.raises(ValidationError, match=message):
        Recipe(**parts | {"refinement": {}} | changed)


def test_its_language_model_is_among_the_models_of_a_recipe():
    parts = {key: {"model": "owner/model"} for key in ("captions", "generator", "embedder")}
    recipe = Recipe(**parts, refinement={"llm": {"model": "owner/other"}})
    assert recipe.models()["refinement.llm"].model == "owner/other"
    assert "refinement.prompt" in recipe.files()


@pytest.mark.parametrize("key", [{"clusters": 2}, {"merge": 0.9}, {"look_alikes": 3}])
def test_what_compares_needs_an_embedder(key):
    recipe = {"captions": {"model": "m"}, "concepts": key}
    with pytest.raises(ValidationError, match=rf"`concepts\.{next(iter(key))}` needs an `embedder`"):
        Recipe.model_validate(recipe)
    Recipe.model_validate(recipe | {"embedder": {"model": "m"}})


RECIPE = {
    "captions": {"model": "org/captioner", "base_url": "http://127.0.0.1:1", "concurrency": 3},
    "generator": {"model": "drawer", "steps": 12, "images": 10},
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
