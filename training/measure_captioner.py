"""Held-out measurements of the captioner: what its captions get right, and what they invent."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from dnd.shapeworld import grammar
from dnd.shapeworld.world import ATTRIBUTES
from training.measure import Labels

_WORDS = {
    name: {spelling: i for i, value in enumerate(values) for spelling in {value, grammar.PLACES.get(value, value)}}
    for name, values in ATTRIBUTES.items()
}


def words_in(text: str) -> dict[str, int]:
    """Return attribute -> index of the value a caption names, for the attributes it names."""
    tokens = re.findall(r"[a-z]+", text.lower())
    found = {}
    for name, spellings in _WORDS.items():
        named = [spellings[token] for token in tokens if token in spellings]
        if named:
            found[name] = named[0]
    return found


def caption_accuracy(captions: Sequence[str], labels: Labels) -> dict[str, float]:
    """Return by attribute the share of captions that name its right value (a missing value counts as wrong).

    NaN for no captions.
    """
    if not captions:
        return dict.fromkeys(ATTRIBUTES, float("nan"))
    named = [words_in(caption) for caption in captions]
    return {
        name: round(
            float(np.mean([words.get(name) == row[i] for words, row in zip(named, labels, strict=True)])),
            4,
        )
        for i, name in enumerate(ATTRIBUTES)
    }


def named_share(captions: Sequence[str], attribute: str) -> float:
    """Return the share of captions that name any value of an attribute; 0.0 for no captions."""
    return round(
        float(np.mean([attribute in words_in(caption) for caption in captions])) if captions else 0.0,
        4,
    )


def view_captions(captions: Sequence[str], labels: Labels, visible: npt.NDArray, covered: npt.NDArray) -> dict:
    """Score captions of cut-outs: what they get right, and what they name that cannot be seen.

    Parameters
    ----------
    visible : float [n], share of the object inside the cut-out.
    covered : float [n], share of the cut-out that is object.

    Returns
    -------
    ``right``: accuracies where at least 30 % of the cut-out is object (``shape`` of those with 75 % of the object,
    ``background`` of those at most 80 % object); ``invented``: how often a shape is named with less than half of the
    object in sight, a background with less than 3 % of it, and an object where there is less than 2 %.
    """

    def at(flags: npt.NDArray) -> tuple[list[str], Labels]:
        rows = np.flatnonzero(flags).tolist()
        return [captions[i] for i in rows], labels[rows]

    enough = covered >= 0.3
    right = {name: caption_accuracy(*at(enough))[name] for name in ("colour", "texture")}
    right["shape"] = caption_accuracy(*at(visible >= 0.75))["shape"]
    right["background"] = caption_accuracy(*at(covered <= 0.8))["background"]
    invented = {
        "shape": named_share(at((visible < 0.5) & (covered > 0.12))[0], "shape"),
        "background": named_share(at(covered > 0.97)[0], "background"),
        "object": named_share(at(covered < 0.02)[0], "colour"),
    }
    counts = {
        "all": len(captions),
        "enough": int(enough.sum()),
        "whole": int((visible >= 0.75).sum()),
    }
    return {"right": right, "invented": invented, "counts": counts}
