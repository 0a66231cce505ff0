"""How a run begins, and what is said where it fails."""

import os
import shutil
import tempfile
from pathlib import Path

from dnd.run import leftovers, lock
from dnd.run.job import endings
from dnd.run.plan import write_groups

LOCKS = []  # open for as long as the run lasts
if not workflow.is_main_process:
    # on a cluster's node, whose jobs outlive the run until the next one cancels them
    os.environ.pop(lock.RUN, None)


def begin():
    """Take the folder for this run, mend Snakemake, and remember the plan."""
    try:
        LOCKS.append(
            lock.take(Path.cwd(), settings.run)
        )  # a killed run needs no --unlock
    except BlockingIOError:
        raise WorkflowError(f"another run is at work in {Path.cwd()}") from None
    mend_scheduler(workflow.scheduler)
    if workflow.executor_plugin.name == "slurm":
        mend_slurm_executor()
        if jobs := leftovers.cancel(Path.cwd()):
            logger.info(
                f"cancelled jobs that an earlier run left in Slurm's queue: {', '.join(jobs)}"
            )
    if files := leftovers.remove_partial(paths.results, config["store"]):
        logger.info(f"removed what killed jobs were writing: {len(files)} files")
    try:
        write_groups(GROUPS, plan.groups)
    except OSError as error:
        raise WorkflowError(
            f"{GROUPS} cannot be written: {error.strerror}; make room or choose another folder, and type the same command"
        ) from None


onstart:
    begin()


# Snakemake takes onstart from the main file alone, which is not this one where another workflow imports it.
if not workflow.modifier.is_main_snakefile():
    importers_start = workflow._onstart
    workflow._onstart = lambda log: (importers_start(log), begin())


def explain(logs):
    """Say what a job that failed could not: what the system ended it for, and which disk is full."""
    for log in logs:
        for reason in endings(Path(log).read_text(errors="replace")):
            logger.error(reason)
    # A job's log lies on the same disk and says nothing when that is full.
    temporary = os.environ.get("TMPDIR") or tempfile.gettempdir()
    for folder in (paths.results, config["store"], temporary):
        if Path(folder).exists() and shutil.disk_usage(folder).free < 20e6:
            logger.error(
                f"{folder}: no space left on the disk; make room, and the same command goes on"
            )


onerror:
    explain(log)


if not workflow.modifier.is_main_snakefile():
    importers_error = workflow._onerror
    workflow._onerror = lambda log: (importers_error(log), explain(log))
