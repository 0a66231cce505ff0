"""How far a run is: read from its tables and from Snakemake's notes, without the run noticing."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from dnd.io import tables
from dnd.run import tasks as workload
from dnd.run.plan import Plan
from dnd.run.status import snakemake_log
from dnd.run.status.snakemake_log import Failure, RunLog
from dnd.run.tasks import Task

ITEMS = {
    "probe": "images",
    "activations": "images",
    "topk": "units",
    "exemplars": "exemplars",
    "captions": "captions",
    "look_alikes": "captions",
    "concepts": "candidates",
    "refinement": "candidates",
    "images": "images",
    "stopping": "images",
    "scores": "candidates",
    "line": "candidates",
    "label_images": "images",
    "descriptions": "units",
}
"""Rule -> what the rows are that its jobs count."""
QUICK = {
    "shapeworld_images",
    "listing",
    "rejected",
    "descriptions",
    "evaluation",
    "provenance",
    "report_layer",
    "report",
}
"""Rules whose jobs do not say how long they took, which is little."""
NOT_FOR_EVALUATE = {"rejected", "provenance", "report_layer", "report"}
"""Rules that the target ``evaluate`` does without."""


@dataclass
class Stage:
    """The jobs of a rule.

    Attributes
    ----------
    planned, done, running, failed : jobs; those that wait in a cluster's queue count as running.
    items : rows of the finished jobs.
    timed : finished jobs that say how long they took, in all ``seconds`` for ``timed_items``, ``gpu_seconds`` on a GPU.
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


@dataclass
class Status:
    """How far a run is.

    Attributes
    ----------
    running : whether it is at work; ``state`` says it in words.
    log : of Snakemake's last call that had jobs of the run, which began at ``begun``.
    unseen : rules with jobs left of which none has told its speed yet: they come on top of ``left``.
    """

    run: str
    running: bool
    state: str
    stages: list[Stage]
    failures: list[Failure]
    log: Path | None = None
    begun: datetime | None = None
    unseen: list[str] = field(default_factory=list)
    looked: datetime = field(default_factory=datetime.now)

    @property
    def total(self) -> Stage:
        """All stages together."""
        keys = ("planned", "done", "running", "failed", "gpu_seconds")
        sums = {key: sum(getattr(one, key) for one in self.stages) for key in keys}
        left = [one.left for one in self.stages if one.left is not None]
        return Stage("all", **sums, left=sum(left) if left else None)


def look(plan: Plan, now: float | None = None) -> Status:
    """Return how far the run of a plan is, whose working directory is the current one.

    Parameters
    ----------
    now : time in seconds since 1970; that of the call when empty.
    """
    folder, run = Path(), plan.config.run
    log, at_work = snakemake_log.newest(folder, run), snakemake_log.at_work(folder)
    begun = snakemake_log.begun_outputs(folder)
    running = at_work and log is not None and log.last
    failures = list(log.failed.values()) if log else []
    jobs: dict[str, list[Task]] = {}
    for task in workload.tasks(plan):
        jobs.setdefault(task.rule, []).append(task)
    begun = {
        str(one.output): begun[str(one.output)] for tasks in jobs.values() for one in tasks if str(one.output) in begun
    }
    stages = [_stage(rule, tasks, log, begun, running) for rule, tasks in jobs.items()]
    for stage in stages:
        stage.failed = sum(one.rule == stage.rule for one in failures)
    if log and "evaluate" in log.planned:
        stages = [one for one in stages if one.done or one.rule not in NOT_FOR_EVALUATE]
    status = Status(run, running, "", stages, failures)
    status.state = _state(status, log, at_work, len(begun))
    if log:
        status.log, status.begun = log.path, log.begun
    if log and log.begun and running:
        clock = time.time() if now is None else now
        ages = {
            rule: [clock - begun[str(one.output)] for one in tasks if str(one.output) in begun]
            for rule, tasks in jobs.items()
        }
        _look_ahead(status, log, ages, clock - log.begun.timestamp())
    return status


def _stage(rule: str, tasks: Sequence[Task], log: RunLog | None, begun: Mapping[str, float], running: bool) -> Stage:
    ready = [one for one in tasks if str(one.output) not in begun and one.output.exists()]
    to_do = log.planned[rule] - log.finished[rule] if log else 0
    # a file that is there may be about to be made again
    stage = Stage(rule, len(tasks), min(len(ready), max(len(tasks) - to_do, 0)))
    if running:
        stage.running = sum(str(one.output) in begun for one in tasks)
    for one in ready:
        _add_table(stage, one)
    return stage


def _add_table(stage: Stage, task: Task) -> None:
    """Add what the ends of a job's files tell; a file that is gone by now, or no table, is passed over."""
    try:
        rows = pq.read_metadata(task.counted).num_rows if task.counted else 0
        origin = tables.origin_in(pq.read_metadata(task.output)) if task.output.suffix == ".parquet" else None
    except (OSError, pa.ArrowInvalid):
        return
    stage.items += rows
    if origin:
        stage.timed += 1
        stage.timed_items += rows
        stage.seconds += origin["seconds"]
        stage.gpu_seconds += origin["seconds"] * workload.used_gpu(origin)


def _state(status: Status, log: RunLog | None, at_work: bool, cut_short: int) -> str:
    total = status.total
    if status.running:
        return "running"
    if total.done == total.planned:
        return "finished"
    if at_work:
        return "not running: another run is at work in this folder"
    if log is None:
        return f"not running: {total.done} of {total.planned} jobs are done" if total.done else "not started"
    if status.failures:
        return f"not running: it ended after {_counted(len(status.failures), 'failed job')}"
    if cut_short:
        return f"not running: it was killed with {_counted(cut_short, 'job')} at work"
    return f"not running: {total.done} of {total.planned} jobs are done"


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _look_ahead(status: Status, log: RunLog, ages: Mapping[str, Sequence[float]], elapsed: float) -> None:
    """Fill in the time left: what is to do, at the speed of all jobs together since this call of Snakemake began."""
    done, to_do = 0.0, {}
    for stage in status.stages:
        jobs = log.planned[stage.rule] - log.finished[stage.rule]
        if stage.mean is None:
            if jobs and stage.rule not in QUICK:
                status.unseen.append(stage.rule)
            continue
        begun = sum(min(age, stage.mean) for age in ages[stage.rule])
        done += log.finished[stage.rule] * stage.mean + begun
        to_do[stage.rule] = max(jobs * stage.mean - begun, 0)
    for stage in status.stages:
        if done and to_do.get(stage.rule):
            stage.left = to_do[stage.rule] * elapsed / done
