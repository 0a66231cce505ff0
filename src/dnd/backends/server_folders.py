"""Where a server keeps what it needs meanwhile: a folder of its own that goes with it, and a home it can write to."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

PREFIX = "dnd-server-"
LONGEST = 70
"""Characters of a folder with sockets: a socket's path has 107 at most, of which vLLM's names of them take 37."""
ROOM = 2**20
"""Free bytes that a server needs there."""


def make_temporary() -> Path:
    """Make a folder for a server's temporary files, in the first usual place that has room and a short name.

    Raises
    ------
    OSError
        There is none; the message says what is wrong with each.
    """
    faults = []
    for place in dict.fromkeys(_places()):
        try:
            if shutil.disk_usage(place).free < ROOM:
                raise OSError("no space left on the disk")
            if len(f"{place}/{PREFIX}xxxxxxxx") > LONGEST:
                raise OSError("its name is too long for sockets")
            return Path(tempfile.mkdtemp(prefix=PREFIX, dir=place))
        except OSError as error:
            faults.append(f"{place}: {error.strerror or error}")
    raise OSError(f"no folder for a server's temporary files, set TMPDIR to another one ({'; '.join(faults)})")


def _places() -> Iterator[str]:
    with suppress(OSError):  # Python finds none either
        yield tempfile.gettempdir()
    yield from ("/tmp", "/var/tmp", "/dev/shm")


def home(temporary: Path) -> dict[str, str]:
    """Return variables that make the temporary folder a server's home where ours cannot be written; none otherwise.

    Models are read from where they are.
    """
    ours = Path(os.path.expanduser("~"))
    if os.access(ours, os.W_OK | os.X_OK) and ours.is_dir():
        return {}
    models = Path(os.environ.get("XDG_CACHE_HOME") or ours / ".cache", "huggingface")
    variables = {"HF_HOME": str(models)} if "HF_HOME" not in os.environ and os.path.isdir(models) else {}
    return {"HOME": str(temporary), **variables}
