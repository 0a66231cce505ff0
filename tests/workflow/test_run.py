"""What a run leaves, what a second call finds to do, and that neither shards nor kills change a result."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from contextlib import suppress
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
import yaml
from workspace import KEY, ROOT, Workspace

from dnd.backends.server import run_server
from dnd.config import load
from dnd.io import halves, schemas, tables
from dnd.report import data_files
from dnd.run import provenance

STAND_IN = ROOT / "tests/unit/fake_server.py"
BUNDLE = "conceptnet/shapes/dnd/000-000"
SCHEMAS = {
    "probe/shapes/images-*.parquet": schemas.PROBE,
    "probe/shapes/rejected.parquet": schemas.REJECTED,
    "probe/shapes/shuffled.parquet": schemas.SHUFFLED,
    "activations/*/*/*/parts/*/topk-*.parquet": schemas.TOPK_PART,
    "activations/*/*/*/parts/*/statistics-*.parquet": schemas.STATISTICS_PART,
    "activations/*/*/*/parts/*/controls-*.parquet": schemas.CONTROLS_PART,
    "activations/*/*/*/*.parquet": schemas.TOPK,
    "*/*/exemplars/*.parquet": schemas.EXEMPLARS,
    "*/*/captions/*.parquet": schemas.CAPTIONS,
    "concepts/*/*/*/???-???.parquet": schemas.CONCEPTS,
    "concepts/*/*/*/*-answers.parquet": schemas.ANSWERS,
    "images/*/*/*/*/*.parquet": schemas.IMAGES,
    "*/*/scores/*.parquet": schemas.SCORES,
    "*/*/scales.parquet": schemas.SCALES,
    "*/*/explains.parquet": schemas.EXPLAINS,
    "*/*/descriptions.parquet": schemas.DESCRIPTIONS,
    "evaluation.parquet": schemas.EVALUATION,
}


def test_the_scheduler_looks_for_jobs_when_one_ended_and_once_a_second(tmp_path):
    workspace = Workspace(tmp_path, units=2)
    begun = time.monotonic()
    output = workspace.run("--verbose", "-c1", "--until", "exemplars")
    seconds = time.monotonic() - begun
    ended = output.count("Finished jobid: ")
    assert ended > 10
    assert ended < output.count("Resources before job selection") < 2 * ended + seconds


@pytest.mark.parametrize("pattern", SCHEMAS)
def test_every_table_has_its_schema(reference, pattern):
    files = list(reference.results.glob(pattern))
    assert files
    for file in files:
        assert pq.read_schema(file).equals(SCHEMAS[pattern])


def test_every_requested_unit_is_described(reference):
    rows = tables.read(reference.results / "planted/concepts/descriptions.parquet", schemas.DESCRIPTIONS).to_pylist()
    assert [row["unit"] for row in rows] == [0, 6, 8, 14, 20, 60, 82, 83, 84, 85, 86, 87, 90]
    alive, idle = rows[:6], rows[6:]
    assert [row["abstained"] for row in idle] == ["dead"] * 5 + ["constant"] * 2
    assert all(row["exemplars"] == row["captions"] == row["candidates"] == [] for row in idle)
    assert {row["explains"] for row in idle} == {row["confidence"] for row in idle} == {None}
    for row in alive:
        assert row["abstained"] in (None, "chance", "little")
        assert (row["label"] is None) == (row["abstained"] is not None)
        assert len(row["captions"]) == len(row["exemplars"]) == 16
        assert all(halves.chooses(exemplar["image_id"]) for exemplar in row["exemplars"])
        assert row["explains_low"] <= row["explains"] <= row["explains_high"]
        assert 0 <= row["confidence"] <= 1
    said = [row for row in alive if row["label"] is not None]
    assert len(said) >= 4  # with so few images of the probe, one or two may be no better than chance
    assert {row["label"] for row in said} == {row["candidates"][0]["concept"] for row in said}


def test_each_concept_is_drawn_once(reference):
    rows = tables.read(sorted(reference.results.glob(f"images/{BUNDLE}/*.parquet")), schemas.IMAGES).to_pylist()
    concepts = tables.read(reference.results / f"concepts/{BUNDLE}.parquet", schemas.CONCEPTS)["concept"].to_pylist()
    assert len(rows) == 5 * len(set(concepts)) == len({row["seed"] for row in rows})
    assert {row["concept"] for row in rows} == set(concepts)


def test_site_shows_every_row_and_asks_nothing_of_any_network(reference):
    site = reference.results / "report"
    assert "Content-Security-Policy" in (site / "index.html").read_text()
    assert [(one["name"], one["units"]) for one in data_files.read(site / "run.js")["layers"]] == [
        ("planted", 13),
        ("classes", 4),
    ]
    index = data_files.read(site / "layers/planted/concepts/index.js")
    path = reference.results / "planted/concepts/descriptions.parquet"
    said = [row["label"] for row in tables.read(path, schemas.DESCRIPTIONS).to_pylist() if row["label"]]
    assert index["abstained"].count(-1) == len(said) and sum(index["thumbs"]["count"]) == 4 * 6
    assert dict(index["settings"])["generator.steps"] == "4"
    captioner = str(ROOT / "resources/shapeworld/captioner")
    assert any(name == "captions" and value.startswith(captioner) for name, value in index["origin"])
    assert (site / "layers/planted/concepts/units/00000-drawn.webp").stat().st_size > 1000


def test_the_report_of_snakemake_holds_the_whole_site(reference):
    reference.run("--report", "report.zip")
    names = zipfile.ZipFile(reference.folder / "report.zip").namelist()
    (index,) = [name for name in names if name.endswith("/index.html")]
    site = index.removesuffix("index.html")
    folder = reference.results / "report"
    own = {path.relative_to(folder).as_posix() for path in folder.rglob("[!.]*") if path.is_file()}
    assert {name.removeprefix(site) for name in names if name.startswith(site)} == own
    for name in ("contact-sheet.png", "contact-sheet.pdf", "descriptions.csv"):
        assert sum(one.endswith(f"/{name}") and not one.startswith(site) for one in names) == 2
    assert any(name.endswith("/evaluation.parquet") for name in names)


def test_provenance_is_enough_to_repeat_the_run(reference, endpoint, monkeypatch):
    path = reference.results / "provenance.json"
    found = json.loads(path.read_text())
    assert endpoint.key not in path.read_text()
    silent = {stage for stage, one in found["stages"].items() if one["recorded"] != one["jobs"]}
    assert silent == {"descriptions", "evaluation"}  # the same bytes whenever and wherever they are made
    for stage in set(found["stages"]) - silent:
        one = found["stages"][stage]
        assert one["started"] <= one["finished"] <= found["written"]
        assert sum(one["devices"].values()) == one["jobs"] > 0
        assert one["versions"]["dnd"]
    assert found["stages"]["captions"]["models"].keys() == {str(ROOT / "resources/shapeworld/captioner")}
    assert found["stages"]["scores"]["versions"]["torch"] == torch.__version__
    assert found["inputs"]["probes"]["shapes"]["images"] == 160
    assert found["inputs"]["files"].keys() >= {str(ROOT / "config/prompts/concept.yaml")}
    if (ROOT / ".git").exists():
        commit = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout
        assert found["workflow"]["commit"] == commit.strip()
    described = reference.descriptions()
    assert found["results"] == {
        name: hashlib.sha256(content).hexdigest() for name, content in described.items() if name.endswith("parquet")
    }
    monkeypatch.chdir(reference.folder)
    again = provenance.configuration(provenance.Provenance.model_validate(found))
    assert load.load(yaml.safe_load(again)) == load.load(reference.values)


def test_nothing_to_do_afterwards(reference):
    assert "Nothing to be done" in reference.run("--dry-run")


@pytest.mark.parametrize("units", [7, 10_000])
def test_shards_change_no_label(reference, endpoint, tmp_path, units):
    other = Workspace(tmp_path, endpoint, units=units, llm_units=3 * units, images=1 + units % 3)
    other.run()
    assert other.descriptions() == reference.descriptions()


def _kill(process):
    """Kill the run's whole process group, as the end of a node does; its jobs get no chance to clean up."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@pytest.mark.parametrize("store", ["captions", "images"])
