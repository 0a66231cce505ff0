"""Put questions to a chat model behind an OpenAI-compatible server: many at once, each answered only once ever."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NoReturn

import openai
from tqdm import tqdm

from dnd.backends import failures, replies
from dnd.backends.limits import LimitedClient
from dnd.backends.messages import Answer, Request
from dnd.backends.server import Endpoint, ServerEnded, ServerError
from dnd.io.store import Store
from dnd.io.text import valid

log = logging.getLogger(__name__)

RETRIES = 4
TIMEOUT_SECONDS = 300.0
WATCH_SECONDS = 0.5
_KEPT = "What was answered is kept, and the same command asks the rest"


class AllFailed(ServerError):
    """Not one of several requests succeeded, though the server can be reached."""


class Unanswered(ServerError):
    """Requests failed for the server's reasons; ``answers`` are what came of all, in their order."""

    def __init__(self, told: str, answers: Sequence[Answer] = ()) -> None:
        super().__init__(told)
        self.answers = answers


def external(base_url: str, api_key_env: str, section: str) -> Endpoint:
    """Return the user's own server; ``section`` is the part of the configuration that names it."""
    # a server without authentication takes any key, but the client insists on one
    return Endpoint(base_url, os.environ.get(api_key_env) or failures.NO_KEY, section=section, api_key_env=api_key_env)


def connection(server: Endpoint, retries: int, timeout: float) -> openai.AsyncOpenAI:
    """Return a client of a server; a reply that is not whole in ``timeout`` seconds, or too large, is a failure.

    Raises
    ------
    ServerError
        The environment names a proxy that cannot be used.
    """
    try:
        http_client = LimitedClient(trust_env=not server.is_on_loopback)
    except (ImportError, ValueError) as error:
        raise ServerError(
            f"{server} cannot be reached through the proxy of the environment (ALL_PROXY, HTTPS_PROXY, HTTP_PROXY): "
            f"{failures.said(error, server)}; name an HTTP proxy there, or the server in NO_PROXY"
        ) from None
    return openai.AsyncOpenAI(
        base_url=server.base_url, api_key=server.key, max_retries=retries, timeout=timeout, http_client=http_client
    )


