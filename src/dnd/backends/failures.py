"""What a failed request to an OpenAI-compatible server means, in a sentence that names the key to change.

Status codes and the client's classes of errors decide, as far as they go. Servers agree on little else, so that what
no later question can mend (no template, no sight), prompts that are too long, and settings that a server does not know
are recognised by the words of vLLM, OpenAI and those who follow them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import openai

from dnd.backends.limits import UnreadableReply
from dnd.backends.server import Endpoint
from dnd.config.redaction import secrets_of, without_secrets
from dnd.io.text import valid

OF_THE_REQUEST = {400, 403, 413, 422, 451}
"""Status of what a server will not answer whenever it is asked: malformed, flagged, too large, against the law."""
NO_KEY = "none"
LONGEST = 300
"""Characters of a server's words that are told."""
SEARCHED = 10 * LONGEST
"""Characters of them that are searched: what a server says of itself comes first."""
OFFERED = 10

_REFUSED = (openai.BadRequestError, openai.UnprocessableEntityError)
_FORMAT = re.compile(r"response[_ ]?format|json[_ ]?schema|guided|structured[_ ]?output|grammar", re.IGNORECASE)
_UNSUPPORTED = r"unsupported|not support|unknown|unrecogni[sz]ed|not permitted|not allowed|unexpected"
_MODEL = re.compile(
    r"(invalid|unknown) model|model_not_found|model\b.{0,120}\b(not exist|not found|unknown)", re.IGNORECASE
)
_TEMPLATE = re.compile(r"must provide a chat template|template not found|chat_template is not set", re.IGNORECASE)
_BLIND = re.compile(
    r"not a multimodal model|image_url is only supported|image input is not supported|"
    r"not support (images?|vision|image input)\b",
    re.IGNORECASE,
)
_SYSTEM = re.compile(
    r"system (role|message)s? (is |are )?not supported|conversation roles must alternate", re.IGNORECASE
)
_CONTEXT = re.compile(
    r"context[_ ](length|window|size)|longer than the maximum|maximum model length|max_model_len|prompt is too long",
    re.IGNORECASE,
)


def said(error: BaseException, server: Endpoint) -> str:
    """Return a server's own words, or the reason of a lost connection, as one line without the key."""
    text = valid(_words(error))
    if server.key != NO_KEY:
        text = text.replace(server.key, "...")
    return line(without_secrets(text, secrets_of(server.base_url)))


def line(text: str) -> str:
    """Return a text as one line that is not too long, without words that stars mask."""
    words = " ".join("..." if "**" in word else word for word in text[:SEARCHED].split())
    return words if len(words) <= LONGEST else f"{words[:LONGEST]}..."


def _words(error: BaseException) -> str:
    """A server's own words, or the reason of a lost connection, as far as they are searched."""
    body = getattr(error, "body", None)
    if isinstance(body, Mapping):
        body = body.get("message") or body.get("detail") or body.get("error")
    return (str(body) if body else _reason(error))[:SEARCHED]


def _clues(error: openai.APIError) -> str:
    return f"{error.code or ''} {_words(error)}"[:SEARCHED]


def _reason(error: BaseException) -> str:
    """Return the system's message below an error, which the client wraps several times, or the next best one."""
    inner = error.__cause__
    while inner is not None:
        if isinstance(inner, OSError) and inner.errno is not None:
            return str(inner)
        grouped = inner.exceptions[0] if isinstance(inner, BaseExceptionGroup) else None
        inner = grouped or inner.__cause__ or inner.__context__
    return str(error.__cause__ or error)


def problem(error: openai.APIError, server: Endpoint) -> str:
    """Return what is recorded of a request that failed."""
    words = said(error, server)
    if isinstance(error, openai.APITimeoutError):
        return "no answer in time"
    if isinstance(error, openai.APIConnectionError):
        return f"cannot be reached: {words}"
    if _is_too_long(error):
        told = re.search(r"(?:context (?:length|window) (?:is|of) )(\d+)", words)
        limit = server.context or (f"{told[1]} tokens" if told else "")
        return "prompt is longer than the model's context" + (f" ({limit})" if limit else "")
    return f"{type(error).__name__}: {words}"