def test_a_killed_run_resumes_and_computes_nothing_twice(reference, endpoint, tmp_path, store):
    """Before the kill, a second run in the same folder is refused."""
    workspace = Workspace(tmp_path, endpoint)
    with (tmp_path / "killed.log").open("wb") as log:
        process = subprocess.Popen(
            workspace.command(), cwd=tmp_path, env=workspace.environment, stdout=log, stderr=log, start_new_session=True
        )
        deadline = time.monotonic() + 600
        while not any((tmp_path / "results/store" / store).glob("*/[0-9a-f]*")):
            assert process.poll() is None, (tmp_path / "killed.log").read_text()[-4000:]
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert "another run is at work" in workspace.run(succeeds=False)
        _kill(process)
    finished = workspace.stored()
    assert finished
    assert not (workspace.results / "evaluation.parquet").exists()
    workspace.run()  # the same command, nothing unlocked by hand
    assert workspace.descriptions() == reference.descriptions()
    after = workspace.stored()
    assert {name: after[name] for name in finished} == finished  # none was written again
    assert after.keys() == reference.stored().keys()
    assert not list((tmp_path / "results").rglob(f".*.{os.uname().nodename}.*"))  # nothing half-written


def _described(folder, lives):
    """The labels of a small run whose captions and answers come from servers that die after so many answers.

    Each time the same command is typed again; None never dies.
    """
    workspace = Workspace(folder)
    recipe = {key: workspace.values["recipes"]["dnd"][key] for key in ("pooling", "controls", "concepts")}
    workspace.sweep = [workspace.sweep[0], ["classes", "conceptnet", "fc", "shapes", "dnd", "0-3"]]
    for count in lives:
        behaviours = ["terse"] if count is None else ["terse", f"mortal={count}"]
        with run_server(
            lambda port, behaviours=behaviours: [sys.executable, str(STAND_IN), str(port), *behaviours],
            {},
            log_path=folder / "server.log",
            startup_seconds=60,
            grace_seconds=0.3,
        ) as server:
            asked = {"model": "m", "base_url": server.base_url, "api_key_env": KEY, "concurrency": 16}
            workspace.values["recipes"]["dnd"] = recipe | {"exemplars": {"images": 4}, "captions": asked}
            workspace.values["llm"] = asked
            workspace.environment = os.environ | {KEY: server.key}
            workspace.write()
            workspace.run(succeeds=count is None)
            assert (workspace.results / "evaluation.parquet").exists() == (count is None)
    return workspace.descriptions()


