"""A target whose activations can be worked out by hand, and small probes."""

import hashlib
import io

import numpy as np
import torch
from PIL import Image
from torch import nn

from dnd.config.targets import PreprocessSettings
from dnd.io import schemas, tables
from dnd.target.network import Target
from dnd.target.preprocess import Preprocess

UNPROBED = dict.fromkeys(("correlation", "precision", "drawn", "bimodality", "parts", "shares"))
"""Columns of SCORES that are empty where the probe is not asked about candidates."""


class Channels(nn.Module):
    """Layer ``colour`` returns the red, green and blue channels; ``total`` their sums; ``flat`` always 2 and 0."""

    def __init__(self):
        super().__init__()
        self.colour = nn.Identity()
        self.total = nn.Identity()
        self.flat = nn.Identity()

    def forward(self, x):
        x = self.colour(x)
        self.total(x.sum((2, 3)))
        return self.flat(torch.stack([torch.full_like(x[:, 0], 2.0), torch.zeros_like(x[:, 0])], 1))


def plain(size, **settings):
    """Preprocessing that leaves pixels of the right size as they are, in [0, 1]."""
    return Preprocess(PreprocessSettings(size=size, **settings))


def TinyTarget(side=64):
    return Target(Channels().eval(), plain(side), torch.device("cpu"))


def png(pixels):
    buffer = io.BytesIO()
    Image.fromarray(np.asarray(pixels, np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def write_probe(path, images):
    rows = [
        {
            "image_id": name,
            "digest": hashlib.sha256(data).hexdigest(),
            "width": Image.open(io.BytesIO(data)).width,
            "height": Image.open(io.BytesIO(data)).height,
            "label": None,
            "image": data,
        }
        for name, data in sorted(images.items())
    ]
    tables.write(path, tables.table(rows, schemas.PROBE), schemas.PROBE)
    return path


def origin(**changes):
    """What a job might say of itself."""
    return {
        "started": "2026-03-01T10:00:00+00:00",
        "finished": "2026-03-01T10:00:30+00:00",
        "seconds": 30.0,
        "device": "NVIDIA H100 80GB HBM3",
        "threads": 8,
        "python": "3.11.7",
        "platform": "Linux",
        "versions": {"dnd": "0.1.0", "torch": "2.13.0"},
        "models": {"owner/captioner": "a" * 40},
        "notes": {},
    } | changes
