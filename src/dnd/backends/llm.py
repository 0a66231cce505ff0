"""Ask a language model behind an OpenAI-compatible server: many requests at once, each answered only once ever."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openai
from tqdm import tqdm

from dnd import hub
from dnd.backends.server import Endpoint, ServerEnded, ServerError, serve
from dnd.settings import LlmSettings
from dnd.store import Store, key, revision

log = logging.getLogger(__name__)

RETRIES = 4
TIMEOUT_SECONDS = 300.0
WATCH_SECONDS = 0.5
STARTS = 2
"""A server that ends while it is asked is started once more."""
HOPELESS = (openai.APIConnectionError, openai.AuthenticationError, openai.PermissionDeniedError, openai.NotFoundError)
"""Failures that are the server's or the configuration's; many in a row mean that none of the rest will succeed."""


@dataclass(frozen=True)
class Request:
    """One question.

    Attributes
    ----------
    messages : chat messages, each with ``role`` and ``content``.
    temperature, seed, max_tokens : of the sampling.
    """

    messages: Sequence[dict[str, str]]
    temperature: float
    seed: int
    max_tokens: int

    def key(self, model: str) -> str:
        """Return the name of the answer in the store; ``model`` identifies the weights."""
        return key("llm", model, list(self.messages), self.temperature, self.seed, self.max_tokens)


@dataclass(frozen=True)
class Answer:
    """What came back: the text, or None where the request failed, and what is wrong with it, or None."""

    text: str | None
    problem: str | None = None


def ask(requests: Sequence[Request], settings: LlmSettings, store: Store, log_path: Path) -> list[Answer]:
    """Answer requests from the store where it can, and else by the server of the configuration.

    Our own server is started only when something is left to ask, and ended before this returns. When it ends by itself
    it is started once more, and asked what it has not answered.

    Raises
    ------
    ServerError
        The server cannot be started or reached, ended twice, or no request succeeded.
    ModelError
        Our own server is to serve a model that cannot be had.
    """
    model = revision(settings.model, settings.revision)
    known = [_recall(store, request.key(model)) for request in requests]
    missing = [number for number, answer in enumerate(known) if answer is None]
    log.info("%d requests, %d answered before", len(requests), len(requests) - len(missing))
    asked = [requests[number] for number in missing]
    for attempt in range(STARTS if missing else 0):
        try:
            with endpoint(settings, log_path) as server:
                answers = ChatClient(server, settings.model, model).ask(asked, settings.concurrency, store)
        except ServerEnded as error:
            if attempt + 1 == STARTS:
                raise
            log.warning("%s\nStarting it again", error)
            continue
        for number, answer in zip(missing, answers, strict=True):
            known[number] = answer
        break
    return [answer for answer in known if answer is not None]


@contextmanager
def endpoint(settings: LlmSettings, log_path: Path) -> Iterator[Endpoint]:
    """Give the external server that the configuration names, or run our own while the context lasts."""
    if settings.base_url is not None:
        # a server without authentication takes any key, but the client insists on one
        yield Endpoint(settings.base_url, os.environ.get(settings.api_key_env) or "none")
        return
    with serve(
        hub.folder(settings.model, settings.revision),
        name=settings.model,
        python=settings.python or os.environ.get("DND_VLLM_PYTHON", ".venv-vllm/bin/python"),
        log_path=log_path,
        startup_seconds=settings.startup_seconds,
        max_model_len=settings.max_model_len,
        arguments=settings.server_arguments,
    ) as own:
        yield own


class ChatClient:
    """Asks one model of one server.

    Parameters
    ----------
    server : where it listens.
    model : the name the server knows the model by.
    weights : identifies the model's weights in the store's keys.
    retries : further attempts of a request after timeouts, lost connections, rate limits and server errors.
    timeout : seconds until one attempt counts as failed.
    """

    def __init__(
        self, server: Endpoint, model: str, weights: str, *, retries: int = RETRIES, timeout: float = TIMEOUT_SECONDS
    ) -> None:
        self.server = server
        self.model = model
        self.weights = weights
        self.retries = retries
        self.timeout = timeout

    def ask(self, requests: Sequence[Request], concurrency: int, store: Store) -> list[Answer]:
        """Return ``ask_many``'s answers, from code that is not asynchronous."""
        return asyncio.run(self.ask_many(requests, concurrency, store))

    async def ask_many(self, requests: Sequence[Request], concurrency: int, store: Store) -> list[Answer]:
        """Return the answers in the order of the requests; equal requests are asked once.

        Each answer is stored the moment it arrives, so that a killed job goes on where it was. A request that fails in
        all its attempts gets an ``Answer`` with a problem, which is not stored.

        Raises
        ------
        ServerEnded
            Our own server has ended; this is noticed at once.
        ServerError
            Every request failed, or so many in a row that the server must be gone.
        """
        names = [request.key(self.weights) for request in requests]
        distinct = dict(zip(names, requests, strict=True))
        answers: dict[str, Answer] = {}
        waiting = iter(distinct.items())
        failures = _Failures(limit=2 * concurrency)

        async def work(client: openai.AsyncOpenAI, bar: tqdm[Any]) -> None:
            for name, request in waiting:  # shared by all workers: each request is taken once
                answer = _recall(store, name)
                if answer is None:
                    answer = await self._ask_one(client, request, failures)
                    if answer.text is not None:
                        store.put(name, json.dumps([answer.text, answer.problem]).encode())
                answers[name] = answer
                bar.update()

        async def watch() -> None:
            while True:
                self.server.check()
                await asyncio.sleep(WATCH_SECONDS)

        with tqdm(total=len(distinct), desc="language model", unit="answer", mininterval=5) as bar:
            async with openai.AsyncOpenAI(
                base_url=self.server.base_url, api_key=self.server.key, max_retries=self.retries, timeout=self.timeout
            ) as client:
                try:
                    async with asyncio.TaskGroup() as group:
                        watcher = group.create_task(watch())
                        workers = [group.create_task(work(client, bar)) for _ in range(min(concurrency, len(distinct)))]
                        await asyncio.gather(*workers)
                        watcher.cancel()
                except* ServerError as errors:
                    self.server.check()
                    raise errors.exceptions[0] from None
        problems = [answer.problem for answer in answers.values() if answer.text is None]
        if problems:
            self.server.check()  # it may have ended during the very last requests
        if problems and len(problems) == len(answers):
            raise ServerError(
                f"all {len(problems)} requests to {self.server.base_url} failed; the last: {problems[-1]}"
            )
        if problems:
            log.warning("%d of %d requests failed; the last: %s", len(problems), len(answers), problems[-1])
        return [answers[name] for name in names]

    async def _ask_one(self, client: openai.AsyncOpenAI, request: Request, failures: _Failures) -> Answer:
        try:
            reply = await client.chat.completions.create(
                model=self.model,
                messages=list(request.messages),  # type: ignore[arg-type]
                temperature=request.temperature,
                seed=request.seed,
                max_tokens=request.max_tokens,
            )
            choice = reply.choices[0]
            text = choice.message.content or ""
        except openai.APIError as error:
            problem = f"{type(error).__name__}: {error}"
            failures.add(problem, hopeless=isinstance(error, HOPELESS), server=self.server)
            return Answer(None, problem)
        except (IndexError, TypeError, AttributeError) as error:  # an answer without choices
            return Answer(None, f"malformed reply: {error}")
        failures.in_a_row = 0
        return Answer(text, "cut off at max_tokens" if choice.finish_reason == "length" else None)


@dataclass
class _Failures:
    """Hopeless failures since the last success."""

    limit: int
    in_a_row: int = 0

    def add(self, problem: str, *, hopeless: bool, server: Endpoint) -> None:
        self.in_a_row += hopeless
        if self.in_a_row >= self.limit:
            raise ServerError(f"{server.base_url} failed {self.in_a_row} requests in a row; the last: {problem}")


def _recall(store: Store, name: str) -> Answer | None:
    item = store.get(name)
    return None if item is None else Answer(*json.loads(item))
