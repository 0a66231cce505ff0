"""What users get wrong about networks, and what they are told."""

import pickle

import pytest
import torch
from safetensors.torch import save_file
from test_target_sources import SMALL, load, own  # noqa: F401  own is a fixture
from torchvision.models import resnet18

from dnd.hub import ModelError
from dnd.outputs import TargetError


class Secret:
    """As a pickled network: not plain values."""


def test_weights_that_do_not_exist():
    with pytest.raises(TargetError, match=r"weights no/such.pt do not exist"):
        load(source="torchvision", factory="resnet18", weights="no/such.pt", preprocess=SMALL)


def test_weights_of_another_network(tmp_path):
    state = resnet18(num_classes=4).state_dict()
    del state["conv1.weight"]
    save_file(state | {"head.weight": torch.ones(1)}, tmp_path / "other.safetensors")
    with pytest.raises(TargetError) as caught:
        load(
            source="torchvision",
            factory="resnet18",
            arguments={"num_classes": 3},
            weights=str(tmp_path / "other.safetensors"),
            preprocess=SMALL,
        )
    message = str(caught.value)
    assert "other.safetensors do not fit resnet18: 4 differences" in message
    assert "fc.weight is [4, 512], the network has [3, 512]" in message
    assert "\n" not in message


def test_weights_that_are_a_pickled_object(tmp_path):
    torch.save({"net": Secret()}, tmp_path / "whole.pt")
    with pytest.raises(TargetError, match=r"whole.pt hold more than tensors.*save the network's state_dict\(\)"):
        load(source="torchvision", factory="resnet18", weights=str(tmp_path / "whole.pt"), preprocess=SMALL)


@pytest.mark.parametrize("content", [b"", b"not weights at all", pickle.dumps([1, 2])])
def test_weights_that_are_no_weights(tmp_path, content):
    (tmp_path / "odd.pt").write_bytes(content)
    with pytest.raises(TargetError, match=r"odd.pt"):
        load(source="torchvision", factory="resnet18", weights=str(tmp_path / "odd.pt"), preprocess=SMALL)


def test_weights_that_are_a_list(tmp_path):
    torch.save([torch.ones(1)], tmp_path / "list.pt")
    with pytest.raises(TargetError, match=r"list.pt: expected a state dict, name -> tensor"):
        load(source="torchvision", factory="resnet18", weights=str(tmp_path / "list.pt"), preprocess=SMALL)


@pytest.mark.parametrize("source", ["torchvision", "timm"])
def test_name_that_the_package_does_not_have(source):
    with pytest.raises(TargetError, match=rf"{source} has no model 'resnet81'; the closest names are .*resnet18"):
        load(source=source, factory="resnet81", preprocess=SMALL)


def test_weights_that_torchvision_does_not_have():
    with pytest.raises(TargetError, match=r"resnet18 has no weights 'V9'; torchvision has .*'IMAGENET1K_V1'"):
        load(source="torchvision", factory="resnet18", weights="V9")


def test_weights_that_timm_does_not_have():
    with pytest.raises(TargetError, match=r"expected `pretrained` or a file"):
        load(source="timm", factory="resnet18", weights="IMAGENET1K_V1")


def test_folder_without_a_network(tmp_path):
    with pytest.raises(TargetError, match=r"config.json"):
        load(source="transformers", factory=str(tmp_path), preprocess=SMALL)


def test_published_network_whose_weights_are_not_all_there(tmp_path):
    import transformers

    config = transformers.ViTConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8)
    transformers.ViTModel(config, add_pooling_layer=False).save_pretrained(tmp_path)
    with pytest.raises(TargetError, match=r"its weights lack pooler.dense.bias.* 2 in all; set `architecture`"):
        load(source="transformers", factory=str(tmp_path), preprocess=SMALL)
    chosen = load(source="transformers", factory=str(tmp_path), preprocess=SMALL, architecture="ViTModel")
    assert type(chosen.model).__name__ == "ViTModel"


def test_hub_that_cannot_be_reached(monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match=r"model nobody/nothing is not in the cache .* run `snakemake prefetch`"):
        load(source="transformers", factory="nobody/nothing", preprocess=SMALL)


def test_preprocessing_has_to_be_known():
    with pytest.raises(TargetError, match=r"resnet18: set `preprocess`"):
        load(source="torchvision", factory="resnet18")


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        (
            "no.such:thing",
            r"'no.such:thing': No module named 'no'; expected package.module:function or file.py",
        ),
        ("torchvision.models:resnet81", "has no attribute 'resnet81'"),
        ("no/such.py:build", "No such file"),
    ],
)
def test_factory_that_does_not_exist(factory, message):
    with pytest.raises(TargetError, match=message):
        load(source="python", factory=factory, preprocess=SMALL)


def test_factory_that_is_called_wrongly(own):  # noqa: F811
    with pytest.raises(TargetError, match=r"with arguments {'depth': 2}: .*unexpected keyword argument 'depth'"):
        load(source="python", factory=f"{own}:build", arguments={"depth": 2}, preprocess=SMALL)


def test_factory_of_something_else(own):  # noqa: F811
    with pytest.raises(TargetError, match=r"returns str, expected a torch.nn.Module"):
        load(source="python", factory=f"{own}:wrong", preprocess=SMALL)
