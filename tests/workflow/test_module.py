"""The workflow as a module of another one, in a folder that holds nothing of this repository."""

import os
import subprocess

import pyarrow.parquet as pq
import pytest
import yaml
from workspace import ROOT, SNAKEMAKE

IMPORTER = f"""
configfile: "dnd.yaml"


module descriptions:
    snakefile:
        "{ROOT}/workflow/Snakefile"
    config:
        config


use rule * from descriptions as dnd_*


rule mine:
    default_target: True
    input:
        rules.dnd_all.input,
"""


@pytest.fixture
def importer(tmp_path):
    """A workflow that imports this one, with the configuration of the embedded world as its own."""
    (tmp_path / "Snakefile").write_text(IMPORTER)
    values = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    values["probes"]["shapes"]["images"] = 40
    (tmp_path / "dnd.yaml").write_text(yaml.safe_dump(values))
    return tmp_path


def snakemake(folder, *arguments):
    """What Snakemake says, and whether it succeeds."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("DND_")}
    done = subprocess.run([SNAKEMAKE, *arguments], cwd=folder, env=environ, capture_output=True, text=True)
    return done.stdout + done.stderr, done.returncode


def test_a_run_is_planned_in_an_empty_folder(importer):
    said, status = snakemake(importer, "-n")
    assert status == 0, said[-3000:]
    for rule in ("dnd_activations", "dnd_concepts", "dnd_report", "mine"):
        assert f"\n{rule} " in said
    assert not (importer / "results").exists()


def test_its_jobs_find_scripts_and_remember_the_plan(importer):
    probe = "results/demo/probe/shapes/images-00000.parquet"
    said, status = snakemake(importer, "--cores", "2", probe)
    assert status == 0, said[-3000:]
    assert pq.read_metadata(importer / probe).num_rows > 0
    assert (importer / "results/demo/groups.tsv").exists()


def test_a_mistake_in_the_importer_s_configuration_is_told_by_key(importer):
    (importer / "dnd.yaml").write_text((importer / "dnd.yaml").read_text() + "\ncolour: red\n")
    said, status = snakemake(importer, "-n")
    assert status == 1 and "colour: unknown key" in said
