"""BERTScore: similarity of a label to a class name.

Unrescaled it differs by about .03 between good and useless labels: rescale it, and show shuffled labels beside.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt


class Tokens(NamedTuple):
    """A text as a contextual encoder sees it.

    Attributes
    ----------
    ids : numbers of the tokens [t].
    vectors : unit vectors [t, d].
    special : bool [t], tokens such as [CLS], which others may match and which do not count themselves.
    """

    ids: tuple[int, ...]
    vectors: npt.NDArray[np.floating]
    special: npt.NDArray[np.bool_]


class BertScore(NamedTuple):
    """Precision, recall and their harmonic mean."""

    precision: float
    recall: float
    f1: float


def bert_score(candidate: Tokens, reference: Tokens) -> BertScore:
    """Return BERTScore: each token counts its best match in the other text, all tokens alike.

    Source: Zhang et al., ICLR 2020: greedy matching by cosine; recall over the reference's tokens, precision over the
    candidate's.
    """
    cosine = np.asarray(candidate.vectors, np.float64) @ np.asarray(reference.vectors, np.float64).T
    precision, recall = _mean(cosine.max(1), candidate), _mean(cosine.max(0), reference)
    total = precision + recall
    return BertScore(precision, recall, 2 * precision * recall / total if total else 0.0)


def _mean(best: npt.NDArray[np.float64], text: Tokens) -> float:
    weights = np.where(text.special, 0.0, 1.0)
    total = weights.sum()
    return float(best @ weights / total) if total > 0 else 0.0


def baseline(texts: Sequence[Tokens], pairs: int = 1000, seed: int = 0) -> float:
    """Return the mean F1 of random pairs of different texts, which rescaling takes as zero.

    Source: the released BERTScore's baselines are such means over random pairs of Common Crawl sentences; these texts
    should be of the kind that is judged: labels of other units.

    Raises
    ------
    ValueError
        There are fewer than two texts.
    """
    if len(texts) < 2:
        raise ValueError("a baseline needs two texts or more")
    rng = np.random.default_rng(seed)
    first = rng.integers(len(texts), size=pairs)
    second = (first + rng.integers(1, len(texts), size=pairs)) % len(texts)
    return float(np.mean([bert_score(texts[i], texts[j]).f1 for i, j in zip(first, second, strict=True)]))


def rescaled(f1: float, zero: float) -> float:
    """Return (f1 - zero) / (1 - zero): 1 for the same text, 0 for a random one, below for worse.

    Source: the released BERTScore's ``rescale_with_baseline``.
    """
    return (f1 - zero) / (1 - zero) if zero < 1 else 0.0
