"""A language model that is asked again and again: its server starts with the first question that no store answers."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from dnd.backends.chat import Answer, ChatClient, Request, recall
from dnd.backends.llm import STARTS, endpoint, needs, weights
from dnd.backends.server import ServerEnded, about
from dnd.settings import LlmSettings
from dnd.store import Store

log = logging.getLogger(__name__)

Ask = Callable[[Sequence[Request]], list[Answer]]


@contextmanager
def session(
    settings: LlmSettings,
    store: Store,
    log_path: Path,
    note: Callable[[str, Any], None] = lambda key, value: None,
) -> Iterator[Ask]:
    """Yield a function that answers as :func:`dnd.backends.llm.ask` does, by one server for all calls.

    Our own server runs from the first question that the store does not answer until the context ends. When it ends by
    itself it is started once more in the whole session.

    Parameters
    ----------
    note : is told what runs the server that was asked: :meth:`dnd.jobs.Job.note`, say.

    Raises
    ------
    ServerError, ModelError
        As :func:`dnd.backends.llm.ask`.
    """
    model = weights(settings)
    with ExitStack() as stack:
        client: ChatClient | None = None
        starts = 0

        def ask(requests: Sequence[Request]) -> list[Answer]:
            nonlocal client, starts
            known = [recall(store, request.key(model)) for request in requests]
            missing = [number for number, answer in enumerate(known) if answer is None]
            asked = [requests[number] for number in missing]
            while asked:
                try:
                    if client is None:
                        starts += 1
                        server = stack.enter_context(endpoint(settings, log_path, needs(asked)))
                        note("server", about(server))
                        client = ChatClient(server, settings.model, model, title="")
                    answers = client.ask(asked, settings.concurrency, store)
                except ServerEnded as error:
                    client = None
                    stack.close()
                    if starts >= STARTS:
                        raise
                    log.warning("%s\nStarting it again", error)
                    continue
                for number, answer in zip(missing, answers, strict=True):
                    known[number] = answer
                break
            return [answer for answer in known if answer is not None]

        yield ask
