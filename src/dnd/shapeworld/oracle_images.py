"""Exact renders of what a text denotes, in the place of a generator's images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from dnd.backends.generator import Drawn
from dnd.shapeworld import world
from dnd.shapeworld.grammar import parse
from dnd.shapeworld.render import SIZE, render

UNKNOWN = "no such thing"
"""Problem of an image whose prompt lies outside the grammar."""


class Renderer:
    """Draws scenes that a prompt denotes, each as likely as any other.

    Parameters
    ----------
    template : of prompts, with ``{concept}`` once: what is around a concept says nothing.
    """

    def __init__(self, template: str) -> None:
        self.before, self.after = template.split("{concept}")

    def draw(self, prompts: Sequence[str], seeds: Sequence[int]) -> list[Drawn]:
        """Return one render per prompt, each from its own seed; a black image where nothing is known to draw."""
        return [self._draw(prompt, seed) for prompt, seed in zip(prompts, seeds, strict=True)]

    def _draw(self, prompt: str, seed: int) -> Drawn:
        meaning = parse(prompt.removeprefix(self.before).removesuffix(self.after))
        scenes = np.argwhere(np.zeros(1, bool) if meaning is None else meaning)
        if not len(scenes):
            return Drawn(Image.new("RGB", (SIZE, SIZE)), UNKNOWN)
        rng = np.random.default_rng(seed)
        scene = world.scene_at(int(i) for i in scenes[int(rng.integers(len(scenes)))])
        return Drawn(Image.fromarray(render(scene, rng)[0]), None)
