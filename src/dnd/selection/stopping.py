"""Sequential stopping: draw a few images of each candidate, then more only of those that may still be the best.

Images are nearly all of the cost, and most units need few of them: one candidate excites the unit far more than the
others, or there is only one. This is successive elimination (Even-Dar, Mannor & Mansour, JMLR 7, 2006), with an exact
test in place of their bound, which is far too wide for a handful of images.

What stops is only the drawing. Every candidate keeps its images and is scored by them like any other: one that was
dropped too early is known less precisely, but not lost.

All units of a job go through a round together. What a unit asks for follows from the activations of its own candidates
alone, and the scores take no more of a concept's images than the unit has asked for, so that shards, their order,
restarts and what other units ask for change nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from scipy.stats import rankdata

from dnd.backends.batches import BatchSize
from dnd.backends.generator import load
from dnd.config.recipes import Recipe
from dnd.config.stages import StoppingSettings
from dnd.io import schemas, tables
from dnd.io.rows import Concept, Controls, Drawn, Picture
from dnd.io.store import Store
from dnd.selection import images
from dnd.target import generated
from dnd.target.network import Target

log = logging.getLogger(__name__)
Values = npt.NDArray[np.float32]
Wanted = Sequence[tuple[str, int]]
"""Concept and sample of each image."""
Excite = Callable[[Wanted], Mapping[tuple[str, int], Values]]
"""Images -> the activations [units] of the usable ones among them."""


def chance(first: Values, second: Values) -> float:
    """Return the probability of a rank sum of the first sample as large as this one or larger, were both alike.

    The one-sided p-value of Mann and Whitney's test (1947), exact with ties, too: the distribution over all ways to
    part the pooled values, counted by the shift algorithm (Streitberg & Röhmel, 1986). The test needs no scale and no
    variance, which two or three images do not tell; its smallest value is 1 / 6 for two images against two, 1 / 20 for
    three against three and 1 / 70 for four against four.

    Parameters
    ----------
    first, second : activations [n] and [m]; 1 where one of them is empty.
    """
    count = len(first)
    if not count or not len(second):
        return 1.0
    doubled = np.rint(2 * rankdata(np.concatenate([first, second]))).astype(int)  # midranks are halves
    ways = np.zeros((count + 1, doubled.sum() + 1))  # of choosing so many values with that sum of ranks
    ways[0, 0] = 1
    for rank in doubled:
        ways[1:, rank:] += ways[:-1, : ways.shape[1] - rank].copy()
    return float(ways[count, doubled[:count].sum() :].sum() / ways[count].sum())


def leader(activations: Mapping[str, Values]) -> str | None:
    """Return the candidate whose images have the best mean rank among the images of all; None without any image.

    The mean activation decides between equal ones, then the spelling.
    """
    known = {concept: values for concept, values in activations.items() if len(values)}
    if not known:
        return None
    ranks = rankdata(np.concatenate(list(known.values())))
    parts = np.split(ranks, np.cumsum([len(values) for values in known.values()])[:-1])
    standing = {
        concept: (-float(part.mean()), -float(values.mean(dtype=np.float64)), concept)
        for (concept, values), part in zip(known.items(), parts, strict=True)
    }
    return min(known, key=standing.__getitem__)


def beaten(activations: Mapping[str, Values], level: float) -> dict[str, str]:
    """Return candidate -> leader, of the candidates that can no longer win.

    Those are beaten at the level by the leader, and by no other: so that one always remains, whatever the values. The
    level is that of a single look. It bounds how often one of two candidates that excite the unit alike is given up at
    this look, and no error of the label.

    Parameters
    ----------
    activations : of the candidates that are still drawn, float32 [n] each.
    """
    best = leader(activations)
    if best is None:
        return {}
    return {
        concept: best
        for concept, values in activations.items()
        if concept != best and chance(activations[best], values) <= level + 1e-9
    }


def counts(settings: StoppingSettings, most: int) -> list[int]:
    """Return how many images of a candidate there are after each round: ``first``, then ``step`` more, up to ``most``.

    >>> counts(StoppingSettings(first=2, step=3), 10)
    [2, 5, 8, 10]
    """
    return [*range(min(settings.first, most), most, settings.step), most]


@dataclass
class Contest:
    """The candidates of a unit.

    Attributes
    ----------
    floor : what a picture without a finite activation counts as: the control image that excites the unit least.
    drawn : candidate -> images that the unit has asked for.
    beaten : candidate that was dropped -> the leader at that time.
    """

    unit: int
    floor: float
    drawn: dict[str, int]
    beaten: dict[str, str] = field(default_factory=dict)

    @property
    def standing(self) -> list[str]:
        """The candidates that may still win, sorted."""
        return sorted(set(self.drawn) - set(self.beaten))

    def judge(self, known: Mapping[str, Sequence[float]], count: int, level: float) -> None:
        """Take note that those who stand have ``count`` images, and drop those that are beaten.

        Parameters
        ----------
        known : candidate -> the unit's activation for each usable one among its first ``count`` images.
        """
        self.drawn |= dict.fromkeys(self.standing, count)
        values = {concept: np.array(known[concept], np.float32) for concept in self.standing}
        finite = {concept: np.where(np.isfinite(each), each, self.floor) for concept, each in values.items()}
        self.beaten |= beaten(finite, level)


def contests(concepts: Sequence[Concept], topk: Sequence[Controls]) -> list[Contest]:
    """Return the contests of a layer's units, from their control images' activations or those of more units."""
    controls = {row.unit: np.array(row.controls, np.float32) for row in topk}
    named: dict[int, dict[str, int]] = {}
    for row in concepts:
        named.setdefault(row.unit, {})[row.concept] = 0
    return [Contest(unit, _least(controls[unit]), drawn) for unit, drawn in sorted(named.items())]


def _least(values: Values) -> float:
    return float(min(values[np.isfinite(values)], default=-np.inf))


def play(units: Sequence[Contest], excite: Excite, settings: StoppingSettings, most: int) -> None:
    """Draw until the leader of every contest is clear, or there are ``most`` images of each that may still lead."""
    column = {contest.unit: number for number, contest in enumerate(units)}
    known: dict[tuple[str, int], Values] = {}
    for before, count in pairwise([0, *counts(settings, most)]):
        unclear = [contest for contest in units if not before or len(contest.standing) > 1]
        if not unclear:
            break
        wanted = {
            (concept, sample) for contest in unclear for concept in contest.standing for sample in range(before, count)
        }
        known |= excite(sorted(wanted))
        for contest in unclear:
            place = column[contest.unit]
            values = {
                concept: [float(known[concept, i][place]) for i in range(count) if (concept, i) in known]
                for concept in contest.standing
            }
            contest.judge(values, count, settings.level)
        log.info("%d images of each: %d units of %d were unclear before", count, len(unclear), len(units))


class Drawings:
    """Draws what is asked for, reads what it excites, and keeps the images.

    Parameters
    ----------
    units : whose activations are read.
    draw : images -> their pictures, given the number of usable ones so far: ``functools.partial`` of
        ``dnd.selection.images.draw``, say.

    Attributes
    ----------
    pictures : all that were drawn.
    """

    def __init__(
        self, target: Target, layer: str, units: Sequence[int], pooling: str, draw: Callable[..., list[Picture]]
    ) -> None:
        self.target = target
        self.layer = layer
        self.units = list(units)
        self.pooling = pooling
        self.draw = draw
        self.size = BatchSize(generated.BATCH, "stopping")
        self.pictures: list[Picture] = []

    def __call__(self, wanted: Wanted) -> dict[tuple[str, int], Values]:
        """Return the activations float32 [units] of each usable image.

        Raises
        ------
        ImagesError
            Nothing that was drawn so far can be used.
        """
        drawn = self.draw(wanted, usable=sum(picture.problem is None for picture in self.pictures))
        self.pictures += drawn
        return {
            (picture.concept, picture.sample): values[self.units]
            for picture, values in generated.read(self.target, self.layer, drawn, self.pooling, self.size)
        }


def of_units(
    target: Target,
    layer: str,
    recipe: Recipe,
    concepts: Sequence[Concept],
    topk: str | Path,
    store: str | Path,
    order: str = "",
    name: str = "",
) -> tuple[pa.Table, pa.Table]:
    """Draw the candidates of some units by a recipe, and return their IMAGES and DRAWN tables, each in order.

    Parameters
    ----------
    concepts : of these units only.
    topk : file of TOPK of the layer.
    store : folder of the item stores.
    order : as :func:`dnd.selection.images.draw` takes it.
    name : of the recipe, for messages.
    """
    section = images.section_of(name)
    assert recipe.generator is not None and recipe.stopping is not None
    kept, model = Store(Path(store, "images")), load(recipe.generator, section)
    units = pc.field("unit").isin(sorted({row.unit for row in concepts}))
    contested = contests(concepts, tables.rows(topk, schemas.TOPK, Controls, units))
    draw = partial(images.draw, model, settings=recipe.generator, store=kept, order=order, section=section)
    drawings = Drawings(target, layer, [contest.unit for contest in contested], recipe.pooling_of_views, draw)
    return run(contested, drawings, recipe.stopping, recipe.generator.images)


def run(
    units: Sequence[Contest], drawings: Drawings, settings: StoppingSettings, most: int
) -> tuple[pa.Table, pa.Table]:
    """Draw the candidates of some units, and return their IMAGES and DRAWN tables, each in order.

    Parameters
    ----------
    most : images of a candidate.

    Raises
    ------
    ImagesError
        The generator draws nothing that can be used.
    """
    play(units, drawings, settings, most)
    pictures = sorted(drawings.pictures, key=lambda picture: (picture.concept, picture.sample))
    drawn = [
        Drawn(contest.unit, concept, count, contest.beaten.get(concept))
        for contest in units
        for concept, count in sorted(contest.drawn.items())
    ]
    return tables.table(pictures, schemas.IMAGES), tables.table(drawn, schemas.DRAWN)
