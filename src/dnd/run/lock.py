"""The lock that a run has on its working directory, and how its jobs on this machine know when it has ended."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from typing import NamedTuple, TextIO

LOCK = ".snakemake/running"
RUN = "DND_RUN"
"""Environment variable that names the run to its jobs on the same machine, as the lock does."""


class Holder(NamedTuple):
    """The run that took a working directory last.

    Attributes
    ----------
    key : by which its jobs know it.
    run : its name in the configuration.
    begun : when, in seconds since 1970.
    at_work : whether it has not ended.
    """

    key: str
    run: str
    begun: float
    at_work: bool


def take(folder: Path, run: str) -> TextIO:
    """Take a working directory for a run of this process, and name the run in the lock and to the jobs.

    The system lets go of the lock when the process ends, however it ends, or when what is returned is closed.

    Raises
    ------
    BlockingIOError
        Another run has it.
    """
    lock = (folder / LOCK).open("a", encoding="utf-8")  # which leaves the other run's name in it
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise
    os.environ[RUN] = f"{os.uname().nodename} {os.getpid()} {time.time_ns()} {run}"
    lock.truncate(0)
    lock.write(os.environ[RUN])
    lock.flush()
    return lock


def newest(folder: Path) -> Holder | None:
    """Return the run that took a working directory last, None without one; the lock stays as it is."""
    at_work = False
    try:
        with (folder / LOCK).open(encoding="utf-8") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                at_work = True
            key = lock.read()
    except OSError:  # there has been no run
        return None
    words = key.split(" ", 3)
    return Holder(key, words[3], int(words[2]) / 1e9, at_work) if len(words) == 4 else None
