"""Histories of proposals and activations, and the ideal next proposal, by Bayes' rule: what the proposer learns.

A simulated unit answers to one of the world's concepts. A proposal is drawn ten times, and the mean activation depends
on how many of the pictures the concept covers. The teacher keeps a posterior over what the unit answers to. It proposes
what tells most about that, until one concept is more likely than all others together, and then that one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from dnd.shapeworld.world import conjunction, word_extension
from training import posterior
from training.posterior import EITHER, VARIOUS

PICTURES = 10
"""Drawn of each proposal, as a recipe does unless told otherwise."""
WEIGHTS = {EITHER: 3.0, VARIOUS: 0.0}
"""How likely a kind of unit is, against 1 for the other kinds; there are no units that answer to everything."""
TOPS = (60.0, 75.0, 90.0)
"""Mean activation of pictures that a unit answers to, as the teacher thinks: 0 the least control, 100 the most."""
REST, SPREAD = 5.0, 6.0
"""Mean activation of other pictures, and the standard deviation of a proposal's mean, as the teacher thinks of them."""
WIDTH, BINS = 10.0, 13
"""Activations as the teacher tells them apart: bins around 0, 10, 20 ... 120."""
SURE, CERTAIN = 0.5, 0.75
"""Posterior at which the teacher proposes the likeliest concept, and at which it repeats that rather than explore."""
PLAIN = 0.4
"""A single word is preferred while it tells so much of what the best proposal tells: broad first, then narrow."""
SHARES = 60

Floats = npt.NDArray[np.float32]
Indices = npt.NDArray[np.intp]


@cache
def _shares() -> npt.NDArray[np.float64]:
    """Share of each concept's scenes (rows) that every concept (columns) covers."""
    extensions = posterior.hypotheses().extensions.astype(np.float64)
    return extensions @ extensions.T / extensions.sum(1, keepdims=True)


@cache
def prior() -> Floats:
    """Return the probability of every concept of ``posterior.hypotheses()`` to be what a unit answers to."""
    concepts = posterior.hypotheses()
    weights = np.exp(concepts.log_prior) * [WEIGHTS.get(kind, 1.0) for kind in concepts.kinds]
    return (weights / weights.sum()).astype(np.float32)


@cache
def _chances() -> tuple[Floats, Floats]:
    """Probability of each bin: float32 [states, proposals, bins]; and its entropy [states, proposals].

    A state is a level of TOPS with a concept, the concepts of the first level first.
    """
    from scipy.stats import binom, norm

    shares = np.arange(SHARES + 1) / SHARES
    shown = np.arange(PICTURES + 1)
    counts = binom.pmf(shown[None], PICTURES, 0.96 * shares[:, None] + 0.01)  # pictures are not always right
    edges = (np.arange(BINS + 1) - 0.5) * WIDTH
    edges[0], edges[-1] = -np.inf, np.inf
    levels = []
    for top in TOPS:
        means = REST + (top - REST) * shown / PICTURES
        within = np.diff(norm.cdf(edges[None], means[:, None], SPREAD), axis=1)
        levels.append(counts @ (0.98 * within + 0.02 / BINS))
    steps = np.rint(_shares() * SHARES).astype(int).T  # [concepts, proposals]
    chances = np.concatenate([level[steps] for level in levels]).astype(np.float32)
    return chances, -(chances * np.log(chances)).sum(-1)


def binned(activations: npt.NDArray[np.float64]) -> Indices:
    """Return the bins of scaled activations."""
    return np.clip(np.rint(activations / WIDTH), 0, BINS - 1).astype(np.intp)


class Teacher:
    """Believes something of several units at once, and learns from what their proposals excite.

    Parameters
    ----------
    units : how many.

    Attributes
    ----------
    belief : float32 [units, states].
    known : bool [units, concepts], what was proposed before.
    """

    def __init__(self, units: int) -> None:
        self.belief = np.tile(np.tile(prior() / len(TOPS), len(TOPS)), (units, 1))
        self.known = np.zeros((units, len(prior())), dtype=bool)

    def concepts(self) -> Floats:
        """Return the posterior over concepts, float32 [units, concepts]."""
        return self.belief.reshape(len(self.belief), len(TOPS), -1).sum(1)

    def learn(self, proposals: Indices, activations: npt.NDArray[np.float64]) -> None:
        """Update the belief by one proposal of each unit and its scaled activation; one made before tells nothing."""
        chances, _ = _chances()
        units = np.arange(len(self.belief))
        factors = np.where(self.known[units, proposals], 1.0, chances[:, proposals, binned(activations)])
        self.belief = self.belief * factors.T.astype(np.float32)
        self.belief /= self.belief.sum(1, keepdims=True)
        self.known[units, proposals] = True

    def propose(self) -> Indices:
        """Return the next proposal for each unit; of equally good ones the first."""
        chances, entropies = _chances()
        expected = (self.belief @ chances.reshape(len(chances), -1)).reshape(len(self.belief), -1, BINS)
        told = -(expected * np.log(np.maximum(expected, 1e-12))).sum(-1) - self.belief @ entropies
        told[self.known | (prior() == 0)] = 0
        plain = np.where(_plain(), told, 0)
        told = np.where(plain.max(1, keepdims=True) >= PLAIN * told.max(1, keepdims=True), plain, told)
        chosen = told.argmax(1)
        concepts = self.concepts()
        likeliest, probability = concepts.argmax(1), concepts.max(1)
        new = ~self.known[np.arange(len(concepts)), likeliest]
        return np.where(probability > np.where(new, SURE, CERTAIN), likeliest, chosen)


