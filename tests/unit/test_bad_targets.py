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


def built(tmp_path, code, **settings):
    (tmp_path / "mine.py").write_text(code)
    return load(source="python", factory=f"{tmp_path / 'mine.py'}:build", preprocess=SMALL, **settings)


@pytest.mark.parametrize(
    "code", ["import no_such_package\n\ndef build(): pass", "def build():\n    import no_such_package.inner"]
)
def test_factory_that_needs_a_package_that_is_not_there(tmp_path, code):
    with pytest.raises(TargetError, match=r"mine.py:build'.*: it needs the package 'no_such_package', which is not"):
        built(tmp_path, code)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("def build():\n    return {}['width']", r"mine.py, line 2, build: KeyError: 'width'$"),
        ("def build():\n    raise TypeError('of my own')", r"mine.py, line 2, build: TypeError: of my own$"),
        ("SIZE = 1 / 0\n\ndef build(): pass", r"mine.py, line 1, <module>: ZeroDivisionError: division by zero$"),
    ],
)
def test_factory_that_fails_is_told_with_the_users_own_line(tmp_path, code, message):
    with pytest.raises(TargetError, match=message) as caught:
        built(tmp_path, code)
    assert "\n" not in str(caught.value)
    assert type(caught.value.__cause__).__name__ in message  # whose traceback the log has


FORWARD = """
import torch

class Network(torch.nn.Module):
    def forward(self, images):
        {body}

def build():
    return Network()
"""


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("raise ValueError('no such branch')", "ValueError: no such branch"),
        ("return {}['features']", "KeyError: 'features'"),
        ("return images.relu().no_such_method()", "AttributeError: 'Tensor' object has no attribute 'no_such_method'"),
    ],
)
def test_network_whose_own_forward_pass_fails(tmp_path, body, message):
    target = built(tmp_path, FORWARD.format(body=body))
    with pytest.raises(TargetError) as caught:
        target.forward(torch.zeros(1, 3, 32, 32))
    assert str(caught.value) == (
        f"the network fails on an image of 3x32x32, in {tmp_path / 'mine.py'}, line 6, forward: {message}"
    )


def test_network_that_takes_images_of_another_shape(tmp_path):
    target = built(tmp_path, FORWARD.format(body="return torch.nn.functional.linear(images, torch.ones(2, 7))"))
    with pytest.raises(TargetError, match=r"line 6, forward: RuntimeError: .*shape"):
        target.forward(torch.zeros(1, 3, 32, 32))
    target = load(source="torchvision", factory="resnet18", preprocess=SMALL)
    with pytest.raises(TargetError, match=r"does not take an image of 1x32x32 .*`preprocess`"):
        target.forward(torch.zeros(1, 1, 32, 32))


def test_preprocessing_that_is_code_of_a_repository(tmp_path):
    import transformers

    config = transformers.ViTConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8)
    transformers.ViTModel(config).save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(
        '{"image_processor_type": "MyProcessor", "auto_map": {"AutoImageProcessor": "code.MyProcessor"}}'
    )
    (tmp_path / "code.py").write_text("raise SystemExit('code of a stranger ran')")
    with pytest.raises(TargetError, match=r"prepared for it: it brings code of its own .*`trust_remote_code: true`"):
        load(source="transformers", factory=str(tmp_path))
    (tmp_path / "preprocessor_config.json").write_text('{"image_processor_type": "NoSuchProcessor"}')
    with pytest.raises(TargetError, match="how images are prepared for it: ") as caught:
        load(source="transformers", factory=str(tmp_path))
    assert "\n" not in str(caught.value)
