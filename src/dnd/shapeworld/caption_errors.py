"""Captions of renders with errors, to measure what a worse captioner costs: an attribute is missing, or is another."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

from dnd.shapeworld.grammar import PLACES
from dnd.shapeworld.world import ATTRIBUTES, Scene

PLACE = re.compile(r" (?:on|against) \w+$|^\w+ with (?=an? )")
"""What a caption says of the background, where it says more."""


def with_error(caption: str, scene: Scene, rng: np.random.Generator) -> str:
    """Return the caption of a view with one of the attributes that it tells missing or another, half of the time each.

    A caption of the background alone has another background, since nothing would be left of it.

    Parameters
    ----------
    caption : true, by :mod:`dnd.shapeworld.grammar`.
    scene : what the caption is of.
    rng : chooses attribute, error and value.
    """
    told = _told(caption, scene)
    if not told:
        return caption
    attribute = list(told)[int(rng.integers(len(told)))]
    others = [value for value in ATTRIBUTES[attribute] if value != getattr(scene, attribute)]
    other = _spelt(attribute, others[int(rng.integers(len(others)))])
    missing = _without(caption, attribute, told[attribute]) if rng.random() < 0.5 else None
    return _articles(missing or re.sub(rf"\b{told[attribute]}\b", other, caption))


def _told(caption: str, scene: Scene) -> Mapping[str, str]:
    """Attribute -> the word for it, of those that a caption tells."""
    words = {attribute: _spelt(attribute, getattr(scene, attribute)) for attribute in ATTRIBUTES}
    return {attribute: word for attribute, word in words.items() if word in caption.split()}


def _spelt(attribute: str, value: str) -> str:
    return PLACES[value] if attribute == "background" else value


def _without(caption: str, attribute: str, word: str) -> str | None:
    """A caption that does not tell an attribute; None where nothing is left."""
    if attribute == "shape":
        return re.sub(rf"\b{word}\b", "object", caption)
    if attribute == "background":
        shorter = PLACE.sub("", caption)
        return None if shorter == caption else shorter
    return re.sub(rf"\b{word} ", "", caption)


def _articles(caption: str) -> str:
    """A caption whose articles suit the words behind them."""
    return re.sub(r"\ban? (?=(\w))", lambda article: "an " if article[1] in "aeiou" else "a ", caption)
