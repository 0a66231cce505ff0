"""What Snakemake has written about a run: its log, the jobs it marks as begun, and whether it still is at work."""

from __future__ import annotations

import base64
import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from dnd.run import lock

COUNT = re.compile(r"^(\w+) +(\d+)$")
FINISHED = re.compile(r"^Finished jobid: (\d+) \(Rule: (\w+)\)$")
ERROR = re.compile(r"^Error in rule (\w+)(?:, |:)")
FIELD = re.compile(r"^    (jobid|output|log): (.*)$")
RESTART = re.compile(r"^Trying to restart job (\d+)\.")
BEGUN = re.compile(r"^  Date: (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)$")

ENDINGS = {
    r"<Signals\.SIGKILL: 9>|exit status 137\b": "a job was killed, as the system does when memory runs out: run "
    "fewer at the same time (`--cores 1`), or on a machine with more memory",
    r"<Signals\.SIGBUS: 7>|exit status 135\b": "a job was ended by SIGBUS: a disk is full, /dev/shm perhaps",
}
"""How Snakemake names a signal that ended a job -> what that means."""


class Failure(NamedTuple):
    """A job that failed for good: its rule, one of its files, and where it says why."""

    rule: str
    output: str
    log: str


@dataclass
class RunLog:
    """One call of Snakemake, as its log tells it.

    Attributes
    ----------
    path : of the log.
    begun : when, in local time; None where the log does not say.
    planned : rule -> jobs of this call, without what was up to date before.
    finished : rule -> those that are done.
    failed : number of a job -> how it failed.
    last : whether no later call in the same folder had jobs, of this run or of another.
    """

    path: Path
    begun: datetime | None = None
    planned: Counter[str] = field(default_factory=Counter)
    finished: Counter[str] = field(default_factory=Counter)
    failed: dict[str, Failure] = field(default_factory=dict)
    last: bool = True


def newest(folder: Path, run: str) -> RunLog | None:
    """Return the newest log below a working directory that tells of jobs of a run; None without one.

    A folder may serve several runs, and a call that finds a mistake or nothing to do leaves a log, too.
    """
    last = True
    for path in sorted((folder / ".snakemake/log").glob("*.snakemake.log"), reverse=True):
        text = path.read_text(encoding="utf-8", errors="replace")
        found = parsed(path, text)
        if found.planned and f"results/{run}/" in text:
            found.last = last
            return found
        last = last and not found.planned
    return None


def parsed(path: Path, text: str) -> RunLog:
    """Return what a log tells."""
    found = RunLog(path)
    lines = iter(text.splitlines())
    for line in lines:
        if (match := BEGUN.match(line)) is not None:
            found.begun = datetime.fromisoformat(match[1])
        elif line == "Job stats:" and not found.planned:
            found.planned.update(_counts(lines))
        elif (match := FINISHED.match(line)) is not None:
            found.finished[match[2]] += 1
            found.failed.pop(match[1], None)
        elif (match := RESTART.match(line)) is not None:
            found.failed.pop(match[1], None)
        elif (match := ERROR.match(line)) is not None:
            _add_failure(found, match[1], lines)
    return found


def _counts(lines: Iterator[str]) -> dict[str, int]:
    """The table of rules and jobs that ends with an empty line; its total left out."""
    counts = {}
    for line in lines:
        if not line:
            break
        if (match := COUNT.match(line)) is not None and match[1] != "total":
            counts[match[1]] = int(match[2])
    return counts


def _add_failure(found: RunLog, rule: str, lines: Iterator[str]) -> None:
    said: dict[str, str] = {}
    for line in lines:
        if (match := FIELD.match(line)) is not None:
            said[match[1]] = match[2]
        elif not line.startswith("    "):
            break
    first = {key: value.removesuffix(" (check log file(s) for error details)") for key, value in said.items()}
    output, log = (first.get(key, "").partition(",")[0] for key in ("output", "log"))
    found.failed[said.get("jobid", "")] = Failure(rule, output, log)


def endings(text: str) -> list[str]:
    """Return what the system ended jobs for, which these could not say, as a log tells it."""
    return [reason for pattern, reason in ENDINGS.items() if re.search(pattern, text)]


def begun_outputs(folder: Path) -> dict[str, float]:
    """Return file -> time, of the files of every job that was begun, or given to a cluster, and has not ended.

    Snakemake's own markers: a killed run leaves them behind.
    """
    root = folder / ".snakemake/incomplete"
    found = {}
    for place, _, names in os.walk(root):
        for name in names:
            marker = Path(place, name)
            parts = [one.removeprefix("@") for one in marker.relative_to(root).parts]
            try:
                found[base64.urlsafe_b64decode("".join(parts)).decode()] = marker.stat().st_mtime
            except (OSError, ValueError):  # the job has ended meanwhile, or it is no marker
                continue
    return found


def at_work(folder: Path) -> bool:
    """Tell whether a run holds its lock on a working directory; nothing is written, and the lock stays as it is."""
    return lock.holder(folder) is not None
