"""Kinds of concepts, and how to draw one of each kind: shared by prompts, summaries and planted units."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from dnd.shapeworld.world import ATTRIBUTES, GROUPS, Scene

KINDS: dict[str, tuple[str, ...]] = {
    "colour": ("colour",),
    "texture": ("texture",),
    "shape": ("shape",),
    "background": ("background",),
    "colour group": ("colour*",),
    "texture group": ("texture*",),
    "shape group": ("shape*",),
    "colour texture": ("colour", "texture"),
    "colour shape": ("colour", "shape"),
    "texture shape": ("texture", "shape"),
    "colour background": ("colour", "background"),
    "texture background": ("texture", "background"),
    "shape background": ("shape", "background"),
    "colour group shape": ("colour*", "shape"),
    "colour shape group": ("colour", "shape*"),
    "colour group texture": ("colour*", "texture"),
    "texture shape group": ("texture", "shape*"),
    "colour texture shape": ("colour", "texture", "shape"),
}
"""Kind -> its attributes; a star stands for a group word of that attribute (``warm``) in place of a value (``red``)."""

_GROUPS_OF: dict[str, list[str]] = {
    name: [word for word, (attribute, _) in GROUPS.items() if attribute == name] for name in ATTRIBUTES
}


def draw_words(kind: str, rng: np.random.Generator) -> tuple[str, ...]:
    """Draw the words of a concept of a kind, each value or group word equally often."""

    def choose(slot: str) -> str:
        options = _GROUPS_OF[slot[:-1]] if slot.endswith("*") else ATTRIBUTES[slot]
        return options[int(rng.integers(len(options)))]

    return tuple(choose(slot) for slot in KINDS[kind])


def words_of(scene: Scene, kind: str) -> tuple[str, ...] | None:
    """Return the words of the concept of a kind that holds for a scene; None where the scene is in no group."""
    words = []
    for slot in KINDS[kind]:
        value = getattr(scene, slot.rstrip("*"))
        if slot.endswith("*"):
            groups = [word for word in _GROUPS_OF[slot[:-1]] if value in GROUPS[word][1]]
            if not groups:
                return None
            value = groups[0]
        words.append(value)
    return tuple(words)


def draw_kind(rng: np.random.Generator, accept: Callable[[str], bool] = lambda kind: True) -> str:
    """Draw one of the kinds that ``accept`` admits, each equally often."""
    kinds = [kind for kind in KINDS if accept(kind)]
    return kinds[int(rng.integers(len(kinds)))]
