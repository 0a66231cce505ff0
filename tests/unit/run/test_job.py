import json
import os
import platform
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import PIL
import pytest

from dnd.run import job, lock


def started(tmp_path, threads, cores):
    """What a job sees that begins with so many threads on a machine that gives it some cores."""
    code = f"""
import os, sys
os.sched_setaffinity(0, {cores})
from dnd.run import job, lock
job.begin({str(tmp_path / "deep/job.log")!r}, {threads})
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


def test_a_log_holds_no_password_of_an_address(tmp_path):
    code = f"""
import logging
from dnd.run import job, lock
job.begin({str(tmp_path / "job.log")!r}, 1)
logging.warning("asking %s", "http://me:s3cret@host/v1")
raise OSError("no route to http://host/v1?api_key=s3cret")
"""
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 1
    told = (tmp_path / "job.log").read_text()
    assert "s3cret" not in told
    assert (
        "asking http://(left out)@host/v1" in told and "OSError: no route to http://host/v1?api_key=(left out)" in told
    )


def test_what_the_logs_disk_has_no_room_for_goes_to_stderr():
    code = "from dnd.run import job; job.begin('/dev/full', 1); raise OSError('no room')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert "OSError: no room" in done.stderr


def origin(code=""):
    """The origin that a fresh process states after some code."""
    lines = f"""
import json
from dnd.run import job, lock
begun = job.begin("/dev/null", 1)
{code}
print(json.dumps(begun.origin()))
"""
    done = subprocess.run([sys.executable, "-c", lines], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_a_job_knows_its_time_threads_interpreter_and_notes():
    before = datetime.now(UTC).replace(microsecond=0)
    found = origin("import time; time.sleep(.3); begun.note('server', {'vllm': '0.32.0'})")
    started, finished = (datetime.fromisoformat(found[key]) for key in ("started", "finished"))
    assert before <= started <= finished <= datetime.now(UTC)
    assert 0.3 <= found["seconds"] < 60
    assert found["threads"] == 1
    assert found["python"] == sys.version.split()[0]
    assert found["platform"] == platform.platform()
    assert found["notes"] == {"server": {"vllm": "0.32.0"}}


def test_an_origin_holds_no_password_of_an_address(tmp_path):
    found = origin("begun.note('server', {'base_url': 'https://me:s3cret@host/v1?key=s3cret'})")
    assert found["notes"] == {"server": {"base_url": "https://(left out)@host/v1?key=(left out)"}}


def test_a_job_names_the_packages_that_it_has_imported_and_no_others():
    assert origin()["versions"].keys() == {"dnd"}
    assert origin("import PIL")["versions"]["pillow"] == PIL.__version__


def test_a_job_names_the_models_that_it_has_loaded(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    code = f"from dnd.backends import hub; hub.folder({str(tmp_path)!r})"
    first = origin(code)["models"]
    (tmp_path / "config.json").write_text("{ }")
    second = origin(code)["models"]
    assert list(first) == list(second) == [str(tmp_path)]
    assert first != second  # it tells what was in the folder
    assert origin()["models"] == {}


def test_the_device_is_the_gpu_only_of_a_process_that_has_used_it(monkeypatch):
    cuda = SimpleNamespace(is_initialized=lambda: used, get_device_name=lambda: "NVIDIA H100 80GB HBM3")
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    used = True
    assert job.device() == "NVIDIA H100 80GB HBM3"
    used = False
    assert job.device() == job.processor()
    monkeypatch.delitem(sys.modules, "torch")
    assert job.device() == job.processor()


def test_a_processor_that_the_system_does_not_name_is_an_architecture(monkeypatch):
    monkeypatch.setattr(Path, "read_text", lambda *_: "processor\t: 0\nBogoMIPS\t: 50.00\n")
    assert job.processor() == platform.machine()
    monkeypatch.setattr(Path, "read_text", lambda *_: "processor\t: 0\nmodel name\t: AMD EPYC 9B14: 96\n")
    assert job.processor() == "AMD EPYC 9B14: 96"


@pytest.fixture
def held(tmp_path, monkeypatch):
    """The lock of a run at work in a folder, which names it to the jobs that start meanwhile."""
    monkeypatch.setenv(lock.RUN, "an earlier one")
    (tmp_path / ".snakemake").mkdir()
    with lock.take(tmp_path, "demo") as held:
        yield held


def job_at_work(folder, first=""):
    """A job that says a line when it has looked after its run several times, and then waits for a minute."""
    code = f"""
import signal, time
from dnd.run import job
job.LOOKS_EVERY, job.GRACE_SECONDS = .05, .2
{first}
job.begin("job.log", 1)
time.sleep(.5)
print("at work", flush=True)
time.sleep(60)
"""
    return subprocess.Popen([sys.executable, "-c", code], cwd=folder, stdout=subprocess.PIPE, text=True)


def test_a_job_ends_when_the_run_ends_that_started_it(tmp_path, held):
    with job_at_work(tmp_path) as process:
        assert process.stdout.readline() == "at work\n"
        held.close()  # as when Snakemake is killed
        assert process.wait(20) == -signal.SIGTERM
    assert "Snakemake, which started this job, has ended" in (tmp_path / "job.log").read_text()


def test_a_job_ends_when_another_run_has_taken_the_place_of_its_own(tmp_path, held, monkeypatch):
    monkeypatch.setenv(lock.RUN, "an earlier one")
    with job_at_work(tmp_path) as process:
        assert process.wait(20) == -signal.SIGTERM
        assert process.stdout.read() == ""


def test_a_job_that_does_not_end_in_order_is_killed(tmp_path, held):
    with job_at_work(tmp_path, "signal.signal(signal.SIGTERM, signal.SIG_IGN)") as process:
        process.stdout.readline()
        held.close()
        assert process.wait(20) == -signal.SIGKILL


def test_a_job_that_no_run_of_this_machine_started_looks_after_none(tmp_path, held, monkeypatch):
    monkeypatch.delenv(lock.RUN)
    held.close()
    with job_at_work(tmp_path) as process:
        assert process.stdout.readline() == "at work\n"
        assert process.poll() is None
        process.kill()


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("Command 'python a.py' died with <Signals.SIGKILL: 9>.", "as the system does when memory runs out"),
        ("Command 'python a.py' returned non-zero exit status 137.", "as the system does when memory runs out"),
        ("Command 'python a.py' died with <Signals.SIGBUS: 7>.", "a disk is full"),
        ("Command 'python a.py' returned non-zero exit status 1.", None),
    ],
)
def test_a_job_that_the_system_ended_has_a_reason(line, reason):
    found = job.endings(f"RuleException:\n{line}\nCommand 'b' {line}\n")
    assert found == [] if reason is None else reason in found[0] and len(found) == 1
