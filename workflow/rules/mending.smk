"""Faults of Snakemake and its plugins that a long run meets, mended when a run begins."""

import sys
import threading


def mend_slurm_executor():
    """Let jobs that Slurm ended for another's sake count as failed, so that they are tried again.

    snakemake-executor-plugin-slurm 2.8.0 waits for ever for a pre-empted job that Slurm does not requeue, and for one
    that sacct, unlike squeue, calls "CANCELLED by" somebody.
    """
    executor = sys.modules["snakemake_executor_plugin_slurm"]
    ask = executor.query_job_status

    async def states_of_jobs(*arguments):
        states, seconds = await ask(*arguments)
        ended = ("PREEMPTED", "CANCELLED")
        return (
            states
            and {
                job: "CANCELLED" if state.startswith(ended) else state
                for job, state in states.items()
            },
            seconds,
        )

    executor.query_job_status = states_of_jobs


def mend_scheduler(scheduler):
    """Let one timer at a time wake the scheduler, so that a long run does not wear out the machine that it is started on.

    Snakemake 9.27 starts a timer of a second for every job that ends, and one more whenever a timer is over. Each time it
    looks at the inputs of all jobs that are ready, after 150 jobs 150 times a second.
    """
    waiting = threading.Event()

    def over():
        waiting.clear()
        scheduler._open_jobs.release()

    def wake(seconds):
        if not waiting.is_set():
            waiting.set()
            timer = threading.Timer(seconds, over)
            timer.daemon = True  # else it holds up the end of the run
            timer.start()

    scheduler._schedule_reevalutation = wake
