"""Passwords, keys and tokens are kept out of what is written about a run."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dnd.config import Config

LEFT_OUT = "(left out)"
"""Stands where a secret stood."""

_KEY = re.compile(r"(?:(?:hf|auth|use_auth|access|bearer)_)?token|(?:\w+_)?(?:api_?key|password|secret|secret_key)")
_OPTION = re.compile(r"-{1,2}([\w-]+)")
_SECRET_OPTIONS = {"api-key", "hf-token"}
_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]+(?=@)|(?<=[?&]key=)[^&\s]+|(?<=[?&](?:api_key|api-key)=)[^&\s]+")
_TOKEN = re.compile(r"\bhf_[A-Za-z0-9]{20,}|\bsk-[A-Za-z0-9_-]{20,}")
_SHORTEST = 8
"""Characters of a known secret; a test server's key such as ``none`` is a word that may stand anywhere."""


def known_secrets(config: Config) -> list[str]:
    """Return the keys and tokens that this process' environment holds for a configuration."""
    parts = [config.llm, *(part for recipe in config.recipes.values() for part in recipe.models().values())]
    names = {"HF_TOKEN", *(part.api_key_env for part in parts if hasattr(part, "api_key_env"))}
    return [value for name in sorted(names) if len(value := os.environ.get(name, "")) >= _SHORTEST]


def without_secrets(value: Any, known: Sequence[str] = ()) -> Any:
    """Return plain values of a configuration without passwords, keys and tokens.

    Left out are known ones wherever they stand; values of keys such as ``api_key`` and of options such as
    ``--api-key``; what stands before the ``@`` of an address; and what looks like a token.
    """
    if isinstance(value, Mapping):
        return {
            key: LEFT_OUT if isinstance(one, str) and _KEY.fullmatch(str(key).lower()) else without_secrets(one, known)
            for key, one in value.items()
        }
    if isinstance(value, list):
        return [without_secrets(one, known) for one in _without_options(value)]
    if isinstance(value, str):
        for secret in known:
            value = value.replace(secret, LEFT_OUT)
        return _TOKEN.sub(LEFT_OUT, _CREDENTIALS.sub(LEFT_OUT, value))
    return value


def _without_options(words: Sequence[Any]) -> Iterator[Any]:
    """Command-line words; the values of an option stand in its own word or in those that follow it."""
    secret = False
    for word in words:
        option = _OPTION.match(word) if isinstance(word, str) else None
        if option:
            secret = option[1].replace("_", "-") in _SECRET_OPTIONS
            yield f"{option[0]}={LEFT_OUT}" if secret and option[0] != word else word
        else:
            yield LEFT_OUT if secret else word
