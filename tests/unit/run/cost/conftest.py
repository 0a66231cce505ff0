"""A run whose jobs and items are counted by hand."""

import pytest

from dnd.config.load import Config
from dnd.config.sweep import Layer
from dnd.run.cost.rates import Assumptions
from dnd.run.plan import Plan


@pytest.fixture
def assume():
    """Assumptions that are easy to reckon with."""
    return Assumptions(
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
