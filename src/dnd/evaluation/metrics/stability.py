"""Split-half stability: is a label the same when it is found from other images?

After Jaccard similarity between calibration and validation sets (arXiv 2401.16731): the method runs on two disjoint
halves of a probe, and each unit's two labels are compared. A unit that has no label in either half has no value (None):
it is no sign of stability that a method never speaks. With a label in one of them alone it counts 0.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dnd.shapeworld import world
from dnd.shapeworld.grammar import parse

SAME = 0.95
"""Smallest IoU of what two labels denote at which they say the same."""


def _plain(label: str) -> str:
    return " ".join(label.lower().split()).rstrip(".")


def same_label(first: str | None, second: str | None) -> float | None:
    """Return 1 where two labels are spelled alike, but for case, spaces and a full stop, else 0."""
    if first is None or second is None:
        return None if first is second else 0.0
    return float(_plain(first) == _plain(second))


def same_extension(first: str | None, second: str | None) -> float | None:
    """Return the IoU of what two labels denote; 0 where one lies outside the shape world's grammar."""
    if first is None or second is None:
        return None if first is second else 0.0
    meanings = parse(first), parse(second)
    return 0.0 if meanings[0] is None or meanings[1] is None else world.iou(meanings[0], meanings[1])


def same_set(first: str | None, second: str | None) -> float | None:
    """Return 1 where two labels denote the same set, an IoU of SAME or more over all scenes, else 0."""
    shared = same_extension(first, second)
    return None if shared is None else float(shared >= SAME)


def similar_text(first: npt.NDArray[np.floating] | None, second: npt.NDArray[np.floating] | None) -> float | None:
    """Return the cosine of the labels' unit vectors [d] of a sentence encoder; None stands for no label."""
    if first is None or second is None:
        return None if first is second else 0.0
    return float(np.dot(np.asarray(first, np.float64), second))
