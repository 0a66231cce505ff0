"""What the configuration says about foundation models and shards: one class for each section, and what all share."""

import pytest
from pydantic import ValidationError

from dnd.config.backends import CaptionSettings


def test_a_shortest_caption_longer_than_the_longest_is_refused():
    with pytest.raises(ValidationError, match="`min_length` must not exceed `max_new_tokens`"):
        CaptionSettings(model="owner/model", min_length=9, max_new_tokens=8)
    CaptionSettings(model="seer", base_url="http://127.0.0.1:9", max_new_tokens=3)  # a server knows no shortest
