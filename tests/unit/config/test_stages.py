"""What a recipe of our own method says about its stages, models apart: one class for each section."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from dnd.config.stages import ConceptSettings, ScoreSettings


def test_images_have_a_prompt_of_their_own_unless_another_is_named():
    assert ConceptSettings().prompt == Path("config/prompts/concept.yaml")
    assert ConceptSettings(show_images=True).prompt == Path("config/prompts/concept-images.yaml")
    assert ConceptSettings(show_images=True, prompt="mine.yaml").prompt == Path("mine.yaml")


def test_images_have_neither_groups_nor_words_unless_these_are_asked_for():
    shown = ConceptSettings(show_images=True)
    assert (shown.clusters, shown.words) == (1, 0)
    assert (ConceptSettings().clusters, ConceptSettings().words) == (3, 3)
    for key in ("clusters", "words"):
        with pytest.raises(ValidationError, match=f"`{key}` needs captions, which `show_images` does without"):
            ConceptSettings(show_images=True, **{key: 3})


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ({"join": 4}, "join\n.*less than or equal to 3"),
        ({"verdict": "v.json", "combination": "mean"}, "`verdict` needs `combination: evidence`"),
        ({"least_explains": 1.5}, "least_explains\n.*less than or equal to 1"),
    ],
)
def test_scores_that_cannot_be(scores, message):
    with pytest.raises(ValidationError, match=message):
        ScoreSettings(**scores)
