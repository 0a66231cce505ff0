"""Units of a layer: pooled over positions and as maps, with their sign, of channels and of a basis."""

import numpy as np
import pytest
import torch
from handmade import Channels, TinyTarget, plain
from torch import nn

from dnd.config.targets import BasisSettings
from dnd.target import units
from dnd.target.interventions import silenced
from dnd.target.network import Target, pooled_of
from dnd.target.tokens import Told


def of(model, size=8, **settings):
    return Target(model.eval(), plain(size), torch.device("cpu"), **settings)


def test_sign_comes_before_the_largest_position():
    inputs = torch.tensor([-3.0, 1.0]).view(1, 1, 1, 2).expand(1, 3, 2, 2)
    assert pooled_of(TinyTarget(2), "colour", inputs, "max")[0, 0] == 1
    negative = Target(Channels(), plain(2), torch.device("cpu"), Told("NCHW"), sign="negative")
    assert pooled_of(negative, "colour", inputs, "max")[0, 0] == 3
    heat = negative.read(inputs, ["colour"], lambda _, reading: reading.maps(0, torch.tensor([1])))["colour"]
    assert heat.tolist() == [[[3, -1], [3, -1]]]


class Video(nn.Module):
    """Layer ``frames`` returns an image, its double and its triple as the frames of a video."""

    def __init__(self):
        super().__init__()
        self.frames = nn.Identity()

    def forward(self, x):
        return self.frames(torch.stack([x, 2 * x, 3 * x], 2))


@pytest.mark.parametrize("sign", ["positive", "negative"])
def test_units_of_videos_are_averaged_over_frames(sign):
    inputs = torch.rand(2, 3, 8, 8)
    signed = {"positive": 2, "negative": -2}[sign] * inputs
    target = of(Video(), told=Told("NCDHW"), sign=sign)

    def take(_, reading):
        return reading.pooled("mean"), reading.pooled("max"), reading.maps(1, torch.tensor([2]))

    mean, largest, heat = target.read(inputs, ["frames"], take)["frames"]
    torch.testing.assert_close(mean, signed.mean((2, 3)))
    torch.testing.assert_close(largest, signed.amax((2, 3)))
    torch.testing.assert_close(heat, signed[1, 2:])
    with silenced(target, "frames", [1], 2):
        assert target.forward(inputs).ne(0).all((0, 2, 3, 4)).tolist() == [True, False, True]


def test_half_precision_is_pooled_in_float32():
    target = of(nn.Sequential(nn.Conv2d(3, 2, 1, bias=False)).to(torch.bfloat16), 64)
    inputs = torch.rand(1, 3, 64, 64)
    found = pooled_of(target, "0", inputs, "mean")
    assert found.dtype == torch.float32
    with torch.inference_mode():
        expected = target.model(inputs.bfloat16()).float().mean((2, 3))
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("most", [1, 5, 2**25])
@pytest.mark.parametrize("sign", ["positive", "negative"])
def test_units_of_a_basis_go_through_a_layer_in_parts(tmp_path, monkeypatch, most, sign):
    monkeypatch.setattr(units, "MOST_ACTIVATIONS", most)
    torch.manual_seed(0)
    inputs = torch.rand(2, 3, 4, 4)
    one = {"positive": 1, "negative": -1}[sign]
    maps = one * torch.stack([inputs[:, 0], inputs[:, 1] - inputs[:, 2]], 1)

    def take(_, reading):
        return reading.pooled("mean"), reading.pooled("max"), reading.maps(1, torch.tensor([1]))

    np.save(tmp_path / "colours.npy", np.array([[1, 0, 0], [0, 1, -1]], np.float32))
    directions = BasisSettings(kind="directions", path=tmp_path / "colours.npy")
    mean, largest, heat = of(Channels(), 4, basis=directions, sign=sign).read(inputs, ["colour"], take)["colour"]
    torch.testing.assert_close(mean, maps.mean((2, 3)))
    torch.testing.assert_close(largest, maps.amax((2, 3)))
    torch.testing.assert_close(heat, maps[1, 1:])
