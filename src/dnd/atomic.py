"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def replaced(path: str | Path) -> Iterator[Path]:
    """Yield a path beside ``path`` to write to; it takes the place of ``path`` when the context ends without an error.

    It is on the disk then: a power cut leaves the old file or the new one.
    """
    with unsynced(path) as partial:
        yield partial
        sync(partial)
    sync(Path(path).parent)


@contextmanager
def unsynced(path: str | Path) -> Iterator[Path]:
    """Yield a path as :func:`replaced` does, of which a power cut may leave an empty file or one of zeros.

    For many small files that tell themselves whether they are damaged, or are brought to the disk together.

    Its name differs between the machines, processes and threads that write the same file on a shared file system.
    Folders that are missing are made.
    """
    path = Path(path)
    partial = path.with_name(f".{path.name}.{os.uname().nodename}.{os.getpid()}.{threading.get_ident()}")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield partial
        os.replace(partial, path)
    except BaseException:
        with suppress(OSError):
            partial.unlink()
        raise


def sync(path: Path) -> None:
    """Bring a file to the disk; of a folder the names in it.

    Raises
    ------
    OSError
        The file could not be written; some file systems tell only now. The message names it.
    """
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    except OSError as error:
        if not path.is_dir():  # of which not all file systems know how
            raise OSError(error.errno, error.strerror, str(path)) from None
    finally:
        os.close(number)


def sync_tree(folder: Path) -> None:
    """Bring all files at any depth of a folder to the disk."""
    for place, _, names in os.walk(folder):
        for name in names:
            sync(Path(place, name))
        sync(Path(place))
