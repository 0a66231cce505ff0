"""Costs before a run: by rates of our own, and the demo's real cost."""

import json
import re
from pathlib import Path

import pytest

from dnd.run.cost import estimate
from dnd.run.cost.rates import Rate, Rates

ROOT = Path(__file__).parents[4]
DEMO = json.loads((ROOT / "tests/unit/fixtures/demo-cost.json").read_text())
"""Rule -> seconds that its jobs took in a first run of the demo, with an empty store."""


def stages_of(plan, assume, **rates):
    cost = estimate.estimate(plan, Rates(stages=rates, assumptions=assume))
    return {stage.rule: stage for stage in cost.stages}, cost


def test_time_is_that_of_jobs_and_items_and_hours_are_of_gpus_or_cores(plan, assume):
    on_gpu = Rate(device="H100", gpu=True, job=100, item=2, size=10)
    found, whole = stages_of(
        plan, assume, captions=on_gpu, topk=Rate(device="EPYC", threads=4, job=900, item=0, size=1)
    )
    assert found["captions"].seconds == 2 * 100 + 64 * 2
    assert found["captions"].bytes == 640
    assert found["topk"].bytes == 20 * (800 + 50)  # activations that it keeps
    assert whole.gpu_hours == pytest.approx(328 / 3600)
    assert whole.core_hours == pytest.approx(1.0)
    assert whole.devices == ["EPYC", "H100"]
    assert "scores" in whole.unknown and "topk" not in whole.unknown
    told = estimate.text(whole, "rates.yaml")
    assert re.search(r"^captions +2 +64 +views +0\.091 +640 B$", told, re.MULTILINE)
    assert "of EPYC and H100" in told and "no rates, not counted: shapeworld_images" in told


def test_the_rates_that_come_along_are_for_the_demo(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    assert estimate.main(["config/config.yaml", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["jobs"] == 38 and found["unknown"] == [] and found["devices"] == ["AMD EPYC"]
    assert found["job_hours"] * 3600 == pytest.approx(sum(DEMO.values()), rel=0.25)
