"""Units that are no channels: worked out by hand or from their definitions, with files as they are published."""

import numpy as np
import pytest
import torch
from handmade import Channels, plain
from harmful import Harmful, plant, plant_stumbling
from safetensors.torch import save_file
from torch import nn

from dnd.config.targets import BasisSettings
from dnd.target import basis
from dnd.target.network import Target
from dnd.target.outputs import TargetError

CPU = torch.device("cpu")
X = torch.tensor([[2.0, -1.0, 0.5], [0.0, 1.0, 3.0]])
ENCODER = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 1.0, 1.0]])  # latents x channels
BIAS = torch.tensor([0.0, 0.5, -1.0, 0.0])
SHIFT = torch.tensor([1.0, 0.0, 0.0])
# by hand: (x - shift) . encoder + bias
BEFORE = torch.tensor([[1.0, -0.5, -0.5, 0.5], [-1.0, 1.5, 2.0, 3.0]])


def sae(tmp_path, activation="relu", layout="linear", **settings):
    names = {"linear": ("encoder.weight", "encoder.bias", "decoder.bias"), "lens": ("W_enc", "b_enc", "b_dec")}[layout]
    encoder = ENCODER if layout == "linear" else ENCODER.T.contiguous()
    tensors = dict(zip(names, (encoder, BIAS, SHIFT), strict=True))
    if activation == "jumprelu":
        tensors["threshold"] = torch.tensor([0.0, 1.6, 0.0, 0.6])
    save_file(tensors, tmp_path / "sae.safetensors")
    asked = BasisSettings(kind="sae", path=tmp_path / "sae.safetensors", activation=activation, **settings)
    return basis.load(asked, nn.Identity(), "", CPU)


@pytest.mark.parametrize("layout", ["linear", "lens"])
def test_latents_after_relu(tmp_path, layout):
    found = sae(tmp_path, layout=layout)
    assert (found.units, found.channels) == (4, 3)
    assert found(X).tolist() == BEFORE.relu().tolist()


def test_decoder_bias_may_stay_in(tmp_path):
    found = sae(tmp_path, subtract_decoder_bias=False)
    assert found(X)[0].tolist() == [2.0, 0.0, 0.0, 1.5]


def test_topk_keeps_the_largest_at_each_position(tmp_path):
    assert sae(tmp_path, "topk", k=1)(X).tolist() == [[1.0, 0, 0, 0], [0, 0, 0, 3.0]]
    assert sae(tmp_path, "topk", k=3)(X).tolist() == [[1.0, 0, 0, 0.5], [0, 1.5, 2.0, 3.0]]


def test_jumprelu_keeps_what_is_above_the_threshold(tmp_path):
    assert sae(tmp_path, "jumprelu")(X).tolist() == [[1.0, 0, 0, 0], [0, 0, 2.0, 3.0]]


def test_batchtopk_is_a_threshold_outside_of_training(tmp_path):
    assert sae(tmp_path, "batchtopk", threshold=1.75)(X).tolist() == [[0, 0, 0, 0], [0, 0, 2.0, 3.0]]
    with pytest.raises(TargetError, match="threshold"):
        sae(tmp_path, "batchtopk")


def test_a_tensor_that_is_missing(tmp_path):
    save_file({"weights": ENCODER, "b_enc": BIAS}, tmp_path / "sae.safetensors")
    settings = {"kind": "sae", "path": tmp_path / "sae.safetensors"}
    with pytest.raises(TargetError, match=r"as encoder, under the name W_enc or .*the file has b_enc \[4\], weights"):
        basis.load(BasisSettings(**settings), nn.Identity(), "", CPU)
    named = BasisSettings(**settings, tensors={"encoder": "weights"})
    assert basis.load(named, nn.Identity(), "", CPU).units == 4
    with pytest.raises(TargetError, match="a tensor 'weight' as encoder"):
        basis.load(BasisSettings(**settings, tensors={"encoder": "weight"}), nn.Identity(), "", CPU)


