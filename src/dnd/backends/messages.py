"""Messages of a chat: text and pictures. Rules import it, for which a client of a server would take too long."""

from __future__ import annotations

from typing import Any

Message = dict[str, Any]
"""``role`` and ``content``: text, or a list of parts as :func:`text_part` and :func:`image_part` make them."""


def text_part(text: str) -> dict[str, Any]:
    """Return a part of a message: text."""
    return {"type": "text", "text": text}


def image_part(name: str) -> dict[str, Any]:
    """Return a part of a message: a picture, by the name that :attr:`Request.pictures` knows it by."""
    return {"type": "image_url", "image_url": {"url": name}}


def picture_names(message: Message) -> list[str]:
    """Return the names of the pictures in a message, in order."""
    parts = message["content"] if isinstance(message["content"], list) else []
    return [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]
