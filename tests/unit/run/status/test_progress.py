"""How far a run is, told from handmade tables and logs, Snakemake's markers of jobs that were begun, and the lock."""

import base64
import os
import time
from pathlib import Path

import pytest
from handmade import origin

from dnd.io import schemas, tables
from dnd.run import lock, tasks
from dnd.run.status import progress

CAPTION = {"image_id": "0.png", "box": None, "caption": "a circle"}
FIRST, SECOND = (Path(f"results/test/a/a/captions/{units}.parquet") for units in ("000000-000003", "000004-000005"))
LOG = Path("results/test/logs/captions/a-a-000000-000003.log")


@pytest.fixture
def held(plan, monkeypatch):
    """The lock of the run at work."""
    monkeypatch.setenv(lock.RUN, "")
    with lock.take(Path(), "test") as held:
        yield held


def write_captions(path, rows, **changes):
    told = origin(**changes)
    tables.write(path, tables.table([CAPTION] * rows, schemas.CAPTIONS), schemas.CAPTIONS, origin=told)


def write_probe():
    for i in range(2):
        path = f"results/test/probe/p/images-0000{i}.parquet"
        tables.write(path, schemas.PROBE.empty_table(), schemas.PROBE, origin=origin(seconds=1.0, device="AMD EPYC"))


def write_log():
    LOG.parent.mkdir(parents=True, exist_ok=True)
    LOG.write_text("RuntimeError: no such model\n")


def mark_begun(output):
    """Mark a job as begun, as Snakemake does: the name of a long file is cut into folders."""
    name = base64.urlsafe_b64encode(str(output).encode()).decode()
    place = Path(".snakemake/incomplete", *(f"@{one}" for one in [name[:20]]), name[20:])
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text("{}")
    return place


def stage(found, rule):
    return next(one for one in found.stages if one.rule == rule)


def test_an_empty_folder_has_a_run_that_has_not_started(plan):
    found = progress.look(plan)
    assert (found.state, found.running, found.total.done, found.begun) == ("not started", False, 0, None)
    jobs = {"listing": 1, "probe": 2, "rejected": 1, "activations": 2, "topk": 1, "exemplars": 2, "captions": 2}
    jobs |= {
        "concepts": 1,
        "scores": 2,
        "descriptions": 1,
        "report_layer": 1,
        "evaluation": 1,
        "provenance": 1,
        "report": 1,
    }
    assert {one.rule: one.planned for one in found.stages} == jobs


def test_a_run_at_work_tells_its_jobs_items_pace_and_time_left(plan, held):
    write_probe()
    write_captions(FIRST, 30, seconds=6.0, device="NVIDIA H100")
    begun = lock.newest(Path()).begun
    marker = mark_begun(SECOND)
    os.utime(marker, (begun + 13, begun + 13))
    found = progress.look(plan, now=begun + 16)
    captions = stage(found, "captions")
    assert (found.running, found.state) == (True, "running")
    assert (captions.planned, captions.done, captions.running, captions.failed) == (2, 1, 1, 0)
    assert (captions.items, captions.pace, captions.gpu_seconds) == (30, 5.0, 6.0)
    assert stage(found, "probe").done == 2
    # 2 x 1 s and 6 s of jobs done, 3 of 6 s of the third: 11 s of work in 16 s, and 3 s to do
    assert captions.left == pytest.approx(3 * 16 / 11)
    assert found.unseen == ["activations", "topk", "exemplars", "concepts", "scores"]


def test_what_an_earlier_run_has_done_says_nothing_of_the_speed_of_this_one(plan, held):
    write_captions(FIRST, 30, seconds=6.0)
    os.utime(FIRST, (time.time() - 3600,) * 2)
    found = progress.look(plan)
    assert (stage(found, "captions").done, stage(found, "captions").recent, found.total.left) == (1, 0, None)


def test_a_killed_run_is_told_from_one_at_work_by_its_lock(plan, held):
    write_probe()
    mark_begun(FIRST)
    assert progress.look(plan).state == "running"
    held.close()
    found = progress.look(plan)
    assert found.state == "not running: it was killed with 1 job at work"
    assert (found.total.running, found.total.left) == (0, None)


def test_a_failed_job_is_named_with_its_log(plan, held):
    write_log()
    held.close()
    found = progress.look(plan)
    assert found.state == "not running: it ended after 1 failed job"
    assert found.failures == [progress.Failure("captions", str(FIRST), LOG)]
    assert stage(found, "captions").failed == 1


def test_a_job_that_is_tried_again_or_done_has_not_failed(plan, held):
    write_log()
    marker = mark_begun(FIRST)
    assert progress.look(plan).failures == []
    marker.unlink()
    assert len(progress.look(plan).failures) == 1
    write_captions(FIRST, 1)
    assert progress.look(plan).failures == []


def test_a_job_that_failed_in_an_earlier_run_is_still_to_do(plan, held):
    write_log()
    os.utime(LOG, (time.time() - 3600,) * 2)
    assert progress.look(plan).failures == []


def test_a_run_is_finished_when_every_job_has_its_file(plan):
    for task in tasks.tasks(plan):
        output = Path(task.output)
        output.parent.mkdir(parents=True, exist_ok=True)
        output.touch()  # no table: it counts, and tells nothing
    found = progress.look(plan)
    assert (found.state, found.total.done, found.total.planned) == ("finished", 19, 19)


def test_another_run_in_the_folder_is_not_this_one(plan, monkeypatch):
    monkeypatch.setenv(lock.RUN, "")
    with lock.take(Path(), "other"):
        found = progress.look(plan)
    assert (found.running, found.state) == (False, "not running: another run is at work in this folder")
