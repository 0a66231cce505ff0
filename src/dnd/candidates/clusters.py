"""Captions of a unit that belong together, by meaning or by word."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from scipy.cluster.hierarchy import fcluster, linkage

Values = npt.NDArray[np.float32]
DECIMALS = 5
"""Of distances that count: what a vector's place in a batch may change is smaller, so that ties are ties."""
FEWEST = 3
"""Captions that make a group of their own."""
COMMON = 0.75
"""Share of a unit's captions that have a word which nearly all share."""
FRAMES = frozenset(["background", "close", "closeup", "image", "photo", "photograph", "picture", "view"])
"""Words of captions that say nothing of what an image shows."""


def caption_groups(shown: Mapping[int, str], vectors: Mapping[str, Values], count: int) -> list[list[int]]:
    """Group the captions of a unit by Ward's method.

    Parameters
    ----------
    shown : rank -> caption; equal captions stay together.
    vectors : caption -> unit vector [d].
    count : groups at most.

    Returns
    -------
    Ranks of each group of at least two different captions, groups in order of their best rank; none where all captions
    are one group.
    """
    distinct = list(dict.fromkeys(shown[rank] for rank in sorted(shown)))
    if len(distinct) < 2:
        return []
    steps = linkage(_distances(np.stack([vectors[caption] for caption in distinct])), "ward")
    group = dict(zip(distinct, fcluster(steps, count, "maxclust"), strict=True))
    groups = _grouped([group[caption] for caption in distinct])
    if len(groups) < 2:
        return []
    chosen = [{distinct[place] for place in places} for places in groups if len(places) > 1]
    return [[rank for rank in sorted(shown) if shown[rank] in captions] for captions in chosen]


def word_cover(shown: Mapping[int, str], count: int) -> dict[str, list[int]]:
    """Return the words that most captions of a unit share: a greedy cover.

    The first is the most frequent word; each that follows, that of the captions which have none of those before it.
    What a language model generalises ("purple" and "green" to "cool colours") stays apart.

    Parameters
    ----------
    shown : rank -> caption.
    count : words at most.

    Returns
    -------
    Word -> ranks of at least three captions that have it and none of those before it; nothing where one word covers
    nearly all.
    """
    left = {rank: _words(shown[rank]) for rank in sorted(shown)}
    cover: dict[str, list[int]] = {}
    while len(cover) < count:
        counted = Counter(word for words in left.values() for word in words)
        word, most = min(counted.items(), key=lambda item: (-item[1], item[0]), default=("", 0))
        if most < FEWEST:
            break
        cover[word] = [rank for rank, words in left.items() if word in words]
        left = {rank: words for rank, words in left.items() if word not in words}
    return cover if len(cover) > 1 else {}


def common_words(shown: Mapping[int, str], count: int) -> list[str]:
    """Return the words that nearly all captions of a unit share, where there are several; the most frequent first.

    "red circles" excite a unit for red things, one for circles, and one for what is both: in a probe where they always
    go together, only pictures of red things and of circles tell which it is.

    Parameters
    ----------
    shown : rank -> caption.
    count : words at most.
    """
    counted = Counter(word for caption in shown.values() for word in _words(caption))
    common = [word for word, times in counted.items() if times >= max(COMMON * len(shown), FEWEST)]
    return sorted(common, key=lambda word: (-counted[word], word))[:count] if len(common) > 1 else []


def _words(caption: str) -> set[str]:
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS  # seconds, which most jobs need not wait for

    return set(re.findall(r"[^\W\d_]{2,}", caption.lower())) - ENGLISH_STOP_WORDS - FRAMES


def _distances(vectors: Values) -> npt.NDArray[np.float64]:
    """Euclidean distances of unit vectors, as SciPy lists them: of each vector to those after it."""
    exact = np.asarray(vectors, np.float64)
    first, second = np.triu_indices(len(exact), 1)
    return np.round(np.linalg.norm(exact[first] - exact[second], axis=1), DECIMALS)


def _grouped(numbers: Sequence[int] | npt.NDArray[np.integer]) -> list[list[int]]:
    """Positions by number, in order of first appearance."""
    groups: dict[int, list[int]] = {}
    for place, number in enumerate(numbers):
        groups.setdefault(int(number), []).append(place)
    return list(groups.values())
