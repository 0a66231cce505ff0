"""The lock that a run has on its working directory, and how its jobs on this machine know when it has ended."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from typing import TextIO

LOCK = ".snakemake/running"
RUN = "DND_RUN"
"""Environment variable that names the run to its jobs on the same machine, as the lock does."""


def take(folder: Path) -> TextIO:
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
    os.environ[RUN] = f"{os.uname().nodename} {os.getpid()} {time.time_ns()}"
    lock.truncate(0)
    lock.write(os.environ[RUN])
    lock.flush()
    return lock


def holder(folder: Path) -> str | None:
    """Return the name of the run that is at work in a working directory, None without one; the lock stays as it is."""
    try:
        with (folder / LOCK).open(encoding="utf-8") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return lock.read()
    except OSError:  # there has been no run
        pass
    return None
