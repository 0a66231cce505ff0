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
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dnd.backends.llm import session
from dnd.backends.messages import Request
from dnd.candidates.prompts import history_messages, read_prompt
from dnd.config.backends import LlmSettings
from dnd.config.rivals import LineRecipe
from dnd.io import schemas, tables
from dnd.io.rows import Controls, Score
from dnd.io.store import Store, key
from dnd.rivals.line_search import Ask, Excite, Search, judged, searches
from dnd.selection import images
from dnd.selection.cosy import auc, mad
from dnd.target.generated import Reader
from dnd.target.network import Target

log = logging.getLogger(__name__)
SOURCE = "line"
CANDIDATES = 10
"""Concepts of a unit that are listed at most."""


def seed(identity: tuple[str, str, int], number: int, history: Sequence[str]) -> int:
    """Return the sampling seed of a unit's question in a round, below 2**31."""
    return int(key("line", list(identity), number, list(history))[:8], 16) & 0x7FFFFFFF


def search_all(units: Sequence[Search], ask: Ask, excite: Excite, settings: LineRecipe) -> None:
    """Run all rounds of all units; their ``trials`` are what comes of it.

    A concept that a unit's language model names again tells nothing new, and is not shown twice.
    """
    template = read_prompt(settings.prompt, "history")
    for number in range(settings.rounds):
        requests = []
        for search in units:
            lines = search.history()
            chance = seed(search.identity, number, lines)
            requests.append(
                Request(history_messages(template, lines), settings.temperature, chance, settings.max_tokens)
            )
        trials = [judged(*pair, settings.max_words) for pair in zip(requests, ask(requests), strict=True)]
        excited = excite({trial.concept for trial in trials if trial.concept is not None})
        for place, (search, trial) in enumerate(zip(units, trials, strict=True)):
            search.add(trial, excited, place)
        log.info("round %d of %d: %d concepts", number + 1, settings.rounds, len(excited))


def candidates(search: Search, tolerance: float = 0.0) -> list[str]:
    """Return a unit's concepts, best first.

    Concepts whose scaled activation is within ``tolerance`` (a share) of the best count as equally good, and the one
    that was named last leads: the language model knew most by then. All else goes by activation, then by spelling.
    """
    means = {concept: search.scaled(values) for concept, values in search.tried().items()}
    last = {trial.concept: number for number, trial in enumerate(search.trials)}
    best = max(means.values(), default=0.0)
    equal = {concept for concept, mean in means.items() if tolerance > 0 and mean >= (1 - tolerance) * best}
    worse = sorted(set(means) - equal, key=lambda concept: (-means[concept], concept))
    return sorted(equal, key=lambda concept: -last[concept]) + worse


def of_shard(
    target: Target,
    layer: str,
    recipe: LineRecipe,
    topk: str | Path,
    shard: tuple[str, str, Sequence[int]],
    *,
    recipe_name: str,
    llm: LlmSettings,
    store: str | Path,
    output: str | Path,
    log_path: str | Path,
    note: Callable[[str, object], None],
) -> tuple[pa.Table, pa.Table]:
    """Return the SCORES and LINE_ROUNDS tables of a shard of a layer's units: see :func:`run`.

    Parameters
    ----------
    topk : TOPK of the layer with activations of control images.
    shard : name of the sweep row, slug of the layer, and the units.
    recipe_name : for messages.
    store : folder of the item stores.
    output : file that the pictures are drawn for.
    log_path, note : as :func:`dnd.backends.llm.session` takes them.
    """
    name, slug, units = shard
    kept = tables.rows(topk, schemas.TOPK, Controls, pc.field("unit").isin(list(units)))
    asked = searches(name, slug, kept)
    draw = images.drawer(recipe.generator, store, str(output), recipe_name)
    excite = Reader(target, layer, [search.unit for search in asked], recipe.pooling, draw, SOURCE)
    with session(llm, Store(f"{store}/answers"), Path(log_path), note) as ask:
        return run(asked, ask, excite, recipe)


def run(units: Sequence[Search], ask: Ask, excite: Excite, settings: LineRecipe) -> tuple[pa.Table, pa.Table]:
    """Search for the concepts of some units, and return their SCORES and LINE_ROUNDS tables.

    ``score`` is the mean activation difference in standard deviations of the controls (CoSy's MAD), made to fall from
    candidate to candidate where a tolerance puts one before a better one.
    """
    search_all(units, ask, excite, settings)
    ordered = sorted(units, key=lambda search: search.unit)
    scores = [row for search in ordered for row in _scores(search, settings.tolerance)]
    rounds = [row for search in ordered for row in search.told()]
    return tables.table(scores, schemas.SCORES), tables.table(rounds, schemas.LINE_ROUNDS)


def _scores(search: Search, tolerance: float) -> list[Score]:
    tried = search.tried()
    score = np.float32(max((mad(values, search.controls) for values in tried.values()), default=0.0))
    rows = []
    for number, concept in enumerate(candidates(search, tolerance)[:CANDIDATES]):
        values = tried[concept]
        difference = np.float32(mad(values, search.controls))
        if number:
            score = min(difference, np.nextafter(score, np.float32(-np.inf)))
        row = Score(search.unit, number, concept, SOURCE, None, float(score), auc(values, search.controls))
        rows.append(row._replace(mad=float(difference), activations=values.tolist()))
    return rows
