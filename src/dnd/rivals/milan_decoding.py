"""Search for descriptions: by beam, and ranked anew by pointwise mutual information."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from dnd.rivals.milan_model import Describer, State, log_probability

Step = Callable[[Tensor, State], tuple[Tensor, State]]
"""Tokens int64 [width] and the state after those before -> log-probabilities [width, words] and the next state."""


class Beam(NamedTuple):
    """Descriptions, most probable first: tokens int64 [n, length] without the start, and float [n]."""

    tokens: Tensor
    scores: Tensor


def beam_search(step: Step, state: State, start: int, stop: int, length: int, width: int) -> Beam:
    """Keep the ``width`` most probable beginnings at every place; those that ended stay as they are.

    The log-probability of a description is a sum, not divided by its length, and one that has not ended at ``length``
    counts as it is: so AllenNLP's ``BeamSearch``, which the released code calls, by its defaults. Of equal ones the
    one with the better beginning comes first, then the one of the smaller token number.

    Parameters
    ----------
    state : before the first word, [1, hidden].
    length : tokens at most, the stop included.
    """
    # always `width` rows, of which some are impossible, so that results do not depend on how many beginnings are alive
    state = State(*(part.expand(width, -1) for part in state))
    tokens = torch.empty(width, 0, dtype=torch.int64)
    scores = torch.full((width,), -torch.inf)
    scores[0] = 0
    last = torch.full((width,), start)
    for place in range(length):
        logs, state = step(last, state)
        logs = logs.cpu()
        if place:
            ended = last == stop
            logs = logs.masked_fill(ended[:, None], -torch.inf)
            logs[ended, stop] = 0
        total = (scores[:, None] + logs).flatten()
        chosen = _best(total, width)
        rows, last = chosen // logs.shape[1], chosen % logs.shape[1]
        scores, tokens = total[chosen], torch.cat([tokens[rows], last[:, None]], 1)
        state = State(*(part[rows.to(part.device)] for part in state))
        if ((last == stop) | scores.isneginf()).all():
            break
    possible = scores.isfinite()
    return Beam(tokens[possible], scores[possible])


def _best(values: Tensor, count: int) -> Tensor:
    """Places of the largest values, best first, of equal ones the earlier: a sort of all would take long."""
    places = (values >= values.topk(count).values[-1]).nonzero()[:, 0]
    return places[values[places].argsort(descending=True, stable=True)][:count]


def reranked(beam: Beam, lm: Tensor, penalty: float) -> Beam:
    """Return the beam by log p(d | E) - penalty * log p(d), best first; equal ones stay in their order.

    Parameters
    ----------
    lm : log p(d) float [n], of the language model.

    Source: paper section 3.2; ``Decoder.forward(strategy="rerank")``, whose ``temperature`` is the penalty.
    """
    scores = beam.scores - penalty * lm
    order = scores.argsort(descending=True, stable=True)
    return Beam(beam.tokens[order], scores[order])


@torch.inference_mode()
def lm_scores(describer: Describer, tokens: Tensor) -> Tensor:
    """Return log p(d) float [n] of descriptions int64 [n, length]; zeros where there is no language model."""
    if describer.lm is None:
        return torch.zeros(len(tokens))
    device = next(describer.parameters()).device
    tokens = tokens.to(device)
    start = tokens.new_full((len(tokens), 1), describer.vocabulary.start)
    logs = describer.lm(torch.cat([start, tokens[:, :-1]], 1))
    return log_probability(logs, tokens, describer.vocabulary.stop).cpu()


@torch.inference_mode()
def descriptions(
    describer: Describer, features: Tensor, *, beam: int, length: int, penalty: float
) -> list[tuple[str, float]]:
    """Return distinct descriptions of one unit with their scores, best first.

    Parameters
    ----------
    features : float [exemplars, features]
    beam, length, penalty : as of :class:`dnd.config.rivals.MilanRecipe`.
    """
    vocabulary = describer.vocabulary
    seen = describer.look(features[None])
    spread = seen.spread(beam)

    def step(tokens: Tensor, state: State) -> tuple[Tensor, State]:
        logs, state, _ = describer.step(spread, tokens.to(features.device), state)
        return logs, state

    likely = beam_search(step, describer.initial(seen), vocabulary.start, vocabulary.stop, length, beam)
    ranked = reranked(likely, lm_scores(describer, likely.tokens), penalty)
    best: dict[str, float] = {}
    for tokens, score in zip(ranked.tokens.tolist(), ranked.scores.tolist(), strict=True):
        if text := vocabulary.text(tokens):
            best.setdefault(text, score)
    return list(best.items())
