"""What the configuration says about foundation models and shards: one class for each section, and what all share."""

import pytest
from pydantic import ValidationError

from dnd.config.backends import CaptionSettings


def test_a_shortest_caption_longer_than_the_longest_is_refused():
    with pytest.raises(ValidationError, match="`min_length` must not exceed `max_new_tokens`"):
        CaptionSettings(model="owner/model", min_length=9, max_new_tokens=8)
    CaptionSettings(model="seer", base_url="http://127.0.0.1:9", max_new_tokens=3)  # a server knows no shortest


@pytest.mark.parametrize(("model", "errors"), [("shapeworld", 0), ("shapeworld:0.2", 0.2), ("shapeworld:1", 1)])
def test_the_truth_may_have_errors(model, errors):
    settings = CaptionSettings(model=model)
    assert (settings.oracle, settings.errors) == (True, errors)


@pytest.mark.parametrize(
    "model", ["shapeworld:", "shapeworld:20", "shapeworld:-0.2", "shapeworld:some", "shapeworld:1.5"]
)
def test_a_share_of_errors_that_is_none_is_refused(model):
    with pytest.raises(ValidationError, match=f"`model` is {model}, expected `shapeworld` or with a share of errors"):
        CaptionSettings(model=model)


def test_a_server_s_model_may_be_called_like_the_truth():
    settings = CaptionSettings(model="shapeworld:latest", base_url="http://127.0.0.1:9")
    assert (settings.oracle, settings.errors) == (False, 0)
