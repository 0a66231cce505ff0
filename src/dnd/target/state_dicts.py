"""Pickled state dicts that others publish: read as tensors and plain values, and only where they are what they say.

torchvision unpickles whatever lies in torch's cache (``TORCH_HOME``), and timm does where a safe attempt ends in a
``TypeError``: a file that somebody planted there would run. Neither looks at the hash of a file that is cached already.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from dnd.backends.hub import ModelError

_HASH = re.compile(r"-(?!20\d{6}\.)([0-9a-f]{8,})\.")
"""How a published file's name tells the beginning of its SHA-256, by torch.hub's convention; a date tells nothing."""


@contextmanager
def guarded(cache: str | Path) -> Iterator[None]:
    """Let ``torch.load`` give only tensors and plain values of what lies in a cache, and torch.hub what was published.

    Files elsewhere are left to whoever loads them: a user's own code may trust a file of the user's.

    Raises
    ------
    ModelError
        A file of the cache is another one than its name says, is damaged, or holds more than tensors and plain values.
    """
    folder = os.path.join(os.path.abspath(cache), "")
    plain, is_zip = torch.load, torch.hub._is_legacy_zip_format

    def load(file: Any, *positional: Any, **named: Any) -> Any:
        path = os.path.abspath(file) if isinstance(file, str | os.PathLike) else ""
        if not path.startswith(folder):
            return plain(file, *positional, **named)
        try:
            return plain(file, *positional, **named | {"weights_only": True})
        except pickle.UnpicklingError:
            problem = "hold more than tensors and plain values, which is not safe to load"
        except Exception as error:  # of the format's reader, whatever a file makes it do
            problem = f"cannot be read ({type(error).__name__})"
        raise ModelError(f"weights {path} {problem}: delete the file, and it is fetched again")

    def checked_is_zip(filename: str) -> bool:
        _check_hash(Path(filename))
        return is_zip(filename)

    torch.load = load  # type: ignore[assignment]  # its signature is that of what it calls
    torch.hub._is_legacy_zip_format = checked_is_zip  # torch.hub's question about every file, before it looks into it
    try:
        yield
    finally:
        torch.load, torch.hub._is_legacy_zip_format = plain, is_zip


def _check_hash(path: Path) -> None:
    told = _HASH.search(path.name)
    if told is None:
        return
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if not digest.startswith(told[1]):
        raise ModelError(
            f"weights {path} are not what was published: their SHA-256 begins with {digest[: len(told[1])]}, not "
            f"{told[1]}: delete the file, and it is fetched again"
        )
