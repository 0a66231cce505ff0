"""BERTScore by hand, and where its zero lies."""

import numpy as np
import pytest

from dnd.evaluation.metrics import text
from dnd.evaluation.metrics.text import Tokens


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def tokens(numbers, vectors, special=()):
    return Tokens(tuple(numbers), unit(np.array(vectors, float)), np.isin(np.arange(len(numbers)), special))


CANDIDATE = tokens([1, 2], [[1, 0], [3, 4]])
REFERENCE = tokens([1, 3, 4], [[1, 0], [0, 1], [-1, 0]])


def test_bert_score_by_hand():
    found = text.bert_score(CANDIDATE, REFERENCE)
    precision = (1 + 0.8) / 2  # best matches: itself, and (0, 1)
    recall = (1 + 0.8 - 0.6) / 3
    assert found.precision == pytest.approx(precision) and found.recall == pytest.approx(recall)
    assert found.f1 == pytest.approx(2 * precision * recall / (precision + recall))


def test_special_tokens_do_not_count_but_may_be_matched():
    marked = tokens([9, 2], [[1, 0], [0, 1]], special=[0])
    assert text.bert_score(marked, tokens([5], [[1, 0]])).recall == 1
    assert text.bert_score(marked, tokens([5], [[1, 0]])).precision == 0
    assert text.bert_score(tokens([9], [[1, 0]], special=[0]), marked).f1 == 0


def test_rescaling_takes_random_pairs_as_zero():
    texts = [tokens([n], [[np.cos(n), np.sin(n)]]) for n in (0.0, 0.5, 1.0)]
    zero = text.baseline(texts, pairs=6000)
    assert zero == pytest.approx(np.mean([np.cos(0.5), np.cos(0.5), np.cos(1)]), abs=0.01)
    assert text.rescaled(zero, zero) == 0 and text.rescaled(1, zero) == 1
    with pytest.raises(ValueError, match="two texts"):
        text.baseline(texts[:1])
