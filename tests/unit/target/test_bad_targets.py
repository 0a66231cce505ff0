"""What users get wrong about networks, and what they are told."""

import pytest
import torch
import transformers
from harmful import plant
from networks import SMALL, built, load
from safetensors.torch import save_file
from torchvision.models import resnet18

from dnd.backends.hub import ModelError
from dnd.target.outputs import TargetError


class Secret:
    """As a pickled network: not plain values."""


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
    config = transformers.ViTConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8)
    transformers.ViTModel(config, add_pooling_layer=False).save_pretrained(tmp_path)
    with pytest.raises(TargetError, match=r"its weights lack pooler.dense.bias.* 2 in all; set `architecture`"):
        load(source="transformers", factory=str(tmp_path), preprocess=SMALL)
    with pytest.raises(TargetError, match=r"2 in all; set `architecture` .*, or `random_weights: true`"):
        load(source="transformers", factory=str(tmp_path), preprocess=SMALL, architecture="ViTModel")
    meant = load(source="transformers", factory=str(tmp_path), preprocess=SMALL, random_weights=True)
    assert type(meant.model).__name__ == "ViTModel"


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


def test_factory_that_is_called_wrongly(own):
    with pytest.raises(TargetError, match=r"with arguments {'depth': 2}: .*unexpected keyword argument 'depth'"):
        load(source="python", factory=f"{own}:build", arguments={"depth": 2}, preprocess=SMALL)


def test_factory_of_something_else(own):
    with pytest.raises(TargetError, match=r"returns str, expected a torch.nn.Module"):
        load(source="python", factory=f"{own}:wrong", preprocess=SMALL)


def test_pickled_weights_in_a_folder_of_timm_do_not_run(tmp_path):
    plant(tmp_path / "net/pytorch_model.bin", tmp_path / "it ran")
    (tmp_path / "net/config.json").write_text('{"architecture": "test_resnet", "num_classes": 3}')
    with pytest.raises(TargetError, match=r"its weights hold more than tensors and plain values, which is not safe"):
        load(source="timm", factory=f"local-dir:{tmp_path / 'net'}", weights="pretrained", preprocess=SMALL)
    assert not (tmp_path / "it ran").exists()


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.safetensors"])
def test_pickled_weights_in_a_folder_of_transformers_do_not_run(tmp_path, name):
    transformers.ResNetConfig(architectures=["ResNetModel"]).save_pretrained(tmp_path / "net")
    plant(tmp_path / "net" / name, tmp_path / "it ran")
    with pytest.raises(TargetError, match=r"safetensors|header"):
        load(source="transformers", factory=str(tmp_path / "net"), preprocess=SMALL)
    assert not (tmp_path / "it ran").exists()


@pytest.mark.parametrize("source", ["torchvision", "timm"])
def test_a_planted_file_of_the_user_s_does_not_run(tmp_path, source):
    plant(tmp_path / "mine.pt", tmp_path / "it ran")
    with pytest.raises(TargetError, match=r"mine.pt hold more than tensors"):
        load(source=source, factory="resnet18", weights=str(tmp_path / "mine.pt"), preprocess=SMALL)
    assert not (tmp_path / "it ran").exists()


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


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"source": "torchvision", "factory": "resnet18", "arguments": {"width": 2}}, "resnet18: TypeError: .*'width'"),
        ({"source": "timm", "factory": "resnet18", "arguments": {"wide": 2}}, "resnet18: TypeError: .*'wide'"),
        (
            {"source": "torchvision", "factory": "resnet18", "arguments": {"replace_stride_with_dilation": 2}},
            "TypeError: ",
        ),
    ],
)
def test_arguments_that_a_library_does_not_take(settings, message):
    with pytest.raises(TargetError, match=message):
        load(**settings, preprocess=SMALL)


EXPORTED = """
import torch
def build():
    return torch.export.export(torch.nn.Conv2d(3, 2, 1), (torch.zeros(2, 3, 32, 32),)).module()
"""
FIXED = """
import torch
class Fixed(torch.nn.Conv2d):
    def to(self, *args, **kwargs):
        raise ValueError("`.to` is not supported for 4-bit networks")
def build():
    return Fixed(3, 2, 1)
"""


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (EXPORTED, r"mine.py:build: .* evaluation mode: NotImplementedError: Calling eval\(\) is not supported yet"),
        (FIXED, r"put on cpu in float32 .*mine.py, line 5, to: ValueError: `.to` is not supported for 4-bit networks$"),
    ],
)
def test_network_that_cannot_be_prepared(tmp_path, code, message):
    with pytest.raises(TargetError, match=message):
        built(tmp_path, code)


def test_factory_that_needs_what_fails_in_a_library(tmp_path):
    for code, line in (("import torch\ntorch.ops.load_library('no.so')\n\ndef build(): pass", 2), (LIBRARY, 3)):
        with pytest.raises(TargetError, match=rf"mine.py, line {line}, .*: OSError: ") as caught:
            built(tmp_path, code)
        assert "expected package.module" not in str(caught.value)


LIBRARY = "import torch\ndef build():\n    torch.classes.load_library('none.so')"


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
