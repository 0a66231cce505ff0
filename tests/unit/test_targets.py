import json

import pytest
import torch
from handmade import TinyTarget
from PIL import Image
from safetensors.torch import save_file

from dnd import targets
from dnd.batches import BatchSize
from dnd.settings import TargetSettings
from dnd.targets import Preprocess

IMAGENET = Preprocess(256, 224, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def test_frame_is_the_centre_crop_in_original_pixels():
    # shorter side 512 -> 256, so that 224 of 256 pixels are 448 of 512
    assert IMAGENET.frame(1024, 512) == pytest.approx((288, 32, 736, 480))


def test_image_is_resized_cut_and_normalised():
    image = Image.new("RGB", (512, 512), (255, 0, 0))
    pixels = IMAGENET.image(image)
    assert pixels.shape == (3, 224, 224)
    assert pixels[0, 0, 0] == pytest.approx((1 - 0.485) / 0.229)
    assert pixels[1, 9, 9] == pytest.approx(-0.456 / 0.224)


def test_cutout_shows_the_box_and_nothing_else():
    image = Image.new("RGB", (100, 100))
    image.paste((255, 255, 255), (10, 20, 40, 30))
    plain = Preprocess(32, 32, (0, 0, 0), (1, 1, 1))
    assert plain.cutout(image, (10, 20, 40, 30)).min() == 1


def test_outputs_of_several_layers_in_one_pass():
    found = TinyTarget(8).outputs(torch.ones(2, 3, 8, 8), ["colour", "total"])
    assert found["colour"].shape == (2, 3, 8, 8)
    assert found["total"].tolist() == [[64, 64, 64]] * 2


def test_hooks_are_removed():
    target = TinyTarget(8)
    target.outputs(torch.ones(1, 3, 8, 8), ["colour"])
    assert not target.model.colour._forward_hooks


def test_unknown_layer_names_what_there_is():
    with pytest.raises(ValueError, match=r"no module 'colour.x': colour has \[\]"):
        TinyTarget().module("colour.x")


def test_pooling():
    maps = torch.tensor([[[[1.0, 3.0], [0.0, 0.0]]]])
    assert targets.pool(maps, "mean").tolist() == [[1.0]]
    assert targets.pool(maps, "max").tolist() == [[3.0]]
    assert targets.pool(torch.tensor([[5.0]]), "mean").tolist() == [[5.0]]


def test_batches_have_one_shape():
    size = BatchSize(2, "test")
    batches = list(targets.fixed_batches([1, 2, 3], lambda i: torch.full((2,), float(i)), size, torch.clone))
    assert [list(part) for part, _ in batches] == [[1, 2], [3]]
    assert batches[1][1].tolist() == [[3.0, 3.0], [0.0, 0.0]]


def test_torchvision_network_with_local_weights(tmp_path):
    from torchvision.models import resnet18

    torch.manual_seed(1)
    original = resnet18(num_classes=3).eval()
    save_file(original.state_dict(), tmp_path / "weights.safetensors")
    preprocess = tmp_path / "preprocess.json"
    preprocess.write_text(json.dumps({"resize": 40, "crop": 32, "mean": [0, 0, 0], "std": [1, 1, 1]}))
    settings = TargetSettings(
        source="torchvision",
        factory="resnet18",
        arguments={"num_classes": 3},
        weights=str(tmp_path / "weights.safetensors"),
        preprocess=preprocess,
    )
    target = targets.load(settings, torch.device("cpu"))
    inputs = torch.rand(2, 3, 32, 32)
    with torch.inference_mode():
        assert torch.equal(target.model(inputs), original(inputs))
    assert target.preprocess.crop == 32
    assert not target.model.training


def test_a_factory_that_does_not_exist_is_named():
    with pytest.raises(ValueError, match=r"no.such:thing.*expected package.module:function"):
        targets.load(TargetSettings(source="python", factory="no.such:thing"))


def test_preprocessing_has_to_be_known():
    with pytest.raises(ValueError, match="set `preprocess`"):
        targets.load(TargetSettings(source="torchvision", factory="resnet18"))