def test_an_endpoint_that_dies_midway_changes_no_label_once_it_is_back(tmp_path):
    """First among the captions, then among the answers."""
    undisturbed = _described(tmp_path / "undisturbed", [None])
    labels = tables.read(tmp_path / "undisturbed/results/tiny/classes/fc/descriptions.parquet", schemas.DESCRIPTIONS)
    assert labels["label"].null_count == 0
    assert _described(tmp_path / "disturbed", [5, 20, None]) == undisturbed


def spoil(path, content):
    """Leave other content under a name, as old as before."""
    whole = path.stat()
    path.write_bytes(content)
    os.utime(path, ns=(whole.st_atime_ns, whole.st_mtime_ns))


def test_tables_that_a_power_cut_has_spoilt_are_named_and_made_again(tmp_path):
    """By the same command where their ends tell, by its next call else; a dry run changes nothing."""
    workspace, until = Workspace(tmp_path), ("--until", "topk")
    workspace.run(*until)
    (place,) = workspace.results.glob("activations/*/*/*/")
    merged = {path: tables.read(path, schemas.TOPK) for path in place.glob("*.parquet")}
    groups, emptied, cut_off = workspace.results / "groups.tsv", place / "fc.parquet", place / "concepts.parquet"
    zeros, half = (place / f"parts/0/topk-{i:05d}.parquet" for i in (0, 1))
    content, planned = half.read_bytes(), groups.read_text()
    left = {emptied: b"", groups: b"", cut_off: cut_off.read_bytes()[:-30], zeros: bytes(zeros.stat().st_size)}
    told = [f"{path.relative_to(tmp_path)} is {'damaged' if some else 'empty'}" for path, some in left.items()]
    for path, some in left.items():
        spoil(path, some)
    output = workspace.run(*until, "--dry-run")
    assert all(one in output for one in told)
    assert {path: path.read_bytes() for path in left} == left, "a dry run changes nothing"

    output = workspace.run(*until)
    assert all(one in output for one in told)
    assert {path: tables.read(path, schemas.TOPK) for path in place.glob("*.parquet")} == merged
    assert groups.read_text() == planned

    emptied.unlink()
    spoil(groups, bytes(len(planned)))
    spoil(half, content[:4] + bytes(len(content) // 2) + content[len(content) // 2 + 4 :])
    output = workspace.run(*until, succeeds=False)
    assert f"{half.relative_to(tmp_path)} is damaged" in output
    workspace.run(*until)
    assert {path: tables.read(path, schemas.TOPK) for path in place.glob("*.parquet")} == merged
    assert groups.read_text() == planned


def processes(session):
    """The processes that one started which leads a session, itself apart."""
    found = []
    for place in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # ended meanwhile
            state, *_, of_session = place.read_text().rpartition(")")[2].split()[:4]
            if int(of_session) == session != int(place.parent.name) and state != "Z":
                found.append(int(place.parent.name))
    return found


def test_jobs_end_when_snakemake_alone_is_killed(tmp_path):
    workspace = Workspace(tmp_path)
    workspace.values["probes"]["shapes"]["images"] = 100_000  # to be rendered for minutes
    workspace.write()
    with (tmp_path / "killed.log").open("wb") as log:
        head = subprocess.Popen(workspace.command(), cwd=tmp_path, stdout=log, stderr=log, start_new_session=True)
    deadline = time.monotonic() + 120
    log = workspace.results / "logs/shapeworld_images/shapes.log"
    while not log.exists():  # the job has begun
        assert head.poll() is None and time.monotonic() < deadline, (tmp_path / "killed.log").read_text()
        time.sleep(0.05)
    assert processes(head.pid)
    head.kill()
    head.wait()
    deadline = time.monotonic() + 30
    while (left := processes(head.pid)) and time.monotonic() < deadline:
        time.sleep(0.05)
    for number in left:
        os.kill(number, signal.SIGKILL)
    assert not left
    assert "Snakemake, which started this job, has ended" in log.read_text()


@pytest.mark.parametrize("kills", [1, 3])
def test_a_job_that_is_killed_is_tried_again_twice(tmp_path, kills):
    workspace = Workspace(tmp_path)
    workspace.values["probes"]["shapes"]["images"] = 3000
    workspace.write()
    with (tmp_path / "log").open("wb") as log:
        head = subprocess.Popen(
            workspace.command("--until", "listing"), cwd=tmp_path, stdout=log, stderr=log, start_new_session=True
        )
    killed = set()
    while head.poll() is None and len(killed) < kills:
        for number in set(processes(head.pid)) - killed:
            with suppress(OSError):  # ended meanwhile
                line = Path(f"/proc/{number}/cmdline").read_bytes().split(b"\0")
                if b"shapeworld_images.py" in line[1] and line[0].endswith(b"python"):
                    os.kill(number, signal.SIGKILL)
                    killed.add(number)
        time.sleep(0.02)
    assert head.wait(120) == (kills == 3)
    told = (tmp_path / "log").read_text()
    assert told.count("Trying to restart job") == min(kills, 2)
    assert ("a job was killed, as the system does when memory runs out" in told) is (kills == 3)


def test_a_home_folder_that_cannot_be_written(tmp_path):
    workspace = Workspace(tmp_path)
    workspace.environment = workspace.environment | {"HOME": "/dev/null"}
    workspace.environment.pop("XDG_CACHE_HOME", None)
    workspace.run("--until", "exemplars")
    assert list(workspace.results.glob("*/*/exemplars/*.parquet"))


CONFINED = ["unshare", "--map-root-user", "--mount", "sh", "-c"]
may_mount = shutil.which("unshare") and subprocess.run([*CONFINED, "true"], capture_output=True).returncode == 0


@pytest.fixture
def full(tmp_path, monkeypatch):
    """A function that returns a run which finds one of two folders on a disk that is full."""
    if not may_mount:
        pytest.skip("this system does not let us mount a disk")
    workspace = Workspace(tmp_path / "run")
    for place in (tmp_path / "full", workspace.folder / "results"):
        place.mkdir()

    def command(place):
        script = 'mount -t tmpfs -o size=64k none "$0"; cat /dev/zero > "$0/x" 2>/dev/null; exec "$@"'
        plain = workspace.command
        monkeypatch.setattr(workspace, "command", lambda *asked: [*CONFINED, script, str(place), *plain(*asked)])
        return workspace

    return command


def test_a_full_folder_for_temporary_files(full, tmp_path):
    workspace = full(tmp_path / "full")
    workspace.environment = workspace.environment | {"TMPDIR": str(tmp_path / "full")}
    workspace.run("--until", "exemplars")
    assert list(workspace.results.glob("*/*/exemplars/*.parquet"))


def test_a_full_disk_for_results_is_told_before_any_job(full, tmp_path):
    told = full(tmp_path / "run/results").run("--until", "exemplars", succeeds=False)
    assert "results/tiny/groups.tsv cannot be written: No space left on device; make room" in told
    assert "Traceback" not in told and "Error in rule" not in told


def test_a_run_removes_what_killed_jobs_were_writing(tmp_path):
    workspace = Workspace(tmp_path)
    dead = subprocess.Popen(["true"])
    dead.wait()
    named = f"{os.uname().nodename}.{dead.pid}.1"
    half = [
        tmp_path / f"results/{place}.{named}" for place in ("tiny/probe/shapes/.listing.parquet", "store/images/.ab")
    ]
    for path in half:
        path.parent.mkdir(parents=True)
        path.write_text("half")
    assert "2 files" not in workspace.run("--dry-run")
    assert all(path.exists() for path in half)
    assert "removed what killed jobs were writing: 2 files" in workspace.run("--until", "listing")
    assert not any(path.exists() for path in half)


def test_own_server_gives_the_same_answers(reference, tmp_path):
    workspace = Workspace(tmp_path)  # without base_url: the concepts job starts vLLM itself
    workspace.run("--until", "concepts")
    for name in (f"{BUNDLE}.parquet", f"{BUNDLE}-answers.parquet"):
        own = pq.read_table(workspace.results / "concepts" / name)
        assert own.equals(pq.read_table(reference.results / "concepts" / name))
    log = (workspace.results / f"logs/concepts/{BUNDLE}.log").read_text()
    assert "server is ready after" in log
