"""A content-addressed store of finished items: captions, answers, generated images.

A store only saves time. Tables are the truth, and a store may be deleted at any moment. Items are written atomically,
so any number of jobs on a shared file system can use one folder, and a job that was killed finds what it had finished.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from functools import lru_cache
from pathlib import Path
from typing import Any

MODEL_FILES = {".json", ".safetensors", ".jinja", ".txt", ".model", ".bin", ".pt", ".pth"}
"""Suffixes of what a model's folder may load: configuration, weights, chat template and vocabulary."""


def key(*parts: Any) -> str:
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
    """Items as files in two levels of folders, named by their keys."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def _path(self, name: str) -> Path:
        return self.folder / name[:2] / name

    def get(self, name: str) -> bytes | None:
        """Return an item, or None when it is not there."""
        try:
            return self._path(name).read_bytes()
        except FileNotFoundError:
            return None

    def put(self, name: str, value: bytes) -> None:
        """Keep an item; of two writers of one key the last one wins, and both wrote the same."""
        path = self._path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{name}.{os.uname().nodename}.{os.getpid()}.{threading.get_ident()}")
        partial.write_bytes(value)
        os.replace(partial, path)
