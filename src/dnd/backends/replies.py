"""What the reply of an OpenAI-compatible server says: an answer, or an error of its own or of one behind it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypedDict, cast

import openai

from dnd.backends import failures
from dnd.backends.messages import Answer
from dnd.backends.server import Endpoint
from dnd.io.text import valid

MALFORMED = (KeyError, IndexError, TypeError, AttributeError, ValueError, RecursionError)
"""What a reply leads to that has no choices, or is no JSON."""


class _Message(TypedDict, total=False):
    """Servers differ in what they call thoughts."""

    content: object
    reasoning: object
    reasoning_content: object
    refusal: object


class _Choice(TypedDict, total=False):
    message: _Message
    finish_reason: str | None


class _Reply(TypedDict):
    choices: list[_Choice]


_OF_STATUS: Mapping[int, type[openai.APIStatusError]] = {
    400: openai.BadRequestError,
    401: openai.AuthenticationError,
    403: openai.PermissionDeniedError,
    404: openai.NotFoundError,
    422: openai.UnprocessableEntityError,
    429: openai.RateLimitError,
}


def error_inside(reply: object, server: Endpoint) -> openai.APIStatusError | None:
    """Return the error in a reply of status 200, as relays between many servers give it, or None where there is none.

    Its ``code`` is the status. Where that is none, the fault is the server's, unless it says ``invalid_request_error``.
    """
    if not isinstance(reply, Mapping):
        return None
    choices = reply.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    body = first.get("error") if isinstance(first, Mapping) else None if choices else reply.get("error")
    if not body:
        return None
    told = body if isinstance(body, Mapping) else {"message": str(body)}
    code = str(told.get("code") or told.get("status") or "")
    status = 400 if told.get("type") == "invalid_request_error" else 500
    if code.isdecimal() and 400 <= int(code) < 600:
        status = int(code)
    import httpx  # whose responses OpenAI's client puts into its errors

    response = httpx.Response(status, request=httpx.Request("POST", server.base_url))
    kind = _OF_STATUS.get(status, openai.InternalServerError if status >= 500 else openai.APIStatusError)
    return kind(str(told.get("message") or told), response=response, body=told)  # type: ignore[arg-type]  # either client


def answer(reply: object) -> Answer:
    """Read a reply, JSON about which the client has checked nothing.

    Raises
    ------
    One of ``MALFORMED``
        It is none of a server's.
    """
    choice = cast(_Reply, reply)["choices"][0]
    message, reason = choice["message"], choice.get("finish_reason")
    text = message.get("content") or ""
    if not isinstance(text, str):
        raise TypeError(f"content is {type(text).__name__}")
    if not text and (message.get("reasoning_content") or message.get("reasoning")):
        return Answer(None, "no answer but thoughts" + (" within max_tokens" if reason == "length" else ""))
    refusal = message.get("refusal")
    if not text and (refusal or reason == "content_filter"):
        return Answer(None, f"refused: {failures.line(valid(str(refusal or 'content filter')))}")
    return Answer(valid(text), "cut off at max_tokens" if reason == "length" else None)
