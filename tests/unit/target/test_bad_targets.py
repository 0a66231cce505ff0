"""What users get wrong about networks, and what they are told."""

import hashlib
import pickle
import shutil
import zipfile
from urllib.error import URLError

import pytest
import timm
import torch
import transformers
from harmful import plant, plant_stumbling
from networks import SMALL, built, load
from safetensors.torch import save_file
from torchvision.models import ResNet18_Weights, resnet18

from dnd.backends.hub import ModelError
from dnd.target import state_dicts
from dnd.target.outputs import TargetError


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


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """The folder in which torch keeps published weights; nothing can be fetched."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))

    def unreachable(*_, **__):
        raise URLError("no route")

    monkeypatch.setattr(torch.hub, "urlopen", unreachable)
    return tmp_path / "torch/hub/checkpoints"


TIMM_URL = {"pretrained_cfg_overlay": {"hf_hub_id": None, "url": "https://example.org/weights.pth"}}


@pytest.mark.parametrize(
    ("file", "settings"),
    [
        ("resnet18-f37072fd.pth", {"source": "torchvision", "factory": "resnet18", "weights": "IMAGENET1K_V1"}),
        ("alexnet-owt-7be5be79.pth", {"source": "torchvision", "factory": "alexnet", "weights": "IMAGENET1K_V1"}),
        ("mobilenet_v3_large-8738ca79.pth", {"source": "torchvision", "factory": "lraspp_mobilenet_v3_large"}),
        ("resnet18-f37072fd.pth", {"source": "python", "factory": "torchvision.models:resnet18"}),
        ("seresnet18-4bb0ce65.pth", {"source": "timm", "factory": "legacy_seresnet18", "weights": "pretrained"}),
        ("weights.pth", {"source": "timm", "factory": "test_resnet", "weights": "pretrained", "arguments": TIMM_URL}),
    ],
)
@pytest.mark.parametrize("planting", [plant, plant_stumbling])
@pytest.mark.parametrize("hashed", [True, False])
def test_a_file_planted_among_the_published_weights_does_not_run(
    cache, tmp_path, monkeypatch, file, settings, planting, hashed
):
    if settings["source"] == "python":
        settings = settings | {"arguments": {"weights": "IMAGENET1K_V1"}}
    if not hashed:  # whoever plants may find a file whose hash begins as it should
        monkeypatch.setattr(state_dicts, "_check_hash", lambda path: None)
    planting(cache / file, tmp_path / "it ran")
    with pytest.raises(ModelError, match=rf"weights {cache / file} .*: delete the file, and it is fetched again$"):
        load(**settings, preprocess=SMALL)
    assert not (tmp_path / "it ran").exists()


@pytest.mark.parametrize("source", ["torchvision", "timm"])
def test_published_weights_are_those_of_the_hash_in_their_name(cache, monkeypatch, source):
    weights = ResNet18_Weights.IMAGENET1K_V1
    network = resnet18() if source == "torchvision" else timm.create_model("resnet18")
    cache.mkdir(parents=True)
    torch.save(network.state_dict(), cache / "new")
    digest = hashlib.sha256((cache / "new").read_bytes()).hexdigest()
    for name, sound in {f"net-{digest[:8]}.pth": True, "net-01234567.pth": False, "net-20240131.pth": True}.items():
        shutil.copy(cache / "new", cache / name)
        url = f"https://example.org/{name}"
        if source == "torchvision":
            monkeypatch.setattr(weights.value, "url", url)
            settings = {"weights": "IMAGENET1K_V1"}
        else:
            overlay = {"hf_hub_id": None, "url": url}
            settings = {"weights": "pretrained", "arguments": {"pretrained_cfg_overlay": overlay}}
        if sound:
            target = load(source=source, factory="resnet18", **settings)
            assert torch.equal(target.model.conv1.weight, network.conv1.weight)
        else:
            with pytest.raises(ModelError, match=rf"net-01234567.pth are not what .* begins with {digest[:8]}, not 01"):
                load(source=source, factory="resnet18", **settings)


def test_published_weights_in_an_archive_have_their_hash_checked_too(cache):
    """torch.hub unpacks an archive of one file, whose name tells what it likes."""
    cache.mkdir(parents=True)
    torch.save(resnet18().state_dict(), cache / "other.pth")
    with zipfile.ZipFile(cache / "resnet18-f37072fd.pth", "w") as archive:
        archive.write(cache / "other.pth", "inner.pth")
    with pytest.raises(ModelError, match=r"resnet18-f37072fd.pth are not what was published"):
        load(source="torchvision", factory="resnet18", weights="IMAGENET1K_V1")
    assert not (cache / "inner.pth").exists()


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


def test_a_user_s_own_code_may_trust_a_file_of_the_user_s(cache, tmp_path):
    torch.save(torch.nn.Conv2d(3, 2, 1), tmp_path / "whole.pt")
    (tmp_path / "mine.py").write_text(
        "import torch\ndef build(path):\n    return torch.load(path, weights_only=False)\n"
    )
    arguments = {"path": str(tmp_path / "whole.pt")}
    target = load(source="python", factory=f"{tmp_path / 'mine.py'}:build", arguments=arguments, preprocess=SMALL)
    assert type(target.model).__name__ == "Conv2d"


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
