"""Exact renders in the place of a generator's images: true to their labels, whatever else is drawn."""

import io

import numpy as np
from PIL import Image

from dnd.backends import generator
from dnd.config.backends import GeneratorSettings
from dnd.io.store import Store
from dnd.selection import images
from dnd.shapeworld import world
from dnd.shapeworld.render import render

RENDERS = GeneratorSettings(model="shapeworld", images=12)


def scenes_of(drawn):
    """The scene of each render: that whose own render, from the same numbers, has the same pixels."""
    found = []
    for row in drawn.to_pylist():
        pixels = np.asarray(Image.open(io.BytesIO(row["image"])))
        for index in np.ndindex(*world.SHAPE):
            rng = np.random.default_rng(row["seed"])
            rng.integers(3 * 5)  # which of the 15 scenes that are red stars
            scene = world.scene_at(index)
            if (scene.colour, scene.shape) == ("red", "star") and np.array_equal(render(scene, rng)[0], pixels):
                found.append(scene)
    return found


def test_renders_of_red_stars_show_red_stars(tmp_path):
    drawn = images.run(generator.load(RENDERS), ["red stars"], RENDERS, Store(tmp_path))
    assert drawn["problem"].null_count == len(drawn) == 12
    scenes = scenes_of(drawn)
    assert len(scenes) == 12
    assert len({scene.texture for scene in scenes}) > 1
    assert len({scene.background for scene in scenes}) > 2


def test_renders_are_the_same_whatever_else_is_drawn(tmp_path):
    alone = images.run(generator.load(RENDERS), ["red stars"], RENDERS, Store(tmp_path / "a"))
    among = images.run(generator.load(RENDERS), ["grass backgrounds", "red stars"], RENDERS, Store(tmp_path / "b"))
    assert alone["image"].to_pylist() == [row["image"] for row in among.to_pylist() if row["concept"] == "red stars"]


def test_what_the_world_does_not_have_has_a_problem_and_stops_nothing(tmp_path):
    names = [f"dog number {letter}" for letter in "abcdefghij"]
    drawn = images.run(generator.load(RENDERS), [*names, "stars"], RENDERS, Store(tmp_path))
    problems = {row["concept"]: row["problem"] for row in drawn.to_pylist()}
    assert problems == dict.fromkeys(names, "no such thing") | {"stars": None}


def test_the_prompt_s_own_words_are_not_drawn():
    drawn = generator.load(RENDERS.model_copy(update={"prompt": "a snow globe of {concept}, water"}))
    assert [one.problem for one in drawn.draw(["a snow globe of red stars, water"], [1])] == [None]
    plain = generator.load(RENDERS)
    same = plain.draw(["One realistic image of red stars"], [1])[0].image
    assert drawn.draw(["a snow globe of red stars, water"], [1])[0].image.tobytes() == same.tobytes()
