"""The ideal summariser: which concept of the world best explains a set of captions, by Bayes' rule.

Hypotheses are the concepts of every kind, the disjunctions of two single words, and "anything". Given a hypothesis,
each caption shows a scene drawn uniformly from its extension, or with a small probability any scene at all; each word
of a caption may be wrong. Small extensions explain their captions better (the size principle: J. Tenenbaum, 1999), so
ten red stars are "red stars" rather than "red objects".
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from dnd.shapeworld import grammar
from dnd.shapeworld.world import ATTRIBUTES, GROUPS, Extension, conjunction
from training.concept_kinds import KINDS

EITHER = "either"
VARIOUS = "various"
ALL_KINDS = (*KINDS, EITHER, VARIOUS)

Clauses = tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Hypotheses:
    """All concepts that an answer may name, each extension once.

    Attributes
    ----------
    kinds : kind of each.
    clauses : words of each; one clause is a conjunction, two are alternatives.
    phrases : plain name of each.
    extensions : float32 [concepts, scenes], 0 or 1.
    log_prior : float32 [concepts]; kinds are equally likely, and so are the concepts within one.
    """

    kinds: tuple[str, ...]
    clauses: tuple[Clauses, ...]
    phrases: tuple[str, ...]
    extensions: npt.NDArray[np.float32]
    log_prior: npt.NDArray[np.float32]

    def find(self, extension: Extension) -> int | None:
        """Return the number of the concept with this extension; None where no concept has it."""
        return self._numbers.get(np.asarray(extension, dtype=bool).tobytes())

    @property
    def _numbers(self) -> Mapping[bytes, int]:
        return _numbers()


@cache
def hypotheses() -> Hypotheses:
    """Return the hypothesis space; a disjunction that equals a simpler concept counts as the simpler one."""
    kinds, clauses, extensions = [], [], []
    seen: set[bytes] = set()
    for kind, words in _all_clauses():
        extension = np.logical_or.reduce([conjunction(clause) for clause in words])
        if (content := extension.tobytes()) in seen:
            continue
        seen.add(content)
        kinds.append(kind)
        clauses.append(words)
        extensions.append(extension.ravel())
    sizes = {kind: kinds.count(kind) for kind in ALL_KINDS}
    prior = [-np.log(len(ALL_KINDS) * sizes[kind]) for kind in kinds]
    return Hypotheses(
        tuple(kinds),
        tuple(clauses),
        tuple(_name(words) for words in clauses),
        np.array(extensions, dtype=np.float32),
        np.array(prior, dtype=np.float32),
    )


def log_likelihoods(
    captions: Sequence[Mapping[str, str]], *, off_topic: float = 0.15, word_error: float = 0.03
) -> npt.NDArray[np.float32]:
    """Return the log-likelihood of each caption under each hypothesis.

    Parameters
    ----------
    captions : what each caption says: attribute -> value, for the attributes it names.
    off_topic : share of captions that show a scene drawn from the whole world.
    word_error : probability that a word names another value of its attribute.

    Returns
    -------
    float32 [captions, concepts].
    """
    given_scene = np.stack([_given_scene(caption, word_error) for caption in captions])
    inside = given_scene @ _uniform()
    return np.log((1 - off_topic) * inside + off_topic * given_scene.mean(1, keepdims=True))


def log_posterior(likelihoods: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return the normalised log-posterior after each caption: float32 [captions, concepts]."""
    joint = hypotheses().log_prior + np.cumsum(likelihoods, axis=0)
    highest = joint.max(axis=-1, keepdims=True)
    return joint - highest - np.log(np.exp(joint - highest).sum(axis=-1, keepdims=True))


def read(caption: str) -> dict[str, str]:
    """Return what a caption of the grammar says: attribute -> value."""
    words = _caption_words()
    return dict(words[word] for word in caption.split() if word in words)


@cache
def _caption_words() -> dict[str, tuple[str, str]]:
    said = {value: (name, value) for name, values in ATTRIBUTES.items() for value in values}
    return said | {place: ("background", value) for value, place in grammar.PLACES.items()}


@cache
def _uniform() -> npt.NDArray[np.float32]:
    """Probability of each scene given each concept: float32 [scenes, concepts]."""
    extensions = hypotheses().extensions
    return np.ascontiguousarray((extensions / extensions.sum(1, keepdims=True)).T)


@cache
def _numbers() -> dict[bytes, int]:
    return {row.astype(bool).tobytes(): number for number, row in enumerate(hypotheses().extensions)}


def _given_scene(caption: Mapping[str, str], word_error: float) -> npt.NDArray[np.float32]:
    """Probability of a caption's words given each scene: float32 [scenes]."""
    result = np.ones(1, dtype=np.float32)
    for name, values in ATTRIBUTES.items():
        chances = np.ones(len(values), dtype=np.float32)
        if name in caption:
            chances[:] = word_error / (len(values) - 1)
            chances[values.index(caption[name])] = 1 - word_error
        result = np.multiply.outer(result, chances)
    return result.ravel()


def _all_clauses() -> list[tuple[str, Clauses]]:
    groups = {name: [word for word, (owner, _) in GROUPS.items() if owner == name] for name in ATTRIBUTES}
    listed: list[tuple[str, Clauses]] = []
    for kind, slots in KINDS.items():
        options = [groups[slot[:-1]] if slot.endswith("*") else ATTRIBUTES[slot] for slot in slots]
        listed += [(kind, (words,)) for words in itertools.product(*options)]
    listed.append((VARIOUS, ((),)))
    single = [value for name in ("colour", "texture", "shape") for value in ATTRIBUTES[name]]
    listed += [(EITHER, ((first,), (second,))) for first, second in itertools.combinations(single, 2)]
    return listed


def _name(clauses: Clauses) -> str:
    return grammar.phrase(clauses[0]) if len(clauses) == 1 else grammar.either(*clauses)
