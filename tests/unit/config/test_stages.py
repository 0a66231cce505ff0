"""What a recipe of our own method says about its stages, models apart: one class for each section."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from dnd.config.stages import ConceptSettings, ScoreSettings


def test_images_have_a_prompt_of_their_own_unless_another_is_named():
    assert ConceptSettings().prompt == Path("config/prompts/concept.yaml")
    assert ConceptSettings(show_images=True).prompt == Path("config/prompts/concept-images.yaml")
    assert ConceptSettings(show_images=True, prompt="mine.yaml").prompt == Path("mine.yaml")


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ({"join": 2}, "`join` needs a `verdict`"),
        ({"verdict": "v.json", "combination": "mean"}, "`verdict` has its own combination"),
        ({"scale": 1.0}, "`scale` and `bias` belong together"),
    ],
)
def test_settings_that_do_not_go_together(scores, message):
    with pytest.raises(ValidationError, match=message):
        ScoreSettings(**scores)
