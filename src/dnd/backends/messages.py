"""What a chat model is asked and what comes back. Rules import it, for which a server's client would take too long."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypedDict

from dnd.io.store import key


class TextPart(TypedDict):
    """A part of a message that is text."""

    type: Literal["text"]
    text: str


class ImagePart(TypedDict):
    """A part of a message that is a picture: ``url`` is its name, or its data URL when it is sent."""

    type: Literal["image_url"]
    image_url: dict[str, str]


Part = TextPart | ImagePart


class Message(TypedDict):
    """A turn of a conversation, as OpenAI's API spells it."""

    role: str
    content: str | Sequence[Part]


def text_part(text: str) -> TextPart:
    """Return a part of a message: text."""
    return {"type": "text", "text": text}


def image_part(name: str) -> ImagePart:
    """Return a part of a message: a picture, by the name that :attr:`Request.pictures` knows it by."""
    return {"type": "image_url", "image_url": {"url": name}}


def picture_names(message: Message) -> list[str]:
    """Return the names of the pictures in a message, in order."""
    parts = () if isinstance(message["content"], str) else message["content"]
    return [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]


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
    response_format: Mapping[str, object] | None = None
    pictures: Callable[[str], str] = field(default=no_pictures, compare=False, repr=False)

    def key(self, model: str) -> str:
        """Return the name of the answer in the store; ``model`` identifies the weights."""
        form = [] if self.response_format is None else [self.response_format]
        return key("llm", model, list(self.messages), self.temperature, self.seed, self.max_tokens, *form)

    def arguments(self, without: Collection[str] = ()) -> dict[str, object]:
        """Return what is sent, but for settings that the server does not know."""
        sent: dict[str, object] = {
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
    return {"role": message["role"], "content": parts}


@dataclass(frozen=True)
class Answer:
    """What came back.

    Attributes
    ----------
    text : None where the request failed.
    problem : what is wrong with it, or None.
    again : whether it failed for the server's reasons, and not for its own, so that it is to be asked again.
    """

    text: str | None
    problem: str | None = None
    again: bool = False
