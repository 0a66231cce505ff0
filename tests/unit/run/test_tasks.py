"""Every job of a run, before it and without Snakemake; tests/workflow/test_workload.py holds them against its own."""

from collections import Counter
from pathlib import Path

import pytest
import yaml

from dnd.config.load import ConfigError
from dnd.run import tasks

ROOT = Path(__file__).parents[3]


@pytest.fixture
def plan(monkeypatch):
    monkeypatch.chdir(ROOT)
    return tasks.read(["config/config.yaml"])


def test_files_are_joined_as_snakemake_joins_them(monkeypatch, tmp_path):
    monkeypatch.chdir(ROOT)
    more = tmp_path / "more.yaml"
    more.write_text(yaml.safe_dump({"run": "mine", "shards": {"images": 2}}))
    joined = tasks.read(["config/config.yaml", more]).config
    assert (joined.run, joined.shards.images) == ("mine", 2)
    assert joined.recipes == tasks.read(["config/config.yaml"]).config.recipes
    with pytest.raises(ConfigError, match=r"nowhere\.yaml"):
        tasks.read(["nowhere.yaml"])


def test_shards_share_the_units_of_their_layers_and_parts_the_images_of_their_probes(plan):
    units, parts = Counter(), Counter()
    for task in tasks.tasks(plan):
        units[task.rule] += task.units
        parts[task.rule, task.probe] += task.part
    described = sum(len(layer.units) for layer in plan.layers)
    assert units["scores"] == units["exemplars"] == units["descriptions"] == described
    assert units["images"] == units["concepts"] == described
    assert parts["probe", "shapes"] == 1


def test_the_results_are_tables_of_their_own_jobs(plan):
    outputs = [task.output for task in tasks.tasks(plan)]
    assert len(set(outputs)) == len(outputs)
    results = tasks.tables(plan)
    assert {file for files in results.values() for file in files} <= set(outputs)
    assert set(results) == {
        *("probe", "activations", "topk", "exemplars", "captions", "concepts", "images", "scores"),
        *("scales", "explains", "descriptions", "evaluation"),
    }
    assert all(file.endswith(".parquet") for files in results.values() for file in files)
