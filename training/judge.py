"""The judge: a plain CNN that reads a picture's attributes, by which generated images are scored."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from dnd.shapeworld.world import ATTRIBUTES, SHAPE
from training.augment import degrade, scaled, shift
from training.loop import device, fit, mixed
from training.pool import Pool

log = logging.getLogger(__name__)
MINUTES = 3.5
BATCH = 128
WIDTHS = (32, 64, 96, 128)


class Judge(nn.Module):
    """Four convolution stages on pictures [n, 3, 64, 64] in [0, 1], and one linear head per attribute."""

    def __init__(self, widths: tuple[int, ...] = WIDTHS) -> None:
        super().__init__()
        self.widths = tuple(widths)
        stem, middle, deep, last = widths
        stages = [
            (3, stem, 2),
            (stem, middle, 1),
            (middle, middle, 2),
            (middle, deep, 1),
            (deep, deep, 2),
            (deep, last, 1),
        ]
        layers: list[nn.Module] = []
        for before, after, stride in stages:
            layers += [
                nn.Conv2d(before, after, 3, stride, 1, bias=False),
                nn.BatchNorm2d(after),
                nn.ReLU(),
            ]
        self.trunk = nn.Sequential(*layers)
        self.heads = nn.Linear(2 * last, sum(SHAPE))

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of all attribute values [n, 20], attributes one after the other."""
        maps = self.trunk((x - 0.5) * 4)
        return self.heads(torch.cat([maps.mean((2, 3)), maps.amax((2, 3))], dim=1).float())


def attribute_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the summed cross-entropies of logits [n, 20] against attribute indices int64 [n, 4]."""
    parts = zip(logits.float().split(SHAPE, dim=1), labels.T, strict=True)
    return torch.stack([F.cross_entropy(part, label) for part, label in parts]).sum()


def train(data: Pool, work: Path) -> Judge:
    """Train on renders alone, lightly blurred and noised so that generated images are read as well."""
    torch.manual_seed(0)
    model = Judge().to(device()).train()
    images, labels = torch.from_numpy(data.images), torch.from_numpy(data.labels)

    def loss(step: int) -> Tensor:
        rng = torch.Generator().manual_seed(step)
        pick = torch.randint(len(images), (BATCH,), generator=rng)
        x = shift(degrade(scaled(images[pick]).to(device()), rng), rng)
        with mixed():
            logits = model(x.contiguous(memory_format=torch.channels_last))
        return attribute_loss(logits, labels[pick].to(device()))

    optimisers = [torch.optim.AdamW(model.parameters(), lr=3e-3, betas=(0.9, 0.98), weight_decay=0.01, fused=True)]
    fit(model, loss, optimisers, minutes=MINUTES, checkpoint=work / "judge.pt")
    return model.eval()


@torch.no_grad()
def judge_images(model: Judge, images: npt.NDArray[np.uint8], batch: int = 128) -> npt.NDArray[np.int64]:
    """Return attribute indices int64 [n, 4], in the order of ``ATTRIBUTES``, read from images uint8 [n, 64, 64, 3]."""
    where = next(model.parameters()).device
    read = []
    for part in torch.from_numpy(np.ascontiguousarray(images)).split(batch):
        logits = model(scaled(part).to(where))
        read.append(torch.stack([values.argmax(1) for values in logits.split(SHAPE, dim=1)], dim=1))
    return torch.cat(read).cpu().numpy()


def save_judge(model: Judge, folder: Path) -> None:
    """Write ``model.safetensors`` and ``config.json``."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(
        {name: value.contiguous() for name, value in model.state_dict().items()},
        folder / "model.safetensors",
    )
    config = {"widths": model.widths, "attributes": ATTRIBUTES, "input": "RGB / 255, 64x64"}
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")


def load_judge(folder: Path) -> Judge:
    """Read a judge written by :func:`save_judge`, ready for :func:`judge_images`.

    Raises
    ------
    ValueError
        The judge was trained on other attribute values than the world has now.
    """
    config = json.loads((folder / "config.json").read_text())
    if config["attributes"] != {name: list(values) for name, values in ATTRIBUTES.items()}:
        raise ValueError(f"{folder / 'config.json'}: the judge's attributes differ from the world's; train it again")
    model = Judge(tuple(config["widths"]))
    model.load_state_dict(load_file(folder / "model.safetensors"))
    return model.eval()
