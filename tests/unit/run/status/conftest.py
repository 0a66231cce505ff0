"""The plan of a run, and its empty working directory."""

import pytest

from dnd.config.load import Config
from dnd.config.sweep import Layer
from dnd.run.plan import Plan


@pytest.fixture
def plan(tmp_path, monkeypatch):
    """The plan of a run of one layer of six units in shards of four, and its empty working directory."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".snakemake").mkdir()
    (tmp_path / "layers.tsv").write_text("model\tlayer\tslug\tunits\nm\tlayer.a\ta\t6\n")
    config = Config.model_validate(
        {
            "run": "test",
            "sweep": "sweep.tsv",
            "models": {"m": {"source": "torchvision", "factory": "resnet18"}},
            "probes": {"p": {"source": "folder", "path": "images"}},
            "recipes": {"r": {"captions": {"model": "owner/model"}}},
            "llm": {"model": "owner/llm"},
            "shards": {"units": 4},
        }
    )
    return Plan(config, [Layer("a", "m", "layer.a", "a", "p", "r", range(6))], {("m", "layer.a"): "a"}, {})
