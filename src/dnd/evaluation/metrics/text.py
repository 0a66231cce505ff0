"""Similarity of a label to a class name or another label: cosine of sentence vectors, and BERTScore.

Unrescaled BERTScore differs by about .03 between good and useless labels: rescale it, and show shuffled labels beside.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.floating]


def cosines(first: Values, second: Values) -> npt.NDArray[np.float64]:
    """Return the cosine of each row with the other's, float64 [n], of vectors [n, d] of any length; 0 for a null one.

    Source: ``get_cos_similarity`` of the released Describe-and-Dissect, whose ``table9`` by mistake passed strings, so
    that single characters of the reference were embedded; here whole texts.
    """
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    shared = (a * b).sum(1)
    return np.divide(shared, norms, out=np.zeros_like(shared), where=norms > 0)


@dataclass(frozen=True)
class Tokens:
    """A text as a contextual encoder sees it.

    Attributes
    ----------
    ids : numbers of the tokens [t].
    vectors : unit vectors [t, d].
    special : bool [t], tokens such as [CLS], which others may match and which do not count themselves.
    """

    ids: tuple[int, ...]
    vectors: Values
    special: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class BertScore:
    """Precision, recall and their harmonic mean."""

    precision: float
    recall: float
    f1: float


def inverse_document_frequencies(references: Sequence[Tokens]) -> dict[int, float]:
    """Return token -> log((M + 1) / (1 + texts that hold it)) over M references.

    Source: BERTScore section 3, with the released code's plus-one smoothing.
    """
    counts = Counter(number for text in references for number in set(text.ids))
    return {number: math.log((len(references) + 1) / (1 + count)) for number, count in counts.items()}


def _mean(best: Values, text: Tokens, idf: Mapping[int, float] | None, unseen: float) -> float:
    weights = np.array([1.0 if idf is None else idf.get(number, unseen) for number in text.ids])
    weights = np.where(text.special, 0.0, weights)
    total = weights.sum()
    return float(best @ weights / total) if total > 0 else 0.0


def bert_score(
    candidate: Tokens, reference: Tokens, idf: Mapping[int, float] | None = None, documents: int = 0
) -> BertScore:
    """Return BERTScore: each token counts its best match in the other text.

    Parameters
    ----------
    idf : weights of tokens by :func:`inverse_document_frequencies`; all alike when None.
    documents : how many texts ``idf`` was counted over; a token in none of them weighs log(documents + 1).

    Source: Zhang et al., ICLR 2020: greedy matching by cosine; recall over the reference's tokens, precision over the
    candidate's.
    """
    cosine = np.asarray(candidate.vectors, np.float64) @ np.asarray(reference.vectors, np.float64).T
    unseen = math.log(documents + 1)
    precision = _mean(cosine.max(1), candidate, idf, unseen)
    recall = _mean(cosine.max(0), reference, idf, unseen)
    total = precision + recall
    return BertScore(precision, recall, 2 * precision * recall / total if total else 0.0)


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
