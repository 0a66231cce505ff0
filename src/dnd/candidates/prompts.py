"""Prompts as templates: chat messages in a YAML file that show a unit's captions, its exemplars or what was tried."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Literal

from jinja2 import StrictUndefined, Template
from jinja2.sandbox import ImmutableSandboxedEnvironment

from dnd.backends.messages import Message, Part, image_part, picture_names, text_part
from dnd.config import shipped
from dnd.io import documents

Prompt = Sequence[Mapping[str, str]]
"""Messages whose contents are templates."""
Shown = Literal["captions", "images", "history"]
"""What a template is given: the list of that name."""

_JINJA = ImmutableSandboxedEnvironment(undefined=StrictUndefined, autoescape=False)
_PICTURE = re.compile("\ue000(\\d+)\ue001")
"""Where a picture stands in a filled template, by its place in the list; no file of pictures is named so."""


class PromptError(ValueError):
    """The prompt's file is not a list of chat messages; the message names the file and the mistake."""


def read_prompt(path: str | Path, shows: Shown = "captions") -> list[dict[str, str]]:
    """Read a prompt: a YAML list of chat messages whose contents are Jinja templates of the list that is shown.

    Of a default prompt, which the folder may not have, the package has a copy.

    Raises
    ------
    PromptError
        The file holds something else, no message shows what it is given, or pictures stand in a message that is not the
        user's.
    """
    path = shipped.path(path)
    try:
        prompt = documents.read_yaml(path)
    except documents.DocumentError as error:
        raise PromptError(str(error)) from None
    if not isinstance(prompt, list) or not prompt:
        raise PromptError(f"{path}: expected a list of messages with `role` and `content`")
    for number, message in enumerate(prompt):
        if not isinstance(message, dict) or set(message) != {"role", "content"}:
            raise PromptError(f"{path}: message {number}: expected `role` and `content`, nothing else")
        if message["role"] not in {"system", "user", "assistant"}:
            raise PromptError(f"{path}: message {number}: role is {message['role']!r}, not system, user or assistant")
        if not isinstance(message["content"], str):
            raise PromptError(f"{path}: message {number}: content is {message['content']!r}, not text")
    marks = ["first mark", "second mark"]
    try:
        filled = FILL[shows](prompt, marks)
    except Exception as error:  # a template is a small program
        raise PromptError(f"{path}: {' '.join(str(error).split())}; a template is given the list `{shows}`") from None
    if not any(all(mark in json.dumps(message["content"]) for mark in marks) for message in filled):
        raise PromptError(f"{path}: no message shows the `{shows}`")
    for number, message in enumerate(filled):
        if message["role"] != "user" and picture_names(message):
            raise PromptError(f"{path}: message {number}: only a message of the role user can show `images`")
    return prompt


def messages(template: Prompt, captions: Sequence[str]) -> list[Message]:
    """Fill a template of ``captions``; every caption is made one line, so that it cannot pass for several."""
    return _filled(template, captions=_lines(captions))


def image_messages(template: Prompt, names: Sequence[str]) -> list[Message]:
    """Fill a template of ``images``: where it writes one of them, the picture of that name stands."""
    filled = _filled(template, images=[f"\ue000{place}\ue001" for place in range(len(names))])
    return [{**message, "content": _parts(str(message["content"]), names)} for message in filled]


def history_messages(template: Prompt, tried: Sequence[str]) -> list[Message]:
    """Fill a template of ``history``, whose items are lines of what was tried and what became of it."""
    return _filled(template, history=list(tried))


def _filled(template: Prompt, **lists: list[str]) -> list[Message]:
    return [{"role": message["role"], "content": _compiled(message["content"]).render(lists)} for message in template]


def _lines(texts: Sequence[str]) -> list[str]:
    return [" ".join(text.split()) for text in texts]


FILL: dict[Shown, Callable[..., list[Message]]] = {
    "captions": messages,
    "images": image_messages,
    "history": history_messages,
}
"""How a template becomes messages, by what it shows."""


def _parts(filled: str, names: Sequence[str]) -> str | list[Part]:
    pieces = _PICTURE.split(filled)  # text and places of pictures in turn
    if len(pieces) == 1:
        return filled
    parts = [image_part(names[int(piece)]) if i % 2 else text_part(piece.strip()) for i, piece in enumerate(pieces)]
    return [part for part in parts if part.get("text") != ""]


@lru_cache(maxsize=64)
def _compiled(content: str) -> Template:
    return _JINJA.from_string(content)
