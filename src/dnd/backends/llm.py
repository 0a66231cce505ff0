"""The language model of the configuration: our own vLLM while there is something to ask, or a server of the user's."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import openai

from dnd.backends import failures, hub
from dnd.backends.chat import ChatClient, connection, external, recall
from dnd.backends.messages import Answer, Request, picture_names
from dnd.backends.server import Endpoint, ServerEnded, ServerError
from dnd.backends.vllm import about, serve
from dnd.config import shipped
from dnd.config.backends import SERVERS, LlmSettings
from dnd.io.store import Store, key, revision

log = logging.getLogger(__name__)

Ask = Callable[[Sequence[Request]], list[Answer]]
MOST_PICTURES = 10
"""Pictures in a request at most (`candidates.concepts.IMAGES`), for a server that starts before anything is asked."""
STARTS = 2
"""A server that ends while it is asked is started once more."""
CHECK_SECONDS = 10.0
TEMPLATES = ("chat_template.jinja", "chat_template.json", "additional_chat_templates", "tekken.json")
"""What a model's folder has beside its tokenizer's configuration that tells how a conversation is written."""
TEMPLATES_OF_VLLM = {
    *("blip-2", "deepseek_ocr", "deepseek_ocr2", "deepseek_v32", "deepseek_v4", "deepseek_vl_v2", "kimi_k3"),
    *("minicpmv", "minicpmv4_6", "minicpmv4_7", "paligemma"),
}
"""Types of models that version 0.32 has a template for, so that their folders need none."""


@contextmanager
def session(
    settings: LlmSettings,
    store: Store,
    log_path: Path,
    note: Callable[[str, object], None] = lambda key, value: None,
) -> Iterator[Ask]:
    """Yield a function that answers requests from the store where it can, else by the server of the configuration.

    Our own server runs from the first question that the store does not answer until the context ends. When it ends by
    itself it is started once more in the whole session, and asked what it has not answered.

    Parameters
    ----------
    note : is told what runs the server that was asked: :meth:`dnd.run.job.Job.note`, say.

    Raises
    ------
    ServerError
        The server cannot be started or reached, refuses the key or the model, ended twice, failed at a request, or no
        request succeeded.
    ModelError
        Our own server is to serve a model that cannot be had.
    """
    model = weights(settings)
    with ExitStack() as stack:
        client: ChatClient | None = None
        starts = 0
        answered = False

        def answer(requests: Sequence[Request]) -> list[Answer]:
            nonlocal client, starts, answered
            known = [recall(store, request.key(model)) for request in requests]
            missing = [number for number, stored in enumerate(known) if stored is None]
            log.info("%d requests, %d answered before", len(requests), len(requests) - len(missing))
            asked = [requests[number] for number in missing]
            answered |= len(missing) < len(requests)
            while asked:
                try:
                    if client is None:
                        starts += 1
                        server = stack.enter_context(endpoint(settings, log_path, needs(asked)))
                        note("server", about(server))
                        client = ChatClient(server, settings.model, model)
                    if answered:  # then the rest may be what is refused, and only that
                        answers = client.ask_doubted(asked, settings.concurrency, store)
                    else:
                        answers = client.ask(asked, settings.concurrency, store)
                    answered = True
                except ServerEnded as error:
                    client = None
                    stack.close()
                    if starts >= STARTS:
                        raise
                    log.warning("%s\nStarting it again", error)
                    continue
                for number, fresh in zip(missing, answers, strict=True):
                    known[number] = fresh
                break
            return [stored for stored in known if stored is not None]

        yield answer


def weights(settings: LlmSettings) -> str:
    """Return what identifies the model in the store's keys: its weights and, where that is chosen, its template."""
    version, template = revision(settings.model, settings.revision), settings.chat_template
    if template is None:
        return version
    return f"{version} {key(Path(template).read_text() if os.path.isfile(template) else template)}"


