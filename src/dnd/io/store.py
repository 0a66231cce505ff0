"""A content-addressed store of finished items: captions, answers, generated images, vectors of images.

A store only saves time. Tables are the truth, and a store may be deleted at any moment. Items are written atomically,
so any number of jobs on a shared file system can use one folder, and a job that was killed finds what it had finished.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import ClassVar, TypeVar

from dnd.io.files import unsynced

log = logging.getLogger(__name__)
T = TypeVar("T")

DIGEST_BYTES = 16
MODEL_FILES = {".json", ".safetensors", ".jinja", ".txt", ".model", ".bin", ".pt", ".pth", ".py"}
"""Suffixes of what a model's folder may load: configuration, weights, chat template, vocabulary, trusted code."""


def key(*parts: object) -> str:
    """Return the sha256 hex digest of JSON-able parts: equal parts, equal key."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


@lru_cache(maxsize=64)
def revision(model: str, named: str | None = None) -> str:
    """Return what identifies a model's weights: the digest of a local folder's files, or hub id and revision."""
    folder = Path(model)
    if not folder.is_dir():
        return f"{model}@{named or 'main'}"
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and p.suffix in MODEL_FILES):
        digest.update(path.relative_to(folder).as_posix().encode())
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]


class Store:
    """Items as files in two levels of folders, named by their keys.

    An item ends with a digest of itself: what a crash of the machine left of it, or filled with zeros, is no item.
    """

    _told: ClassVar[set[Path]] = set()

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def _path(self, name: str) -> Path:
        return self.folder / name[:2] / name

    def get(self, name: str) -> bytes | None:
        """Return an item, or None when it is not there, damaged or unreadable."""
        try:
            item = self._path(name).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            self._complain("read", error)
            return None
        value, digest = item[:-DIGEST_BYTES], item[-DIGEST_BYTES:]
        if digest != _digest(value):
            log.warning("%s is damaged; it is made again", self._path(name))
            return None
        return value

    def load(self, name: str, parse: Callable[[bytes], T]) -> T | None:
        """Return what an item says, or None when it is not there, damaged or unreadable.

        Parameters
        ----------
        parse : an item's bytes -> what they say; it raises :class:`ValueError` for what nobody has put there like that.
        """
        item = self.get(name)
        try:
            return None if item is None else parse(item)
        except ValueError as error:
            log.warning("%s is damaged (%s); it is made again", self._path(name), error)
            return None

    def put(self, name: str, value: bytes) -> None:
        """Keep an item; of two writers of one key the last one wins, and both wrote the same.

        Where it cannot be kept the run goes on without it, after one warning of the process for all such items.
        """
        path = self._path(name)
        try:
            with unsynced(path, beside=self.folder) as partial:
                partial.write_bytes(value + _digest(value))
        except OSError as error:
            self._complain("written", error)

    def _complain(self, what: str, error: OSError) -> None:
        if self.folder not in self._told:
            self._told.add(self.folder)
            reason = error.strerror or error
            log.warning("store %s cannot be %s (%s): what it would save is computed again", self.folder, what, reason)


def _digest(value: bytes) -> bytes:
    return hashlib.sha256(value).digest()[:DIGEST_BYTES]
