"""Passwords, keys and tokens are kept out of what is written about a run."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import overload
from urllib.parse import unquote

LEFT_OUT = "(left out)"
"""Stands where a secret stood."""

_KEY = re.compile(r"(?:(?:hf|auth|use_auth|access|bearer)_)?token|(?:\w+_)?(?:api_?key|password|secret|secret_key)")
_OPTION = re.compile(r"-{1,2}([\w-]+)")
_SECRET_OPTIONS = {"api-key", "hf-token"}
_USER = re.compile(r"""(?<=://)[^/?#\s"'<>]+(?=@)""")
_QUERY = re.compile(
    r"""([?&](?:[\w-]*[_-])?(?:api)?(?:key|token|secret|password|passwd|pwd|auth|sig|signature|code)=)([^&#\s"'<>]+)""",
    re.IGNORECASE,
)
"""Where an address has a user with a password, and keys in its query."""
_TOKEN = re.compile(r"\bhf_[A-Za-z0-9]{20,}|\bsk-[A-Za-z0-9_-]{20,}")
SHORTEST = 8
"""Characters of a known secret; a test server's key such as ``none`` is a word that may stand anywhere."""


def secrets_of(address: str) -> list[str]:
    """Return what a server's address has of passwords and keys, longest first, as it stands and as it is meant."""
    users = _USER.findall(address)
    secrets = [*users, *(user.partition(":")[2] for user in users), *(value for _, value in _QUERY.findall(address))]
    spelt = {value for secret in secrets for value in (secret, unquote(secret)) if len(value) >= SHORTEST}
    return sorted(spelt, key=lambda value: (-len(value), value))


@overload
def without_secrets(value: str, known: Sequence[str] = ()) -> str: ...
@overload
def without_secrets(value: object, known: Sequence[str] = ()) -> object: ...
def without_secrets(value: object, known: Sequence[str] = ()) -> object:
    """Return a text, or plain values of a configuration or an origin, without passwords, keys and tokens.

    Left out are known ones wherever they stand; values of keys such as ``api_key`` and of options such as
    ``--api-key``; what stands before the ``@`` of an address, and keys in its query; and what looks like a token.
    """
    if isinstance(value, Mapping):
        return {
            key: LEFT_OUT
            if isinstance(item, str) and _KEY.fullmatch(str(key).lower())
            else without_secrets(item, known)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [without_secrets(item, known) for item in _without_options(value)]
    if isinstance(value, str):
        for secret in known:
            value = value.replace(secret, LEFT_OUT)
        return _TOKEN.sub(LEFT_OUT, _QUERY.sub(rf"\1{LEFT_OUT}", _USER.sub(LEFT_OUT, value)))
    return value


def _without_options(words: Sequence[object]) -> Iterator[object]:
    """Command-line words; the values of an option stand in its own word or in those that follow it."""
    secret = False
    for word in words:
        option = _OPTION.match(word) if isinstance(word, str) else None
        if option:
            secret = option[1].replace("_", "-") in _SECRET_OPTIONS
            yield f"{option[0]}={LEFT_OUT}" if secret and option[0] != word else word
        else:
            yield LEFT_OUT if secret else word
