"""The embedded target network: it classifies unseen renders, and its planted units do what they stand for."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from dnd.config import known_answers
from dnd.shapeworld import target
from dnd.shapeworld.render import draw
from training.pool import STREAMS

MODELS = Path(__file__).parents[3] / "resources" / "shapeworld"


@pytest.fixture(scope="module")
def network():
    return target.load(MODELS / "target")


def normalised(images):
    """Images as the target's own preprocess.json has them, float [n, 3, 64, 64]."""
    preprocess = json.loads((MODELS / "target" / "preprocess.json").read_text())
    mean, std = (torch.tensor(preprocess[name]).view(3, 1, 1) for name in ("mean", "std"))
    return (torch.from_numpy(images).permute(0, 3, 1, 2) / 255 - mean) / std


def concept_maps(network, pixels):
    seen = []
    hook = network.concepts.register_forward_hook(lambda module, inputs, output: seen.append(output))
    with torch.no_grad():
        logits = network(pixels)
    hook.remove()
    return seen[0], logits


def planted():
    return known_answers.load(MODELS / "target" / target.UNITS)["concepts"]


def units_of(kind):
    return [unit for unit, answer in planted().items() if answer.kind == kind]


def test_the_target_classifies_renders(network, renders):
    scenes, images = renders
    _, logits = concept_maps(network, normalised(images))
    classes = target.configuration(MODELS / "target")["classes"]
    assert [classes[i] for i in logits.argmax(1)] == [f"{scene.colour} {scene.shape}" for scene in scenes]


def test_planted_units_are_strongest_where_their_words_hold(network):
    drawn = [draw(STREAMS["held_out"], 50000 + i) for i in range(60)]
    maps, _ = concept_maps(network, normalised(np.stack([image for _, image, _ in drawn])))
    strength = maps.mean((2, 3))
    for unit, answer in planted().items():
        if answer.kind == "single":
            ((word,),) = answer.words
            holds = torch.tensor([word in (s.colour, s.texture, s.shape, s.background) for s, _, _ in drawn])
            assert strength[holds, unit].min() > strength[~holds, unit].max(), answer.label


def test_dead_units_are_zero_and_constant_units_do_not_change(network, renders):
    noise = torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    maps, _ = concept_maps(network, torch.cat([normalised(renders[1]), noise]))
    assert units_of("dead") and units_of("constant")
    assert (maps[:, units_of("dead")] == 0).all()
    constant = maps[:, units_of("constant")]
    assert constant.min() == constant.max() > 0
