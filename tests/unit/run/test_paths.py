"""Where the files of a run lie."""

import re
from pathlib import Path

import pytest
import yaml

from dnd.config.load import load
from dnd.run.paths import PATTERNS, WILDCARDS, Paths, job
from dnd.run.tasks import plan_of, tasks

ROOT = Path(__file__).parents[3]


@pytest.fixture
def plan(monkeypatch):
    monkeypatch.chdir(ROOT)
    return plan_of(load(yaml.safe_load(Path("config/config.yaml").read_text()) | {"run": "mine"}))


def test_every_wildcard_has_a_form_and_no_two_kinds_share_a_path():
    for pattern in PATTERNS.values():
        assert set(re.findall(r"{(\w+)}", pattern)) <= WILDCARDS.keys()
    assert len(set(PATTERNS.values())) == len(PATTERNS)


def test_files_of_layers_passes_probes_and_bundles(plan):
    paths = Paths(plan)
    layer = plan.layer("hidden", "layer4")
    assert paths.of_layer("descriptions", layer) == "results/mine/hidden/layer4/descriptions.parquet"
    assert paths.topk(layer) == "results/mine/activations/conceptnet/shapes/max-positive-800-10000/layer4.parquet"
    assert paths.of_probe("probe", "shapes") == [
        f"results/mine/probe/shapes/images-0000{shard}.parquet" for shard in (0, 1)
    ]
    assert paths.shards("scores", layer) == ["results/mine/hidden/layer4/scores/000000-000031.parquet"]
    bundle = plan.bundle_of(layer)
    candidates = paths.of_bundle("concepts", bundle)
    assert candidates == f"results/mine/concepts/conceptnet/shapes/dnd/{bundle.bundle}.parquet"
    assert paths.importance(layer) == paths.beyond_labels() == []


def test_logs_and_benchmarks_bear_what_tells_jobs_apart(plan):
    paths = Paths(plan)
    assert paths.log("scores") == "results/mine/logs/scores/{name}-{slug}-{units}.log"
    assert paths.log("concepts", "-server").endswith("logs/concepts/{model}/{probe}/{recipe}/{bundle}-server.log")
    assert paths.log("dissection") == "results/mine/logs/dissection/{model}-{probe}-{sign}-{slug}.log"
    assert (job("prefetch"), job("topk")) == ("", "{model}-{probe}-{pooling}-{sign}-{k}-{controls}-{slug}")
    assert paths.benchmark("report") == "results/mine/benchmarks/report.tsv"


def test_all_that_a_run_asks_for_is_what_its_jobs_make(plan):
    assert set(Paths(plan).everything()) - {task.output for task in tasks(plan)} == {
        "results/mine/comparisons.parquet",
        *(f"results/mine/{place}/descriptions.csv" for place in ("planted/concepts", "hidden/layer4", "classes/fc")),
    }


def test_every_job_has_a_log(plan):
    paths = Paths(plan)
    for task in tasks(plan):
        log = paths.log_of(task.rule, task.output)
        assert log.parts[:3] == ("results", "mine", "logs") and task.rule in str(log) and "{" not in str(log)
    with pytest.raises(ValueError, match=r"x\.parquet is no file of rule scores"):
        paths.log_of("scores", "x.parquet")


def test_existing_files_are_those_of_a_pattern_and_no_neighbours(plan, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = Path("results/mine/a/b[1]/line")
    folder.mkdir(parents=True)
    names = ("000004-000007.parquet", "000000-000003.parquet", "000000-000003-rounds.parquet", "x-1.parquet")
    for name in names:
        (folder / name).touch()
    found = Paths.existing(Paths(plan).pattern("line"), name="a", slug="b[1]")
    assert found == [folder / "000000-000003.parquet", folder / "000004-000007.parquet"]
    assert Paths.existing(Paths(plan).pattern("rounds_of_line"), name="a") == [folder / "000000-000003-rounds.parquet"]
    assert Paths.existing(Paths(plan).pattern("line"), name="b") == []
