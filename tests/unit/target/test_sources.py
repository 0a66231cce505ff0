"""Networks from torchvision, timm, transformers and the user's own code, each with its published preprocessing."""

import json

import pytest
import timm
import tiny_models
import torch
from networks import SMALL, load, photograph
from safetensors.torch import save_file
from torchvision.models import resnet18

from dnd import api
from dnd.config.load import ConfigError
from dnd.target import inventory, sources
from dnd.target.outputs import TargetError
from dnd.target.preprocess import Preprocess


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(1)
    return resnet18(num_classes=3).eval()


def resnet(path, **settings):
    return load(
        source="torchvision", factory="resnet18", arguments={"num_classes": 3}, weights=str(path), preprocess=SMALL
    )


@pytest.mark.parametrize("wrapping", ["plain", "safetensors", "DataParallel", "nested", "Lightning", "half"])
def test_checkpoints_as_people_have_them(tmp_path, network, wrapping):
    state = network.state_dict()
    path = tmp_path / "weights.pt"
    match wrapping:
        case "plain":
            torch.save(state, path)
        case "safetensors":
            path = tmp_path / "weights.safetensors"
            save_file(state, path)
        case "DataParallel":
            torch.save({f"module.{name}": value for name, value in state.items()}, path)
        case "nested":  # as Places365's
            path = tmp_path / "weights.pth.tar"
            nested = {f"module.{name}": value for name, value in state.items()}
            torch.save({"epoch": 90, "arch": "resnet18", "state_dict": nested, "best_prec1": 0.5}, path)
        case "Lightning":
            torch.save({"state_dict": {f"model.{name}": value for name, value in state.items()}}, path)
        case "half":
            halved = {name: one.half() if one.is_floating_point() else one for name, one in state.items()}
            torch.save(halved, path)
    target = resnet(path)
    inputs = torch.rand(2, 3, 32, 32)
    with torch.inference_mode():
        found, expected = target.model(inputs), network(inputs)
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-2 if wrapping == "half" else 0)
    assert target.dtype == torch.float32
    assert not target.model.training
    assert not any(one.requires_grad for one in target.model.parameters())


def test_half_precision_network(tmp_path, network):
    torch.save(network.state_dict(), tmp_path / "weights.pt")
    settings = {"source": "torchvision", "factory": "resnet18", "arguments": {"num_classes": 3}, "preprocess": SMALL}
    target = load(**settings, weights=str(tmp_path / "weights.pt"), dtype="bfloat16")
    assert target.dtype == torch.bfloat16
    found = target.read(torch.rand(1, 3, 32, 32), ["fc"], lambda _, reading: reading.pooled("mean"))["fc"]
    assert found.dtype == torch.float32
    assert found.isfinite().all()


