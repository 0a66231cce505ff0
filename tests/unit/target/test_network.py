"""Reading units from a forward pass: what is seen, when, and what is refused."""

import functools
import importlib
import json
import operator

import pytest
import torch
from handmade import Channels, TinyTarget, plain
from torch import nn

from dnd.backends.batches import BatchSize
from dnd.target import network as targets
from dnd.target.network import Target
from dnd.target.outputs import TargetError


def pooled(target, inputs, layers, pooling="mean"):
    return target.read(inputs, layers, lambda _, reading: reading.pooled(pooling))


def of(model, size=8, **settings):
    return Target(model.eval(), plain(size), torch.device("cpu"), **settings)


def test_units_of_several_layers_in_one_pass():
    found = pooled(TinyTarget(8), torch.ones(2, 3, 8, 8), ["colour", "total"])
    assert found["colour"].tolist() == [[1, 1, 1]] * 2
    assert found["total"].tolist() == [[64, 64, 64]] * 2


def test_hooks_are_removed():
    target = TinyTarget(8)
    pooled(target, torch.ones(1, 3, 8, 8), ["colour"])
    with pytest.raises(TargetError):
        pooled(target, torch.ones(1, 3, 8, 8), ["colour", "colours"])
    assert not target.model.colour._forward_hooks


def test_unknown_layer_names_what_there_is():
    with pytest.raises(TargetError, match=r"no module 'colour.x': colour has \[\]"):
        TinyTarget().module("colour.x")


def test_output_that_is_changed_in_its_place_later_is_seen_as_it_was():
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(3)
    nn.init.constant_(norm.bias, -1.0)
    model = nn.Sequential(norm, nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(192, 4), nn.ReLU(inplace=True)).eval()
    inputs = torch.rand(2, 3, 8, 8)
    found = pooled(of(model), inputs, ["0", "3"])
    with torch.inference_mode():
        expected = norm(inputs)
        assert expected.min() < 0
        torch.testing.assert_close(found["0"], expected.mean((2, 3)))
        torch.testing.assert_close(found["3"], model[3](expected.relu().flatten(1)))
    assert found["3"].min() < 0


def test_last_call_of_a_module_that_is_used_again_counts():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.act = nn.ReLU()

        def forward(self, x):
            return self.act(self.act(x) - 0.5)

    found = pooled(of(Twice()), torch.ones(1, 3, 8, 8), ["act"])
    assert found["act"].tolist() == [[0.5, 0.5, 0.5]]


def test_what_comes_after_the_last_layer_is_not_run():
    class Late(nn.Module):
        def __init__(self):
            super().__init__()
            self.seen = []

        def forward(self, x):
            self.seen.append(len(x))
            return x + 1

    target = of(nn.Sequential(nn.ReLU(), nn.Sigmoid(), Late()))
    inputs = torch.ones(4, 3, 8, 8)
    assert set(pooled(target, inputs, ["0", "1"])) == {"0", "1"}
    assert target.model[2].seen == [2]  # when it is found out how often layers are called
    assert pooled(target, inputs, ["2", "0"])["2"].shape == (4, 3)
    assert target.model[2].seen == [2, 2, 4]
    assert target.forward(inputs).shape == inputs.shape


def test_earlier_calls_with_fewer_units_do_not_matter():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.act = nn.ReLU()

        def forward(self, x):
            return self.act(torch.cat([self.act(x)] * 2, 1))

    found = of(Twice()).read(torch.ones(1, 3, 8, 8), ["act"], lambda _, reading: reading.maps(0, torch.tensor([5])))
    assert found["act"].shape == (1, 8, 8)


@pytest.mark.parametrize("bright", [0.5, 0.9])
def test_calls_that_depend_on_the_image_are_told(bright):
    class Deeper(nn.Module):
        def __init__(self):
            super().__init__()
            self.act = nn.ReLU()

        def forward(self, x):
            x = self.act(x)
            return self.act(x) if x.mean() > bright else x

    target = of(Deeper())
    assert pooled(target, torch.ones(2, 3, 8, 8), ["act"])["act"].shape == (2, 3)
    with pytest.raises(TargetError, match="layer 'act' is called more often for some images than for others"):
        pooled(target, torch.zeros(2, 3, 8, 8), ["act"])


def test_layer_that_is_not_called():
    class Idle(Channels):
        def __init__(self):
            super().__init__()
            self.late = nn.Linear(2, 2)

    with pytest.raises(TargetError, match="layer 'late' is not called when the network sees an image"):
        pooled(of(Idle()), torch.ones(1, 3, 8, 8), ["late"])


def test_layer_without_units():
    model = nn.Sequential(nn.Unflatten(1, (3, 1)), nn.Flatten(1, 2))
    with pytest.raises(TargetError, match="layer '0' returns 2x3x1x8x8; expected images x units"):
        pooled(of(model), torch.ones(2, 3, 8, 8), ["0"])


def test_class_token_where_there_is_none():
    with pytest.raises(TargetError, match="layer 'colour' has no class token, which the recipe's pooling `cls` asks"):
        pooled(TinyTarget(8), torch.ones(1, 3, 8, 8), ["colour"], "cls")


def test_wrong_number_of_channels():
    model = nn.Conv2d(1, 4, 3)
    with pytest.raises(TargetError, match=r"does not take an image of 3x8x8 .*one mean and std for each channel"):
        pooled(of(nn.Sequential(model)), torch.ones(1, 3, 8, 8), ["0"])


def test_wrong_size_of_input():
    from torchvision.models import vit_b_16

    network = vit_b_16(image_size=32, num_classes=2)
    with pytest.raises(TargetError, match=r"does not take an image of 3x64x64.*size.*Wrong image height"):
        pooled(of(network, 64), torch.ones(1, 3, 64, 64), ["encoder"])


def test_batches_have_one_shape():
    size = BatchSize(2, "test")
    batches = list(
        targets.fixed_batches([1, 2, 3], lambda i: torch.full((2,), float(i)), size, lambda part, x: (list(part), x))
    )
    assert [list(part) for part, _ in batches] == [[1, 2], [3]]
    assert batches[1][1][0] == [3]
    assert batches[1][1][1].tolist() == [[3.0, 3.0], [0.0, 0.0]]


class Failing(nn.Module):
    """What fails is code of a library's, as torch's own operators are."""

    def __init__(self, fail):
        super().__init__()
        self.fail = fail

    def forward(self, x):
        return self.fail(x)


@pytest.mark.parametrize(
    ("module", "told"),
    [
        (torch.ao.nn.quantized.Conv2d(3, 4, 1), r"NotImplementedError: Could not run 'quantized::conv2d"),
        (torch.ao.nn.quantized.ReLU6(), r"NotImplementedError: Could not run 'quantized::relu6"),
        (Failing(json.loads), r"TypeError: the JSON object must be str, bytes or bytearray, not Tensor"),
        (Failing(operator.attrgetter("ops.missing")), r"AttributeError: 'Tensor' object has no attribute 'ops'"),
        (nn.CrossEntropyLoss(), r"TypeError: .*missing 1 required positional argument: 'target'"),
        (Failing(functools.partial(importlib.import_module, package=None)), r"AttributeError"),
    ],
)
def test_other_errors_of_a_network_are_told_as_themselves(module, told):
    with pytest.raises(TargetError, match=rf"the network fails on an image of 3x8x8.*{told}") as caught:
        of(module).forward(torch.ones(1, 3, 8, 8))
    assert "does not take" not in str(caught.value) and "\n" not in str(caught.value)
    assert caught.value.__cause__ is not None
