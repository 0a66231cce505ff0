"""Leftovers in Slurm's queue, with stand-ins for its two commands, and among the results."""

import os
import subprocess

import pytest

from dnd.run import leftovers


@pytest.fixture
def queue(tmp_path, monkeypatch):
    """A queue as a file; `scancel` takes a job out of it."""
    jobs = tmp_path / "queue"
    for name, body in {
        "squeue": f"cat {jobs}",
        "scancel": f'for job; do sed -i "/^$job|/d" {jobs}; echo $job >> {tmp_path}/cancelled; done',
    }.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    here = tmp_path / "here"
    here.mkdir()
    (tmp_path / "link").symlink_to(here)
    jobs.write_text(
        f"11|rule_captions_wildcards_a|{here}\n"
        f"12|rule_captions_wildcards_a|{tmp_path}/elsewhere\n"
        f"13|my own job|{here}\n"
        f"14||{here}\n"
        f"15|rule_report|{tmp_path}/link\n"
    )
    return tmp_path


def test_only_snakemakes_jobs_of_this_folder_are_left_overs(queue):
    assert leftovers.find(queue / "here") == ["11", "15"]


def test_they_are_cancelled_and_nothing_else(queue):
    assert leftovers.cancel(queue / "here") == ["11", "15"]
    assert (queue / "cancelled").read_text().split() == ["11", "15"]
    assert leftovers.cancel(queue / "here") == []


def test_one_that_does_not_end_is_named(queue, monkeypatch):
    (queue / "scancel").write_text("#!/bin/sh\n")
    monkeypatch.setattr(leftovers, "PATIENCE_SECONDS", 0)
    with pytest.raises(TimeoutError, match="jobs 11, 15 of an earlier run do not end"):
        leftovers.cancel(queue / "here")


def files(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_files_that_a_power_cut_spoilt_lose_their_names_and_nothing_else(tmp_path):
    empty = {"groups.tsv", "planted/fc/descriptions.csv", "probe/a/images-00000.parquet", "activations/m/x.parquet"}
    damaged = {
        "planted/fc/captions/000000-000003.parquet": bytes(400),
        "activations/m/parts/0/topk-00001.parquet": b"PAR1" + bytes(80),
        "exemplars/cut-off.parquet": b"PAR1\x15\x04",
        "exemplars/short.parquet": b"P",
        "provenance.json": bytes(1000),
        "planted/fc/other.csv": b"unit,label\n3,a b" + bytes(90),
    }
    others = {
        **dict.fromkeys(["logs/a.json", "benchmarks/b/c.tsv", "planted/fc/pages/d.json", "planted/fc/e.js"], b""),
        "planted/fc/.f.parquet.1": bytes(9),
        "report/data/g.json": bytes(9),
        "groups/whole.tsv": b"x",
        "whole.parquet": b"PAR1" + bytes(80) + b"PAR1",
        "whole.csv": "unit,label\n3,blau-grün\n".encode(),
    }
    for name, content in {**dict.fromkeys(empty, b""), **damaged, **others}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    before = files(tmp_path)
    spoilt = leftovers.spoilt(tmp_path)
    assert files(tmp_path) == before, "to look changes nothing"
    told = {path.relative_to(tmp_path).as_posix(): damage for path, damage in spoilt.items()}
    assert told == dict.fromkeys(empty, "empty") | dict.fromkeys(damaged, "damaged")
    for path in spoilt:
        leftovers.remove_spoilt(path)
        leftovers.remove_spoilt(path)  # another process was faster
    assert files(tmp_path) == others | {f"{name}.damaged": content for name, content in damaged.items()}
    assert leftovers.spoilt(tmp_path) == {}
    assert leftovers.spoilt(tmp_path / "none") == {}


def test_half_written_files_of_results_and_store_are_removed_and_nothing_else(tmp_path):
    dead = subprocess.Popen(["true"])
    dead.wait()
    mine = f"{os.uname().nodename}.{dead.pid}.7"
    half = {f"results/p/fc/captions/.a.parquet.{mine}", "results/.provenance.json.node-7.4.5"}
    half |= {f"store/captions/.ab.{mine}"}
    others = {
        "results/p/fc/captions/a.parquet",
        f"results/p/fc/.b.parquet.{os.uname().nodename}.{os.getpid()}.7",
        "store/captions/.ab.node-7.4.5",
        "store/captions/ab/abcd",
    }
    for name in half | others:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = leftovers.remove_partial(tmp_path / "results", tmp_path / "store")
    assert {path.relative_to(tmp_path).as_posix() for path in found} == half
    assert {one.relative_to(tmp_path).as_posix() for one in tmp_path.rglob("*") if one.is_file()} == others
    assert leftovers.remove_partial(tmp_path / "none", tmp_path / "none") == []
