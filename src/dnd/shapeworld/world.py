"""Attributes, scenes and concepts of the shape world.

A *scene* is one value for each attribute. A *concept* is a predicate over scenes, held as its extension: a boolean
array with one axis per attribute, so that AND, OR and NOT are array operations and two labels mean the same exactly
when their arrays are equal.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dnd.config import scenes
from dnd.config.known_answers import KnownAnswer, KnownAnswersError

ATTRIBUTES = scenes.ATTRIBUTES
"""Attribute name -> its values; the order of names is the order of the axes of every extension."""

GROUPS: dict[str, tuple[str, tuple[str, ...]]] = {
    "warm": ("colour", ("red", "orange", "yellow")),
    "cool": ("colour", ("green", "blue", "purple")),
    "patterned": ("texture", ("striped", "dotted")),
    "round": ("shape", ("circle", "ring")),
    "pointed": ("shape", ("triangle", "star")),
    "boxy": ("shape", ("square", "cross")),
}
"""Abstract word -> (attribute, the values it covers)."""

SHAPE = tuple(len(values) for values in ATTRIBUTES.values())
"""Shape of an extension: one axis per attribute."""

Extension = npt.NDArray[np.bool_]


@dataclass(frozen=True, order=True)
class Scene:
    """One value for each attribute."""

    colour: str
    texture: str
    shape: str
    background: str

    @property
    def index(self) -> tuple[int, ...]:
        """Position of this scene in an extension array."""
        return tuple(values.index(getattr(self, name)) for name, values in ATTRIBUTES.items())


def scene_at(index: Iterable[int]) -> Scene:
    """Return the scene at a position of an extension array."""
    return Scene(*(values[i] for values, i in zip(ATTRIBUTES.values(), index, strict=True)))


def sample_scene(rng: np.random.Generator) -> Scene:
    """Draw every attribute uniformly and independently."""
    return scene_at(int(rng.integers(n)) for n in SHAPE)


def everything() -> Extension:
    """Return the concept that holds for every scene."""
    return np.ones(SHAPE, dtype=bool)


def attribute_of(word: str) -> str:
    """Return the attribute that a value or a group word belongs to.

    Raises
    ------
    KeyError
        The word is neither a value nor a group.
    """
    if word in GROUPS:
        return GROUPS[word][0]
    for name, values in ATTRIBUTES.items():
        if word in values:
            return name
    raise KeyError(word)


def word_extension(word: str) -> Extension:
    """Return the extension of one value (``red``) or group word (``warm``)."""
    name = attribute_of(word)
    covered = GROUPS[word][1] if word in GROUPS else (word,)
    axis = list(ATTRIBUTES).index(name)
    flags = np.array([value in covered for value in ATTRIBUTES[name]])
    return np.broadcast_to(flags.reshape([-1 if i == axis else 1 for i in range(len(SHAPE))]), SHAPE).copy()


def conjunction(words: Iterable[str]) -> Extension:
    """Return the extension of all words holding together; no word at all holds everywhere."""
    result = everything()
    for word in words:
        result &= word_extension(word)
    return result


def extension(answer: KnownAnswer) -> Extension | None:
    """Return where a unit's known concept holds; None where there is nothing to name, and of an answer by text.

    Raises
    ------
    KnownAnswersError
        It uses a word that the world does not have.
    """
    try:
        return np.logical_or.reduce([conjunction(words) for words in answer.words]) if answer.words else None
    except KeyError as error:
        raise KnownAnswersError(f"unit {answer.unit}: the world has no word {error}") from None


def iou(a: Extension, b: Extension) -> float:
    """Return intersection over union of two boolean arrays of one shape; 1.0 when both are empty."""
    union = int(np.count_nonzero(a | b))
    return int(np.count_nonzero(a & b)) / union if union else 1.0


def f1(label: Extension, truth: Extension) -> float:
    """Return the harmonic mean of precision and recall of a label's extension against the true one."""
    total = int(np.count_nonzero(label)) + int(np.count_nonzero(truth))
    return 2 * int(np.count_nonzero(label & truth)) / total if total else 1.0
