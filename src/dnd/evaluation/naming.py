"""Whether a label names an answer that is known by text: the same word, a parent of it, or a sentence alike."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Protocol

import numpy as np
import numpy.typing as npt

from dnd.config.known_answers import KnownAnswer

log = logging.getLogger(__name__)
ALIKE = 0.8
"""Cosine of two texts from which they are taken to say the same; of all-mpnet-base-v2 and its like."""
STEPS = 2
"""From an answer up to its parents in WordNet that are no less right."""
ENDINGS = (
    *(("s", ""), ("ses", "s"), ("xes", "x"), ("zes", "z")),
    *(("ches", "ch"), ("shes", "sh"), ("men", "man"), ("ies", "y")),
)
"""Of plural and of singular nouns: the rules of detachment of WordNet's Morphy (morphy(7WN))."""
ARTICLES = frozenset({"a", "an", "the"})
Vectors = Mapping[str, npt.NDArray[np.float32]]
"""Text -> unit vector."""
Encode = Callable[[Sequence[str]], npt.NDArray[np.float32]]


class Synset(Protocol):
    """A meaning in WordNet."""

    def hypernyms(self) -> list[Synset]: ...

    def instance_hypernyms(self) -> list[Synset]: ...


def words(text: str) -> list[str]:
    """Return the words of a text in lower case, without an article before them."""
    parts = re.findall(r"[^\W_]+", re.sub(r"['\u2019]", "", text.lower()))
    return parts[1:] if len(parts) > 1 and parts[0] in ARTICLES else parts


def lemmas(word: str) -> set[str]:
    """Return the forms that a noun may be of, itself included."""
    stems = {word.removesuffix(plural) + singular for plural, singular in ENDINGS if word.endswith(plural)}
    return {word} | {stem for stem in stems if len(stem) > 1 and not word.endswith("ss")}


def same_lemma(first: str, second: str) -> bool:
    """Return whether two texts are the same words but for case, articles, hyphens and number."""
    ours, theirs = words(first), words(second)
    if "".join(ours) == "".join(theirs):  # "sea lion", "sealion"
        return bool(ours)
    if len(ours) != len(theirs):
        return False
    return all(lemmas(word) & lemmas(other) for word, other in zip(ours, theirs, strict=True))


@lru_cache
def wordnet() -> Callable[[str], list[Synset]] | None:
    """Return what looks up a text's meanings as a noun, None where there is no nltk or no WordNet of its."""
    try:
        from nltk.corpus import wordnet as corpus

        corpus.ensure_loaded()
    except (ImportError, LookupError, OSError):
        log.info("parents in WordNet are not looked up: nltk or its corpus wordnet is not installed")
        return None
    return lambda text: corpus.synsets("_".join(words(text)), corpus.NOUN)


def is_parent(label: str, text: str, meanings: Callable[[str], list[Synset]]) -> bool:
    """Return whether a meaning of a label is one of a text, or lies at most STEPS above it.

    Parameters
    ----------
    meanings : text -> its meanings as a noun.
    """
    wanted, level = meanings(label), meanings(text)
    for _ in range(STEPS + 1):
        if any(meaning in wanted for meaning in level):
            return True
        level = [parent for meaning in level for parent in meaning.hypernyms() + meaning.instance_hypernyms()]
    return False


def names(label: str, texts: Sequence[str], vectors: Vectors | None = None, threshold: float = ALIKE) -> bool:
    """Return whether a label names what some texts say.

    It does where it has the lemmas of one, is a parent of one in WordNet, or has a cosine of ``threshold`` with one.

    Parameters
    ----------
    texts : names of one thing.
    vectors : of the label and the texts; None where sentences are not compared.
    """
    meanings = wordnet()
    return any(
        same_lemma(label, text)
        or (meanings is not None and is_parent(label, text, meanings))
        or (vectors is not None and float(vectors[label] @ vectors[text]) >= threshold)
        for text in texts
    )


def embedded(labels: Iterable[str], answers: Iterable[KnownAnswer], encode: Encode | None) -> Vectors | None:
    """Return the vectors of labels and of answers that are known by text; None without an encoder or such answers."""
    told = {text for answer in answers if answer.words is None for text in answer.texts}
    if encode is None or not told:
        return None
    texts = sorted(told.union(labels))
    return dict(zip(texts, encode(texts), strict=True))
