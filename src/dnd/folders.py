"""Folders of images: what lies in them. Nothing heavy is imported here: rules import it."""

from __future__ import annotations

import hashlib
from pathlib import Path

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm"}


def listing(folder: Path) -> list[Path]:
    """Return every image file below a folder, sorted by its path inside the folder.

    Raises
    ------
    ValueError
        There is none.
    """
    found = [path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file()]
    if not found:
        raise ValueError(f"{folder}: no images ({', '.join(sorted(SUFFIXES))})")
    return sorted(found, key=lambda path: path.relative_to(folder).as_posix())


def fingerprint(folder: Path) -> str:
    """Return a digest of the names, sizes and times of change of a folder's images; the images are not read."""
    digest = hashlib.sha256()
    for path in listing(folder):
        status = path.stat()
        digest.update(f"{path.relative_to(folder).as_posix()}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]
