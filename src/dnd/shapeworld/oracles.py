"""What the shape world itself knows, in the place of models: how much better labels perfect ones would give.

Nothing here is a method: captions tell the scene of each exemplar, and the language model knows the answer. Exact
renders are in :mod:`dnd.shapeworld.oracle_images`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa
from scipy.ndimage import binary_erosion
from tqdm import tqdm

from dnd.backends.messages import Answer, Request
from dnd.config import known_answers
from dnd.config.scenes import Stream
from dnd.io import pictures, schemas, tables
from dnd.io.rows import Caption
from dnd.io.store import key
from dnd.shapeworld import world
from dnd.shapeworld.caption_errors import with_error
from dnd.shapeworld.grammar import PLACES, caption_of_view
from dnd.shapeworld.render import SIZE, Mask, draw
from dnd.shapeworld.scenes import numbered

OUTLINE = 2
"""Pixels of an object's edge that are dark, whatever its colour."""
Unit = TypeVar("Unit")
Ask = Callable[[Sequence[Request]], Sequence[Answer]]


def captions(exemplars: pa.Table, streams: Mapping[str, Stream], errors: float = 0.0) -> pa.Table:
    """Return the CAPTIONS of the distinct (image, box) pairs of EXEMPLARS: what each shows of its scene.

    The wording of a caption follows from the image's id and the box alone, and so does an error in it.

    Parameters
    ----------
    streams : beginning of image ids -> the stream of renders that the images are of.
    errors : share of the captions in which an attribute is missing or another; a larger share adds errors to the same.

    Raises
    ------
    ValueError
        An image is no render.
    """
    views = pictures.in_order(pictures.places_of(exemplars))
    shown = tqdm(views, "captions", unit="view", mininterval=5)
    return tables.table(
        [Caption(name, box, _caption(name, box, streams, errors)) for name, box in shown], schemas.CAPTIONS
    )


def _caption(image: str, box: pictures.Box | None, streams: Mapping[str, Stream], errors: float) -> str:
    scene, _, mask = draw(*numbered(image, streams))
    rng = np.random.default_rng(int(key("view", image, box)[:15], 16))
    x0, y0, x1, y1 = box or (0, 0, SIZE, SIZE)
    seen = np.s_[y0:y1, x0:x1]
    body = binary_erosion(mask, iterations=OUTLINE)
    caption = caption_of_view(scene, mask, mask[seen], rng) or _sliver(scene, body[seen])
    chance = np.random.default_rng(int(key("caption error", image, box)[:15], 16))
    return with_error(caption, scene, chance) if chance.random() < errors else caption


def _sliver(scene: world.Scene, body: Mask) -> str:
    """Caption a view with too little of an object to tell its texture, and its colour only where more than outline."""
    place = PLACES[scene.background]
    if not body.any():
        return f"part of an object on {place}"
    return re.sub(r"\ba (?=orange)", "an ", f"part of a {scene.colour} object on {place}")


def labels(path: str | Path) -> dict[tuple[str, int], str]:
    """Return layer and unit -> label, of units in a file of known answers that have something to name."""
    layers = known_answers.load(path).items()
    return {
        (layer, unit): answer.label for layer, answers in layers for unit, answer in answers.items() if answer.nameable
    }


def candidates(
    units: Sequence[Unit], labels: Sequence[str | None], propose: Callable[[Sequence[Unit], Ask], tuple[pa.Table, ...]]
) -> tuple[pa.Table, ...]:
    """Return what ``propose`` makes of units when every question about one is answered with its label.

    Parameters
    ----------
    units : with captions.
    labels : of each unit; None where there is nothing to name.
    propose : units and what answers questions -> tables: :func:`dnd.candidates.concepts.propose`, say.
    """
    proposed = [propose([], _knowing(None))]  # tables even of no unit
    for unit, label in zip(units, labels, strict=True):
        proposed.append(propose([unit], _knowing(label)))
    return tuple(pa.concat_tables(parts) for parts in zip(*proposed, strict=True))


def _knowing(label: str | None) -> Ask:
    answer = Answer(label, None if label else "nothing to name")
    return lambda requests: [answer] * len(requests)
