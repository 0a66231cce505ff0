"""Measure the embedded summariser through a server, as the workflow asks it: right concepts by kind, and determinism.

Held-out caption sets of every kind are asked about like units: several samples, each with its own order and seed. An
answer is right when it has the extension of the wanted concept. That is the concept the captions were drawn from, or
the likeliest one where that is clearly more probable (``train.summariser.MARGIN``).
"""

from __future__ import annotations

import argparse
import json
import logging
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from dnd.backends.chat import ChatClient
from dnd.backends.llm import endpoint
from dnd.backends.messages import Answer, Request
from dnd.backends.server import Endpoint
from dnd.candidates.concepts import propose
from dnd.candidates.questions import UnitCaptions
from dnd.config.backends import LlmSettings
from dnd.config.stages import ConceptSettings
from dnd.io.store import Store, revision
from dnd.shapeworld import grammar
from training import posterior
from training.caption_sets import Task, held_out_tasks
from training.summariser import FOLDER

log = logging.getLogger(__name__)

Ask = Callable[[Sequence[Request]], Sequence[Answer]]


def asker(server: Endpoint, settings: LlmSettings, concurrency: int) -> Ask:
    """Return a function that asks a server and remembers nothing."""
    client = ChatClient(server, settings.model, revision(settings.model, settings.revision))

    def ask(requests: Sequence[Request]) -> list[Answer]:
        with tempfile.TemporaryDirectory() as folder:
            return client.ask(requests, concurrency, Store(folder))

    return ask


def answers(tasks: Sequence[Task], ask: Ask, settings: ConceptSettings) -> list[list[str | None]]:
    """Return the concepts of every sample of every task; None where an answer was malformed."""
    units = [UnitCaptions("held-out", "sets", number, task.captions) for number, task in enumerate(tasks)]
    _, table = propose(units, ask, settings)
    found: list[list[str | None]] = [[] for _ in tasks]
    for row in table.select(["unit", "concept"]).to_pylist():
        found[row["unit"]].append(row["concept"])
    return found


def named(concept: str | None) -> int | None:
    """Return the number of the concept that an answer denotes among the hypotheses."""
    extension = None if concept is None else grammar.parse(concept)
    return None if extension is None else posterior.hypotheses().find(extension)


def summary(tasks: Sequence[Task], given: Sequence[Sequence[str | None]]) -> dict[str, object]:
    """Return the figures of one way of asking.

    ``first`` is the share of right first answers, ``vote`` of the concept with most votes, ``any`` of units with the
    right concept among the candidates, ``agreement`` the mean share of answers that agree with the most frequent one.
    """
    kinds = [posterior.hypotheses().kinds[task.concept] for task in tasks]
    votes = [Counter(map(named, one)).most_common(1)[0] for one in given]
    shares: dict[str, list[float]] = {
        "first": [named(one[0]) == task.concept for one, task in zip(given, tasks, strict=True)],
        "vote": [number == task.concept for (number, _), task in zip(votes, tasks, strict=True)],
        "vote_ideal": [
            number == int(task.running[-1].argmax()) for (number, _), task in zip(votes, tasks, strict=True)
        ],
        "vote_drawn": [number == task.drawn for (number, _), task in zip(votes, tasks, strict=True)],
        "any": [task.concept in map(named, one) for one, task in zip(given, tasks, strict=True)],
        "agreement": [times / len(one) for (_, times), one in zip(votes, given, strict=True)],
        "malformed": [one.count(None) / len(one) for one in given],
    }
    return {
        **{name: round(float(np.mean(values)), 4) for name, values in shares.items()},
        "first_by_kind": _by_kind(kinds, shares["first"]),
        "vote_by_kind": _by_kind(kinds, shares["vote"]),
        "sets_by_kind": dict(sorted(Counter(kinds).items())),
    }


def _by_kind(kinds: Sequence[str], values: Sequence[float]) -> dict[str, float]:
    return {
        kind: round(float(np.mean([value for owner, value in zip(kinds, values, strict=True) if owner == kind])), 3)
        for kind in posterior.ALL_KINDS
        if kind in kinds
    }


def measure(server: Endpoint, settings: LlmSettings, each: int) -> dict[str, object]:
    """Return all figures of a served summariser.

    ``changed_*`` is the share of answers that differ when the same questions come in another order and with another
    number of requests at once: 0 means that batches do not change answers.
    """
    tasks = held_out_tasks(each)
    workflow = ConceptSettings()
    greedy = ConceptSettings(samples=1, temperature=0.0)
    ask = asker(server, settings, 32)
    ask([Request([{"role": "user", "content": "warm up"}], 0.0, 0, 1)])
    begun = time.monotonic()
    given = answers(tasks, ask, workflow)
    seconds = time.monotonic() - begun
    few = tasks[:: max(1, len(tasks) // 200)]
    once = answers(few, ask, workflow)
    figures: dict[str, object] = {
        "sets": len(tasks),
        "requests_per_second": round(len(tasks) * workflow.samples / seconds, 1),
        "workflow": summary(tasks, given),
        "greedy": summary(tasks, answers(tasks, ask, greedy)),
    }
    for concurrency in (1, 5, 64):
        again = answers(few, _reversed(asker(server, settings, concurrency)), workflow)
        figures[f"changed_at_{concurrency}"] = _changed(once, again)
    return figures


def _reversed(ask: Ask) -> Ask:
    return lambda requests: list(ask(list(requests)[::-1]))[::-1]


def _changed(one: Sequence[Sequence[str | None]], other: Sequence[Sequence[str | None]]) -> float:
    pairs = [pair for a, b in zip(one, other, strict=True) for pair in zip(a, b, strict=True)]
    return sum(a != b for a, b in pairs) / len(pairs)


def main() -> None:
    """Measure from the command line; print and save the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default=str(FOLDER))
    parser.add_argument("--base-url", help="of a server that runs already; else one is started")
    parser.add_argument("--each", type=int, default=30, help="held-out sets of every kind")
    parser.add_argument("--output", type=Path, default=Path(".training/measures-summariser.json"))
    chosen = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    for noisy in ("httpx", "httpx2", "openai"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    settings = LlmSettings(model=chosen.model, base_url=chosen.base_url)
    begun = time.monotonic()
    with endpoint(settings, chosen.output.with_suffix(".log")) as server:
        ready = time.monotonic() - begun
        figures = {"seconds_to_health": round(ready, 1), **measure(server, settings, chosen.each)}
    chosen.output.write_text(json.dumps(figures, indent=1) + "\n")
    log.info("%s", json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
