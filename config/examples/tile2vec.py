"""The network of Tile2Vec (Jean et al., AAAI 2019), a ResNet-18 with a fifth stage, for images of three bands.

``python config/examples/tile2vec.py TILES IMAGES`` turns its tiles, NumPy arrays of red, green, blue, near infrared and
the crop mask, into PNG files of the first three.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

WIDTHS = (64, 128, 256, 512, 512)
BLOCKS = 2
UNUSED = ("conv3.", "bn3.", "linear.")
"""Parts that the checkpoint has and the embedding does not use."""


class Block(nn.Module):
    """Two convolutions and a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Sequential()
        if stride != 1 or inputs != outputs:
            self.shortcut.append(nn.Conv2d(inputs, outputs, 1, stride, bias=False))
            self.shortcut.append(nn.BatchNorm2d(outputs))

    def forward(self, images: Tensor) -> Tensor:
        inner = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(images)))))
        return F.relu(inner + self.shortcut(images))


class TileNet(nn.Module):
    """Embeds aerial photographs [n, 3, 50, 50] of red, green and blue in [0, 1] as [n, 512].

    It was trained with near infrared as fourth band. The mean of the others takes its place, which is not the same:
    plants are brighter there.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(4, WIDTHS[0], 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(WIDTHS[0])
        for stage, width in enumerate(WIDTHS):
            first = Block(WIDTHS[max(stage - 1, 0)], width, stride=2 if stage else 1)
            others = [Block(width, width, stride=1) for _ in range(BLOCKS - 1)]
            self.add_module(f"layer{stage + 1}", nn.Sequential(first, *others))
        self.register_load_state_dict_pre_hook(_without_unused)

    def forward(self, images: Tensor) -> Tensor:
        features = F.relu(self.bn1(self.conv1(torch.cat([images, images.mean(1, keepdim=True)], 1))))
        for stage in range(len(WIDTHS)):
            features = self.get_submodule(f"layer{stage + 1}")(features)
        return features.mean((2, 3))


def _without_unused(module: nn.Module, state: dict[str, Tensor], prefix: str, *_: Any) -> None:
    for name in [name for name in state if any(name.startswith(part) or f".{part}" in name for part in UNUSED)]:
        del state[name]


def tilenet() -> TileNet:
    """Return the network; its weights are loaded from the file that the configuration names."""
    return TileNet()


def write_images(tiles: Path, images: Path) -> None:
    """Write the visible bands of every ``*tile.npy`` [height, width, bands] as a PNG file."""
    import numpy as np
    from PIL import Image

    images.mkdir(parents=True, exist_ok=True)
    for path in sorted(tiles.glob("*tile.npy")):
        visible = np.load(path, allow_pickle=False)[:, :, :3]
        Image.fromarray(visible.clip(0, 255).astype(np.uint8)).save(images / f"{path.stem}.png")


if __name__ == "__main__":
    write_images(Path(sys.argv[1]), Path(sys.argv[2]))
