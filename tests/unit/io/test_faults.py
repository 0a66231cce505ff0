"""Errors of a network: those about an image's shape are told as such, all others as themselves."""

import pytest
import timm
import torch
import transformers
from networks import SMALL, built, load

from dnd.config.targets import PreprocessSettings
from dnd.io import faults
from dnd.target.network import Target
from dnd.target.outputs import TargetError
from dnd.target.preprocess import Preprocess

FORWARD = """
import torch

class Network(torch.nn.Module):
    def forward(self, images):
        {body}

def build():
    return Network()
"""


def failure(tmp_path, body):
    """What is caught of a network of the user's, whose forward pass has this line."""
    target = built(tmp_path, FORWARD.format(body=body))
    with pytest.raises(TargetError) as caught:
        target.forward(torch.zeros(1, 3, 32, 32))
    return caught


def told_in(tmp_path):
    return f"the network fails on an image of 3x32x32, in {tmp_path / 'mine.py'}, line 6, forward"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("raise ValueError('no such branch')", "ValueError: no such branch"),
        ("return {}['features']", "KeyError: 'features'"),
        ("return images.relu().no_such_method()", "AttributeError: 'Tensor' object has no attribute 'no_such_method'"),
    ],
)
def test_network_whose_own_forward_pass_fails(tmp_path, body, message):
    caught = failure(tmp_path, body)
    assert str(caught.value) == f"{told_in(tmp_path)}: {message}"


def test_network_that_takes_images_of_another_shape(tmp_path):
    target = built(tmp_path, FORWARD.format(body="return torch.nn.functional.linear(images, torch.ones(2, 7))"))
    with pytest.raises(TargetError, match=r"line 6, forward: RuntimeError: .*shape"):
        target.forward(torch.zeros(1, 3, 32, 32))
    target = load(source="torchvision", factory="resnet18", preprocess=SMALL)
    with pytest.raises(TargetError, match=r"does not take an image of 1x32x32 .*`preprocess`"):
        target.forward(torch.zeros(1, 1, 32, 32))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return torch.ops.torchvision.no_such(images)", "AttributeError: '_OpNamespace' 'torchvision' object has no "),
        ("return torch.ops.mine.op(images)", "AttributeError: '_OpNamespace' 'mine' object has no attribute 'op'"),
        ("return torch.nn.Conv2d(3, 2, 1).half()(images)", "RuntimeError: Input type (float) and bias type"),
        ("return torch.nn.Embedding(2, 2)(images[:, 0, 0].long() + 5)", "IndexError: index out of range in self"),
    ],
)
def test_network_that_fails_in_a_library_is_told_with_the_users_line_that_led_there(tmp_path, body, message):
    caught = failure(tmp_path, body)
    assert str(caught.value).startswith(f"{told_in(tmp_path)}: {message}")
    assert type(caught.value.__cause__).__name__ in message


TINY = transformers.ViTConfig(
    hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8, image_size=64
)


class Raising(torch.nn.Module):
    def __init__(self, error):
        super().__init__()
        self.error = error

    def forward(self, images):
        raise self.error


@pytest.fixture
def as_library(monkeypatch):
    """These tests' own networks count as those of a library."""
    monkeypatch.setattr(faults, "_of_library", lambda file: True)


def of(network, side=32):
    return Target(network.eval(), Preprocess(PreprocessSettings(size=side)), torch.device("cpu"))


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("CUDA error: no kernel image is available for execution on the device\nCompile with ..."),
        NotImplementedError(
            "Could not run 'aten::resize_' with arguments of shape [1, 3] from the 'QuantizedCPU' backend"
        ),
        RuntimeError("Couldn't load custom C++ ops."),
        RuntimeError("required rank 4 tensor to use channels_last format"),
        KeyError("shape"),
        TypeError("forward() missing 1 required positional argument: 'height'"),
        IndexError("index out of range in self"),
    ],
)
def test_what_is_no_matter_of_the_image_is_told_as_itself(as_library, error):
    with pytest.raises(TargetError) as caught:
        of(Raising(error)).forward(torch.zeros(1, 3, 32, 32))
    first = str(error).splitlines()[0]
    assert str(caught.value) == f"the network fails on an image of 3x32x32: {type(error).__name__}: {first}"
    assert caught.value.__cause__ is error


@pytest.mark.parametrize(
    ("network", "channels"),
    [
        (lambda: timm.create_model("vit_tiny_patch16_224", img_size=64), 3),
        (lambda: timm.create_model("test_resnet"), 4),
        (lambda: timm.create_model("swin_tiny_patch4_window7_224", img_size=64, window_size=2, depths=(1,)), 3),
        (lambda: transformers.ViTModel(TINY), 3),
        (lambda: transformers.ViTModel(TINY), 1),
        (lambda: torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(7, 2)), 3),
        (lambda: torch.nn.BatchNorm2d(5), 3),
        (lambda: torch.nn.GroupNorm(2, 4), 3),
        (lambda: torch.nn.LayerNorm(31), 3),
        (lambda: torch.nn.PixelUnshuffle(5), 3),
        (lambda: torch.nn.Conv3d(3, 2, 1), 3),
        (lambda: torch.nn.MaxPool2d(33), 3),
        (lambda: torch.jit.script(torch.nn.Conv2d(5, 2, 1)), 3),
        (lambda: torch.jit.trace(torch.nn.Linear(7, 2), torch.ones(1, 7)), 3),
    ],
)
def test_images_of_other_sides_and_channels_are_told_as_such(network, channels):
    with pytest.raises(
        TargetError, match=rf"does not take an image of {channels}x32x32 .*`preprocess`.*Error: "
    ) as caught:
        of(network()).forward(torch.zeros(2, channels, 32, 32))
    assert "TorchScript" not in str(caught.value)
    assert "\n" not in str(caught.value)


class Picky(torch.nn.Module):
    def forward(self, images):
        if images.shape[1] == 3:
            raise ValueError("no such branch")
        return images


def test_errors_inside_torchscript_are_told_without_its_own_traceback():
    with pytest.raises(TargetError, match=r"^the network fails on an image of 3x32x32: ValueError: no such branch$"):
        of(torch.jit.script(Picky())).forward(torch.zeros(1, 3, 32, 32))


class Single(torch.nn.Module):
    def forward(self, images):
        return images.view(1, 3, 32, 32)


def test_networks_that_take_a_single_image_are_not_told_of_its_size():
    for network in (torch.jit.script(Single()), torch.jit.trace(Single(), torch.zeros(1, 3, 32, 32))):
        with pytest.raises(
            TargetError, match=r"takes one image of 3x32x32, not 2 at once: RuntimeError: shape '\[1, 3"
        ):
            of(network).survey([], torch.zeros(3, 32, 32))
