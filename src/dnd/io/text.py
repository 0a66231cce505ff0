"""Text as files can hold it."""

from __future__ import annotations


def valid(text: str) -> str:
    """Return text that can be written: half of a surrogate pair, which JSON can spell and UTF-8 cannot, becomes "?"."""
    return text.encode("utf-8", "replace").decode()
