"""What a network consists of, and how layers.tsv grows: old rows stay, mistakes name what is near."""

import os
from dataclasses import replace

import numpy as np
import pytest
import torch
from handmade import TinyTarget, plain
from torch import nn

from dnd.config import load
from dnd.config.targets import BasisSettings
from dnd.target import inventory
from dnd.target import network as targets
from dnd.target.inventory import ModuleRow, Wanted
from dnd.target.network import Target
from dnd.target.outputs import TargetError

HEADER = "model\tlayer\tslug\tunits\n"
KNOWN = {
    "net": [
        ModuleRow("conv1", "Conv2d", "8x4x4", 8, ""),
        ModuleRow("layer4", "Sequential", "16x2x2", 16, ""),
        ModuleRow("layer4.0/a b", "Conv2d", "16x2x2", 16, ""),
        ModuleRow("layer4.0", "Block", "16x2x2", 16, ""),
        ModuleRow("layer4.1", "Block", "16x2x2", 16, ""),
        ModuleRow("tokens", "Encoder", "2x3x4x5", None, "returns 1x2x3x4x5; expected images x units"),
        ModuleRow("unused", "Linear", "", None, targets.UNCALLED),
    ]
}


class Odd(nn.Module):
    """``relu`` is called with two widths, ``pair`` returns a tuple, ``five`` too many axes, ``late`` is not called."""

    def __init__(self):
        super().__init__()
        self.late = nn.Linear(2, 2)
        self.five = nn.Unflatten(1, (7, 1))
        self.block = nn.Sequential(nn.Conv2d(3, 5, 2), nn.Conv2d(5, 7, 1))
        self.relu = nn.ReLU()
        self.pair = Pair()
        self.again = self.relu

    def forward(self, x):
        x = self.relu(self.block(self.relu(x)))
        self.pair(x)
        return self.five(x)


class Pair(nn.Module):
    def forward(self, x):
        return x, x


def rows(module, side=6):
    return inventory.modules(Target(module.eval(), plain(side), torch.device("cpu")))


def wanted(*layers, model="net"):
    return [Wanted(f"sweep.tsv line {i}", model, layer) for i, layer in enumerate(layers, 2)]


def test_modules_are_listed_in_order_of_their_first_call():
    # the input is 6 x 6, the first convolution leaves 5 x 5; the last call of relu and its other name sees 7 channels
    found = rows(Odd())
    assert [row[:4] for row in found] == [
        ("relu", "ReLU", "7x5x5", 7),
        ("again", "ReLU", "7x5x5", 7),
        ("block", "Sequential", "7x5x5", 7),
        ("block.0", "Conv2d", "5x5x5", 5),
        ("block.1", "Conv2d", "7x5x5", 7),
        ("pair", "Pair", "7x5x5", 7),
        ("five", "Unflatten", "7x1x5x5", None),
        ("late", "Linear", "", None),
    ]
    assert found[-2].problem.startswith("returns 2x7x1x5x5; expected images x units")
    assert found[-1].problem == targets.UNCALLED
    assert not any(row.problem for row in found[:-2])


def test_units_are_those_that_a_pass_returns():
    target = TinyTarget(8)
    units = target.read(torch.zeros(1, 3, 8, 8), ["colour", "total", "flat"], lambda _, reading: reading.units)
    assert {row.layer: row.units for row in inventory.modules(target)} == units == {"colour": 3, "total": 3, "flat": 2}
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in target.model.modules())


