"""Costs before a run: counts worked out by hand, rates by hand, and the demo's real cost."""

import json
import re
from pathlib import Path

import pytest

from dnd.config.load import Config, ConfigError
from dnd.config.sweep import Layer
from dnd.run import tasks
from dnd.run.cost import amounts, estimate
from dnd.run.cost import rates as cost_rates
from dnd.run.cost.rates import Assumptions, Observation, Rate, Rates
from dnd.run.plan import Plan

ROOT = Path(__file__).parents[4]
DEMO = json.loads((ROOT / "tests/unit/fixtures/demo-cost.json").read_text())
"""What the jobs of a first run of the demo took, with an empty store."""
ASSUME = Assumptions(
    exemplars=0.5, views=0.8, questions=0.5, candidates=2, concepts=0.25, caption_tokens=10, answer_tokens=3
)


@pytest.fixture
def plan(tmp_path, monkeypatch):
    """A layer of ten units in two shards, a probe of a hundred renders in four."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "layers.tsv").write_text("model\tlayer\tslug\tunits\nm\tlayer.a\ta\t20\n")
    (tmp_path / "prompt.yaml").write_text("x" * 400)
    part = {"model": "owner/model"}
    concepts = {"prompt": "prompt.yaml", "samples": 3, "clusters": 2}
    recipe = {"captions": part, "generator": part, "embedder": part, "concepts": concepts, "controls": 50}
    config = Config.model_validate(
        {
            "run": "test",
            "sweep": "sweep.tsv",
            "models": {"m": {"source": "torchvision", "factory": "resnet18"}},
            "probes": {"p": {"source": "shapeworld", "images": 100, "shards": 4}},
            "recipes": {"r": recipe},
            "llm": {"model": "owner/llm"},
            "shards": {"units": 5},
        }
    )
    return Plan(config, [Layer("a", "m", "layer.a", "a", "p", "r", range(10))], {("m", "layer.a"): "a"}, {})


def lines(plan, **stages):
    found = estimate.estimate(plan, Rates(stages=stages, assumptions=ASSUME))
    return {one.rule: one for one in found.lines}, found


def test_items_are_those_of_the_configuration_and_the_assumptions(plan):
    found, _ = lines(plan)
    assert {rule: (one.jobs, one.items) for rule, one in found.items() if one.noun} == {
        "shapeworld_images": (1, 100),
        "listing": (1, 100),
        "probe": (4, 100),
        "activations": (4, 100),
        "topk": (1, 20),
        "exemplars": (2, 10 * 10 * 0.5),
        "captions": (2, 50 * 0.8),
        "concepts": (1, 10 * (3 + 2) * 0.5),
        "images": (2, 10 * 2 * 0.25 * 10 * 20),  # ten images of each concept, twenty steps of each
        "scores": (2, 10 * 2 * 10),
        "descriptions": (1, 10),
        "report_layer": (1, 10),
    }


def test_tokens_are_those_of_the_prompt_the_captions_and_the_answers(plan):
    asked = lines(plan)[0]["concepts"]
    assert (asked.requests, asked.prompt_tokens, asked.answer_tokens) == (25, 25 * (400 / 4 + 10 * 10), 25 * 3)


def test_time_is_that_of_jobs_and_items_and_hours_are_of_gpus_or_cores(plan):
    on_gpu = Rate(device="H100", gpu=True, job=100, item=2, size=10)
    found, whole = lines(plan, captions=on_gpu, topk=Rate(device="EPYC", threads=4, job=900, item=0, size=1))
    assert found["captions"].seconds == 2 * 100 + 40 * 2
    assert found["captions"].bytes == 400
    assert found["topk"].bytes == 20 * (200 + 50)  # activations that it keeps
    assert whole.gpu_hours == pytest.approx(280 / 3600)
    assert whole.core_hours == pytest.approx(1.0)
    assert whole.devices == ["EPYC", "H100"]
    assert "scores" in whole.unknown and "topk" not in whole.unknown
    told = estimate.text(whole, "rates.yaml")
    assert re.search(r"^captions +2 +40 +views +0\.078 +400 B$", told, re.MULTILINE)
    assert "of EPYC and H100" in told and "no rates, not counted: shapeworld_images" in told


def test_the_demo_costs_what_it_has_cost(monkeypatch):
    monkeypatch.chdir(ROOT)
    plan = tasks.read(["config/config.yaml"])
    jobs = [Observation(**one) for one in DEMO["jobs"]]
    real = sum(one.seconds for one in jobs)
    last = {one.rule: i for i, one in enumerate(jobs)}
    several = {rule for rule in last if sum(one.rule == rule for one in jobs) > 1}
    others = [one for i, one in enumerate(jobs) if one.rule not in several or last[one.rule] != i]
    assert len(jobs) == 31 and len(others) == 22
    for measured in (jobs, others):  # the second has not seen the largest shard of a stage
        rates = Rates(stages=cost_rates.fitted(measured), assumptions=Assumptions(**DEMO["assumptions"]))
        monkeypatch.setattr(amounts.Amounts, "_images", lambda self, name: self.config.probes[name].images)
        found = estimate.estimate(plan, rates)
        assert found.job_hours * 3600 == pytest.approx(real, rel=0.25)
        assert found.unknown == []
    assert found.jobs == 32


def test_the_rates_that_come_along_are_for_the_demo(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    assert estimate.main(["config/config.yaml", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["jobs"] == 32 and found["unknown"] == [] and found["devices"] == ["AMD EPYC"]
    assert found["job_hours"] * 3600 == pytest.approx(sum(one["seconds"] for one in DEMO["jobs"]), rel=0.25)


@pytest.mark.parametrize(
    ("module", "values", "counts"),
    [
        ("candidates/captions.py", (40, 10), (40, 30)),
        ("selection/images.py", (40, 8, 10), (40, 30)),
        ("backends/llm.py", (40, 10), (40, 30)),
    ],
)
def test_logs_tell_what_was_made(tmp_path, module, values, counts):
    source = (ROOT / "src/dnd" / module).read_text()
    (line,) = re.findall(r'log\.info\("(%d [^"]* before)"', source)
    (line_of_server,) = re.findall(r'"(the language model.s server is ready [^"]*)"', SERVER)
    log = tmp_path / "job.log"
    log.write_text(f"2026-03-01 INFO dnd: {line % values}\nINFO dnd: {line_of_server % 48}\n" * 2)
    assert cost_rates.said(log) == (2 * counts[0], 2 * counts[1], 96)
    assert cost_rates.said(tmp_path / "none.log") is None


SERVER = (ROOT / "src/dnd/backends/server.py").read_text()


def test_a_file_of_rates_is_read_as_it_was_written(tmp_path):
    rates = Rates(stages={"topk": Rate(device="EPYC", job=1.5, item=0.25)}, assumptions=ASSUME)
    path = tmp_path / "rates.yaml"
    path.write_text(cost_rates.spelt(rates))
    assert cost_rates.read(path) == rates
    path.write_text("stages: {topk: {job: -1}}")
    with pytest.raises(ConfigError, match=r"rates\.yaml: .*stages\.topk\.device"):
        cost_rates.read(path)
