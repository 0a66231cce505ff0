"""The library's list of jobs is the one that Snakemake plans."""

from collections import Counter

import pytest
from test_examples import dry_run, jobs
from workspace import ROOT, Workspace

from dnd.run import tasks


def everything(values):
    """Ask for stages that no configuration of the repository asks for."""
    recipe = values["recipes"]["dnd"]
    recipe["concepts"] |= {"look_alikes": 2}
    recipe["refinement"] = {"images": 2, "prompt": str(ROOT / "config/prompts/refine.yaml")}
    values["importance"] = {"images": 4}
    values["evaluation"] = {"generator": recipe["generator"] | {"images": 2}}
    values["audits"] = {"one": {"row": "planted", "layer": "concepts", "units": "0"}}


@pytest.mark.parametrize("file", ["config/config.yaml", "config/evaluation/config.yaml", None])
def test_jobs_are_counted_as_snakemake_counts_them(tmp_path, monkeypatch, file):
    for name in ("config", "resources"):
        (tmp_path / name).symlink_to(ROOT / name)
    if file is None:
        workspace = Workspace(tmp_path / "run")
        everything(workspace.values)
        workspace.sweep.append(["again", "conceptnet", "concepts,fc", "shapes", "dnd", "0-9"])
        workspace.write()
        tmp_path, file = workspace.folder, "config.yaml"
    monkeypatch.chdir(tmp_path)
    counted = Counter(task.rule for task in tasks.tasks(tasks.read([file])))
    planned = jobs(dry_run(tmp_path, "--configfile", file))
    assert counted | Counter(all=1, total=counted.total() + 1) == Counter(planned)
