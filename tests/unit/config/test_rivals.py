"""Recipes of other methods: what goes wrong in their own keys."""

import pytest
from pydantic import ValidationError

from dnd.config.rivals import ClipDissectRecipe, CompositionalRecipe

CLIP = {"method": "clip-dissect", "concepts": "words.txt", "embedder": {"model": "owner/clip"}}


@pytest.mark.parametrize("inclusion", [(0.5, 0.9), (1.2, 0.5), (0.5, -0.1)])
def test_chances_that_are_none_are_refused(inclusion):
    assert ClipDissectRecipe(**CLIP).inclusion == (0.998, 0.97)
    with pytest.raises(ValidationError, match="two probabilities, the second no larger than the first"):
        ClipDissectRecipe(**CLIP, inclusion=inclusion)


def test_an_area_is_a_share_or_found_by_otsu():
    assert CompositionalRecipe(method="compositional", quantile="otsu").quantile == "otsu"
    for quantile in (0, 1, "median"):
        with pytest.raises(ValidationError, match="quantile"):
            CompositionalRecipe(method="compositional", quantile=quantile)


def test_models_and_files_of_a_rival_are_named_by_their_keys():
    recipe = ClipDissectRecipe(**CLIP)
    assert list(recipe.models()) == ["embedder"]
    assert {key: str(path) for key, path in recipe.files().items()} == {"concepts": "words.txt"}
