"""Sets of captions with something in common, and what that is: the task that the summariser learns."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from dnd.shapeworld import grammar
from dnd.shapeworld.world import ATTRIBUTES, SHAPE, Scene, conjunction, sample_scene, scene_at
from training import posterior

CAPTIONS = 10
MARGIN = 3.0
"""How many times more probable another concept must be to be the answer instead of the one drawn."""


@dataclass(frozen=True)
class Task:
    """Captions and what they have in common.

    Attributes
    ----------
    captions : as a captioner words them, in any order.
    running : float32 [captions, concepts], log-posterior after each caption.
    concept : number of the wanted answer in ``posterior.hypotheses()``.
    drawn : number of the concept that the scenes were drawn from.
    """

    captions: list[str]
    running: np.ndarray
    concept: int
    drawn: int

    @property
    def lead(self) -> float:
        """Log of how many times more probable the likeliest concept is than the next."""
        second, first = np.sort(self.running[-1])[-2:]
        return float(first - second)


def draw_task(rng: np.random.Generator, kind: str, count: int = CAPTIONS, margin: float = MARGIN) -> Task:
    """Draw captions of a concept of a kind: up to three in ten are off topic, and some show crops.

    Parameters
    ----------
    margin : how many times more probable another concept must be to replace the drawn one as the answer; in training
        it is 1, which makes the answer a function of the captions.
    """
    drawn = _draw_concept(rng, kind)
    scenes = _scenes(rng, drawn, count)
    error = rng.choice([0.0, 0.05, 0.12], p=[0.3, 0.5, 0.2])
    whole = rng.choice([0.9, 0.5, 0.25], p=[0.4, 0.4, 0.2])
    captions = [_caption(_misread(scene, error, rng), rng, whole, kind == "background") for scene in scenes]
    rng.shuffle(captions)
    running = posterior.log_posterior(posterior.log_likelihoods([posterior.read(caption) for caption in captions]))
    best = int(running[-1].argmax())
    close = running[-1, best] - running[-1, drawn] < np.log(margin)
    return Task(captions, running, drawn if close else best, drawn)


def _draw_concept(rng: np.random.Generator, kind: str) -> int:
    options = _of_kind(kind)
    return options[int(rng.integers(len(options)))]


@cache
def _of_kind(kind: str) -> list[int]:
    return [number for number, owner in enumerate(posterior.hypotheses().kinds) if owner == kind]


def _scenes(rng: np.random.Generator, concept: int, count: int) -> list[Scene]:
    concepts = posterior.hypotheses()
    pools = [np.flatnonzero(concepts.extensions[concept])]
    clauses = concepts.clauses[concept]
    if len(clauses) == 2 and rng.random() < 0.5:  # the alternatives equally often, however large each is
        pools = [np.flatnonzero(conjunction(clause)) for clause in clauses]
    outside = np.flatnonzero(concepts.extensions[concept] == 0)
    stray = int(rng.integers(4)) * count // CAPTIONS if len(outside) else 0
    flat = [_pick(rng, pools[i % len(pools)]) for i in range(count - stray)]
    if rng.random() < 0.3:  # crops of one image are exemplars of their own
        for _ in range(int(rng.integers(1, 4))):
            flat[int(rng.integers(len(flat)))] = flat[int(rng.integers(len(flat)))]
    flat += [_pick(rng, outside) for _ in range(stray)]
    return [scene_at(map(int, np.unravel_index(place, SHAPE))) for place in flat]


def _pick(rng: np.random.Generator, pool: np.ndarray) -> int:
    return int(pool[int(rng.integers(len(pool)))])


def _caption(scene: Scene, rng: np.random.Generator, whole: float, background: bool) -> str:
    chance = rng.random()
    if (background and chance > 0.7) or chance > 0.97:
        return grammar.caption(scene, rng, surface=False)
    if chance < whole * 0.97:
        return grammar.caption(scene, rng)
    return grammar.caption(scene, rng, shape=bool(rng.random() < 0.5), place=bool(rng.random() < 0.4))


def _misread(scene: Scene, error: float, rng: np.random.Generator) -> Scene:
    wrong = sample_scene(rng)
    return Scene(*(getattr(wrong if rng.random() < error else scene, name) for name in ATTRIBUTES))


def draw_tasks(rng: np.random.Generator, count: int) -> list[Task]:
    """Draw tasks for training, a few with fewer captions; the answer is the likeliest concept.

    Alternatives are the hardest and get a third of the tasks. Sets with two about equally likely concepts
    are left out.
    """
    kinds = (*posterior.ALL_KINDS, *[posterior.EITHER] * 8)
    tasks: list[Task] = []
    while len(tasks) < count:
        length = int(rng.integers(5, CAPTIONS)) if rng.random() < 0.1 else CAPTIONS
        task = draw_task(rng, kinds[int(rng.integers(len(kinds)))], length, margin=1.0)
        if task.lead >= np.log(1.5):
            tasks.append(task)
    return tasks


def held_out_tasks(each: int, seed: int = 2**31) -> list[Task]:
    """Return sets of ten captions that training never draws, so many whose answer is of every kind.

    Only sets with a right answer are kept: one concept is ``MARGIN`` times as probable as any other. Of the sets that
    ``draw_task`` draws these are about three in four; in the rest nobody could know.
    """
    rng = np.random.default_rng(seed)
    kept: dict[str, list[Task]] = {kind: [] for kind in posterior.ALL_KINDS}
    while any(len(tasks) < each for tasks in kept.values()):
        for kind in posterior.ALL_KINDS:
            task = draw_task(rng, kind)
            found = kept[posterior.hypotheses().kinds[task.concept]]
            if task.lead >= np.log(MARGIN) and len(found) < each:
                found.append(task)
    return [task for tasks in kept.values() for task in tasks]
