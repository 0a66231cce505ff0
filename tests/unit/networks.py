"""Networks of every source, loaded as a job loads them."""

import numpy as np
import torch
from PIL import Image

from dnd.config.targets import TargetSettings
from dnd.target import sources

CPU = torch.device("cpu")

SMALL = {"size": 32}


def load(**settings):
    return sources.load(TargetSettings(**settings), CPU)


def built(tmp_path, code, **settings):
    """The target that a factory of the user's makes, of whose module this is the code."""
    (tmp_path / "mine.py").write_text(code)
    return load(source="python", factory=f"{tmp_path / 'mine.py'}:build", preprocess=SMALL, **settings)


def photograph(width=300, height=220):
    rng = np.random.default_rng(0)
    pixels = Image.fromarray(rng.integers(0, 255, (11, 15, 3), np.uint8))
    return pixels.resize((width, height), Image.Resampling.BICUBIC)
