"""How far a run is, told from handmade tables, Snakemake's log, its markers of jobs that were begun, and the lock."""

import base64
import fcntl
import re
from datetime import datetime

import pytest

from dnd.config.load import Config
from dnd.config.sweep import Layer
from dnd.io import schemas, tables
from dnd.run import tasks
from dnd.run.plan import Plan
from dnd.run.status import page as status
from dnd.run.status import progress, snakemake_log

HEAD = """\
SNAKEMAKE
=========
  Date: 2026-03-01 10:00:00

Job stats:
job            count
-----------  -------
probe              2
captions           2
descriptions       1
all                1
total              6

Select jobs to execute...
[Sun Mar  1 10:00:01 2026]
Job 4: pack probe p, shard 00000
Reason: Missing output files: results/test/probe/p/images-00000.parquet
[Sun Mar  1 10:00:05 2026]
Finished jobid: 4 (Rule: probe)
1 of 6 steps (17%) done
[Sun Mar  1 10:00:05 2026]
Finished jobid: 5 (Rule: probe)
2 of 6 steps (33%) done
"""
FAILED = """\
[Sun Mar  1 10:00:09 2026]
Error in rule captions:
    message: None
    jobid: 7
    input: results/test/a/a/exemplars/000000-000003.parquet
    output: results/test/a/a/captions/000000-000003.parquet
    log: results/test/logs/captions/a-a-000000-000003.log (check log file(s) for error details)
Logfile results/test/logs/captions/a-a-000000-000003.log:
RuntimeError: no such model
"""
BEGUN = datetime(2026, 3, 1, 10).timestamp()
CAPTION = {"image_id": "0.png", "box": None, "caption": "a circle"}


def origin(seconds, device="AMD EPYC", **notes):
    return {"seconds": seconds, "device": device, "threads": 1, "notes": notes}