class ChatClient:
    """Asks one model of one server.

    Parameters
    ----------
    server : where it listens.
    model : the name the server knows the model by.
    weights : identifies the model's weights in the store's keys.
    retries : further attempts of a request after timeouts, lost connections, rate limits and server errors.
    timeout : seconds until one attempt counts as failed, from its beginning to the end of the reply.
    title : of the progress bar; there is none when empty.
    plain : a question that the model answers whatever the others are; a greeting when None.
    """

    def __init__(
        self,
        server: Endpoint,
        model: str,
        weights: str,
        *,
        retries: int = RETRIES,
        timeout: float = TIMEOUT_SECONDS,
        title: str = "language model",
        plain: Request | None = None,
    ) -> None:
        self.server = server
        self.model = model
        self.weights = weights
        self.retries = retries
        self.timeout = timeout
        self.title = title
        self.plain = plain
        self.unknown: set[str] = set()
        """Settings of a request that the server refused, and is not sent again."""
        self.answered = False
        """Whether the server has answered anything: it may refuse single requests from then on."""

    def ask(self, requests: Sequence[Request], concurrency: int, store: Store | None) -> list[Answer]:
        """Return ``ask_many``'s answers, from code that is not asynchronous, or runs in a notebook's event loop."""
        if not _a_loop_runs():
            return asyncio.run(self.ask_many(requests, concurrency, store))
        with ThreadPoolExecutor(max_workers=1) as thread:
            return thread.submit(lambda: asyncio.run(self.ask_many(requests, concurrency, store))).result()

    def ask_doubted(self, requests: Sequence[Request], concurrency: int, store: Store | None) -> list[Answer]:
        """Return the answers as :meth:`ask` does, where the server may have every reason to refuse the requests.

        When it refuses them all it is asked the plain question: when that fails, too, it is the server's fault.
        """
        try:
            return self.ask(requests, concurrency, store)
        except (Unanswered, ServerEnded):
            raise
        except ServerError as error:
            self.ask([self._plain(requests)], 1, None)
            log.warning("%s; a plain question does not fail", error)
            return self.ask(requests, concurrency, store)

    def _plain(self, requests: Sequence[Request]) -> Request:
        if self.plain is not None:
            return self.plain
        longest = max(request.max_tokens for request in requests)
        return Request([{"role": "user", "content": "Say hello."}], temperature=0.0, seed=0, max_tokens=longest)

    async def ask_many(self, requests: Sequence[Request], concurrency: int, store: Store | None) -> list[Answer]:
        """Return the answers in the order of the requests; equal requests are asked once.

        Each answer is stored the moment it arrives, so that a killed job goes on where it was. A request that fails by
        its own fault (refused, too long) gets an ``Answer`` with a problem, which is not stored.

        Raises
        ------
        ServerEnded
            Our own server has ended; this is noticed at once.
        Unanswered
            A request failed in all its attempts for the server's reasons, or so many in a row that it must be gone; or
            the server has come to refuse everything, a plain question too.
        AllFailed
            Every request failed by its own fault, and the server has never answered.
        ServerError
            The server refuses us or the model.
        """
        names = [request.key(self.weights) for request in requests]
        distinct = dict(zip(names, requests, strict=True))
        answers: dict[str, Answer] = {}
        waiting = iter(distinct.items())
        record = _Record(self.server, limit=2 * concurrency, plain=self._plain(requests) if requests else None)

        async def work(client: openai.AsyncOpenAI, bar: tqdm[NoReturn]) -> None:
            for name, request in waiting:  # shared by all workers: each request is taken once
                answer = recall(store, name)
                if answer is None:
                    answer = await self._ask_one(client, request, record)
                    if store is not None and answer.text is not None:
                        store.put(name, json.dumps([answer.text, answer.problem]).encode())
                answers[name] = answer
                bar.update()

        async def watch() -> None:
            while True:
                self.server.check()
                await asyncio.sleep(WATCH_SECONDS)

        with tqdm(total=len(distinct), desc=self.title, unit="answer", mininterval=5, disable=not self.title) as bar:
            async with self._client() as client:
                try:
                    async with asyncio.TaskGroup() as group:
                        watcher = group.create_task(watch())
                        workers = [group.create_task(work(client, bar)) for _ in range(min(concurrency, len(distinct)))]
                        await asyncio.gather(*workers)
                        # not by the record's count, which an answer ends that was given before the last refusal
                        if record.refused:
                            await self._require_answer(client, record)
                        watcher.cancel()
                except ExceptionGroup as errors:
                    self.server.check()
                    error = errors.exceptions[0]
                    if isinstance(error, Unanswered):
                        error.answers = [answers.get(name, _NOT_ASKED) for name in names]
                    raise error from error.__cause__
        self._judge(answers, names)
        return [answers[name] for name in names]

    def _client(self) -> openai.AsyncOpenAI:
        return connection(self.server, self.retries, self.timeout)

    def _judge(self, answers: Mapping[str, Answer], names: Sequence[str]) -> None:
        failed = [answer for answer in answers.values() if answer.text is None]
        if not failed:
            return
        self.server.check()  # it may have ended during the very last requests
        told = f"all {len(failed)} requests to {self.server} failed; the last: {failed[-1].problem}"
        if again := [answer for answer in failed if answer.again]:
            if len(again) < len(answers):
                told = f"{len(again)} of {len(answers)} requests to {self.server} failed; the last: {again[-1].problem}"
                told = f"{told}. {_KEPT}"
            raise Unanswered(told, [answers[name] for name in names])
        if len(failed) == len(answers) and not self.answered:
            raise AllFailed(told)
        log.warning("%d of %d requests failed; the last: %s", len(failed), len(answers), failed[-1].problem)

    async def _ask_one(self, client: openai.AsyncOpenAI, request: Request, record: _Record) -> Answer:
        malformed = attempts = 0
        while True:
            arguments = request.arguments(self.unknown)
            try:
                # `chat.completions.create` walks through every message first, and makes an object of every part of the
                # reply: a fifth and a seventh of the client's processor time
                body = {"model": self.model, **arguments}
                reply = await client.post("/chat/completions", cast_to=object, body=body)
                if (inside := replies.error_inside(reply, self.server)) is not None:
                    attempts += 1
                    if attempts <= self.retries and not failures.is_of_the_request(inside):
                        await asyncio.sleep(WATCH_SECONDS * 2 ** (attempts - 1))
                        continue
                    raise inside
                answer = replies.answer(reply)
            except openai.APIError as error:
                if (setting := failures.unknown_setting(error, arguments)) is not None:
                    if setting not in self.unknown:  # else another request has found it out meanwhile
                        self.unknown.add(setting)
                        log.warning("%s does without %s: %s", self.server, setting, failures.said(error, self.server))
                    continue
                return await self._failed(client, error, record)
            except replies.MALFORMED as error:
                malformed += 1
                if malformed > self.retries:
                    return Answer(None, f"malformed reply: {error}")
                continue
            record.in_a_row = record.refusals = 0
            self.answered |= answer.text is not None
            return answer

    async def _failed(self, client: openai.AsyncOpenAI, error: openai.APIError, record: _Record) -> Answer:
        problem = failures.problem(error, self.server)
        # What a server refuses that has answered before is this request, or its patience with us.
        if not self.answered:
            offered = await _offered(client) if failures.is_about_model(error) else None
            if (verdict := failures.verdict(error, self.server, self.model, offered)) is not None:
                raise ServerError(verdict)
        if not failures.is_of_the_request(error):
            record.failure(problem)
            return Answer(None, problem, again=True)
        record.refused = True
        record.refusals += 1
        if record.refusals % record.limit == 0:
            await self._require_answer(client, record)
        return Answer(None, problem)

    async def _require_answer(self, client: openai.AsyncOpenAI, record: _Record) -> None:
        """Ask the plain question, since a server that has answered may be refusing everything by now.

        Raises
        ------
        Unanswered
            It is refused, too: of those who refuse for want of credit some say 403, some 400.
        """
        if record.plain is None or not self.answered:
            return
        alone = _Record(self.server, limit=2)
        answer = await self._ask_one(client, record.plain, alone)
        if alone.refusals or alone.in_a_row:
            raise Unanswered(
                f"{self.server} has come to refuse everything, {record.refusals} requests and a plain question: "
                f"{answer.problem}. {_KEPT}"
            )


