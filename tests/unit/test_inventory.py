"""What a network consists of, and how layers.tsv grows: old rows stay, mistakes name what is near."""

import os
from dataclasses import replace

import numpy as np
import pytest
import torch
from handmade import TinyTarget, plain
from torch import nn

from dnd import config, inventory
from dnd.inventory import ModuleRow, Wanted
from dnd.outputs import TargetError
from dnd.subjects import BasisSettings
from dnd.targets import UNCALLED, Target

HEADER = "model\tlayer\tslug\tunits\n"
KNOWN = {
    "net": [
        ModuleRow("conv1", "Conv2d", "8x4x4", 8, ""),
        ModuleRow("layer4", "Sequential", "16x2x2", 16, ""),
        ModuleRow("layer4.0/a b", "Conv2d", "16x2x2", 16, ""),
        ModuleRow("layer4.0", "Block", "16x2x2", 16, ""),
        ModuleRow("layer4.1", "Block", "16x2x2", 16, ""),
        ModuleRow("tokens", "Encoder", "2x3x4x5", None, "returns 1x2x3x4x5; expected images x units"),
        ModuleRow("unused", "Linear", "", None, UNCALLED),
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
    assert found[-1].problem == UNCALLED
    assert not any(row.problem for row in found[:-2])


def test_units_are_those_that_a_pass_returns():
    target = TinyTarget(8)
    units = target.read(torch.zeros(1, 3, 8, 8), ["colour", "total", "flat"], lambda _, reading: reading.units)
    assert {row.layer: row.units for row in inventory.modules(target)} == units == {"colour": 3, "total": 3, "flat": 2}
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in target.model.modules())


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
    with pytest.raises(config.ConfigError) as caught:
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
    with pytest.raises(config.ConfigError) as caught:
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
    with pytest.raises(config.ConfigError):
        inventory.update(link, wanted("nothing"), KNOWN)
    assert real.read_text() == HEADER + "net\tconv1\tconv1\t8\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["layers.tsv", "real.tsv"]


class PerImage(nn.Module):
    """A backbone that is called for one image after the other."""

    def __init__(self):
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
        self.head = nn.Conv2d(4, 2, 1)

    def forward(self, x):
        return self.head(torch.cat([self.backbone(image[None]) for image in x]))


class InFours(nn.Module):
    """A backbone that is given parts of the images."""

    def __init__(self):
        super().__init__()
        self.backbone = nn.Conv2d(3, 4, 3, padding=1)

    def forward(self, x):
        half = x.shape[2] // 2
        return torch.stack([self.backbone(part) for part in (x[:, :, :half], x[:, :, half:])]).mean(0)


class Shared(nn.Module):
    """One block has two names, another one lies in two places."""

    def __init__(self):
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU())
        self.second = self.first
        self.outer = nn.ModuleDict({"inner": self.first[0]})

    def forward(self, x):
        return self.second(self.first(x))


def compiled(network):
    network[0] = torch.compile(network[0], backend="eager")
    return network


class Named(nn.Module):
    """What a layer is given has a name."""

    def __init__(self):
        super().__init__()
        self.layer = Keyword()

    def forward(self, x):
        return self.layer(values=x)


class Keyword(nn.Module):
    def forward(self, values):
        return values.relu()


@pytest.mark.parametrize(
    ("network", "usable"),
    [
        (Odd(), {"block", "block.0", "block.1", "relu", "again", "pair"}),
        (PerImage(), {"head"}),
        (InFours(), {"backbone"}),
        (Shared(), {"first", "second", "outer.inner", "first.0", "first.1", "second.0", "second.1"}),
        (compiled(nn.Sequential(nn.Sequential(nn.Conv2d(3, 4, 1)), nn.ReLU())), None),
        (torch.compile(nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU()), backend="eager"), None),
        (torch.jit.script(nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU())), set()),
        (Named(), {"layer"}),
    ],
)
def test_what_is_listed_can_be_run_and_nothing_else(network, usable):
    network = network.eval()
    listed = {row.layer: row for row in inventory.modules(Target(network, plain(6), torch.device("cpu")))}
    if usable is not None:
        assert {layer for layer, row in listed.items() if row.units} == usable
    assert listed
    for layer, row in listed.items():
        target = Target(network, plain(6), torch.device("cpu"))
        inputs = torch.rand(5, 3, 6, 6)
        if row.units:
            values = target.read(inputs, [layer], lambda _, reading: reading.pooled("mean"))[layer]
            assert values.shape == (5, row.units)
        else:
            with pytest.raises(TargetError) as told:
                target.read(inputs, [layer], lambda _, reading: reading.units)
            assert row.problem.partition(" ")[0] in str(told.value)


def test_parts_of_a_scripted_network_are_told_as_such():
    for make in (torch.jit.script, lambda network: torch.jit.trace(network, torch.zeros(1, 3, 6, 6))):
        found = rows(make(nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU()).eval()))
        assert found[0].problem == f"{UNCALLED}: TorchScript runs it unseen, load the network from its own class"