@pytest.fixture
def plan(tmp_path, monkeypatch):
    """The plan of a run of one layer of six units in shards of four, and its empty working directory."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "layers.tsv").write_text("model\tlayer\tslug\tunits\nm\tlayer.a\ta\t6\n")
    config = Config.model_validate(
        {
            "run": "test",
            "sweep": "sweep.tsv",
            "models": {"m": {"source": "torchvision", "factory": "resnet18"}},
            "probes": {"p": {"source": "folder", "path": "images"}},
            "recipes": {"r": {"captions": {"model": "owner/model"}}},
            "llm": {"model": "owner/llm"},
            "shards": {"units": 4},
        }
    )
    return Plan(config, [Layer("a", "m", "layer.a", "a", "p", "r", range(6))], {("m", "layer.a"): "a"}, {})


def write_log(text, name="2026-03-01T100000.000000"):
    folder = tasks.Path(".snakemake/log")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.snakemake.log").write_text(text)


def write_captions(shard, rows, said):
    path = tasks.Path(f"results/test/a/a/captions/{shard}.parquet")
    tables.write(path, tables.table([CAPTION] * rows, schemas.CAPTIONS), schemas.CAPTIONS, origin=said)


def write_probe():
    for i in range(2):
        path = f"results/test/probe/p/images-0000{i}.parquet"
        tables.write(path, schemas.PROBE.empty_table(), schemas.PROBE, origin=origin(1.0))


def mark_begun(output):
    """Mark a job as begun, as Snakemake does: the name of a long file is cut into folders."""
    name = base64.urlsafe_b64encode(output.encode()).decode()
    place = tasks.Path(".snakemake/incomplete", *(f"@{one}" for one in [name[:20]]), name[20:])
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text("{}")
    return place


@pytest.fixture
def lock(tmp_path):
    """The lock of a run at work."""
    (tmp_path / ".snakemake").mkdir()
    with (tmp_path / ".snakemake/running").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file


def stage(found, rule):
    return next(one for one in found.stages if one.rule == rule)


def test_an_empty_folder_has_a_run_that_has_not_started(plan):
    found = progress.look(plan)
    assert (found.state, found.running, found.total.done) == ("not started", False, 0)
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


def test_a_run_at_work_tells_its_jobs_items_pace_and_time_left(plan, lock):
    write_log(HEAD)
    write_probe()
    write_captions("000000-000003", 30, origin(6.0, "NVIDIA H100"))
    mark_begun("results/test/a/a/captions/000004-000005.parquet").touch()
    write_log(HEAD + "Finished jobid: 8 (Rule: captions)\n")
    begun = snakemake_log.begun_outputs(tasks.Path())["results/test/a/a/captions/000004-000005.parquet"]
    shift = begun + 3 - (BEGUN + 16)  # the marker is three seconds old when the call began sixteen seconds ago
    log = re.sub(r"Date: .*", f"Date: {datetime.fromtimestamp(BEGUN + shift):%Y-%m-%d %H:%M:%S}", HEAD)
    write_log(log + "Finished jobid: 8 (Rule: captions)\n")
    found = progress.look(plan, now=begun + 3)
    captions = stage(found, "captions")
    assert (found.running, found.state) == (True, "running")
    assert (captions.planned, captions.done, captions.running, captions.failed) == (2, 1, 1, 0)
    assert (captions.items, captions.pace, captions.gpu_seconds) == (30, 5.0, 6.0)
    assert stage(found, "probe").done == 2
    # 2 x 1 s and 6 s of jobs done, 3 of 6 s of the third: 11 s of work in 16 s, and 3 s to do
    assert captions.left == pytest.approx(3 * 16 / 11, rel=0.1)  # Snakemake's date has whole seconds
    assert found.unseen == []
    assert "running" in status.text(found) and "5.00 captions/s" in status.text(found)


def test_a_killed_run_is_told_from_one_at_work_by_its_lock(plan):
    write_log(HEAD)
    write_probe()
    mark_begun("results/test/a/a/captions/000000-000003.parquet")
    (tasks.Path(".snakemake/running")).touch()
    found = progress.look(plan)
    assert found.state == "not running: it was killed with 1 job at work"
    assert (found.total.running, found.total.left) == (0, None)


def test_looking_leaves_the_lock_to_the_run(plan):
    tasks.Path(".snakemake").mkdir()
    tasks.Path(".snakemake/running").write_text("")
    assert not snakemake_log.at_work(tasks.Path())
    with tasks.Path(".snakemake/running").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        assert snakemake_log.at_work(tasks.Path())


def test_a_failed_job_is_named_with_its_log(plan):
    write_log(HEAD + FAILED)
    found = progress.look(plan)
    assert found.state == "not running: it ended after 1 failed job"
    assert found.failures == [
        snakemake_log.Failure(
            "captions",
            "results/test/a/a/captions/000000-000003.parquet",
            "results/test/logs/captions/a-a-000000-000003.log",
        )
    ]
    assert stage(found, "captions").failed == 1
    assert "see results/test/logs/captions/a-a-000000-000003.log" in status.text(found)


@pytest.mark.parametrize("after", ["Trying to restart job 7.\n", "Finished jobid: 7 (Rule: captions)\n"])
def test_a_job_that_is_tried_again_has_not_failed(plan, after):
    write_log(HEAD + FAILED + after)
    assert progress.look(plan).failures == []


def test_files_that_are_to_be_made_again_are_not_done(plan):
    write_captions("000000-000003", 1, origin(1.0))
    write_captions("000004-000005", 1, origin(1.0))
    assert stage(progress.look(plan), "captions").done == 2
    write_log(HEAD)
    assert stage(progress.look(plan), "captions").done == 0


def test_a_run_is_finished_when_every_job_has_its_file(plan):
    for task in tasks.tasks(plan):
        task.output.parent.mkdir(parents=True, exist_ok=True)
        task.output.touch()  # no table: it counts, and tells nothing
    found = progress.look(plan)
    assert (found.state, found.total.done, found.total.planned) == ("finished", 19, 19)


def test_the_log_of_another_run_in_the_folder_says_nothing_of_this_one(plan, lock):
    write_log(HEAD)
    write_log(HEAD.replace("results/test/", "results/other/"), "2026-03-02T100000.000000")
    found = progress.look(plan)
    assert (found.running, found.state) == (False, "not running: another run is at work in this folder")


def test_a_server_on_a_gpu_counts_as_the_jobs_own():
    assert tasks.used_gpu(origin(1, "NVIDIA H100 80GB HBM3"))
    assert tasks.used_gpu(origin(1, server={"vllm": "1", "gpus": ["NVIDIA A100"]}))
    assert not tasks.used_gpu(origin(1, "AMD Ryzen 7 with Radeon Graphics", server={"gpus": []}))


def test_the_page_stands_alone_and_loads_itself_only_while_the_run_is_at_work(plan):
    write_log(HEAD + FAILED.replace("a-a-000000", "<b>"))
    found = progress.look(plan)
    page = status.page(found, 10)
    assert "&lt;b&gt;" in page and "<b>" not in page
    assert "default-src 'none'; style-src 'sha256-" in page
    assert not re.search(r"<script|https?://|\bsrc=|\bstyle=|<link", page)
    assert 'http-equiv="refresh"' not in page
    found.running = True
    assert '<meta http-equiv="refresh" content="10">' in status.page(found, 10)


@pytest.mark.parametrize(
    ("seconds", "words"), [(None, ""), (42, "42 s"), (600, "10 min"), (7200, "2.0 h"), (259200, "3.0 d")]
)
def test_durations_are_said_in_their_own_unit(seconds, words):
    assert status.duration(seconds) == words


def test_the_command_writes_the_page(plan, monkeypatch, capsys):
    monkeypatch.setattr(tasks, "read", lambda files: plan)
    assert status.main(["config.yaml"]) == 0
    assert "test: not started, 0 of 19 jobs done" in capsys.readouterr().out
    assert "not started" in tasks.Path("results/test/status.html").read_text()
    monkeypatch.undo()
    assert status.main(["nothing.yaml"]) == 2
