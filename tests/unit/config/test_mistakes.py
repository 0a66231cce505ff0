"""Values that JSON cannot hold, and sentences about what pydantic finds."""

import math

import pytest
from pydantic import ValidationError

from dnd.config import mistakes
from dnd.config.targets import TargetSettings


def test_values_are_copied_without_what_json_cannot_hold():
    values = {"a": {"b": [1, math.nan, "x"], 3: 4}, "c": ({"d": "half \ud800"},), "e": None}
    plain, found = mistakes.plain(values)
    assert plain == {"a": {"b": [1, "x"]}, "c": [{}], "e": None}
    assert [(mistakes.spelt(key), message.partition(",")[0]) for key, message in found] == [
        ("a.b.1", "must be a finite number"),
        ("a.3", "a key must be text"),
        ("c.0.d", "must be text"),
    ]


def test_aliases_may_be_used_twice_but_not_inside_themselves():
    shared = ["x"]
    assert mistakes.plain({"a": shared, "b": shared}) == ({"a": ["x"], "b": ["x"]}, [])
    shared.append(shared)
    assert [key for key, _ in mistakes.plain({"a": shared})[1]] == [("a", 1)]


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("source", "keras", "Input should be 'torchvision', 'timm', 'transformers' or 'python', not 'keras'"),
        ("colour", 1, "unknown key"),
        ("factory", "", "must not be empty"),
    ],
)
def test_one_sentence_is_told_of_a_key(key, value, told):
    values = {"source": "timm", "factory": "vit", key: value}
    with pytest.raises(ValidationError) as error:
        TargetSettings.model_validate(values)
    ((place, message),) = mistakes.of(error.value, values)
    assert place == (key,)
    assert message == told


def test_secrets_are_not_told():
    with pytest.raises(ValidationError) as error:
        TargetSettings.model_validate({"source": "https://me:s3cret@host/", "factory": "f"})
    assert "s3cret" not in mistakes.of(error.value, {"source": ""})[0][1]
