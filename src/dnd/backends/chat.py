"""Put questions to a chat model behind an OpenAI-compatible server: many at once, each answered only once ever."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import openai
from tqdm import tqdm

from dnd.backends import failures
from dnd.backends.messages import Message as Message  # whoever asks needs these, too
from dnd.backends.messages import image_part as image_part
from dnd.backends.messages import picture_names as picture_names
from dnd.backends.messages import text_part as text_part
from dnd.backends.server import Endpoint, ServerError
from dnd.store import Store, key

log = logging.getLogger(__name__)

RETRIES = 4
TIMEOUT_SECONDS = 300.0
WATCH_SECONDS = 0.5


def no_pictures(name: str) -> str:
    """Refuse to show a picture: what text alone is made of needs none."""
    raise LookupError(f"there is no picture {name!r}")


@dataclass(frozen=True)
class Request:
    """One question.

    Attributes
    ----------
    messages : chat messages. Pictures stand in them by name, so that a question stays small until it is sent.
    temperature, seed, max_tokens : of the sampling.
    response_format : form that the answer must have, as OpenAI's API spells it; None is plain text.
    pictures : name of a picture -> its data URL. A name must say all that decides what is seen.
    """

    messages: Sequence[Message]
    temperature: float
    seed: int
    max_tokens: int
    response_format: Mapping[str, Any] | None = None
    pictures: Callable[[str], str] = field(default=no_pictures, compare=False, repr=False)

    def key(self, model: str) -> str:
        """Return the name of the answer in the store; ``model`` identifies the weights."""
        form = [] if self.response_format is None else [self.response_format]
        return key("llm", model, list(self.messages), self.temperature, self.seed, self.max_tokens, *form)

    def arguments(self, without: Collection[str] = ()) -> dict[str, Any]:
        """Return what is sent, but for settings that the server does not know."""
        sent = {
            "messages": [_with_pictures(message, self.pictures) for message in self.messages],
            "temperature": self.temperature,
            "seed": self.seed,
            "max_tokens": self.max_tokens,
            "response_format": self.response_format,
        }
        if "max_tokens" in without:  # as OpenAI's newer models call it
            sent["max_completion_tokens"] = self.max_tokens
        return {name: value for name, value in sent.items() if value is not None and name not in without}


def _with_pictures(message: Message, pictures: Callable[[str], str]) -> Message:
    if isinstance(message["content"], str):
        return message
    parts = [
        image_part(pictures(part["image_url"]["url"])) if part["type"] == "image_url" else part
        for part in message["content"]
    ]
    return {**message, "content": parts}


@dataclass(frozen=True)
class Answer:
    """What came back: the text, or None where the request failed, and what is wrong with it, or None."""

    text: str | None
    problem: str | None = None


class AllFailed(ServerError):
    """Not one of several requests succeeded, though the server can be reached."""


def external(base_url: str, api_key_env: str, section: str) -> Endpoint:
    """Return the user's own server; ``section`` is the part of the configuration that names it."""
    # a server without authentication takes any key, but the client insists on one
    return Endpoint(base_url, os.environ.get(api_key_env) or failures.NO_KEY, section=section, api_key_env=api_key_env)


