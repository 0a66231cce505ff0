"""Which scenes the renders of a probe show: what the keys say together."""

import json
from typing import get_args

import pytest
from pydantic import ValidationError

from dnd.config.scenes import ATTRIBUTES, Attribute, SceneSettings, Stream, plain, streams_from
from dnd.config.targets import ProbeSettings


def test_attributes_that_can_go_together_are_those_of_scenes():
    assert get_args(Attribute) == tuple(ATTRIBUTES)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"leak": 0.1}, "belong to `together`"),
        ({"shift": 2}, "belong to `together`"),
        ({"together": ["colour", "colour"]}, "names colour twice"),
        ({"together": ["colour", "size"]}, "together"),
        ({"together": ["colour"]}, "together"),
        ({"together": ["colour", "shape"], "leak": 1.5}, "leak"),
        ({"together": ["colour", "shape"], "rare": {"star": 0.1}}, "names star, but shape follows from colour"),
        ({"rare": {"crimson": 0.1}}, "no scene has a value 'crimson'"),
        ({"rare": {"warm": 0.1}}, "no scene has a value 'warm'"),
        ({"rare": {"red": 0.6, "blue": 0.5}}, "shares of colour must not exceed 1"),
        ({"rare": {"plain": 0.1, "striped": 0.1, "dotted": 0.1}}, "leave a value out"),
    ],
)
def test_keys_that_do_not_go_together_are_told(settings, message):
    with pytest.raises(ValidationError, match=message):
        SceneSettings(**settings)


def test_other_images_than_renders_have_no_scenes(tmp_path):
    with pytest.raises(ValidationError, match="source folder takes no `scenes`"):
        ProbeSettings(source="folder", path=tmp_path, scenes={"rare": {"red": 0.1}})
    assert ProbeSettings(source="shapeworld", scenes={"together": ["colour", "shape"]}).scenes.leak == 0


def test_streams_come_through_a_job_s_parameters():
    streams = {
        "a/": Stream(seed=5),
        "b/": Stream(seed=6, scenes=SceneSettings(together=["colour", "shape"], leak=0.02)),
    }
    parameters = json.loads(json.dumps(plain(streams)))
    assert streams_from(parameters) == streams
    assert streams_from(None) == {}
