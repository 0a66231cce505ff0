"""Values of a configuration that is right, ways to spoil it, and what is said then."""

import copy
from pathlib import Path

import pytest

from dnd.config.load import ConfigError
from dnd.run import contents

FILE = "config/config.yaml"
SWEEP = "name\tmodel\tlayers\tprobe\trecipe\tunits"
LAYERS = "model\tlayer\tslug\tunits\nnet\tlayer4\tlayer4\t32\nnet\tblocks.0/fc\tblocks.0_fc\t10\n"


def write_good(folder):
    """Values of config.yaml that are right, and the files that they name."""
    for name in ("config/prompts", "images", "models/mine/captioner"):
        Path(folder, name).mkdir(parents=True)
    Path(folder, "config/prompts/concept.yaml").write_text("- {role: user, content: '{{ captions }}'}\n")
    Path(folder, "models/mine/captioner/config.json").write_text("{}")
    Path(folder, "models/mine/captioner/model.safetensors").write_bytes(b"\2\0\0\0\0\0\0\0{}")
    Path(folder, "config/layers.tsv").write_text(LAYERS)
    Path(folder, "config/sweep.tsv").write_text(f"{SWEEP}\nmine\tnet\tlayer4\tphotos\tdnd\t0-3\n")
    return {
        "run": "demo",
        "sweep": "config/sweep.tsv",
        "models": {"net": {"source": "torchvision", "factory": "resnet18"}},
        "probes": {"photos": {"source": "folder", "path": "images"}},
        "recipes": {
            "dnd": {
                "captions": {"model": "models/mine/captioner"},
                "generator": {"model": "owner/generator"},
                "embedder": {"model": "owner/embedder"},
            }
        },
        "llm": {"model": "owner/llm"},
    }


def changed(values, place, value):
    """A copy of the values with one of them changed, or removed where it is ``...``."""
    values = copy.deepcopy(values)
    inner = values
    *path, last = place.split(".")
    for name in path:
        inner = inner.setdefault(name, {})
    if value is ...:
        del inner[last]
    else:
        inner[last] = value
    return values


def problem(values, call=lambda loaded: None):
    with pytest.raises(ConfigError) as error:
        call(contents.load(values, FILE))
    return str(error.value)
