"""The workflow as written: profiles, formatting and lint."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from snakemake.settings.types import RerunTrigger
from workspace import ROOT, SNAKEMAKE


def rules():
    output = subprocess.run([SNAKEMAKE, "--list-rules"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return {line.split()[0] for line in output.splitlines() if line and not line.startswith("Using")}


@pytest.mark.parametrize("profile", ["default", "slurm", "kubernetes"])
def test_profiles_name_only_rules_that_exist(profile):
    values = yaml.safe_load((ROOT / "profiles" / profile / "config.yaml").read_text())
    named = {*values.get("set-resources", {}), *values.get("set-threads", {})}
    assert named <= rules()


@pytest.mark.parametrize("profile", ["default", "slurm", "kubernetes"])
def test_the_time_of_a_script_runs_nothing_again(profile):
    """Its content does, by the digest in the parameters of its rule."""
    values = yaml.safe_load((ROOT / "profiles" / profile / "config.yaml").read_text())
    assert set(values["rerun-triggers"]) == set(RerunTrigger.choices()) - {"code"}


def test_every_rule_that_makes_something_has_the_digest_of_its_script():
    text = "\n".join(path.read_text() for path in sorted((ROOT / "workflow/rules").glob("*.smk")))
    scripted = {}
    for name, body in re.findall(r"^rule (\w+):\n((?: .*\n|\n)+)", text, re.MULTILINE):
        script = re.search(r'^    script:\s+"\.\./scripts/(\w+)\.py"', body, re.MULTILINE)
        if script and re.search(r"^    output:", body, re.MULTILINE):
            scripted[name] = script[1], re.findall(r'^        code=code\(\s*"(\w+)"', body, re.MULTILINE)
    assert len(scripted) > 30
    assert {name: digests for name, (script, digests) in scripted.items() if digests != [script]} == {}


def test_slurm_profile_is_found_by_its_bare_name():
    assert (ROOT / "slurm").is_symlink()
    assert yaml.safe_load((ROOT / "slurm/config.yaml").read_text())["executor"] == "slurm"


def test_a_clone_plans_a_run_on_slurm_without_slurm(tmp_path):
    command = [SNAKEMAKE, "--profile", "slurm", "--dry-run", "--quiet"]
    (tmp_path / "which").symlink_to(shutil.which("which"))  # the executor looks for Slurm's commands with it
    environment = os.environ | {"PATH": str(tmp_path)}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr


def test_lint_finds_nothing():
    done = subprocess.run([SNAKEMAKE, "--lint"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_planning_loads_no_heavy_package():
    """A dry run and the start of every job plan the run; a network's package would add seconds to each."""
    python = Path(SNAKEMAKE).with_name("python")
    command = [python, "-X", "importtime", "-m", "snakemake", "--dry-run", "--quiet"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = {line.rsplit("|", 1)[-1].strip().split(".")[0] for line in done.stderr.splitlines() if "|" in line}
    assert "dnd" in loaded
    assert not {"torch", "torchvision", "transformers", "diffusers", "scipy", "sklearn", "skimage"} & loaded


def test_library_does_not_know_snakemake():
    for file in (ROOT / "src/dnd").rglob("*.py"):
        assert not re.search(r"\b(import|from) snakemake\b", file.read_text())


@pytest.mark.parametrize(("site", "retries"), [(None, 2), ("retries: 5\n", 5), ("retries: 0\n", 0), ("jobs: 3\n", 0)])
def test_the_number_of_retries_is_that_of_the_profile_which_is_asked_for(tmp_path, site, retries):
    asked = []
    if site is not None:
        (tmp_path / "config.yaml").write_text(site)
        asked = ["--profile", str(tmp_path)]
    code = "import sys; from snakemake import cli; print(cli.parse_args(sys.argv[1:])[1].retries)"
    done = subprocess.run([sys.executable, "-c", code, *asked], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == str(retries), done.stderr