class ChatClient:
    """Asks one model of one server.

    Parameters
    ----------
    server : where it listens.
    model : the name the server knows the model by.
    weights : identifies the model's weights in the store's keys.
    retries : further attempts of a request after timeouts, lost connections, rate limits and server errors.
    timeout : seconds until one attempt counts as failed.
    title : of the progress bar; there is none when empty.
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
    ) -> None:
        self.server = server
        self.model = model
        self.weights = weights
        self.retries = retries
        self.timeout = timeout
        self.title = title
        self.unknown: set[str] = set()
        """Settings of a request that the server refused, and is not sent again."""

    def ask(self, requests: Sequence[Request], concurrency: int, store: Store | None) -> list[Answer]:
        """Return ``ask_many``'s answers, from code that is not asynchronous, or runs in a notebook's event loop."""
        if not _a_loop_runs():
            return asyncio.run(self.ask_many(requests, concurrency, store))
        with ThreadPoolExecutor(max_workers=1) as thread:
            return thread.submit(lambda: asyncio.run(self.ask_many(requests, concurrency, store))).result()

    async def ask_many(self, requests: Sequence[Request], concurrency: int, store: Store | None) -> list[Answer]:
        """Return the answers in the order of the requests; equal requests are asked once.

        Each answer is stored the moment it arrives, so that a killed job goes on where it was. A request that fails in
        all its attempts gets an ``Answer`` with a problem, which is not stored.

        Raises
        ------
        ServerEnded
            Our own server has ended; this is noticed at once.
        AllFailed
            Every request failed.
        ServerError
            The server refuses us or the model, or so many requests failed in a row that it must be gone.
        """
        names = [request.key(self.weights) for request in requests]
        distinct = dict(zip(names, requests, strict=True))
        answers: dict[str, Answer] = {}
        waiting = iter(distinct.items())
        record = _Record(self.server, limit=2 * concurrency)

        async def work(client: openai.AsyncOpenAI, bar: tqdm[Any]) -> None:
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
                        watcher.cancel()
                except* ServerError as errors:
                    self.server.check()
                    raise errors.exceptions[0] from None
        self._judge(list(answers.values()))
        return [answers[name] for name in names]

    def _client(self) -> openai.AsyncOpenAI:
        return openai.AsyncOpenAI(
            base_url=self.server.base_url,
            api_key=self.server.key,
            max_retries=self.retries,
            timeout=self.timeout,
            # a proxy has no business on the loopback
            http_client=openai.DefaultAsyncHttpxClient(trust_env=self.server.is_external),
        )

    def _judge(self, answers: Sequence[Answer]) -> None:
        problems = [answer.problem for answer in answers if answer.text is None]
        if not problems:
            return
        self.server.check()  # it may have ended during the very last requests
        if len(problems) == len(answers):
            raise AllFailed(f"all {len(problems)} requests to {self.server} failed; the last: {problems[-1]}")
        log.warning("%d of %d requests failed; the last: %s", len(problems), len(answers), problems[-1])

    async def _ask_one(self, client: openai.AsyncOpenAI, request: Request, record: _Record) -> Answer:
        while True:
            arguments = request.arguments(self.unknown)
            try:
                # `chat.completions.create` walks through every message first, and makes an object of every part of the
                # reply: a fifth and a seventh of the client's processor time
                body = {"model": self.model, **arguments}
                answer = _answer(await client.post("/chat/completions", cast_to=object, body=body))
            except openai.APIError as error:
                if (setting := failures.unknown_setting(error, arguments)) is not None:
                    if setting not in self.unknown:  # else another request has found it out meanwhile
                        self.unknown.add(setting)
                        log.warning("%s does without %s: %s", self.server, setting, failures.said(error, self.server))
                    continue
                return await self._failed(client, error, record)
            except (KeyError, IndexError, TypeError, AttributeError) as error:  # an answer without choices
                return Answer(None, f"malformed reply: {error}")
            record.success()
            return answer

    async def _failed(self, client: openai.AsyncOpenAI, error: openai.APIError, record: _Record) -> Answer:
        problem = failures.problem(error, self.server)
        # What a server refuses that has answered before is this request, or its patience with us.
        if not record.answered:
            offered = await _offered(client) if failures.is_about_model(error) else None
            if (verdict := failures.verdict(error, self.server, self.model, offered)) is not None:
                raise ServerError(verdict)
        record.failure(problem, hopeless=isinstance(error, failures.HOPELESS))
        return Answer(None, problem)


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
    except (openai.APIError, AttributeError, TypeError):
        return None


def _answer(reply: Any) -> Answer:
    """Read a reply of a server, JSON about which the client has checked nothing."""
    choice = reply["choices"][0]
    message, reason = choice["message"], choice.get("finish_reason")
    text = message.get("content") or ""
    if not isinstance(text, str):
        raise TypeError(f"content is {type(text).__name__}")
    if not text and any(message.get(name) for name in ("reasoning_content", "reasoning")):
        return Answer(None, "no answer but thoughts" + (" within max_tokens" if reason == "length" else ""))
    if not text and (message.get("refusal") or reason == "content_filter"):
        return Answer(None, f"refused: {message.get('refusal') or 'content filter'}")
    return Answer(text, "cut off at max_tokens" if reason == "length" else None)


@dataclass
class _Record:
    """Whether a server has ever answered, and hopeless failures since it last did."""

    server: Endpoint
    limit: int
    answered: bool = False
    in_a_row: int = 0

    def success(self) -> None:
        self.answered, self.in_a_row = True, 0

    def failure(self, problem: str, *, hopeless: bool) -> None:
        self.in_a_row += hopeless
        if self.in_a_row >= self.limit:
            raise ServerError(f"{self.server} failed {self.in_a_row} requests in a row; the last: {problem}")


def recall(store: Store | None, name: str) -> Answer | None:
    """Return a stored answer."""
    item = None if store is None else store.get(name)
    return None if item is None else Answer(*json.loads(item))