def test_preprocessing_from_a_file(tmp_path):
    path = tmp_path / "preprocess.json"
    path.write_text(json.dumps({"size": 32, "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]}))
    assert load(source="torchvision", factory="resnet18", preprocess=path).preprocess.settings.mean == (0.5,) * 3
    path.write_text(json.dumps({"crop": 32}))
    with pytest.raises(ConfigError, match=r"preprocess.json: size: is missing"):
        load(source="torchvision", factory="resnet18", preprocess=path)


def test_published_preprocessing_of_torchvision():
    from torchvision.models import get_model_weights

    weights = get_model_weights("resnet50")["IMAGENET1K_V2"]
    ours = Preprocess(sources._of_torchvision(weights)).image(photograph())
    torch.testing.assert_close(ours, weights.transforms()(photograph()), rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["resnet18", "vit_tiny_patch16_224", "convnext_atto"])
def test_published_preprocessing_of_timm(name):
    target = load(source="timm", factory=name)
    theirs = timm.data.create_transform(**timm.data.resolve_model_data_config(target.model), is_training=False)
    torch.testing.assert_close(target.preprocess.image(photograph()), theirs(photograph()), rtol=0, atol=1e-5)


@pytest.mark.parametrize(("mode", "fit"), [("squash", "squash"), ("border", "letterbox")])
def test_other_crops_of_timm(mode, fit):
    config = {"input_size": (3, 64, 64), "interpolation": "bicubic", "crop_pct": 1.0, "crop_mode": mode}
    config |= {"mean": (0.5, 0.4, 0.3), "std": (0.2, 0.2, 0.2)}
    settings = sources._of_timm(config)
    assert settings.fit == fit
    theirs = timm.data.create_transform(**config, is_training=False)(photograph())
    ours = Preprocess(settings).image(photograph())
    assert (ours - theirs).abs().mean() < 0.05  # borders may lie one pixel apart


@pytest.mark.parametrize("name", ["test_vit", "test_efficientnet"])
def test_published_preprocessing_of_timms_hub(name, tmp_path):
    target = load(source="transformers", factory=tiny_models.of_timm(name)(tmp_path))
    config = timm.data.resolve_data_config(pretrained_cfg=timm.get_pretrained_cfg(name).to_dict())
    theirs = timm.data.create_transform(**config, is_training=False)(photograph())
    torch.testing.assert_close(target.preprocess.image(photograph()), theirs, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("keys", "told"), [(["model_ema"], "model_ema, epoch"), (["student", "teacher"], "student, teacher, epoch")]
)
def test_checkpoint_that_keeps_its_state_elsewhere_is_told_with_its_keys(tmp_path, network, keys, told):
    torch.save({key: network.state_dict() for key in keys} | {"epoch": 3}, tmp_path / "weights.pt")
    with pytest.raises(
        TargetError, match=f"expected a state dict, name -> tensor, but the file holds a dict of {told}$"
    ):
        resnet(tmp_path / "weights.pt")


def test_state_dict_with_other_names_shows_them_beside_the_networks(tmp_path, network):
    state = {name.replace("layer", "stage"): value for name, value in network.state_dict().items()}
    torch.save(state, tmp_path / "weights.pt")
    message = r"layer1.0.conv1.weight .* \(closest in the file: stage1.0.conv1.weight \[64, 64, 3, 3\]\) is missing"
    with pytest.raises(TargetError, match=message):
        resnet(tmp_path / "weights.pt")


def test_network_without_weights_is_the_same_in_every_job():
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    one, other = (load(source="timm", factory="test_vit").model.state_dict() for _ in range(2))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_factory_in_a_file_with_its_neighbours_and_a_checkpoint(own, tmp_path):
    state = {"0.weight": torch.full((2, 3, 1, 1), 0.5), "0.bias": torch.tensor([1.0, 2.0])}
    save_file(state, tmp_path / "own.safetensors")
    settings = {"source": "python", "factory": f"{own}:build", "preprocess": {"size": 4}}
    target = load(**settings, arguments={"width": 2}, weights=str(tmp_path / "own.safetensors"))
    found = target.read(torch.ones(1, 3, 4, 4), ["0"], lambda _, reading: reading.pooled("mean"))["0"]
    assert found.tolist() == [[2.5, 3.5]]


def test_factory_that_is_a_method_of_a_class(own):
    settings = {"source": "python", "factory": f"{own}:Network.of_width", "preprocess": {"size": 4}}
    assert load(**settings, arguments={"width": 2}).model.out_channels == 2


@pytest.mark.parametrize("how", ["whole", "part", "in place", "forward"])
def test_compiled_networks_have_the_layers_and_activations_of_others(own, tmp_path, how):
    settings = {"source": "python", "factory": f"{own}:compiled", "preprocess": {"size": 4}}
    plain, target = (load(**settings, arguments={"how": one}) for one in ("not", how))
    assert [name for name, _ in target.model.named_modules()] == [name for name, _ in plain.model.named_modules()]
    inputs = torch.rand(2, 3, 4, 4)
    for layers in (["0.0", "1"], ["0"], ["1"]):  # hooks that come and go after the code was compiled
        found = target.read(inputs, layers, lambda _, reading: reading.pooled("max"))
        expected = plain.read(inputs, layers, lambda _, reading: reading.pooled("max"))
        assert found.keys() == set(layers)
        for layer in layers:
            torch.testing.assert_close(found[layer], expected[layer])


def test_a_compiled_part_under_two_names_has_the_layers_of_its_original_under_both(tmp_path):
    code = """
import torch
def build():
    part = torch.compile(torch.nn.Sequential(torch.nn.Conv2d(3, 3, 1)), backend="eager")
    return torch.nn.Sequential(part, torch.nn.ReLU(), part)
"""
    (tmp_path / "mine.py").write_text(code)
    target = load(source="python", factory=f"{tmp_path / 'mine.py'}:build", preprocess={"size": 4})
    assert [row.layer for row in inventory.modules(target)] == ["0", "2", "0.0", "2.0", "1"]


def test_checkpoint_of_a_network_of_which_a_part_was_compiled(own, tmp_path):
    settings = {"source": "python", "factory": f"{own}:compiled", "preprocess": {"size": 4}}
    state = {"0._orig_mod.0.weight": torch.ones(4, 3, 1, 1), "0._orig_mod.0.bias": torch.full((4,), 2.0)}
    state |= {"1.weight": torch.zeros(2, 4, 1, 1), "1.bias": torch.zeros(2)}
    save_file(state, tmp_path / "compiled.safetensors")
    weights = str(tmp_path / "compiled.safetensors")
    for how in ("not", "part", "whole"):
        target = load(**settings, arguments={"how": how}, weights=weights)
        found = target.read(torch.ones(1, 3, 4, 4), ["0.0"], lambda _, reading: reading.pooled("mean"))["0.0"]
        assert found.tolist() == [[5.0] * 4]


def test_compiled_network_given_in_python(own):
    network = load(
        source="python", factory=f"{own}:compiled", arguments={"how": "in place"}, preprocess={"size": 4}
    ).model
    target = api._target(torch.compile(network, backend="eager"), {"size": 4}, "positive")
    assert target.read(torch.rand(1, 3, 4, 4), ["0.0"], lambda _, reading: reading.units) == {"0.0": 4}


def test_factory_of_a_package():
    target = load(source="python", factory="torchvision.models:resnet18", preprocess=SMALL)
    assert type(target.model).__name__ == "ResNet"