class Shared(nn.Module):
    """A part that stands in two places, and in one of them under two names."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(3, 5, 1), nn.ReLU())
        self.heads = nn.ModuleDict({"first": nn.Conv2d(5, 4, 1), "act": self.encoder[1]})
        self.heads["last"] = self.heads["first"]

    def forward(self, x):
        return self.heads["last"](self.encoder(x))


class Loop(nn.Module):
    """A backbone that is given one image after the other, whose results a head is given together."""

    def __init__(self, backbone):
        super().__init__()
        self.backbone, self.head = backbone, nn.Conv2d(5, 2, 1)

    def forward(self, x):
        return self.head(torch.cat([self.backbone(image[None]) for image in x]))


class Constant(nn.Module):
    """``prompt`` returns one row whatever the images; ``drop`` loses the axis of images of one image alone."""

    def __init__(self):
        super().__init__()
        self.prompt, self.drop = nn.Embedding(1, 3), nn.Identity()

    def forward(self, x):
        return self.drop(x.mean((2, 3)).squeeze()) @ self.prompt(torch.zeros(1, dtype=torch.int64)).T


class Scripted(nn.Module):
    def __init__(self, make):
        super().__init__()
        self.part, self.head = make(nn.Sequential(nn.Conv2d(3, 5, 1), nn.ReLU())), nn.Conv2d(5, 2, 1)

    def forward(self, x):
        return self.head(self.part(x))


def traced(part):
    return torch.jit.trace(part, torch.ones(2, 3, 6, 6))


def compiled(part):
    return torch.compile(part)


@pytest.mark.parametrize(
    ("network", "units"),
    [
        (Odd, {"relu": 7, "again": 7, "block": 7, "block.0": 5, "block.1": 7, "pair": 7}),
        (
            Shared,
            dict.fromkeys(["encoder", "encoder.0", "encoder.1", "heads.act"], 5) | {"heads.first": 4, "heads.last": 4},
        ),
        (lambda: Loop(nn.Conv2d(3, 5, 1)), {"head": 2}),
        (lambda: Loop(nn.Sequential(nn.ReLU(), nn.Conv2d(3, 5, 1))), {"head": 2}),
        (Constant, {"drop": 3}),
        (lambda: Scripted(torch.jit.script), {"head": 2}),
        (lambda: Scripted(traced), {"part": 5, "head": 2}),
        (
            lambda: Scripted(compiled),
            dict.fromkeys(["part", "part._orig_mod", "part._orig_mod.0", "part._orig_mod.1"], 5) | {"head": 2},
        ),
        (lambda: torch.jit.script(Odd().block), {}),
    ],
)
def test_what_is_listed_can_be_run_and_what_can_be_run_is_listed(network, units):
    module = network()
    listed = {row.layer: row for row in rows(module)}
    assert {layer: row.units for layer, row in listed.items() if row.units} == units
    assert set(listed) == {layer for layer, _ in module.named_modules(remove_duplicate=False) if layer}
    for layer, row in listed.items():
        target = Target(module.eval(), plain(6), torch.device("cpu"))
        if row.units:
            (pooled,) = target.read(torch.rand(5, 3, 6, 6), [layer], lambda _, reading: reading.pooled("mean")).values()
            assert pooled.shape == (5, row.units)
        else:
            with pytest.raises(TargetError) as caught:
                target.read(torch.rand(5, 3, 6, 6), [layer], lambda _, reading: reading.units)
            assert str(caught.value) == f"layer {layer!r} {row.problem}"


def test_modules_that_see_each_image_alone_or_are_torchscript_are_told_as_such():
    assert "each image alone" in rows(Loop(nn.Conv2d(3, 5, 1)))[0].problem
    assert {row.problem for row in rows(torch.jit.script(Odd().block))} == {targets.SCRIPTED}


def test_quantised_layers_are_described():
    from torchvision.models.quantization import resnet18

    found = {row.layer: row.units for row in rows(resnet18(quantize=True, num_classes=3), 32)}
    assert (found["conv1"], found["layer4"], found["fc"]) == (64, 512, 3)


def test_units_of_a_basis(tmp_path):
    np.save(tmp_path / "rows.npy", np.eye(3, dtype=np.float32)[[0, 1, 2, 0, 0]])
    directions = BasisSettings(kind="directions", path=tmp_path / "rows.npy")
    found = inventory.modules(replace(TinyTarget(8), basis=directions))
    assert {row.layer: row.units for row in found} == {"colour": 5, "total": 5, "flat": None}
    assert "has 2 channels; its basis" in found[-1].problem


def test_modules_come_back_from_their_table(tmp_path):
    inventory.write_modules(tmp_path / "deep" / "net.tsv", KNOWN["net"])
    assert inventory.read_modules(tmp_path / "deep" / "net.tsv") == KNOWN["net"]
    assert (tmp_path / "deep" / "net.tsv").read_text().splitlines()[:2] == [
        "layer\tclass\tshape\tunits\tproblem",
        "conv1\tConv2d\t8x4x4\t8\t",
    ]


def test_a_table_is_made_of_what_the_sweep_names():
    text, changes = inventory.merge("", wanted("layer4", "conv1", "layer4"), KNOWN)
    assert text == HEADER + "net\tlayer4\tlayer4\t16\nnet\tconv1\tconv1\t8\n"
    assert changes == ["added net layer4: 16 units", "added net conv1: 8 units"]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_rows_that_are_there_stay_byte_for_byte(end):
    old = end.join(["\ufeffmodel\tlayer\tslug\tunits", "other\tx\tmine\t3", "", "net\tconv1\tfirst\t8"])
    text, changes = inventory.merge(old, wanted("conv1", "layer4"), KNOWN)
    assert text == old + end + "net\tlayer4\tlayer4\t16" + end
    assert len(changes) == 1
    assert inventory.merge(old, wanted("conv1"), KNOWN) == (old, [])


def test_a_wrong_number_of_units_is_corrected_and_told():
    old = HEADER + "net\tconv1\tfirst\t9\nnet\tlayer4\tlayer4\t16\n"
    text, changes = inventory.merge(old, wanted("layer4"), KNOWN)
    assert text == old.replace("9", "8")
    assert changes == ["corrected net conv1: 9 -> 8 units"]


def test_a_slug_is_safe_and_unlike_the_others_of_its_model():
    old = HEADER + "net\told\tlayer4.0-a-b\t3\nother\tconv1\tconv1\t3\n"
    text, _ = inventory.merge(old, wanted("layer4.0/a b", "conv1"), KNOWN)
    assert text.splitlines()[3:] == ["net\tlayer4.0/a b\tlayer4.0-a-b-2\t16", "net\tconv1\tconv1\t8"]
    assert inventory.slug_of("_orig_mod.conv1", set()) == "orig_mod.conv1"
    assert inventory.slug_of("...", {"layer"}) == "layer-2"


def test_every_layer_that_cannot_be_described_is_one_line():
    with pytest.raises(load.ConfigError) as caught:
        inventory.merge("", wanted("layer44", "conv1", "unused", "tokens"), KNOWN)
    lines = str(caught.value).splitlines()
    assert lines[0].startswith("sweep.tsv line 2: layer 'layer44' of model 'net' does not exist")
    assert "closest names are layer4," in lines[0] and "tokens" not in lines[0]
    assert lines[1] == "sweep.tsv line 4: layer 'unused' of model 'net' is not called when the network sees an image"
    assert lines[2].startswith("sweep.tsv line 5: layer 'tokens' of model 'net' returns 1x2x3x4x5; expected")
    assert len(lines) == 3


def test_patterns_stand_for_layers_with_units():
    text, _ = inventory.merge("", wanted("layer4.?", "conv1"), KNOWN)
    assert [line.split("\t")[1] for line in text.splitlines()[1:]] == ["layer4.0", "layer4.1", "conv1"]
    with pytest.raises(load.ConfigError) as caught:
        inventory.merge("", wanted("layer4.*", "*.?x", "unuse*"), KNOWN)
    assert str(caught.value).splitlines() == [
        "sweep.tsv line 3: no layer of model 'net' is named like '*.?x'",
        "sweep.tsv line 4: no layer of model 'net' is named like 'unuse*'",
    ]


def test_listing_shows_what_can_be_copied():
    lines = inventory.listing(KNOWN["net"]).splitlines()
    assert lines[0].split() == ["layer", "class", "shape", "units"]
    assert lines[1] == "conv1         Conv2d      8x4x4   8"
    assert len(lines) == 6


def test_the_file_is_replaced_whole_and_a_link_stays(tmp_path):
    real, link = tmp_path / "real.tsv", tmp_path / "layers.tsv"
    link.symlink_to(real)
    assert inventory.update(link, wanted("conv1"), KNOWN) == ["added net conv1: 8 units"]
    assert link.is_symlink()
    assert real.read_text() == HEADER + "net\tconv1\tconv1\t8\n"
    before = os.stat(real).st_mtime_ns
    assert inventory.update(link, wanted("conv1"), KNOWN) == []
    assert os.stat(real).st_mtime_ns == before
    with pytest.raises(load.ConfigError):
        inventory.update(link, wanted("nothing"), KNOWN)
    assert real.read_text() == HEADER + "net\tconv1\tconv1\t8\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["layers.tsv", "real.tsv"]
