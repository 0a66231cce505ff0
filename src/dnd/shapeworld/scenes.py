"""The scene of every render: a function of its stream's seed, its number, and which scenes the stream shows.

Streams of one seed that show other scenes have the same images, but for those that the settings make others: what a
method loses with a setting is not lost to other images.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from dnd.config.scenes import SceneSettings, Stream
from dnd.shapeworld.world import ATTRIBUTES, Scene, sample_scene

CHOICES = 1
"""What sets the numbers by which settings change a scene apart from those that draw it."""


def scene_of(seed: int, number: int, scenes: SceneSettings | None = None) -> Scene:
    """Return the scene of a render without drawing it.

    Parameters
    ----------
    seed : of the stream.
    number : of the render in it.
    scenes : which scenes the stream shows; every value equally often when None.
    """
    scene = sample_scene(np.random.default_rng([seed, number]))
    return scene if scenes is None else _changed(scene, scenes, np.random.default_rng([seed, number, CHOICES]))


def numbered(image: str, streams: Mapping[str, Stream]) -> tuple[int, int, SceneSettings | None]:
    """Return what :func:`scene_of` and :func:`dnd.shapeworld.render.draw` take, given a render's image id.

    Parameters
    ----------
    streams : beginning of image ids -> the stream of renders that the images are of.

    Raises
    ------
    ValueError
        The image is no render.
    """
    for beginning, stream in streams.items():
        if number := re.fullmatch(re.escape(beginning) + r"(\d+)\.png", image):
            return stream.seed, int(number[1]), stream.scenes
    raise ValueError(f"image {image!r} is no render of the shape world, whose scene would be known")


def _changed(scene: Scene, scenes: SceneSettings, rng: np.random.Generator) -> Scene:
    """The scene that settings make of a scene whose values are equally likely and independent."""
    for attribute, values in ATTRIBUTES.items():
        chance, chosen = rng.random(2)  # also where they are not used: other settings must not depend on them
        shares = {value: share for value, share in scenes.rare.items() if value in values}
        value = _with_rare(getattr(scene, attribute), values, shares, chance, chosen)
        scene = replace(scene, **{attribute: value})
    if scenes.together is None:
        return scene
    first, second = scenes.together
    values = ATTRIBUTES[second]
    partner = values[(ATTRIBUTES[first].index(getattr(scene, first)) + scenes.shift) % len(values)]
    if rng.random() >= scenes.leak:
        return replace(scene, **{second: partner})
    others = [value for value in values if value != partner]
    other = others[int(rng.integers(len(others)))]
    return scene if getattr(scene, second) != partner else replace(scene, **{second: other})


def _with_rare(value: str, values: Sequence[str], shares: dict[str, float], chance: float, chosen: float) -> str:
    """A value where some come in shares of their own and the others equally often.

    Parameters
    ----------
    value : one of ``values``, equally likely.
    chance, chosen : uniform in [0, 1).
    """
    for rare, share in shares.items():
        if chance < share:
            return rare
        chance -= share
    if value not in shares:
        return value
    others = [other for other in values if other not in shares]
    return others[int(chosen * len(others))]
