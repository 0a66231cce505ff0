"""Networks that are random in evaluation, or change with each call, are refused before a pass."""

import numpy as np
import pytest
import timm
import torch
import transformers
from handmade import plain, png, write_probe
from torch import nn
from torch.nn import functional

from dnd.config.targets import TargetSettings
from dnd.target import activations, inventory
from dnd.target.network import Target
from dnd.target.outputs import TargetError
from dnd.target.sources import load

SIDE = 32
MAE = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 48, "image_size": SIDE}
MAE |= {"patch_size": 8, "decoder_hidden_size": 24, "decoder_num_hidden_layers": 1, "decoder_num_attention_heads": 3}


class Dropping(nn.Module):
    """Dropout that does not ask whether the network is being trained."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.drop = Functional(lambda x: functional.dropout(x, 0.3))
        self.head = nn.Conv2d(4, 2, 1)

    def forward(self, x):
        return self.head(self.drop(self.conv(x)))


class Functional(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


class Counting(nn.Module):
    """What it returns depends on how often it was called."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        return self.conv(x) * self.calls


class Noisy(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.noise = Functional(lambda x: x + 1e-3 * torch.randn_like(x))

    def forward(self, x):
        return self.noise(self.conv(x))


@pytest.fixture
def probe(tmp_path):
    rng = np.random.default_rng(0)
    images = {f"{i}.png": png(rng.integers(0, 255, (SIDE, SIDE, 3))) for i in range(5)}
    return write_probe(tmp_path / "probe.parquet", images)


def run(network, layer, probe):
    torch.manual_seed(0)
    target = Target(network.eval(), plain(SIDE), torch.device("cpu"))
    return activations.run(target, {"slug": layer}, probe, [], pooling="mean", k=2)


@pytest.mark.parametrize(
    ("network", "layer", "named"),
    [
        (Dropping(), "head", r"layer 'head' is not the same .* first in drop \(Functional\); switch that off"),
        (Noisy(), "noise", r"first in noise \(Functional\)"),
        (nn.Sequential(Counting()), "0", r"layer '0' .* or changes with each call, first in 0 \(Counting\)"),
    ],
)
def test_what_differs_is_refused_with_the_module_that_does_first(network, layer, named, probe):
    with pytest.raises(TargetError, match=named):
        run(network, layer, probe)


def test_a_network_that_differs_in_its_first_call_only_is_refused(probe):
    class First(Counting):
        def forward(self, x):
            self.calls += 1
            return self.conv(x) * (2 if self.calls == 1 else 1)

    with pytest.raises(TargetError, match=r"layer '0' is not the same .* first in 0 \(First\)"):
        run(nn.Sequential(First()), "0", probe)


def test_a_layer_that_the_network_lacks_is_told(probe):
    with pytest.raises(TargetError, match=r"no module 'conv9': the model has \['conv', 'drop', 'head'\]"):
        run(Dropping(), "conv9", probe)


def test_layers_before_what_is_random_can_be_described(probe):
    assert len(run(Dropping(), "conv", probe)[0]) == 4


@pytest.mark.parametrize(
    "network",
    [
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.Dropout(0.5), nn.BatchNorm2d(4)),  # which are still in evaluation
        timm.create_model("test_vit", img_size=SIDE),
    ],
)
def test_what_is_the_same_each_time_is_not_refused(network, probe):
    layer = "1" if isinstance(network, nn.Sequential) else "blocks.0"
    run(network, layer, probe)


def test_patches_left_out_at_random_are_told_with_the_class_that_leaves_out_none(probe, tmp_path):
    torch.manual_seed(0)
    transformers.ViTMAEForPreTraining(transformers.ViTMAEConfig(**MAE)).save_pretrained(tmp_path / "mae")
    published = {"source": "transformers", "factory": str(tmp_path / "mae"), "preprocess": {"size": SIDE}}
    with pytest.raises(TargetError, match=r"first in vit.embeddings.*set `architecture: ViTModel`") as told:
        target = load(TargetSettings.model_validate(published))
        activations.run(target, {"slug": "vit.layers.1"}, probe, [], pooling="mean", k=2)
    assert "add_pooling_layer: false" in str(told.value)
    rows = inventory.modules(load(TargetSettings.model_validate(published)))
    told_of = {row.layer: row.problem for row in rows}
    assert told_of["vit.layers.1.mlp"] == "is not the same when the network sees the same images again"

    told = {"architecture": "ViTModel", "arguments": {"add_pooling_layer": False}}
    target = load(TargetSettings.model_validate(published | told))
    listed = {row.layer: row.units for row in inventory.modules(target)}
    layer = next(name for name in listed if name.endswith("layer.1") or name.endswith("layers.1"))
    assert listed[layer] == 24
    top, *_ = activations.run(target, {"slug": layer}, probe, [], pooling="mean", k=2)
    assert len(top) == 24
    again, *_ = activations.run(target, {"slug": layer}, probe, [], pooling="mean", k=2)
    assert top.equals(again)
