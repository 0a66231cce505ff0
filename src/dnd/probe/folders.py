"""Folders: which files lie in them, and whether that has changed. Nothing heavy is imported here: rules import it."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

Status = os.stat_result | OSError
"""A file's size and time of change, or why they cannot be told."""
SYSTEMS = {
    *("__MACOSX", "$RECYCLE.BIN", "System Volume Information", "lost+found"),
    *("@eaDir", "@Recycle", "#recycle", "Network Trash Folder"),
}
"""Folders of operating systems and file servers, which hold previews and what was deleted."""


def listing(path: Path, suffixes: Collection[str]) -> dict[str, Status]:
    """Return the files below a folder that have one of some suffixes, or the one file that the path names.

    Folders that are links are followed, those that lead back to where they lie are not. What is hidden is left out.

    Parameters
    ----------
    suffixes : in lower case, with their dots.

    Returns
    -------
    A file's path inside the folder, with forward slashes -> its status, in order of these paths; also what cannot be
    looked at: links to nothing, folders that must not be read.
    """
    if not path.is_dir():
        return {path.name: status(path)}
    statuses = _below(path, "", suffixes, frozenset())
    return dict(sorted(statuses, key=lambda item: item[0]))


def is_hidden(name: str) -> bool:
    """Tell whether a path inside a folder is hidden: editors and file managers keep copies and previews there.

    Such are ``.ipynb_checkpoints``, ``._photo.jpg`` and the folders of :data:`SYSTEMS`.
    """
    return any((part.startswith(".") and part.strip(".")) or part in SYSTEMS for part in name.split("/"))


def suffix(name: str) -> str:
    """Return a file's suffix with its dot, in lower case and without the blanks that people leave in it."""
    return "".join(os.path.splitext(name)[1].lower().split())


def status(path: Path) -> Status:
    """Return the status of a file; anything else than a file is an error, too."""
    try:
        details = path.stat()
    except (OSError, ValueError) as error:  # a ValueError of a zero byte in its name
        return error if isinstance(error, OSError) else OSError(str(error))
    return details if stat.S_ISREG(details.st_mode) else OSError("is not a file")


def _below(
    folder: Path, prefix: str, suffixes: Collection[str], above: frozenset[tuple[int, int]]
) -> Iterator[tuple[str, Status]]:
    try:
        here = folder.stat()
        if (here.st_dev, here.st_ino) in above:
            return
        entries = list(os.scandir(folder))
    except OSError as error:
        yield prefix.rstrip("/") or ".", error
        return
    for entry in entries:
        name = prefix + entry.name
        if is_hidden(entry.name):
            continue
        if os.path.isdir(entry.path) if entry.is_symlink() else entry.is_dir():
            yield from _below(Path(entry.path), f"{name}/", suffixes, above | {(here.st_dev, here.st_ino)})
        elif suffix(entry.name) in suffixes:
            yield name, status(Path(entry.path))


def fingerprint(files: Mapping[str, Status]) -> str:
    """Return a digest of the names, sizes and times of change of files; the files are not read."""
    digest = hashlib.sha256()
    for name, status in files.items():
        told = (status.st_size, status.st_mtime_ns) if isinstance(status, os.stat_result) else (status.errno,)
        digest.update(os.fsencode(name) + repr(told).encode() + b"\n")
    return digest.hexdigest()[:16]
