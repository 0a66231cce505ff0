"""Files that appear whole or not at all, and what killed processes leave behind of those they were writing."""

from __future__ import annotations

import os
import re
import shutil
import threading
import time
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
def unsynced(path: str | Path, beside: Path | None = None) -> Iterator[Path]:
    """Yield a path as :func:`replaced` does, of which a power cut may leave an empty file or one of zeros.

    For many small files that tell themselves whether they are damaged, or are brought to the disk together.

    Its name differs between the machines, processes and threads that write the same file on a shared file system.
    Folders that are missing are made.

    Parameters
    ----------
    beside : folder of the same file system for what is written; that of the file when empty.
    """
    path = Path(path)
    partial = _partial(beside or path.parent, path.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield partial
        os.replace(partial, path)
    except BaseException:
        with suppress(OSError):
            partial.unlink()
        raise


@contextmanager
def scratch(folder: Path) -> Iterator[Path]:
    """Yield a new folder inside another one for what is needed meanwhile; it goes when the context ends."""
    path = _partial(folder, "scratch")
    path.mkdir(parents=True)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _partial(folder: Path, name: str) -> Path:
    return folder / f".{name}.{os.uname().nodename}.{os.getpid()}.{threading.get_ident()}"


def remove_partial(folder: str | Path, other_machines_after: float) -> list[Path]:
    """Remove what killed processes were writing to a folder, and return it; what lies deeper is not looked at.

    Parameters
    ----------
    other_machines_after : seconds after which other machines' processes no longer write what they have not touched.
    """
    removed = []
    for path in Path(folder).glob(".*"):
        named = re.fullmatch(r"\..+\.(\d+)\.\d+", path.name)
        with suppress(OSError):  # another process may have been faster
            if named and _is_left(path, int(named[1]), other_machines_after):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
                removed.append(path)
    return removed


def _is_left(path: Path, process: int, other_machines_after: float) -> bool:
    if not path.name.rpartition(f".{process}.")[0].endswith(f".{os.uname().nodename}"):
        return time.time() - path.stat().st_mtime >= other_machines_after
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # somebody else's
        pass
    return False


def set_aside(path: Path) -> Path:
    """Take a spoilt file's name from it, so that it is made again; return where it lies now, nothing in it lost."""
    aside = path.with_name(f"{path.name}.damaged")
    with suppress(OSError):  # another process may have been faster
        os.replace(path, aside)
    return aside


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
