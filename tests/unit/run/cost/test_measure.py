"""Rates of a finished run, from handmade tables, logs and Snakemake's records of its jobs."""

import base64
import json
from pathlib import Path

import pytest

from dnd.config.load import Config
from dnd.config.sweep import Layer
from dnd.io import schemas, tables
from dnd.run.cost import measure
from dnd.run.cost.rates import Rate, Rates
from dnd.run.plan import Plan

PLACE = "results/test/a/a"
BUNDLE = "results/test/concepts/m/p/r/000-000"


def write(path, rows, schema, seconds, device="AMD EPYC", **notes):
    values = {field.name: [] if str(field.type).startswith("list") else None for field in schema}
    said = {"seconds": seconds, "device": device, "threads": 2, "notes": notes}
    tables.write(path, tables.table([values | row for row in rows], schema), schema, origin=said)


def remember(output, rule, log, seconds, job_of_cluster=None, *others):
    """Record a job as Snakemake does."""
    for file in (output, *others):
        path = Path(".snakemake/metadata", base64.urlsafe_b64encode(file.encode()).decode())
        path.parent.mkdir(parents=True, exist_ok=True)
        record = {"rule": rule, "log": log, "starttime": 100.0, "endtime": 100.0 + seconds}
        path.write_text(json.dumps(record | {"external_jobid": job_of_cluster}))


@pytest.fixture
def plan(tmp_path, monkeypatch):
    """A run of four units in two shards: a shard captioned here, one by a cluster; concepts asked for on a GPU."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "layers.tsv").write_text("model\tlayer\tslug\tunits\nm\tlayer.a\ta\t4\n")
    views = [{"unit": i // 5, "rank": i % 5, "image_id": f"{i}"} for i in range(10)]
    for shard, log, cluster in (("000000-000001", 40, None), ("000002-000003", 30, "slurm-7")):
        write(f"{PLACE}/exemplars/{shard}.parquet", views, schemas.EXEMPLARS, 8.0)
        captions = [{"image_id": f"{i}", "caption": "a cat"} for i in range(8)]
        write(f"{PLACE}/captions/{shard}.parquet", captions, schemas.CAPTIONS, 11.0)
        name = f"results/test/logs/captions/a-a-{shard}.log"
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(f"INFO dnd.candidates.captions: {log} distinct views, 20 captioned before\n")
        remember(f"{PLACE}/captions/{shard}.parquet", "captions", [name], 13.0 if cluster is None else 999.0, cluster)
    benchmark = Path("results/test/benchmarks/captions/a-a-000002-000003.tsv")
    benchmark.parent.mkdir(parents=True)
    benchmark.write_text("s\th:m:s\n10.5\t0:00:10\n")
    concepts = [{"concept": name} for name in ("cat", "dog", "cat")]
    asked = {"server": {"gpus": ["NVIDIA A100"]}}
    write(f"{BUNDLE}.parquet", concepts, schemas.CONCEPTS, 70.0, **asked)
    write(f"{BUNDLE}-answers.parquet", [{"answer": "cats"}] * 10, schemas.ANSWERS, 70.0, **asked)
    log = Path("results/test/logs/concepts/m/p/r/000-000.log")
    log.parent.mkdir(parents=True)
    log.write_text("10 requests, 0 answered before\nthe language model's server is ready after 50 s\n")
    logs = [str(log.with_name("000-000-server.log")), str(log)]  # in no order
    remember(f"{BUNDLE}.parquet", "concepts", logs, 73.0, None, f"{BUNDLE}-answers.parquet")
    values = {
        "run": "test",
        "sweep": "sweep.tsv",
        "models": {"m": {"source": "torchvision", "factory": "resnet18"}},
        "probes": {"p": {"source": "shapeworld", "images": 100}},
        "recipes": {"r": {"captions": {"model": "owner/model"}}},
        "llm": {"model": "owner/llm"},
        "shards": {"units": 2},
    }
    config = Config.model_validate(values)
    return Plan(config, [Layer("a", "m", "layer.a", "a", "p", "r", range(4))], {("m", "layer.a"): "a"}, {})


def test_jobs_tell_their_time_start_and_items(plan):
    found = {one.rule: [] for one in measure.observations(plan, measure.assumptions(plan))}
    for one in measure.observations(plan, measure.assumptions(plan)):
        found[one.rule].append((one.seconds, one.start, one.items, one.wanted, one.gpu, one.threads))
    assert sorted(found["captions"]) == [
        (13.0, 2.0, 10, 30, False, 2),  # of the cluster: its queue is left out, Snakemake's start is added
        (13.0, 2.0, 20, 40, False, 2),
    ]
    assert found["concepts"] == [(73.0, 53.0, 10, 10, True, 2)]  # a server's start is none of its work


def test_the_assumptions_are_what_the_tables_show(plan):
    found = measure.assumptions(plan)
    assert found.exemplars == 20 / (4 * 10)
    assert found.views == 16 / 20
    assert found.questions == 10 / (4 * 5)
    assert (found.candidates, found.concepts) == (3 / 4, pytest.approx(2 / 3))
    assert (found.caption_tokens, found.answer_tokens) == (5 / 4, 1)


def test_rates_that_the_run_lacks_stay(plan):
    before = Rate(device="H100", job=1, item=2)
    rates = measure.measured(
        plan, Rates(stages={"images": before, "captions": before}, assumptions=measure.assumptions(plan))
    )
    assert rates.stages["images"] == before
    assert rates.stages["captions"].device == "AMD EPYC"
    assert rates.stages["captions"].item == pytest.approx(22 / 30)
    assert rates.stages["concepts"].item == pytest.approx(2.0)
    assert rates.stages["concepts"].gpu


def test_what_each_job_took_is_printed_as_json(plan):
    found = json.loads(measure.as_json(plan))
    assert len(found["jobs"]) == 3 and found["assumptions"]["candidates"] == 0.75


def test_a_run_without_concepts_cannot_be_measured(plan):
    Path(f"{BUNDLE}.parquet").unlink()
    with pytest.raises(ValueError, match="results/test has no finished job of `concepts`"):
        measure.assumptions(plan)