@pytest.mark.parametrize("planting", [plant, plant_stumbling])
@pytest.mark.parametrize("kind", ["sae", "directions"])
@pytest.mark.parametrize("suffix", ["pt", "pth", "safetensors", "npy"])
def test_a_planted_file_does_not_run(tmp_path, planting, kind, suffix):
    path = tmp_path / f"basis.{suffix}"
    planting(path, tmp_path / "it ran")
    with pytest.raises(Exception):  # noqa: B017  which one is its format's matter
        basis.load(BasisSettings(kind=kind, path=path), nn.Identity(), "", CPU)
    assert not (tmp_path / "it ran").exists()


def test_an_array_of_pickled_objects_does_not_run(tmp_path):
    objects = np.array([Harmful(tmp_path / "it ran")], dtype=object)
    np.save(tmp_path / "rows.npy", objects, allow_pickle=True)
    with pytest.raises(TargetError, match="not safe to load"):
        basis.load(BasisSettings(kind="directions", path=tmp_path / "rows.npy"), nn.Identity(), "", CPU)
    assert not (tmp_path / "it ran").exists()


@pytest.mark.parametrize("suffix", [".npy", ".safetensors", ".pt"])
def test_directions_are_projections(tmp_path, suffix):
    rows = torch.tensor([[1.0, 0.0, 2.0], [0.0, -1.0, 0.0]])
    path = tmp_path / f"probes{suffix}"
    if suffix == ".npy":
        np.save(path, rows.numpy())
    elif suffix == ".pt":
        torch.save(rows, path)
    else:
        save_file({"directions": rows, "mean": torch.tensor([1.0, 0.0, 0.0])}, path)
    found = basis.load(BasisSettings(kind="directions", path=path), nn.Identity(), "", CPU)
    shifted = suffix == ".safetensors"
    assert found(X).tolist() == [[3.0 - shifted, 1.0], [6.0 - shifted, -1.0]]


class Attention(nn.Module):
    """Two heads of two channels that return what they are given, and an output projection."""

    def __init__(self):
        super().__init__()
        self.num_heads = 2
        self.proj = nn.Linear(4, 3)

    def forward(self, x):
        return self.proj(x)


def test_heads_by_what_they_add_to_the_output():
    torch.manual_seed(0)
    model = nn.Sequential(Attention())
    results = torch.randn(5, 4)
    found = basis.load(BasisSettings(kind="heads"), model, "0.proj", CPU)
    weight = model[0].proj.weight
    expected = torch.stack([(results[:, part] @ weight[:, part].T).norm(dim=1) for part in (slice(2), slice(2, 4))], 1)
    assert (found.units, found.channels) == (2, 4)
    torch.testing.assert_close(found(results), expected)


def test_heads_of_something_else():
    with pytest.raises(TargetError, match="no output projection of attention heads"):
        basis.load(BasisSettings(kind="heads"), nn.Sequential(nn.Linear(4, 4)), "0", CPU)


def test_heads_are_read_from_what_the_projection_is_given():
    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = Attention()

        def forward(self, x):
            return self.attention(x.flatten(2).transpose(1, 2).repeat(1, 1, 2)[..., :4])

    torch.manual_seed(0)
    network = Network().eval()
    target = Target(network, plain(2), CPU, basis=BasisSettings(kind="heads"))
    inputs = torch.randn(2, 3, 2, 2)
    found = target.read(inputs, ["attention.proj"], lambda _, reading: reading.pooled("max"))["attention.proj"]
    tokens = inputs.flatten(2).transpose(1, 2).repeat(1, 1, 2)[..., :4]
    weight = network.attention.proj.weight[:, 2:]
    torch.testing.assert_close(found[:, 1], (tokens[..., 2:] @ weight.T).norm(dim=2).amax(1))


def colours(tmp_path, **settings):
    """A target whose units are directions in the space of colours: red, and green minus blue."""
    np.save(tmp_path / "colours.npy", np.array([[1, 0, 0], [0, 1, -1]], np.float32))
    directions = BasisSettings(kind="directions", path=tmp_path / "colours.npy")
    return Target(Channels().eval(), plain(4), CPU, basis=directions, **settings)


def test_basis_of_another_width(tmp_path):
    target = colours(tmp_path)
    with pytest.raises(TargetError, match=r"layer 'flat' has 2 channels; its basis .*colours.npy is made for 3"):
        target.read(torch.rand(1, 3, 4, 4), ["flat"], lambda _, reading: reading.units)
