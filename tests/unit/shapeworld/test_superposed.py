"""Superposed and graded units: what they are made of, what they reach, and that noise follows from the image alone."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from dnd.config import known_answers
from dnd.shapeworld import superposed, target, world
from dnd.shapeworld.render import draw
from dnd.shapeworld.world import ATTRIBUTES

FOLDER = Path(__file__).parents[3] / "resources" / "shapeworld" / "target"
IMAGES = 300


def planted():
    return known_answers.load(FOLDER / target.UNITS)["concepts"]


def pixels(count):
    drawn = [draw(1, number) for number in range(count)]
    preprocess = json.loads((FOLDER / "preprocess.json").read_text())
    mean, std = (torch.tensor(preprocess[name]).view(3, 1, 1) for name in ("mean", "std"))
    images = torch.from_numpy(np.stack([image for _, image, _ in drawn])).permute(0, 3, 1, 2)
    return [scene for scene, _, _ in drawn], (images / 255 - mean) / std


def maps(network, images, layer):
    seen = []
    hook = getattr(network, layer).register_forward_hook(lambda module, inputs, output: seen.append(output))
    with torch.no_grad():
        network(images)
    hook.remove()
    return seen[0]


def test_units_are_by_turns_of_one_two_and_three_planted_units_without_a_common_word():
    answers = planted()
    made = superposed.composition(answers, 48, 3)
    assert [len(unit.terms) for unit in made] == [1, 2, 3] * 16
    assert [unit.kind for unit in made[:3]] == ["graded", "superposed", "superposed"]
    assert len({unit.terms[0] for unit in made}) == 48
    for unit in made:
        words = [word for term in unit.terms for part in answers[term].words for word in part]
        assert len(set(words)) == len(words)
        assert {answers[term].kind for term in unit.terms} <= {"single", "conjunction"}
    assert made != superposed.composition(answers, 48, 4)
    assert superposed.composition(answers, 12, 3) == made[:12]


def test_without_noise_maps_are_weighted_sums_and_roots():
    network = superposed.load(FOLDER, seed=3, units=6, noise=0)
    _, images = pixels(8)
    concepts = maps(network, images, "concepts").numpy() / superposed.PEAK
    mixed = maps(network, images, "superposed").numpy()
    made = superposed.composition(planted(), 6, 3)
    assert mixed.shape == (8, 6, 16, 16)
    for number, unit in enumerate(made):
        expected = sum(weight * concepts[:, term] for weight, term in zip((1, 0.6, 0.3), unit.terms, strict=False))
        if unit.kind == "graded":
            expected = np.sqrt(expected)
        assert mixed[:, number] == pytest.approx(expected, abs=2e-3)


@pytest.mark.parametrize("folder", ["target", "target-test-1", "target-test-2", "target-test-3"])
def test_planted_units_reach_about_the_same(folder):
    network = target.load(FOLDER.with_name(folder))
    scenes, images = pixels(200)
    peaks = maps(network, images, "concepts").amax((2, 3))
    for unit, answer in known_answers.load(FOLDER.with_name(folder) / target.UNITS)["concepts"].items():
        holds = [answer.words and world.extension(answer)[scene.index] for scene in scenes]
        if answer.kind in superposed.PLANTED and any(holds):
            assert peaks[holds, unit].mean() == pytest.approx(superposed.PEAK, rel=0.4), answer.label


def test_noise_has_the_size_that_is_asked_for_and_differs_between_units():
    scenes, images = pixels(IMAGES)
    network = superposed.load(FOLDER, seed=3, units=6, noise=0.2)
    module = network.superposed
    module.graded[:] = False
    noise = module(torch.full((IMAGES, module.weights.shape[1], 1, 1), 10.0), images)[..., 0, 0].numpy()
    noise -= module.weights.sum(1).numpy() * 10 / superposed.PEAK
    assert noise.std(axis=0) == pytest.approx(0.2, rel=0.15)
    assert noise.mean(axis=0) == pytest.approx(0, abs=0.05)
    assert np.abs(np.corrcoef(noise.T) - np.eye(6)).max() < 0.25
    for attribute, values in ATTRIBUTES.items():  # of which noise tells nothing
        for value in values:
            shown = [getattr(scene, attribute) == value for scene in scenes]
            assert noise[shown].mean(axis=0) == pytest.approx(0, abs=4 * 0.2 / np.sqrt(sum(shown))), value


def test_an_image_has_the_same_maps_alone_and_among_others():
    _, images = pixels(5)
    network = superposed.load(FOLDER, seed=3)
    together, alone = maps(network, images, "superposed"), maps(network, images[2:3], "superposed")
    assert alone.numpy() == pytest.approx(together[2:3].numpy(), abs=1e-4)
    assert (together >= 0).all()


def test_the_network_is_the_target_otherwise():
    _, images = pixels(4)
    network, plain = superposed.load(FOLDER), target.load(FOLDER)
    with torch.no_grad():
        assert torch.equal(network(images), plain(images))
    assert not network.training


def test_the_strongest_term_is_the_right_answer(tmp_path):
    path = tmp_path / "answers.json"
    path.write_text(json.dumps(superposed.answers(FOLDER, seed=3, units=9)))
    read = known_answers.load(path)["superposed"]
    made = superposed.composition(planted(), 9, 3)
    assert [answer.kind for answer in read.values()] == [unit.kind for unit in made]
    assert [answer.words for answer in read.values()] == [planted()[unit.terms[0]].words for unit in made]
