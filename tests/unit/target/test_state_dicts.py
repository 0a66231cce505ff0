"""Files among the published weights: planted ones do not run, others than were published are told."""

import hashlib
import shutil
import zipfile
from urllib.error import URLError

import pytest
import timm
import torch
from harmful import plant, plant_stumbling
from networks import SMALL, load
from torchvision.models import ResNet18_Weights, resnet18

from dnd.backends.hub import ModelError
from dnd.target import state_dicts


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


def test_a_user_s_own_code_may_trust_a_file_of_the_user_s(cache, tmp_path):
    torch.save(torch.nn.Conv2d(3, 2, 1), tmp_path / "whole.pt")
    (tmp_path / "mine.py").write_text(
        "import torch\ndef build(path):\n    return torch.load(path, weights_only=False)\n"
    )
    arguments = {"path": str(tmp_path / "whole.pt")}
    target = load(source="python", factory=f"{tmp_path / 'mine.py'}:build", arguments=arguments, preprocess=SMALL)
    assert type(target.model).__name__ == "Conv2d"
