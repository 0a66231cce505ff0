import os
import subprocess
import sys


def started(tmp_path, threads, cores):
    """What a job sees that begins with so many threads on a machine that gives it some cores."""
    code = f"""
import os, sys
os.sched_setaffinity(0, {cores})
from dnd import jobs
jobs.begin({str(tmp_path / "deep/job.log")!r}, {threads})
print("progress", end="\\r", file=sys.stderr)
sys.stdout.write(os.environ["OMP_NUM_THREADS"])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout


def test_a_job_uses_no_more_threads_than_it_has_cores(tmp_path):
    one = {min(os.sched_getaffinity(0))}
    assert started(tmp_path, 8, one) == "1"
    assert started(tmp_path, 1, os.sched_getaffinity(0)) == "1"


def test_a_progress_bar_ends_its_lines_in_a_log(tmp_path):
    started(tmp_path, 1, os.sched_getaffinity(0))
    assert (tmp_path / "deep/job.log").read_text() == "progress\n"


def test_what_the_logs_disk_has_no_room_for_goes_to_stderr():
    code = "from dnd import jobs; jobs.begin('/dev/full', 1); raise OSError('no room')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert "OSError: no room" in done.stderr
