"""The embedded target network: a small torchvision ResNet with a spatial ``concepts`` layer of planted units."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TypedDict, TypeVar, cast

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, ResNet

CONFIG, PREPROCESS, WEIGHTS, UNITS = "config.json", "preprocess.json", "model.safetensors", "units.json"


class ConceptResNet(ResNet):
    """A ResNet of basic blocks whose last stages keep a resolution of a quarter of the input.

    ``concepts`` is a 1x1 convolution and a ReLU on the maps of ``layer4``; nothing reads its output, it is there to be
    observed. ``fc`` classifies colour and shape from the pooled maps of ``layer4``.

    Parameters
    ----------
    widths : channels of ``layer1`` to ``layer4``.
    blocks : basic blocks in ``layer1`` to ``layer4``.
    units : channels of ``concepts``.
    classes : outputs of ``fc``.
    """

    concepts: nn.Sequential

    def __init__(self, widths: tuple[int, ...], blocks: tuple[int, ...], units: int, classes: int) -> None:
        nn.Module.__init__(self)  # ResNet.__init__ fixes the widths at 64 to 512
        self._norm_layer = nn.BatchNorm2d
        self.inplanes, self.dilation, self.groups, self.base_width = widths[0], 1, 1, 64
        self.conv1 = nn.Conv2d(3, widths[0], 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.Identity()
        self.layer1 = self._make_layer(BasicBlock, widths[0], blocks[0])
        self.layer2 = self._make_layer(BasicBlock, widths[1], blocks[1], stride=2)
        self.layer3 = self._make_layer(BasicBlock, widths[2], blocks[2])
        self.layer4 = self._make_layer(BasicBlock, widths[3], blocks[3])
        self.concepts = nn.Sequential(nn.Conv2d(widths[3], units, 1), nn.ReLU())
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(widths[3], classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def features(self, x: Tensor) -> Tensor:
        """Return the maps of ``layer4`` [n, c, h/4, w/4] for normalised images [n, 3, h, w]."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        return self.layer4(self.layer3(self.layer2(self.layer1(x))))

    def forward(self, x: Tensor) -> Tensor:
        """Return class logits [n, classes]; hooks on ``concepts`` see its maps [n, units, h/4, w/4]."""
        maps = self.features(x)
        self.concepts(maps)
        return self.fc(torch.flatten(self.avgpool(maps), 1))


Network = TypeVar("Network", bound=ConceptResNet)


class Configuration(TypedDict):
    """What ``config.json`` says of a network; how pictures are prepared is in ``preprocess.json`` beside it.

    ``widths``, ``blocks`` and ``units`` are as :class:`ConceptResNet` takes them, ``classes`` the names of the outputs
    of ``fc``.
    """

    widths: list[int]
    blocks: list[int]
    units: int
    classes: list[str]


def configuration(folder: str | Path) -> Configuration:
    """Return the network's configuration from its folder."""
    return cast(Configuration, json.loads((Path(folder) / CONFIG).read_text()))


def load(folder: str | Path) -> nn.Module:
    """Return the network in evaluation mode, float32, from a folder of ``config.json`` and ``model.safetensors``."""
    return load_as(ConceptResNet, folder)


def load_as(kind: type[Network], folder: str | Path) -> Network:
    """Return the network of a folder as one of a class that adds no weights, in evaluation mode, float32."""
    config = configuration(folder)
    model = kind(tuple(config["widths"]), tuple(config["blocks"]), config["units"], len(config["classes"]))
    weights = load_file(Path(folder) / WEIGHTS)
    model.load_state_dict(
        {name: value.float() if value.is_floating_point() else value for name, value in weights.items()}
    )
    return model.eval()