def _is_too_long(error: openai.APIError) -> bool:
    """Tell whether a prompt does not fit the model's context, which some servers call a fault of theirs."""
    status = getattr(error, "status_code", None)
    return status in {400, 413, 422, 500} and _CONTEXT.search(_clues(error)) is not None


def is_of_the_request(error: openai.APIError) -> bool:
    """Tell whether a server that answers other requests refuses this one, so that asking again is of no use."""
    return (
        getattr(error, "status_code", None) in OF_THE_REQUEST
        or isinstance(error, UnreadableReply)
        or _is_too_long(error)
    )


def verdict(error: openai.APIError, server: Endpoint, model: str, offered: Sequence[str] | None) -> str | None:
    """Return why no request at all can succeed, or None where this one may be alone in failing.

    Parameters
    ----------
    model : the name the server was asked for.
    offered : the names that it knows, None where it does not tell.
    """
    words, named = said(error, server), f"{server.section}.model {model}"
    if isinstance(error, openai.AuthenticationError | openai.PermissionDeniedError):
        return _without_access(server, words)
    if is_about_model(error):
        if offered is not None and model not in offered:
            return unknown_model(server, model, offered)
        hint = " (such an address mostly ends in /v1)" if offered is None else ""
        return f"{server} has no chat with {named}: {words}{hint}"
    if not isinstance(error, _REFUSED):
        return None
    if _TEMPLATE.search(words):
        return no_chat_template(named, server)
    if _SYSTEM.search(words):
        return f"{named} takes other roles than the prompt has; write the prompt as one user message: {words}"
    if _BLIND.search(words) and not _CONTEXT.search(words):
        return f"{named} cannot be shown images: {words}"
    return None


def is_about_model(error: openai.APIError) -> bool:
    """Tell whether a server does not know a model, or this address of its own."""
    told = error.code == "model_not_found" or error.param == "model"
    unknown = isinstance(error, _REFUSED) and (told or _MODEL.search(_clues(error)))
    return isinstance(error, openai.NotFoundError) or bool(unknown)


def no_chat_template(named: str, server: Endpoint | None = None) -> str:
    """Return what to do about a model that does not say how it wants a conversation written."""
    if server is not None and server.is_external:
        return f"{named} has no chat template: choose an instruction-tuned model, or start {server} with a template"
    return (
        f"{named} has no chat template: choose an instruction-tuned model, or set a template through "
        "llm.server_arguments (`--chat-template FILE`)"
    )


def unknown_setting(error: openai.APIError, sent: Mapping[str, object]) -> str | None:
    """Return the setting that a server refuses as such, of those that a request can do without."""
    words = _clues(error)[: 2 * LONGEST]  # some repeat the whole question, in which any word may stand
    if not isinstance(error, _REFUSED) or _CONTEXT.search(words):
        return None
    if "response_format" in sent and _FORMAT.search(words):
        return "response_format"
    for name in ("max_tokens", "temperature", "seed"):
        pattern = rf"({_UNSUPPORTED}).{{0,80}}\b{name}\b|\b{name}\b.{{0,80}}({_UNSUPPORTED})"
        if name in sent and re.search(pattern, words, re.IGNORECASE | re.DOTALL):
            return name
    return None


def unknown_model(server: Endpoint, model: str, offered: Sequence[str]) -> str:
    """Return that a server does not know a model, and which ones it does."""
    more = f" and {len(offered) - OFFERED} more" if len(offered) > OFFERED else ""
    names = ", ".join(offered[:OFFERED]) or "no model"
    return f"{server.section}.model {model} is unknown to {server}, which offers {names}{more}"


def _without_access(server: Endpoint, words: str) -> str:
    if server.api_key_env is None:
        return f"{server} does not know its own key: {words}"
    variable = f"the environment variable {server.api_key_env} ({server.section}.api_key_env)"
    if server.key == NO_KEY:
        return f"{server} wants a key, and {variable} is not set: {words}"
    return f"{server} refuses the key in {variable}: {words}"
