"""How well a label says when a unit is active, and how well any label of the shape world could: no known answer needed.

The measure is Pearson's r of whether a label holds for a held-out scene and the unit's activation. Images of one scene
are one cell: a label holds for all of them or for none, so that sums over the cells are all there is to know of them.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dnd.shapeworld import world
from dnd.shapeworld.grammar import either, parse, phrase
from dnd.shapeworld.render import numbered, scene_of

CELLS = int(np.prod(world.SHAPE))
MOST_WORDS = 3
"""Of a conjunction that a short label can name."""
REFINED = 16
"""Pairs of a unit that lead in single precision, of which double precision finds the best."""

ENOUGH = 1e-9
"""By which a longer label must be better to be named instead of a shorter one."""

Extensions = npt.NDArray[np.bool_]
"""[labels, cells]: each the flat extension of a label."""
Words = tuple[str, ...]


class Cells(NamedTuple):
    """Held-out images by their scenes.

    Attributes
    ----------
    counts : float64 [cells], images of each scene.
    sums : float64 [cells, units], sums of the images' activations less the unit's mean, in standard deviations of all
        images times the root of their number; zero of a unit that does not vary.
    """

    counts: npt.NDArray[np.float64]
    sums: npt.NDArray[np.float64]


class Best(NamedTuple):
    """What labels can attain at best.

    Attributes
    ----------
    r : float64 [units].
    labels : of each unit, in the world's English.
    """

    r: npt.NDArray[np.float64]
    labels: list[str]


def places(images: Iterable[str], streams: Mapping[str, int]) -> npt.NDArray[np.intp]:
    """Return the cell [images] of each render's scene.

    Parameters
    ----------
    images : their names.
    streams : beginning of the names -> the stream of renders that the images are of.

    Raises
    ------
    ValueError
        An image is no render.
    """
    indices = [scene_of(*numbered(image, streams)).index for image in images]
    return np.ravel_multi_index(tuple(np.array(indices).T), world.SHAPE)


def cells(places: npt.NDArray[np.intp], activations: npt.NDArray[np.floating]) -> Cells:
    """Return the cells of images, given the place [n] and the activations [n, units] of each."""
    exact = np.asarray(activations, np.float64)
    centred = exact - exact.mean(0)
    spread = np.linalg.norm(centred, axis=0)
    varies = np.ptp(exact, axis=0) > 0
    sums = np.zeros((CELLS, exact.shape[1]))
    np.add.at(sums, places, np.divide(centred, spread, out=np.zeros_like(centred), where=varies))
    return Cells(np.bincount(places, minlength=CELLS).astype(float), sums)


def _weights(held: npt.NDArray[np.floating], images: float) -> npt.NDArray[np.float64]:
    """What turns sums over the images that labels hold for into r, given how many these are; 0 for all or none."""
    spread = np.sqrt(np.maximum(held * (1 - held / images), 0))
    return np.divide(1, spread, out=np.zeros_like(spread), where=spread > 0)


def correlations(extensions: Extensions, seen: Cells) -> npt.NDArray[np.float64]:
    """Return Pearson's r [labels, units] of where labels hold and activations; 0 where either does not vary."""
    exact = extensions.astype(float)
    return (exact @ seen.sums) * _weights(exact @ seen.counts, seen.counts.sum())[:, None]


def true_r(label: str, seen: Cells) -> npt.NDArray[np.float64]:
    """Return Pearson's r [units] of where a label holds and activations; 0 of a label outside the grammar."""
    meaning = parse(label)
    return np.zeros(seen.sums.shape[1]) if meaning is None else correlations(meaning.reshape(1, CELLS), seen)[0]


@cache
def concepts() -> tuple[list[Words], Extensions]:
    """Return the words and the extension of every conjunction of up to MOST_WORDS values or groups, the shortest first.

    No two words are of one attribute, since these would mean one of them or nothing; so all extensions differ.
    """
    of_attribute = [
        [*values, *(group for group, (owner, _) in world.GROUPS.items() if owner == name)]
        for name, values in world.ATTRIBUTES.items()
    ]
    words = [
        conjunction
        for count in range(1, MOST_WORDS + 1)
        for attributes in itertools.combinations(of_attribute, count)
        for conjunction in itertools.product(*attributes)
    ]
    return words, np.stack([world.conjunction(conjunction).ravel() for conjunction in words])


def best_of_one(seen: Cells) -> Best:
    """Return the best that any conjunction of :func:`concepts` attains; of several the first."""
    words, extensions = concepts()
    r = correlations(extensions, seen)
    best = r.argmax(0)
    return Best(r.max(0), [phrase(words[place]) for place in best])


def best_of_two(seen: Cells) -> Best:
    """Return the best that any conjunction, or two of them joined by `or`, attains; of several the first and shortest.

    All pairs are gone through: a sum over the scenes of either is that over the scenes of the one and of the other,
    less that over the scenes of both, which is a product of matrices for each unit.
    """
    words, extensions = concepts()
    exact, single = extensions.astype(np.float32), best_of_one(seen)
    held = extensions.astype(float) @ seen.counts
    weights = _weights(_of_either(exact, seen.counts, held), seen.counts.sum()).astype(np.float32)
    r, labels = single.r.copy(), list(single.labels)
    for unit, sums in enumerate(seen.sums.T):
        of_pairs = _of_either(exact, sums, extensions.astype(float) @ sums) * weights
        first, second, of_best = _best_pair(extensions, of_pairs, Cells(seen.counts, sums[:, None]))
        if of_best > r[unit] + ENOUGH:
            r[unit], labels[unit] = of_best, either(words[first], words[second])
    return Best(r, labels)


def _of_either(
    exact: npt.NDArray[np.float32], sums: npt.NDArray[np.float64], of_each: npt.NDArray[np.float64]
) -> npt.NDArray[np.float32]:
    """Sums [concepts, concepts] over the cells of either of two concepts, given those over the cells of each."""
    of_both = (exact * sums.astype(np.float32)) @ exact.T
    alone = of_each.astype(np.float32)
    return alone[:, None] + alone - of_both


def _best_pair(extensions: Extensions, r: npt.NDArray[np.float32], seen: Cells) -> tuple[int, int, float]:
    """The two concepts that are best for the one unit, and their r, given r of all pairs in single precision."""
    upper = np.triu(r, 1)
    leading = np.sort(np.argpartition(upper, -REFINED, axis=None)[-REFINED:])
    first, second = np.unravel_index(leading, r.shape)
    exact = correlations(extensions[first] | extensions[second], seen)[:, 0]
    best = int(exact.argmax())
    return int(first[best]), int(second[best]), float(exact[best])
