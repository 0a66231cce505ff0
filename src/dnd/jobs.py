"""What every job does first: send its log to the rule's log file and keep to its share of the cores."""

from __future__ import annotations

import io
import logging
import os
import sys
from pathlib import Path


class _Lines(io.TextIOBase):
    """A log that ends the line wherever a progress bar would return to its start.

    What its disk has no room for goes to the job's own stderr.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb", buffering=0)

    def write(self, text: str) -> int:
        lines = text.lstrip("\r").replace("\r", "\n") + ("\n" if text.startswith("\r") else "")
        try:
            self._file.write(lines.encode())
        except OSError:
            assert sys.__stderr__ is not None
            sys.__stderr__.write(lines)
        return len(text)

    def fileno(self) -> int:
        return self._file.fileno()


def begin(log: str, threads: int) -> None:
    """Redirect stderr, logging and progress to a log file, and limit torch to the job's threads.

    More threads than the machine lets this process run on would only wait for each other.
    """
    path = Path(log)
    path.parent.mkdir(parents=True, exist_ok=True)
    sys.stderr = _Lines(path)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", force=True)
    for name in ("httpx", "httpx2"):  # a line for every request
        logging.getLogger(name).setLevel(logging.WARNING)
    threads = min(threads, len(os.sched_getaffinity(0)))
    os.environ["OMP_NUM_THREADS"] = str(threads)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads)
