"""How far a run is: read from its files, its lock and Snakemake's markers, without the run noticing."""

from __future__ import annotations

import base64
import os
import time
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from dnd.io import tables
from dnd.run import lock
from dnd.run import tasks as workload
from dnd.run.origins import Origin
from dnd.run.paths import Paths
from dnd.run.plan import Plan
from dnd.run.tasks import Task

ITEMS = {
    **dict.fromkeys(("probe", "activations", "images", "label_images"), "images"),
    **dict.fromkeys(("topk", "descriptions"), "units"),
    **dict.fromkeys(("captions", "look_alikes"), "captions"),
    **dict.fromkeys(("concepts", "refinement", "scores", "line"), "candidates"),
    "exemplars": "exemplars",
}
"""Rule -> what the rows are that its jobs count."""
QUICK = {
    *("shapeworld_images", "listing", "rejected", "descriptions"),
    *("evaluation", "provenance", "report_layer", "report"),
}
"""Rules whose jobs do not say how long they took, which is little."""


@dataclass
class Stage:
    """The jobs of a rule.

    Attributes
    ----------
    planned, done, running, failed : jobs; those that wait in a cluster's queue count as running.
    items : rows of the finished jobs.
    timed : finished jobs that say how long they took, in all ``seconds`` for ``timed_items``, ``gpu_seconds`` on a GPU.
    recent : finished jobs that the newest run has done.
    ages : seconds since each of the running jobs began.
    left : seconds until its last job is done, the other stages' work left out; None where that cannot be told.
    """

    rule: str
    planned: int = 0
    done: int = 0
    running: int = 0
    failed: int = 0
    items: int = 0
    timed: int = 0
    timed_items: int = 0
    seconds: float = 0
    gpu_seconds: float = 0
    recent: int = 0
    ages: list[float] = field(default_factory=list)
    left: float | None = None

    @property
    def noun(self) -> str:
        """What the items are; empty where none are counted."""
        return ITEMS.get(self.rule, "")

    @property
    def pace(self) -> float | None:
        """Items that a job makes in a second."""
        return self.timed_items / self.seconds if self.timed_items and self.seconds else None

    @property
    def mean(self) -> float | None:
        """Seconds of a job."""
        return self.seconds / self.timed if self.timed else None


class Failure(NamedTuple):
    """A job that has written a log and not its files: its rule, one of the files, and the log."""

    rule: str
    output: str
    log: Path


@dataclass
class Status:
    """How far a run is.

    Attributes
    ----------
    running : whether it is at work; ``state`` says it in words.
    begun : when the newest run began, if it was this one.
    unseen : rules with jobs left of which none has told its speed yet: they come on top of ``left``.
    """

    run: str
    running: bool
    state: str
    stages: list[Stage]
    failures: list[Failure]
    begun: datetime | None = None
    unseen: list[str] = field(default_factory=list)
    looked: datetime = field(default_factory=datetime.now)

    @property
    def total(self) -> Stage:
        """All stages together."""
        keys = ("planned", "done", "running", "failed", "gpu_seconds")
        sums = {key: sum(getattr(stage, key) for stage in self.stages) for key in keys}
        left = [stage.left for stage in self.stages if stage.left is not None]
        return Stage("all", **sums, left=sum(left) if left else None)


def look(plan: Plan, now: float | None = None) -> Status:
    """Return how far the run of a plan is, whose working directory is the current one.

    A job is done when its file is there, although it may be about to be made again. One that has a log, no file, and is
    not at work has failed; while a run is at work, only what failed since it began counts.

    Parameters
    ----------
    now : time in seconds since 1970; that of the call when empty.
    """
    clock, paths = time.time() if now is None else now, Paths(plan)
    newest = lock.newest(Path())
    ours = newest is not None and newest.run == plan.config.run
    running, since = (newest.at_work, newest.begun) if newest and ours else (False, 0.0)
    begun = begun_outputs(Path())
    stages: dict[str, Stage] = {}
    failures, cut_short = [], 0
    for task in workload.tasks(plan):
        stage = stages.setdefault(task.rule, Stage(task.rule))
        stage.planned += 1
        if task.output in begun:
            if running:
                stage.running += 1
                stage.ages.append(clock - begun[task.output])
            cut_short += not running
        elif (made := _time_of(task.output)) is not None:
            stage.done += 1
            stage.recent += made >= since
            _add_table(stage, task)
        elif (failed := _time_of(log := paths.log_of(task.rule, task.output))) is not None and failed >= since:
            stage.failed += 1
            failures.append(Failure(task.rule, task.output, log))
    status = Status(plan.config.run, running, "", list(stages.values()), failures)
    status.state = _state(status, newest is not None and newest.at_work, cut_short)
    if ours:
        status.begun = datetime.fromtimestamp(since)
    if running:
        _look_ahead(status, clock - since)
    return status


def begun_outputs(folder: Path) -> dict[str, float]:
    """Return file -> time, of the files of every job that was begun, or given to a cluster, and has not ended.

    Snakemake's own markers: a killed run leaves them behind.
    """
    root = folder / ".snakemake/incomplete"
    begun = {}
    for place, _, names in os.walk(root):
        for name in names:
            marker = Path(place, name)
            parts = [part.removeprefix("@") for part in marker.relative_to(root).parts]
            try:
                begun[base64.urlsafe_b64decode("".join(parts)).decode()] = marker.stat().st_mtime
            except (OSError, ValueError):  # the job has ended meanwhile, or it is no marker
                continue
    return begun


def _time_of(path: str | Path) -> float | None:
    """When a file was written, in seconds since 1970; None where it is not there."""
    try:
        return os.stat(path).st_mtime
    except OSError:
        return None


def _add_table(stage: Stage, task: Task) -> None:
    """Add what the ends of a job's files tell; a file that is gone by now, or no table, is passed over."""
    counted = task.images or (task.output if stage.noun else "")
    try:
        rows = pq.read_metadata(counted).num_rows if counted else 0
        recorded = tables.origin_in(pq.read_metadata(task.output)) if task.output.endswith(".parquet") else None
    except (OSError, pa.ArrowInvalid):
        return
    stage.items += rows
    if recorded:
        origin = Origin.model_validate(recorded)
        stage.timed += 1
        stage.timed_items += rows
        stage.seconds += origin.seconds
        stage.gpu_seconds += origin.seconds * origin.used_gpu


def _state(status: Status, at_work: bool, cut_short: int) -> str:
    total = status.total
    if status.running:
        return "running"
    if total.done == total.planned:
        return "finished"
    if at_work:
        return "not running: another run is at work in this folder"
    if status.failures:
        return f"not running: it ended after {_counted(len(status.failures), 'failed job')}"
    if cut_short:
        return f"not running: it was killed with {_counted(cut_short, 'job')} at work"
    return f"not running: {total.done} of {total.planned} jobs are done" if total.done else "not started"


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _look_ahead(status: Status, elapsed: float) -> None:
    """Fill in the time left: what is to do, at the speed of all jobs together since the run began."""
    worked, to_do = 0.0, {}
    for stage in status.stages:
        jobs = stage.planned - stage.done
        if stage.mean is None:
            if jobs and stage.rule not in QUICK:
                status.unseen.append(stage.rule)
            continue
        at_work = sum(min(age, stage.mean) for age in stage.ages)
        worked += stage.recent * stage.mean + at_work
        to_do[stage.rule] = max(jobs * stage.mean - at_work, 0)
    for stage in status.stages:
        if worked and to_do.get(stage.rule):
            stage.left = to_do[stage.rule] * elapsed / worked
