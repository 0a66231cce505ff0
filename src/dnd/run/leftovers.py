"""What an earlier run has left behind: jobs in Slurm's queue, half-written files, and those that a power cut spoilt.

Such jobs would write what the next run is writing, too, and spoilt files pass for finished ones.
"""

from __future__ import annotations

import getpass
import os
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from dnd.io import files

MARK = "rule_"
"""What Snakemake's Slurm executor begins the comment of each of its jobs with."""
PATIENCE_SECONDS = 120.0
A_DAY = 24 * 60 * 60.0
NEVER_EMPTY = (".parquet", ".csv", ".json", ".tsv")
"""Suffixes of the files that stages make."""
PARQUET = b"PAR1"
"""What a table begins and ends with."""
OTHERS = {"benchmarks", "logs", "pages", "report", "source"}
"""Folders of a run without such files, or with very many."""


def find(folder: Path) -> list[str]:
    """Return the ids of our jobs that Snakemake submitted from a folder, queued or running."""
    command = ["squeue", "--noheader", f"--user={getpass.getuser()}", "--format=%i|%k|%Z"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.splitlines()
    jobs = [line.split("|", 2) for line in listed]
    return [number for number, comment, place in jobs if comment.startswith(MARK) and _same(Path(place), folder)]


def _same(place: Path, folder: Path) -> bool:
    """Whether two paths are one folder; login nodes may spell it differently."""
    return place == folder or (place.exists() and place.samefile(folder))


def cancel(folder: Path) -> list[str]:
    """Cancel such jobs, wait until they have ended, and return their ids.

    The caller must know that no other run is at work in the folder.

    Raises
    ------
    TimeoutError
        Slurm does not get rid of them.
    """
    jobs = find(folder)
    if jobs:
        subprocess.run(["scancel", *jobs], check=True, timeout=60)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while left := find(folder):
            if time.monotonic() > deadline:
                raise TimeoutError(f"jobs {', '.join(left)} of an earlier run do not end; `scancel` them")
            time.sleep(1)
    return jobs


def spoilt(results: str | Path) -> dict[Path, str]:
    """Return the files among a run's results that a power cut has left empty, cut off or as zeros, and what they are.

    Their ends tell. A stage's file has its name only when it is whole, so that none at work is among them.
    """
    damages = {}
    for place, folders, names in os.walk(results):
        folders[:] = [name for name in folders if name not in OTHERS]
        for path in (Path(place, name) for name in names if name.endswith(NEVER_EMPTY)):
            with suppress(OSError):  # another process may have been faster
                if damage := _damage(path):
                    damages[path] = damage
    return damages


def _damage(path: Path) -> str | None:
    """What the ends of a file say of it; texts hold no zero bytes."""
    with path.open("rb", buffering=0) as file:
        size = file.seek(0, os.SEEK_END)
        if not size:
            return "empty"
        file.seek(0)
        start = file.read(len(PARQUET))
        file.seek(max(size - len(PARQUET), 0))
        ends = {start, file.read(len(PARQUET))}
    whole = ends == {PARQUET} if path.suffix == ".parquet" else not any(b"\0" in end for end in ends)
    return None if whole else "damaged"


def remove_spoilt(path: Path) -> None:
    """Let a spoilt file no longer have its name, so that it is made again; what is not empty is set aside."""
    with suppress(OSError):  # another process may have been faster
        if path.stat().st_size:
            files.set_aside(path)
        else:
            path.unlink()


def remove_partial(results: str | Path, store: str | Path) -> list[Path]:
    """Remove what killed jobs were writing to a run's results and to the item store, and return where it was.

    The caller must know that no other run is at work on the results. The store may be that of several.
    """
    removed = []
    for place, folders, _ in os.walk(results):
        folders[:] = [name for name in folders if name not in OTHERS]
        removed += files.remove_partial(place, other_machines_after=0)
    for folder in Path(store).glob("*/"):
        removed += files.remove_partial(folder, other_machines_after=A_DAY)
    return removed
