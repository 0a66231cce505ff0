"""LINE (Zaigrajew et al., arXiv 2604.08039): propose, draw, read the activation, and propose again knowing it.

A language model names a concept, a generator draws it, and the mean activation of the unit joins the history that the
next question shows, for a number of rounds. The unit is a black box: no exemplars, captions or gradients. The label is
the concept with the highest mean activation. The paper's code is not published; what it leaves open is ours: the
prompt, and that activations are shown on the scale of random images, which tells a good first concept from a poor one.

All units of a job are asked together in each round. Questions and seeds follow from the unit and its own history, and
pictures from the concept, so that jobs, their order and restarts change nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from dnd.backends.messages import Request
from dnd.candidates.prompts import history_messages, read_prompt
from dnd.candidates.search import Ask, Excite, Search, judged
from dnd.config.rivals import LineRecipe
from dnd.io import schemas, tables
from dnd.io.store import key
from dnd.selection.cosy import auc, mad

log = logging.getLogger(__name__)
SOURCE = "line"
CANDIDATES = 10
"""Concepts of a unit that are listed at most."""


def seed(identity: Sequence[Any], number: int, history: Sequence[str]) -> int:
    """Return the sampling seed of a unit's question in a round, below 2**31."""
    return int(key("line", list(identity), number, list(history))[:8], 16) & 0x7FFFFFFF


def search(searches: Sequence[Search], ask: Ask, excite: Excite, settings: LineRecipe) -> None:
    """Run all rounds of all units; their ``trials`` are what comes of it.

    A concept that a unit's language model names again tells nothing new, and is not shown twice.
    """
    template = read_prompt(settings.prompt, "history")
    for number in range(settings.rounds):
        requests = []
        for one in searches:
            lines = one.history()
            messages = history_messages(template, lines)
            requests.append(
                Request(messages, settings.temperature, seed(one.identity, number, lines), settings.max_tokens)
            )
        rounds = [judged(*pair, settings.max_words) for pair in zip(requests, ask(requests), strict=True)]
        excited = excite({trial.concept for trial in rounds if trial.concept is not None})
        for place, (one, trial) in enumerate(zip(searches, rounds, strict=True)):
            one.add(trial, excited, place)
        log.info("round %d of %d: %d concepts", number + 1, settings.rounds, len(excited))


def candidates(one: Search, tolerance: float = 0.0) -> list[str]:
    """Return a unit's concepts, best first.

    Concepts whose scaled activation is within ``tolerance`` (a share) of the best count as equally good, and the one
    that was named last leads: the language model knew most by then. All else goes by activation, then by spelling.
    """
    means = {concept: one.scaled(values) for concept, values in one.tried().items()}
    last = {trial.concept: number for number, trial in enumerate(one.trials)}
    best = max(means.values(), default=0.0)
    equal = {concept for concept, mean in means.items() if tolerance > 0 and mean >= (1 - tolerance) * best}
    others = sorted(set(means) - equal, key=lambda concept: (-means[concept], concept))
    return sorted(equal, key=lambda concept: -last[concept]) + others


def run(searches: Sequence[Search], ask: Ask, excite: Excite, settings: LineRecipe) -> tuple[pa.Table, pa.Table]:
    """Search for the concepts of some units, and return their SCORES and LINE_ROUNDS tables.

    ``score`` is the mean activation difference in standard deviations of the controls (CoSy's MAD), made to fall from
    candidate to candidate where a tolerance puts one before a better one.
    """
    search(searches, ask, excite, settings)
    ordered = sorted(searches, key=lambda one: one.unit)
    scores = [row for one in ordered for row in _score_rows(one, settings.tolerance)]
    rounds = [row for one in ordered for row in _round_rows(one)]
    return tables.table(scores, schemas.SCORES), tables.table(rounds, schemas.LINE_ROUNDS)


def _score_rows(one: Search, tolerance: float) -> list[dict[str, Any]]:
    tried = one.tried()
    score = np.float32(max((mad(values, one.controls) for values in tried.values()), default=0.0))
    rows = []
    for number, concept in enumerate(candidates(one, tolerance)[:CANDIDATES]):
        values = tried[concept]
        own = np.float32(mad(values, one.controls))
        if number:
            score = min(own, np.nextafter(score, np.float32(-np.inf)))
        rows.append(
            {
                "unit": one.unit,
                "candidate": number,
                "concept": concept,
                "source": SOURCE,
                "votes": None,
                "score": score,
                "auc": auc(values, one.controls),
                "mad": own,
                "rank_score": None,
                **dict.fromkeys(("image_similarity", "fit", "gap", "hard", "agreement", "bimodality")),
                **dict.fromkeys(("parts", "shares")),
                "activations": values,
            }
        )
    return rows


def _round_rows(one: Search) -> list[dict[str, Any]]:
    return [{**one.told(trial)._asdict(), "round": number} for number, trial in enumerate(one.trials)]