@cache
def _plain() -> npt.NDArray[np.bool_]:
    """Concepts of one word."""
    return np.array([list(map(len, clauses)) == [1] for clauses in posterior.hypotheses().clauses])


def simulated(concept: int, rng: np.random.Generator) -> Callable[[int], float]:
    """Return a unit that answers to a concept: a proposal -> its scaled activation, the same whenever it is asked.

    Units of trained networks answer to some scenes of their concept more than to others, and a little to scenes that
    have something of it.
    """
    concepts = posterior.hypotheses()
    inside = concepts.extensions[concept] > 0
    near = np.zeros(len(inside))
    for words in concepts.clauses[concept]:
        met = np.stack([word_extension(word).ravel() for word in words]).mean(0) if words else np.ones(len(inside))
        near = np.maximum(near, np.where(conjunction(words).ravel(), 1.0, met**2))
    top, rest, leak = rng.uniform(55, 95), rng.uniform(0, 10), rng.uniform(0, 25)
    levels = np.where(inside, top, rest + leak * near * ~inside)
    levels = levels + rng.normal(0, rng.uniform(2, 9), len(inside)) * np.where(inside, 1.0, 0.4)
    noise, wrong = rng.uniform(3, 10), rng.uniform(0, 0.06)
    seed = int(rng.integers(2**31))

    def activation(proposal: int) -> float:
        own = np.random.default_rng([seed, proposal])
        covered = np.flatnonzero(concepts.extensions[proposal])
        scenes = own.choice(covered, PICTURES)
        scenes = np.where(own.random(PICTURES) < wrong, own.integers(len(inside), size=PICTURES), scenes)
        return float(np.maximum(levels[scenes] + own.normal(0, noise, PICTURES), 0).mean())

    return activation


@dataclass(frozen=True)
class Histories:
    """What was proposed to simulated units, in rounds.

    Attributes
    ----------
    concepts : int [units], what each answers to.
    proposals : int [units, rounds].
    activations : int [units, rounds], scaled, whole numbers.
    wanted : int [units, rounds + 1], the ideal proposal before each round and after the last.
    beliefs : float32 [units, rounds, concepts], posterior after each round.
    """

    concepts: Indices
    proposals: Indices
    activations: Indices
    wanted: Indices
    beliefs: Floats


def draw(units: int, rounds: int, rng: np.random.Generator, stray: float = 0.1) -> Histories:
    """Simulate units and proposals to them.

    Parameters
    ----------
    stray : share of proposals that are not the teacher's but drawn at random, so that a student learns what to do
        after a bad one, too.
    """
    truths = rng.choice(len(prior()), units, p=prior().astype(np.float64) / prior().sum(dtype=np.float64))
    answer = [simulated(int(truth), rng) for truth in truths]
    return play(truths, answer, rounds, rng, stray)


def play(
    truths: Indices, answer: list[Callable[[int], float]], rounds: int, rng: np.random.Generator, stray: float
) -> Histories:
    """Let the teacher propose to units for some rounds; see :func:`draw`."""
    units = len(answer)
    teacher = Teacher(units)
    proposals, activations, beliefs, wanted = [], [], [], [teacher.propose()]
    for _ in range(rounds):
        at_random = rng.choice(len(prior()), units, p=prior().astype(np.float64) / prior().sum(dtype=np.float64))
        asked = np.where(rng.random(units) < stray, at_random, wanted[-1])
        found = np.rint([one(int(proposal)) for one, proposal in zip(answer, asked, strict=True)])
        teacher.learn(asked, found)
        proposals.append(asked)
        activations.append(found.astype(np.intp))
        beliefs.append(teacher.concepts())
        wanted.append(teacher.propose())
    return Histories(
        truths, np.stack(proposals, 1), np.stack(activations, 1), np.stack(wanted, 1), np.stack(beliefs, 1)
    )