def needs(requests: Sequence[Request]) -> list[str]:
    """Return arguments without which vLLM would not answer requests, or not well."""
    shown = (len(picture_names(message)) for request in requests for message in request.messages)
    return arguments_for(max(shown, default=0), any(request.response_format for request in requests))


def arguments_for(pictures: int, structured: bool) -> list[str]:
    """Return arguments for requests with so many pictures at most, and for answers in a given form."""
    arguments = []
    if pictures:
        arguments += ["--limit-mm-per-prompt", json.dumps({"image": pictures})]
    if structured:
        # small models fill an answer with line breaks wherever a grammar allows them
        arguments += ["--structured-outputs-config", '{"backend": "xgrammar", "disable_any_whitespace": true}']
    return arguments


@contextmanager
def endpoint(settings: LlmSettings, log_path: Path, arguments: Sequence[str] = ()) -> Iterator[Endpoint]:
    """Give the external server that the configuration names, one that `dnd.run.serve` runs, or run our own meanwhile.

    Parameters
    ----------
    arguments : of our own server; those of the configuration come after them, and win.
    """
    if settings.base_url is not None:
        yield external(settings.base_url, settings.api_key_env, "llm")
        return
    if running := json.loads(os.environ.get(SERVERS, "{}")).get(settings.model):
        url, secret = running
        yield Endpoint(url, secret, context=f"llm.max_model_len {settings.max_model_len}")
        return
    folder = hub.folder(settings.model, settings.revision, hub.MODEL.with_code(settings.trust_remote_code))
    require_chat_template(folder, settings)
    with serve(
        folder,
        name=settings.model,
        python=settings.python or os.environ.get("DND_VLLM_PYTHON") or shipped.vllm_python(),
        log_path=log_path,
        startup_seconds=settings.startup_seconds,
        max_model_len=settings.max_model_len,
        arguments=[
            *(["--trust-remote-code"] if settings.trust_remote_code else []),
            *(["--revision", settings.revision] if settings.revision else []),
            *arguments,
            *settings.server_arguments,
        ],
    ) as server:
        yield replace(server, context=f"llm.max_model_len {settings.max_model_len}")


def check(base_url: str, api_key_env: str, model: str, section: str = "llm") -> str | None:
    """Ask an external server for its models, and return in one line what is wrong, or None.

    Parameters
    ----------
    section : part of the configuration that names the server: ``llm``, or ``captions``.
    """
    server = external(base_url, api_key_env, section)

    async def names() -> list[str]:
        async with connection(server, 0, CHECK_SECONDS) as client:
            return sorted(known.id for known in (await client.models.list()).data)

    try:
        offered = asyncio.run(names())
    except ServerError as error:
        return str(error)
    except openai.APIError as error:
        return failures.verdict(error, server, model, None) or f"{server} {failures.problem(error, server)}"
    except (AttributeError, TypeError, ValueError):
        return f"{server} does not answer as an OpenAI-compatible server does; such an address mostly ends in /v1"
    return None if model in offered else failures.unknown_model(server, model, offered)


def require_chat_template(folder: str, settings: LlmSettings) -> None:
    """Look for a chat template in a model's folder, so that its lack is known before the server is started.

    Raises
    ------
    ServerError
        There is none, and ``llm.server_arguments`` choose neither a template nor another tokenizer.
    """
    chosen = {argument.partition("=")[0].replace("_", "-") for argument in settings.server_arguments}
    if chosen & {"--chat-template", "--tokenizer", "--tokenizer-mode"}:
        return
    if any(Path(folder, name).exists() for name in TEMPLATES):
        return
    if _json(Path(folder, "tokenizer_config.json")).get("chat_template"):
        return
    if _json(Path(folder, "config.json")).get("model_type") in TEMPLATES_OF_VLLM:
        return
    raise ServerError(failures.no_chat_template(f"llm.model {settings.model}"))


def _json(path: Path) -> dict[str, object]:
    try:
        values = json.loads(path.read_text())
    except (OSError, ValueError):  # the server will say what is wrong with it
        return {}
    return values if isinstance(values, dict) else {}