def _a_loop_runs() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


async def _offered(client: openai.AsyncOpenAI) -> list[str] | None:
    """Return the names of a server's models, None where it does not tell."""
    try:
        return sorted(model.id for model in (await client.with_options(max_retries=0, timeout=10).models.list()).data)
    except (openai.APIError, AttributeError, TypeError, ValueError, RecursionError):
        return None


_NOT_ASKED = Answer(None, "not asked", again=True)


@dataclass
class _Record:
    """What a server has done since it last answered.

    Attributes
    ----------
    limit : failures in a row after which it is given up, and refusals after which it is doubted.
    plain : question that tells whether it refuses everything.
    in_a_row : failures for reasons of its own.
    refusals : of requests that may have been at fault themselves.
    refused : whether there was one at any time.
    """

    server: Endpoint
    limit: int
    plain: Request | None = None
    in_a_row: int = 0
    refusals: int = 0
    refused: bool = False

    def failure(self, problem: str) -> None:
        self.in_a_row += 1
        if self.in_a_row >= self.limit:
            raise Unanswered(f"{self.server} failed {self.in_a_row} requests in a row; the last: {problem}. {_KEPT}")


def recall(store: Store | None, name: str) -> Answer | None:
    """Return a stored answer."""
    return None if store is None else store.load(name, _stored)


def _stored(item: bytes) -> Answer:
    match json.loads(item):
        case [str(text), str() | None as problem]:
            return Answer(valid(text), problem)
    raise ValueError("no answer")
